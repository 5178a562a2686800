"""The registry: all that a server, or a router, offers over MCP."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal
from weakref import WeakSet

from mcp_mount.calls.call import Call
from mcp_mount.calls.catalogue import Method
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.policies import NO_POLICIES, Policies
from mcp_mount.calls.results import Result
from mcp_mount.features import (
    chat,
    completion,
    embeddings,
    images,
    prompts,
    resources,
    tools,
)
from mcp_mount.features.chat import ChatCall
from mcp_mount.features.completion import EVERYTHING, Completer
from mcp_mount.features.embeddings import EmbeddingCall
from mcp_mount.features.images import ImageCall
from mcp_mount.features.listing import Entry, Listing
from mcp_mount.features.model_members import check_members
from mcp_mount.features.models import RegisteredModel
from mcp_mount.features.prompts import Prompt
from mcp_mount.features.resources import Resource
from mcp_mount.features.tools import DirectTools, Tool
from mcp_mount.llm.images import ImagePieces, ImageRequest
from mcp_mount.llm.models import Model, Pieces
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.schemas.arguments import check_request
from mcp_mount.schemas.functions import DefinitionError, describe, naming
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount.wire.extensions import PAGES
from mcp_mount.wire.messages import Rule
from mcp_mount.wire.rules import HasPermission, no_permission_names
from mcp_mount.wire.uris import normal_template


class Registry:
    """Tools, resources, prompts and completers by name, in order of registration.

    A registry that includes another one has its entries, those that come later as well. Every name
    is unique: a duplicate raises DefinitionError and changes nothing.

    Args:
        listing: Answers list requests.
        rules: Who may use the entries, besides their own rules. They apply wherever the registry is
            included.
        policies: Wrap the calls of the entries, outside of their own policies; likewise.

    Attributes:
        on_change: Called with the kind of an entry that was added.
        direct_tools: The tools that have nothing around their calls.
        needs_loop: Whether some of the rules must be asked on a thread.
        lifespan: Returns what the lifespan of the server yielded.
    """

    def __init__(
        self,
        listing: Listing | None = None,
        rules: Sequence[Rule] = (),
        policies: Policies = NO_POLICIES,
    ) -> None:
        self.rules = tuple(rules)
        self.policies = policies
        self.guarded = False
        self.needs_loop = False
        self.tools: dict[str, Tool] = {}
        self.resources: dict[str, Resource] = {}
        self.prompts: dict[str, Prompt] = {}
        self.completers: dict[tuple[str, str], Completer] = {}
        self.models: dict[str, RegisteredModel] = {}
        self.stand_ins: dict[str, RegisteredModel] = {}
        self.version = 0
        self.direct_tools = DirectTools(self.tools)
        self._direct_models: dict[str | None, RegisteredModel | None] = {}
        self.on_change: Callable[[str], None] = lambda kind: None
        self.lifespan: Callable[[], Any] = _no_lifespan
        self.listing = listing or Listing()
        self._request_type: type | None = None
        self._without_permissions: Callable[[], str | None] = lambda: None
        # Routers and blueprints live as long as the program; applications come and go.
        self._followers: WeakSet[Registry] = WeakSet()
        self._methods: Mapping[str, Method] | None = None
        self._changed()

    def add_tool(self, tool: Tool) -> None:
        self._add("tool", tool.name, tool, lambda registry: registry.tools)

    def add_tools(self, tools: Sequence[Tool]) -> None:
        """Add several tools, or none of them if one has a name that is taken."""
        seen: dict[str, Tool] = {}
        for tool in tools:
            _refuse_duplicate("tool", tool.name, seen, tool)
            seen[tool.name] = tool
            _check("tool", tool.name, self._line(tool, {}), lambda registry: registry.tools)
        for tool in tools:
            self.add_tool(tool)

    @contextmanager
    def replacing(self, names: Iterable[str]) -> Iterator[None]:
        """Take tools away while others are added in their place; they are back if that fails.

        Args:
            names: The tools.
        """
        leaving = list(names)
        if not leaving:
            yield
            return
        known = {registry: dict(registry.tools) for registry in self._with_followers()}
        for registry in known:
            for name in leaving:
                registry.tools.pop(name, None)
        try:
            yield
        except BaseException:
            for registry, tools in known.items():
                registry.tools.clear()
                registry.tools.update(tools)
            raise
        self.refresh("tool")

    def add_resource(self, resource: Resource) -> None:
        self._add("resource", resource.uri, resource, lambda registry: registry.resources)

    def subject_of(self, completer: Completer) -> Prompt | Resource | None:
        """The prompt, or the template of resources, that a completer is for, if there is one."""
        found = self.prompts.get(completer.subject) or self.resources.get(completer.subject)
        if found is None and "{" in completer.subject:
            uri = normal_template(completer.subject)
            found = self.resources.get(uri)
        return found

    def completers_of_nothing(self) -> list[Completer]:
        """The completers whose prompts or templates do not exist, at least not yet."""
        return [
            one
            for one in self.completers.values()
            if one.subject != EVERYTHING and self.subject_of(one) is None
        ]

    def remove(self, kind: Literal["tool", "resource", "prompt"], key: str) -> None:
        """Take an entry away, from here and from all that include this registry.

        Args:
            kind: What it is.
            key: Its name; of a resource, its URI or template.

        Raises:
            DefinitionError: If there is none.
        """

        def entries(registry: Registry) -> dict[str, Any]:
            known = {"tool": registry.tools, "prompt": registry.prompts}
            return known.get(kind, registry.resources)  # type: ignore[return-value]

        if kind == "resource":
            key = normal_template(key)
        refuse_unknown(f"there is no {kind}", [key], entries(self))
        for registry in list(self._with_followers()):
            entries(registry).pop(key, None)
        self.refresh(kind)

    def add_model(self, model: RegisteredModel, aliases: Sequence[str] = ()) -> None:
        """Add a chat model under its name and others, or under none if one is taken."""
        names = [model.name, *aliases]
        for name in names:
            _check("model", name, self._line(model, {}), lambda registry: registry.models)
        for name in names:
            self._add("model", name, model, lambda registry: registry.models)

    def add_stand_in(self, model: RegisteredModel) -> None:
        """Add a chat model that is there until another one is registered, here and wherever this
        registry is included; the first of that name."""
        for registry, guarded in self._line(model, {}).items():
            registry.stand_ins.setdefault(model.name, guarded)
            registry.forget_direct()
            registry.guarded |= bool(guarded.rules)
            registry.needs_loop |= any(map(needs_loop, guarded.rules))

    @property
    def offered_models(self) -> Mapping[str, RegisteredModel]:
        """The models by their names, and those that stand in for the kinds that there are not."""
        if not self.stand_ins:
            return self.models
        answers = any(one.chat is not None for one in self.models.values())
        draws = any(one.image is not None for one in self.models.values())
        missing = {
            name: one
            for name, one in self.stand_ins.items()
            if not (draws if one.chat is None else answers)
        }
        return {**missing, **self.models} if missing else self.models

    def check_models(self) -> None:
        """Check that models and tools are there that models name.

        Raises:
            DefinitionError: With the names that no model has, or no tool.
        """
        seen = [one.name for one in self.tools.values() if one.is_seen_by_models]
        check_members(self.offered_models, seen)

    def model(self, name: str) -> RegisteredModel | None:
        """The chat model of a name; None if there is none."""
        return self.offered_models.get(name)

    def model_call(
        self,
        incoming: IncomingRequest,
        request: ChatRequest,
        pieces: Pieces,
        model: Model | None = None,
    ) -> ChatCall:
        """The call of the chat model that a request names; see `features.chat.model_call`."""
        return chat.model_call(self.offered_models, incoming, request, pieces, model)

    def embedding_call(
        self,
        incoming: IncomingRequest,
        name: str | None,
        texts: Sequence[str],
        options: Mapping[str, Any],
    ) -> EmbeddingCall:
        """The call of the model that a request for vectors names; see
        `features.embeddings.embedding_call`."""
        return embeddings.embedding_call(self.models, incoming, name, texts, options)

    def image_call(
        self,
        incoming: IncomingRequest,
        request: ImageRequest,
        pieces: ImagePieces,
        number: int = 0,
    ) -> ImageCall:
        """The call of the backend that a request for a picture names; see
        `features.images.image_call`."""
        return images.image_call(self.offered_models, incoming, request, pieces, number)

    def tools_for(self, incoming: IncomingRequest) -> list[dict[str, Any]]:
        """The definitions of the tools that a caller may use and models may see."""
        return [
            one.definition()
            for one in self.tools.values()
            if one.is_seen_by_models and incoming.permits(one.rules)
        ]

    def largest_body(self, usual: int) -> int:
        """How large a body may be that is for a tool or a model over plain HTTP: as large as that
        one takes which takes most.

        Args:
            usual: What those take that declare nothing.
        """
        every = [one.policies for one in self.tools.values()]
        every += [one.policies for one in self.offered_models.values()]
        return max([usual, *(body_limit(one, usual) for one in every)])

    def add_prompt(self, prompt: Prompt) -> None:
        self._add("prompt", prompt.name, prompt, lambda registry: registry.prompts)

    def add_completer(self, completer: Completer) -> None:
        key = (completer.subject, completer.argument)
        self._add("completer", key, completer, lambda registry: registry.completers)

    def include(self, other: Registry) -> None:
        """Take over the entries of `other`, now and in future; once, however often it is said."""
        if self in other._followers:
            return
        entries: tuple[tuple[str, Callable[[Registry], dict[Any, Any]]], ...] = (
            ("tool", lambda registry: registry.tools),
            ("resource", lambda registry: registry.resources),
            ("prompt", lambda registry: registry.prompts),
            ("completer", lambda registry: registry.completers),
            ("model", lambda registry: registry.models),
        )
        for kind, of in entries:
            for key, entry in of(other).items():
                _check(kind, key, self._line(entry, {}), of)
        for tool in other.tools.values():
            self.add_tool(tool)
        for resource in other.resources.values():
            self.add_resource(resource)
        for prompt in other.prompts.values():
            self.add_prompt(prompt)
        for completer in other.completers.values():
            self.add_completer(completer)
        for name, model in other.models.items():
            self._add("model", name, model, lambda registry: registry.models)
        for model in other.stand_ins.values():
            self.add_stand_in(model)
        other._followers.add(self)

    def attach(self, kind: type | None, without_permissions: Callable[[], str | None]) -> None:
        """Note what the host has for handlers and rules, now and in future: all of it, or nothing.

        Args:
            kind: The class of the host's requests, which handlers get; None if it is not known.
            without_permissions: Returns what the host is called in an error if it has no
                permissions by name, else None.

        Raises:
            DefinitionError: For a handler that takes requests of another framework, and for an
                entry that needs a permission which nobody has.
        """
        host = without_permissions()
        for entries in (self.tools, self.resources, self.prompts):
            for entry in entries.values():
                with naming(entry.function):
                    if kind is not None:
                        check_request(entry.function, entry.arguments, kind)
                        refuse_rules(entry.rules, kind)
                    refuse_permission_names(entry.rules, host)
        for model in self.models.values():
            if kind is not None:
                refuse_rules(model.rules, kind)
            refuse_permission_names(model.rules, host)
        self._request_type = kind or self._request_type
        self._without_permissions = without_permissions

    def refresh(self, kind: str) -> None:
        """Tell of entries that have changed by themselves: they are listed anew."""
        self._changed()
        self.on_change(kind)
        for follower in self._followers:
            follower.refresh(kind)

    @property
    def methods(self) -> Mapping[str, Method]:
        """The methods answered now. Those for tools always are, others once there is something."""
        methods = self._methods
        if methods is None:
            methods = self._methods = self._answering()
        return methods

    def capabilities(self) -> dict[str, Any]:
        declared: dict[str, Any] = {"tools": {"listChanged": True}}
        if self.resources:
            declared["resources"] = {"listChanged": True, "subscribe": True}
        if self.prompts:
            declared["prompts"] = {"listChanged": True}
        if self.completers:
            declared["completions"] = {}
        if any(one.uri.startswith("ui://") for one in self.resources.values()):
            declared["extensions"] = {PAGES: {}}
        return declared

    def serves(self, uri: str, incoming: IncomingRequest) -> bool:
        """Whether there is a resource at `uri`, or a template of it, that the caller may use."""
        exact = self.resources.get(uri)
        if exact is not None:
            return incoming.permits(exact.rules)
        return any(
            one.match(uri) is not None and incoming.permits(one.rules)
            for one in self.resources.values()
        )

    def tool_of(self, function: Callable[..., Any]) -> tuple[str, Any] | None:
        """The name of the tool that a function is, and the type of its data, if it has one."""
        for tool in self.tools.values():
            if inspect.unwrap(tool.function) is function:
                return tool.name, tool.output.type
        return None

    def answer(self, incoming: IncomingRequest) -> Result | Call | None:
        """The result of a request, or the call that gives it; None for an unknown method."""
        method = self.methods.get(incoming.method)
        return None if method is None else method.answer(incoming)

    def wraps(self, name: str) -> bool:
        """Whether the structured content of a tool has its value as the member `result`."""
        tool = self.tools.get(name)
        return tool is not None and tool.output.is_wrapped

    def everywhere(self, name: str) -> Iterator[Tool]:
        """A tool of this registry, as the outermost ones have it that include this one."""
        followers = list(self._followers)
        if not followers:
            yield self.tools[name]
        for follower in followers:
            yield from follower.everywhere(name)

    def direct_model(self, name: str | None) -> RegisteredModel | None:
        """The chat model that a request names, if it has nothing around its calls; None for any
        other. Without a name it is the first one.
        """
        try:
            return self._direct_models[name]
        except KeyError:
            answering = (one for one in self.offered_models.values() if one.chat is not None)
            model = next(answering, None) if name is None else self.model(name)
            if model is None:
                return None
            found = self._direct_models[name] = model if model.is_direct else None
            return found

    def forget_direct(self) -> None:
        """Look anew which tools and models have nothing around their calls: policies have been
        declared."""
        self.direct_tools, self._direct_models = DirectTools(self.tools), {}

    def rules_of_tool(self, name: str) -> Sequence[Rule] | None:
        """The rules of a tool, with those of all that is around it; None if there is none."""
        tool = self.tools.get(name)
        return None if tool is None else tool.rules

    def names_of(self, rules: Sequence[Rule]) -> list[str]:
        """The names of the entries that ask for no more than these rules, and for some of them."""
        if not rules:
            return []
        known = set(map(id, rules))
        return [
            name
            for name, entry in self._guarded()
            if entry.rules and known.issuperset(map(id, entry.rules))
        ]

    def rules_of(self, names: Sequence[str]) -> Sequence[Rule] | None:
        """The rules of entries, by their names; None if there is not each of them."""
        if not names:
            return ()
        entries = dict(self._guarded())
        if not all(name in entries for name in names):
            return None
        return [rule for name in names for rule in entries[name].rules]

    def _guarded(self) -> Iterator[tuple[str, Any]]:
        """All entries that may have rules, with names that no two of them have."""
        for kind, entries in (
            ("tool", self.tools),
            ("resource", self.resources),
            ("prompt", self.prompts),
            ("model", self.models),
        ):
            for key, entry in entries.items():
                yield f"{kind}:{key}", entry

    def _add(
        self, kind: str, key: Any, entry: Any, entries: Callable[[Registry], dict[Any, Any]]
    ) -> None:
        line = self._line(entry, {})
        _check(kind, key, line, entries)
        for registry, guarded in line.items():
            entries(registry)[key] = guarded
            registry.guarded |= bool(guarded.rules)
            registry.needs_loop |= any(map(needs_loop, guarded.rules))
            registry._changed()
            registry.on_change(kind)

    def _line(self, entry: Any, found: dict[Registry, Any]) -> dict[Registry, Any]:
        """This registry and all that include it, with the entry as it stands there."""
        if self not in found:
            entry = found[self] = self._guard(entry)
            for follower in self._followers:
                follower._line(entry, found)
        return found

    def _with_followers(self) -> Iterator[Registry]:
        """This registry and all that include it; one that does so twice comes twice."""
        yield self
        for follower in self._followers:
            yield from follower._with_followers()

    def _guard(self, entry: Any) -> Any:
        """An entry with the rules and policies of this registry."""
        if not self.rules and self.policies is NO_POLICIES:
            return entry
        rules = (*self.rules, *entry.rules)
        return replace(entry, rules=rules, policies=entry.policies.within(self.policies))

    def _changed(self) -> None:
        self.version += 1
        self.forget_direct()
        self.listing.clear()
        # Made when they are asked for: with each of many tools it would take longer.
        self._methods = None

    def _answering(self) -> Mapping[str, Method]:
        methods = {
            "tools/list": self._list("tools", self.tools.values()),
            "tools/call": Method(partial(tools.answer_call, self.tools), "name"),
        }
        if self.resources:
            every = list(self.resources.values())
            methods |= {
                "resources/list": self._list(
                    "resources", [one for one in every if one.template is None]
                ),
                "resources/templates/list": self._list(
                    "resourceTemplates", [one for one in every if one.template is not None]
                ),
                "resources/read": Method(partial(resources.answer_read, self.resources), "uri"),
            }
        if self.prompts:
            methods |= {
                "prompts/list": self._list("prompts", self.prompts.values()),
                "prompts/get": Method(partial(prompts.answer_get, self.prompts), "name"),
            }
        if self.completers:
            subjects: dict[str, Prompt | Resource] = {**self.prompts, **self.resources}
            complete = partial(completion.answer_complete, self.completers, subjects)
            methods["completion/complete"] = Method(complete)
        return methods

    def _list(self, member: str, entries: Iterable[Entry]) -> Method:
        return Method(partial(self.listing.answer, member, list(entries), self.version))


REMEDY: Final = "remedy"
"""The attribute of a function of ours that says what to write where its name is taken."""


def body_limit(policies: Policies, usual: int) -> int:
    """How large a body may be that is for an entry: as the innermost level says.

    Args:
        policies: Those of the entry.
        usual: What holds where none says it.
    """
    limit: int | None = policies.nearest("max_body_bytes", None)
    return usual if limit is None else limit


def _no_lifespan() -> Any:
    raise RuntimeError("The server has no lifespan: give it one, MCPServer(lifespan=...)")


def needs_loop(rule: Rule) -> bool:
    """Whether a rule must be asked while the event loop of its request goes on."""
    return bool(getattr(getattr(rule, "function", None), "needs_loop", False))


def refuse_rules(rules: Sequence[Rule], kind: type) -> None:
    """Refuse rules that take a request of another class than there is.

    Args:
        rules: The rules.
        kind: The class of the host's requests.

    Raises:
        DefinitionError: For the first of them.
    """
    for rule in rules:
        wanted: type | None = getattr(getattr(rule, "function", None), "request_type", None)
        if wanted is not None and not issubclass(kind, wanted):
            raise DefinitionError(
                f"permission=Depends(...) needs a {wanted.__module__}.{wanted.__qualname__}, and "
                f"the requests of this host are {kind.__module__}.{kind.__qualname__}. Write a "
                "function of the request: permission=lambda request: ..."
            )


def refuse_permission_names(rules: Sequence[Rule], host: str | None) -> None:
    """Refuse rules that need a permission by its name, in a host that has none.

    Args:
        rules: The rules.
        host: The name of the host, for the error; None for a host that may have permissions.

    Raises:
        DefinitionError: For the first of them.
    """
    for rule in rules:
        if host is not None and isinstance(rule, HasPermission):
            raise DefinitionError(no_permission_names(rule.name, host))


def _check(
    kind: str,
    key: Any,
    line: Mapping[Registry, Any],
    entries: Callable[[Registry], Mapping[Any, Any]],
) -> None:
    """Refuse an entry that one of the registries in its line cannot have.

    Raises:
        DefinitionError: With the reason.
    """
    for registry, guarded in line.items():
        _refuse_duplicate(kind, key, entries(registry), guarded)
        if registry._request_type is not None and kind != "completer":
            if kind != "model":
                check_request(guarded.function, guarded.arguments, registry._request_type)
            refuse_rules(guarded.rules, registry._request_type)
        refuse_permission_names(guarded.rules, registry._without_permissions())
        if kind == "completer":
            subject = registry.subject_of(guarded)
            if subject is not None:
                _check_completer(guarded, subject)
        elif kind in ("prompt", "resource"):
            for completer in registry.completers.values():
                if key in (completer.subject, normal_template(completer.subject)):
                    _check_completer(completer, guarded)


def _check_completer(completer: Completer, subject: Prompt | Resource) -> None:
    """Refuse a completer of an argument that its prompt, or its resource template, does not have.

    Raises:
        DefinitionError: With the arguments that there are.
    """
    kind = "prompt" if isinstance(subject, Prompt) else "template"
    refuse_unknown(
        f"{describe(completer.function)}: the {kind} {completer.subject!r} has no argument",
        [completer.argument],
        subject.arguments.names,
    )


def _refuse_duplicate(kind: str, key: Any, entries: Mapping[Any, Any], entry: Any) -> None:
    known = entries.get(key)
    if known is not None and known is not entry:
        remedy = getattr(entry.function, REMEDY, None)
        if remedy is None:
            remedy = f"pass another name{'' if kind == 'model' else '='}"
        raise DefinitionError(
            f"{describe(entry.function)}: the {kind} {key!r} is already defined by "
            f"{describe(known.function)}; {remedy}"
        )
