"""MCPRouter: a FastAPI router that carries MCP features beside its HTTP routes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import fastapi.routing
from fastapi import APIRouter, Depends, params
from fastapi.routing import APIRoute
from typing_extensions import Unpack

from mcp_mount.elsewhere import OF_ENTRY_OPTIONS
from mcp_mount.features import DefinitionError, Registry, Tool
from mcp_mount.features.completion import Completer, general_completer
from mcp_mount.features.pages import fixed, page
from mcp_mount.features.prompts import Prompt
from mcp_mount.features.resources import Resource
from mcp_mount.observability.records import secrets_of
from mcp_mount.policies.chain import PolicyChain, policies_of
from mcp_mount.policies.checks import ArgumentChecks, with_result_checks
from mcp_mount.policies.middleware import policy_of
from mcp_mount.policies.options import (
    CHECKS,
    PolicyOptions,
    RouterPolicies,
    split,
    without_checks,
)
from mcp_mount.policies.values import guarding
from mcp_mount.routes.dependencies import split_dependencies
from mcp_mount.routes.gate import Guard
from mcp_mount.routes.options import (
    IncludeOptions,
    PageOptions,
    PromptOptions,
    ResourceOptions,
    RouterOptions,
    ToolOptions,
)
from mcp_mount.routes.permissions import rules_of
from mcp_mount.routes.pipelines import Stage, pipeline_of
from mcp_mount.schemas.functions import naming
from mcp_mount.schemas.lifespans import check_lifespan
from mcp_mount.schemas.names import (
    keywords_of,
    refuse_unknown,
    refuse_unknown_options,
)

F = TypeVar("F", bound=Callable[..., Any])


_INCLUDE_OPTIONS: Final = frozenset(keywords_of(APIRouter.include_router)) - {"router"}


class HandlerDecorators:
    """The decorators that register features; servers and routers have them.

    They leave the function as it is, and work bare and with arguments. Each raises DefinitionError
    at once for a function that cannot be registered, or a name that is taken.
    """

    registry: Registry

    def call_middleware(self, function: F) -> F:
        """Add call middleware around all that is registered here, inside what there is already.

        Args:
            function: Of one of three forms, see `mcp_mount.policies.middleware`.

        Raises:
            DefinitionError: For a function of another form.
            RuntimeError: After the first call, which would have run without it.
        """
        assert isinstance(self.registry.policies, PolicyChain), "policies are declared in one way"
        self.registry.policies.levels[-1].add("call_middleware", [policy_of(function)])
        return function

    @overload
    def tool(self, function: F, /) -> F: ...
    @overload
    def tool(self, name: str | None = None, **options: Unpack[ToolOptions]) -> Callable[[F], F]: ...
    def tool(self, name: Any = None, **options: Unpack[ToolOptions]) -> Any:
        """Register a function as a tool that a model may call (2026-07-28, server/tools).

        The input schema and its validation come from the signature, descriptions of parameters
        from `Annotated[..., Field(description=...)]` or the docstring, the output schema from the
        return annotation.

        Args:
            name: 1 to 128 letters, digits, "_", "-" and "."; by default the function's.
            options: What is declared of the tool, and the policies that wrap its calls.

        Raises:
            DefinitionError: For a function that cannot be a tool, a name that is taken, an option
                that does not exist or cannot have its value.
        """
        return _decorate(name, options, self.add_tool)

    def add_tool(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        **options: Unpack[ToolOptions],
    ) -> None:
        """Register a function as a tool, as `tool` does, without a decorator.

        Args:
            function: The handler.
            name: By default the function's.
            options: As those of `tool`.

        Raises:
            DefinitionError: As `tool`.
        """
        with naming(function):
            self.registry.add_tools([_tool(function, {"name": name, **options})])

    def add_tools(self, tools: Iterable[tuple[Callable[..., Any], Mapping[str, Any]]]) -> None:
        """Register functions as tools: all of them, or none.

        Args:
            tools: Handlers, each with its name and its `ToolOptions`.

        Raises:
            DefinitionError: If one of them cannot be a tool.
        """
        self.registry.add_tools([_tool(function, options) for function, options in tools])

    def pipeline(
        self,
        name: str,
        *stages: Stage,
        **options: Unpack[ToolOptions],
    ) -> None:
        """Register a tool that calls other tools in a row, each with what the one before returned.

        Its arguments are those of the first tool, its value is that of the last. The rules and
        policies of each hold, for the same caller.

        Args:
            name: Of the new tool.
            stages: Tools that are registered already, by name or as functions, or a pair of a tool
                and a function that makes its arguments of the value before it. Without such a
                function an object gives the arguments by its members, and any other value is the
                one argument that is required.
            options: As those of `tool`. The description is by default what the tools are called.

        Raises:
            DefinitionError: For stages that do not fit together, and as `tool`.
        """
        function, arguments, returned = pipeline_of(self.registry, stages)
        names = [one[0] if isinstance(one, tuple) else one for one in stages]
        shown = [one if isinstance(one, str) else one.__name__ for one in names]
        options["input_schema"] = arguments
        options.setdefault("output_schema", returned)
        options.setdefault("description", f"Calls {', then '.join(shown)}.")
        self.add_tool(function, name=name, **options)

    def resource(self, uri: str, **options: Unpack[ResourceOptions]) -> Callable[[F], F]:
        """Register a function that reads a resource: it returns text, bytes or data.

        Args:
            uri: The resource's own, or a template (RFC 6570): its variables are the parameters of
                the function (2026-07-28, server/resources).
            options: What is declared of the resource, and its policies.

        Raises:
            DefinitionError: For a function or a URI that cannot be a resource, a URI that is
                taken, an option that does not exist or cannot have its value.
        """

        def register(function: F) -> F:
            with naming(function):
                unfit = _refuse_unknown_of("a resource", options, ResourceOptions)
                declared, definition = split(options)
                around = _around("resource", uri, declared, unfit)
                own = _within_dependencies(function, around)
                resource = Resource.of(own, uri, **definition, **around)
                _refuse_unknown_arguments(f"the resource {uri!r}", resource)
                self.registry.add_resource(resource)
            return function

        return register

    def page(self, uri: str, **options: Unpack[PageOptions]) -> Callable[[F], F]:
        """Register a function that returns the HTML of a page, which clients show in a frame.

        The function renders it with the host's own means: `render_template` in Flask,
        `render_to_string` in Django. The rules are those of the extension
        `io.modelcontextprotocol/ui` (SEP-1865).

        Args:
            uri: Begins with "ui://"; tools name it with `page=`.
            options: What is declared of the page, and its policies.

        Raises:
            DefinitionError: For a function, a URI or an origin that cannot be that of a page, an
                option that does not exist or cannot have its value.
        """

        def register(function: F) -> F:
            with naming(function):
                unfit = _refuse_unknown_of("a page", options, PageOptions)
                declared, rest = split(options)
                rest |= _around("resource", uri, declared, unfit)
                own = _within_dependencies(function, rest)
                self.registry.add_resource(page(own, uri, **rest))
            return function

        return register

    def add_page(self, uri: str, html: str | Path, **options: Unpack[PageOptions]) -> None:
        """Register a page that is the same for all.

        Args:
            uri: Begins with "ui://".
            html: The page itself, or its file, which is read at each request.
            options: As those of `page`.

        Raises:
            DefinitionError: As `page`.
        """
        options.setdefault("name", uri.removeprefix("ui://"))
        self.page(uri, **options)(fixed(html))

    @overload
    def prompt(self, function: F, /) -> F: ...
    @overload
    def prompt(
        self, name: str | None = None, **options: Unpack[PromptOptions]
    ) -> Callable[[F], F]: ...
    def prompt(self, name: Any = None, **options: Unpack[PromptOptions]) -> Any:
        """Register a function as a prompt: it returns text, a `Message`, or a list of them.

        Args:
            name: By default the function's.
            options: What is declared of the prompt (2026-07-28, server/prompts), and its policies.

        Raises:
            DefinitionError: For a function that cannot be a prompt, a name that is taken, an
                option that does not exist or cannot have its value.
        """
        return _decorate(name, options, self._add_prompt)

    def add_prompt(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        **options: Unpack[PromptOptions],
    ) -> None:
        """Register a function as a prompt, as `prompt` does, without a decorator.

        Args:
            function: The handler.
            name: By default the function's.
            options: As those of `prompt`.

        Raises:
            DefinitionError: As `prompt`.
        """
        if not callable(function):
            raise DefinitionError(
                f"add_prompt takes the function of a prompt, not {type(function).__name__}: "
                "server.add_prompt(function, name=…, description=…)"
            )
        self._add_prompt(function, name=name, **options)

    def _add_prompt(
        self, function: Callable[..., Any], name: str | None = None, **options: Any
    ) -> None:
        with naming(function):
            unfit = _refuse_unknown_of("a prompt", options, PromptOptions)
            declared, definition = split(options)
            shown = str(name or getattr(function, "__name__", ""))
            around = _around("prompt", shown, declared, unfit)
            own = _within_dependencies(function, around)
            prompt = Prompt.of(own, name=name, **definition, **around)
            _refuse_unknown_arguments(f"the prompt {prompt.name!r}", prompt)
            self.registry.add_prompt(prompt)

    def remove_tool(self, name: str) -> None:
        """Remove a tool. Clients are notified.

        Args:
            name: Its name.

        Raises:
            DefinitionError: If there is none.
        """
        self.registry.remove("tool", name)

    def remove_prompt(self, name: str) -> None:
        """Remove a prompt. Clients are notified.

        Args:
            name: Its name.

        Raises:
            DefinitionError: If there is none.
        """
        self.registry.remove("prompt", name)

    def remove_resource(self, uri: str) -> None:
        """Remove a resource, or a resource template. Clients are notified.

        Args:
            uri: Its URI, or URI template.

        Raises:
            DefinitionError: If there is none.
        """
        self.registry.remove("resource", uri)

    def completion(
        self, subject: str | None = None, argument: str | None = None
    ) -> Callable[[F], F]:
        """Register a function that completes an argument of a prompt, or a parameter of resources.

        It takes a `Completion` and returns suggestions: a list of strings. `completion()` alone is
        for all that nothing else completes; such a function may also take `ref`, `argument` and
        `context`, as in the official SDK.

        Args:
            subject: The name of the prompt, or the URI template of the resources.
            argument: The name of the argument, or of the parameter of the template.
        """
        if callable(subject) or (subject is None) is not (argument is None):
            raise DefinitionError(
                "completion takes the name of a prompt and that of its argument, or nothing: "
                "@server.completion('prompt', 'argument') or @server.completion()"
            )

        def register(function: F) -> F:
            if subject is None or argument is None:
                self.registry.add_completer(general_completer(function))
            else:
                self.registry.add_completer(Completer(subject, argument, function))
            return function

        return register


class MCPRouter(HandlerDecorators, APIRouter):
    """A FastAPI router with MCP features. Include it in an MCPServer, or in another MCPRouter.

    Args:
        name: What throttles count under; by default the prefix.
        options: Policies for all that is registered here, around those that each entry declares;
            and the arguments of FastAPI's APIRouter.

    Raises:
        DefinitionError: For an option that does not exist or cannot have its value.
        ValueError: For `dependencies`, which would guard HTTP routes and leave MCP open.
    """

    tools_path: str | None = None
    """Where below the router's prefix its tools stand as plain HTTP; None for nowhere."""

    def __init__(self, *, name: str | None = None, **options: Unpack[RouterOptions]) -> None:
        refuse_unknown_options(self, without_checks(options), also=RouterPolicies.__annotations__)
        declared, rest = split(options)
        refuse_dependencies(rest.get("dependencies"))
        check_lifespan(rest.get("lifespan"))
        self.registry = registry_of("router", name or rest.get("prefix", ""), declared)
        if self.registry.rules:
            rest["dependencies"] = [Depends(Guard(self.registry.rules))]
        super().__init__(**rest)
        if _COPIES_ROUTES:
            _mark(self)

    def include_router(self, router: APIRouter, **options: Unpack[IncludeOptions]) -> None:
        """Include another router, with its MCP features if it has any.

        Args:
            router: FastAPI's or one of ours.
            options: FastAPI's.

        Raises:
            DefinitionError: For an option that does not exist, or a name that is taken.
            ValueError: For `dependencies` on a router of ours, which would leave MCP open.
        """
        refuse_unknown_inclusion(options)
        for one in routers_of_ours(router, "", options.get("dependencies") or ()):
            refuse_dependencies(one.dependencies)
            if one.is_outermost:
                self.registry.include(one.router.registry)
        super().include_router(router, **options)


_COPIES_ROUTES: Final = not hasattr(fastapi.routing, "_IncludedRouter")
"""Whether a router that includes another one has copies of its routes, and does not know it any
more: FastAPI before 0.137."""

_MARK: Final = "/mcp-mount-router"


def _mark(router: MCPRouter) -> None:
    """Give a router a route by which it is found in whatever copies that: a plain APIRouter that
    includes it. Its method is none that a client sends."""

    async def mark() -> None: ...

    mark.router = router  # type: ignore[attr-defined]
    router.add_api_route(_MARK, mark, methods=["MCP-MOUNT"], include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Included:
    """A router of ours within another router, or the router itself.

    Attributes:
        router: The router.
        prefix: The prefix of its routes.
        dependencies: The dependencies that guard its routes.
        is_outermost: Whether no other router of ours includes it, whose registry would have its
            entries.
    """

    router: MCPRouter
    prefix: str
    dependencies: Sequence[Any]
    is_outermost: bool


def routers_of_ours(
    router: APIRouter, prefix: str, dependencies: Sequence[Any], *, is_outermost: bool = True
) -> Iterator[Included]:
    """The routers of ours in a router, itself among them."""
    outer, prefix = prefix, prefix + router.prefix
    dependencies = (*dependencies, *router.dependencies)
    if isinstance(router, MCPRouter):
        yield Included(router, prefix, dependencies, is_outermost)
        is_outermost = False
    for route in router.routes:
        marked = getattr(getattr(route, "endpoint", None), "router", None)
        if isinstance(marked, MCPRouter) and isinstance(route, APIRoute) and marked is not router:
            # The path has the prefixes of all that it has been copied through, this one among them.
            place = outer + route.path.removesuffix(_MARK)
            guards = (*dependencies, *route.dependencies)
            yield Included(marked, place, guards, is_outermost)
        inner = getattr(route, "original_router", None)
        if isinstance(inner, APIRouter):
            context = getattr(route, "include_context", None)
            yield from routers_of_ours(
                inner,
                prefix + getattr(context, "prefix", ""),
                (*dependencies, *getattr(context, "dependencies", ())),
                is_outermost=is_outermost,
            )


def refuse_dependencies(dependencies: Sequence[Any] | None) -> None:
    """Refuse dependencies that would guard only the HTTP side of tools.

    Args:
        dependencies: Those of a server, a router or an inclusion.

    Raises:
        DefinitionError: If there are any that FastAPI does not know either.
        ValueError: If there are any.
    """
    if dependencies is None:
        return
    if not isinstance(dependencies, Sequence) or not all(
        isinstance(one, params.Depends) for one in dependencies
    ):
        raise DefinitionError(
            f"dependencies is a list of Depends(function) for HTTP routes, not {dependencies!r}; "
            "write permission= on the router or the server"
        )
    if any(not isinstance(one.dependency, Guard) for one in dependencies):
        raise ValueError(
            "dependencies guard HTTP routes; MCP requests do not run them, so the tools would be "
            "open. Use permission= on the router or the server, or middleware (add_middleware)."
        )


def add_asking_tool(
    router: MCPRouter, function: Callable[..., Any], name: str, **options: Unpack[ToolOptions]
) -> None:
    """Register a tool that only asks a model of the server: throttles, limits and budgets that are
    declared around both count its calls once.

    Args:
        router: The router that gets the tool.
        function: Its handler.
        name: Its name.
        options: As those of `HandlerDecorators.tool`.

    Raises:
        DefinitionError: As `HandlerDecorators.tool`.
    """
    with naming(function):
        router.registry.add_tools(
            [replace(_tool(function, {"name": name, **options}), delegates=True)]
        )


def registry_of(kind: str, name: str, declared: Mapping[str, Any]) -> Registry:
    """The registry of a router, with what is declared for all its entries.

    Args:
        kind: "router" or "blueprint", for its level and for errors.
        name: Its name.
        declared: Its policies.

    Raises:
        DefinitionError: For what a router cannot declare.
    """
    refuse_unfit(f"a {kind}", declared, CHECKS)
    return Registry(rules=rules_of(declared), policies=policies_of(f"{kind}:{name}", declared))


def _tool(function: Callable[..., Any], options: Mapping[str, Any]) -> Tool:
    """The tool that a function is, with what is declared of it."""
    known = [*ToolOptions.__annotations__, "name"]
    refuse_unknown("a tool has no option", options, known, OF_ENTRY_OPTIONS)
    declared, rest = split(options)
    before, after = (guarding(key, declared.get(key)) for key in CHECKS)
    name = rest.get("name") or getattr(function, "__name__", "")
    policies = policies_of(f"tool:{name}", declared)
    level = policies.levels[0]
    level.checks = bool(before)
    own, level.dependencies = split_dependencies(with_result_checks(function, after))
    tool = Tool.of(
        own,
        rules=rules_of(declared),
        policies=policies,
        checks=ArgumentChecks(function, before) if before else None,
        **rest,
    )
    _refuse_unknown_arguments(f"the tool {tool.name!r}", tool)
    level.add("redact", secrets_of(tool.arguments.schema))
    return tool


def _refuse_unknown_arguments(what: str, entry: Tool | Prompt | Resource) -> None:
    """Refuse policies of an entry that name an argument which it does not have: what must stay out
    of the logs must be there under that very name.

    Raises:
        DefinitionError: With the nearest name.
    """
    schema = entry.arguments.schema
    if schema.get("additionalProperties"):
        return
    assert isinstance(entry.policies, PolicyChain), "policies are declared in one way"
    level, known = entry.policies.levels[0], list(schema.get("properties", ()))
    redact = [name.split(".")[0] for name in level.declared.get("redact", ())]
    refuse_unknown(f"{what}: redact= names no argument", redact, known)
    cache = level.declared.get("cache")
    if cache is not None:
        refuse_unknown(f"{what}: a tag of its cache names no argument", cache.arguments, known)


def _refuse_unknown_of(what: str, options: Iterable[str], known: type) -> list[str]:
    """Refuse keyword arguments that no entry has.

    Args:
        what: The entry, for the error, such as "a resource".
        options: The keyword arguments that were given.
        known: Its options, a TypedDict: of these alone one is suggested.

    Returns:
        The policies that only other entries have. `refuse_unfit` refuses them in words of its own.

    Raises:
        DefinitionError: With the nearest name.
    """
    own = known.__annotations__
    others = [name for name in PolicyOptions.__annotations__ if name not in own]
    wrong = [name for name in options if name not in others]
    refuse_unknown(f"{what} has no option", wrong, own, OF_ENTRY_OPTIONS)
    return others


def _around(
    kind: str, name: str, declared: Mapping[str, Any], unfit: Sequence[str]
) -> dict[str, Any]:
    """The rules and policies of an entry that is no tool."""
    refuse_unfit(f"the {kind} {name!r}", declared, unfit)
    return {"rules": rules_of(declared), "policies": policies_of(f"{kind}:{name}", declared)}


def _within_dependencies(
    function: Callable[..., Any], around: Mapping[str, Any]
) -> Callable[..., Any]:
    """The function of an entry without its dependencies, which go to its policies."""
    own, around["policies"].levels[0].dependencies = split_dependencies(function)
    return own


def refuse_unknown_inclusion(options: Iterable[str]) -> None:
    """Refuse keyword arguments that `include_router` does not have.

    Args:
        options: Their names.

    Raises:
        DefinitionError: With the nearest name.
    """
    refuse_unknown("include_router has no option", options, _INCLUDE_OPTIONS)


def refuse_unfit(what: str, declared: Mapping[str, Any], unfit: Sequence[str]) -> None:
    """Refuse policies that do not apply to something.

    Args:
        what: The thing, for the error, such as "a server".
        declared: The options that the user gave.
        unfit: The options that it does not have.

    Raises:
        DefinitionError: If one of them was given.
    """
    for key in unfit:
        if declared.get(key) is not None:
            raise DefinitionError(f"{what} has no {key}=")


def _decorate(name: Any, options: Mapping[str, Any], register: Callable[..., None]) -> Any:
    """Register what a bare decorator was given, or return the decorator for a name."""
    if callable(name):
        register(name, **options)
        return name
    if name is not None and not isinstance(name, str):
        raise DefinitionError(f"expected a function or a name, not {name!r}")

    def decorate(function: F) -> F:
        register(function, name=name, **options)
        return function

    return decorate
