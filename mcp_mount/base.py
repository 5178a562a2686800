"""MCPServer: a FastAPI application that owns one registry and one protocol core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.types import ASGIApp
from typing_extensions import Unpack

from mcp_mount.elsewhere import (
    OF_RUN_OPTIONS,
    OF_SERVER_CLASS,
    OF_SERVER_OPTIONS,
    OF_SERVERS,
    OTHER_SERVER,
    lacking,
    refuse_import_from,
)
from mcp_mount.hosting.core import ServerCore
from mcp_mount.hosting.exception_handlers import exception_hooks
from mcp_mount.options import OPTIONS, MCPServerOptions, NamedServerOptions, checked
from mcp_mount.policies.cache import invalidate
from mcp_mount.policies.options import CHECKS, without_checks
from mcp_mount.routes.documents import guard_documents, hidden
from mcp_mount.routes.endpoint import EndpointRoute, MetadataRoute, SignInRoute
from mcp_mount.routes.errors import answer_unfit
from mcp_mount.routes.openapi import describe_tools, without_paths
from mcp_mount.routes.options import IncludeOptions
from mcp_mount.routes.router import (
    HandlerDecorators,
    refuse_dependencies,
    refuse_unfit,
    refuse_unknown_inclusion,
    routers_of_ours,
)
from mcp_mount.schemas.arguments import request_types
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.lifespans import check_lifespan
from mcp_mount.schemas.names import options_of, refuse_unknown, refuse_unknown_options
from mcp_mount.schemas.values import text
from mcp_mount.transports.direct import again
from mcp_mount.transports.driving import follow, follow_async
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import (
    Receive,
    Scope,
    Send,
    is_refused,
    read_headers,
    request_of,
)
from mcp_mount.transports.threads import Runner
from mcp_mount.wire.errors import ProtocolError

if TYPE_CHECKING:
    from mcp_mount.transports.wsgi_app import WSGIApp

request_types.append(Request)


NOT_OPTIONS = frozenset({"title", "max_body_size"})
"""Arguments of FastAPI that a server gives it by itself, or has in a form of its own that holds for
MCP as well (`max_body_bytes`)."""


def server_options() -> frozenset[str]:
    """The keyword arguments of MCPServer: its own, those that declare policies, and FastAPI's."""
    return (options_of(MCPServer) | set(OPTIONS)) - NOT_OPTIONS


def refuse_unknown_server_options(owner: object, options: Iterable[str]) -> None:
    """Refuse keyword arguments that neither a server nor what makes one has.

    Args:
        owner: What is being made: a server, or an extension that makes one.
        options: The keyword arguments that were given.

    Raises:
        DefinitionError: With the nearest name.
    """
    refuse_unknown_options(
        owner, without_checks(options), server_options(), NOT_OPTIONS, OF_SERVER_OPTIONS
    )


class _NoOptions(TypedDict):
    """Keyword arguments that type checkers refuse, and that the function names in its error."""


@lacking(OF_SERVER_CLASS)
class MCPServer(HandlerDecorators, FastAPI):
    """An MCP server, as an ASGI application.

    Alone it answers MCP at `path`, beside its other routes; mounted in another application it
    answers at the mount point. It is a FastAPI application: routers, middleware, dependencies and
    exception handlers work as they do there. `wsgi` is the same server for WSGI hosts.

    Args:
        name: The name of the server, for clients; FastAPI's `title` as well.
        path: Where it answers MCP when it stands alone.
        options: Those of a server, each with its meaning in `mcp_mount.options.ServerOptions`;
            policies for all that it offers, see `mcp_mount.PolicyOptions`: callers whom its rules
            do not admit get 401 or 403; and the arguments of FastAPI.

    Attributes:
        registry: The tools, resources and prompts, by their names.
        notify: Tells clients that a resource or a list has changed.
        core: The parts behind it, for transports and integrations.

    Raises:
        DefinitionError: For an option that does not exist or cannot have its value.
        ValueError: For a path, an origin or a host name that can match nothing, and for
            `dependencies`, which would guard HTTP routes and leave MCP open.
    """

    def __init__(
        self, name: str = "mcp-mount", *, path: str = "/mcp", **options: Unpack[MCPServerOptions]
    ) -> None:
        refuse_unknown_server_options(self, options)
        refuse_unfit("a server", options, CHECKS)
        given: dict[str, Any] = {"name": name, **options}
        fastapi: dict[str, Any] = {
            key: value for key, value in options.items() if key not in OPTIONS
        }
        refuse_dependencies(fastapi.get("dependencies"))
        check_lifespan(fastapi.get("lifespan"))
        if not text("path", path).startswith("/") or path.rstrip("/") == "":
            raise ValueError(f"path must start with '/' and name something, not {path!r}")
        own = checked({key: value for key, value in given.items() if key in OPTIONS})
        self.core = core = ServerCore(self, path.rstrip("/"), own, self._make_runner())
        self.registry = core.registry
        self.notify = core.notify
        core.handle_exceptions(exception_hooks(self))
        self._documented: tuple[int, dict[str, Any], dict[str, Any]] | None = None
        super().__init__(
            title=name,
            version=core.values["version"],
            description=core.values["description"] or "",
            **core.lifespan.noting(fastapi),
        )
        core.lifespan.take_over(self.router)
        if RequestValidationError not in (fastapi.get("exception_handlers") or {}):
            self.add_exception_handler(RequestValidationError, answer_unfit)
        guard_documents(self.router.routes, self._documents, self.registry)
        self.router.routes[:0] = [
            EndpointRoute(core),
            MetadataRoute(core),
            SignInRoute(core, lambda: self.router.routes),
        ]
        self._not_found = self.router.default
        self.router.default = self._default

    def _make_runner(self) -> Runner:
        """How handlers run where no request of a host has brought a call; integrations have their
        own."""
        return Runner()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        core = self.core
        if scope["type"] != "http":
            if scope["type"] == "lifespan" and core.protocol.settings.on_first_request is not None:
                # The web server starts it: the earliest moment at which it has all its tools.
                core.protocol.settings.on_first_request = None
                core.warn_at_start()
            await super().__call__(scope, receive, send)
            return
        if self.root_path:
            scope["root_path"] = self.root_path
        root_path = scope.get("root_path", "")
        alone = not (core.is_attached or root_path or scope.get("app") is not None)
        if scope["path"].rstrip("/") == (core.mcp_path if alone else root_path) and (
            core.allows_direct_calls
        ):
            # Nothing stands between. What the long way needs of a scope is noted when it is taken:
            # for a direct call that would be a third of the time.
            endpoint = core.asgi_endpoint
            asked = endpoint.direct.find(scope, root_path, stands_alone=alone)
            if asked is not None:
                message = await receive()
                call = endpoint.direct.read(asked, message)
                if call is not None:
                    await endpoint.answer_directly(call, scope, receive, send, core.complete)
                    return
                receive = again(message, receive)
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request the long way."""
        core = self.core
        if core.protocol.settings.startup is not None and not is_refused(scope):
            refused = await self._refused_to_start()
            if refused is not None:
                await refused(scope, receive, send)
                return
        core.complete(scope)
        if not self.user_middleware and core.is_endpoint(scope):
            # Nothing stands between: skip what FastAPI does for its own routes.
            await core.asgi_endpoint.serve(scope, receive, send)
            return
        short = core.short_way(route_path(scope))
        if short is not None and short.direct is not None:
            await short.direct.answer(scope, receive, send, self._serve_route)
        else:
            await self._serve_route(scope, receive, send)

    async def _serve_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request to another route than that of MCP the long way."""
        core = self.core
        try:
            # All faces of a server have the same names, its documents and metadata, too.
            own = request_of(scope, read_headers(scope))
            core.protocol.check_host(own)
        except ProtocolError as error:
            refused = JSONResponse({"detail": error.message}, error.status(stateless=True))
            await refused(scope, receive, send)
            return
        if self._hides(scope):
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
            return
        short = core.short_way(route_path(scope))
        if short is not None and scope["method"] == "POST":
            # As FastAPI does: mounted, it is the application around so far.
            scope["app"] = self
            await short.respond(own, scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    def run(
        self,
        transport: Literal["stdio", "http", "streamable-http"] = "stdio",
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        **unknown: Unpack[_NoOptions],
    ) -> None:
        """Serve, until the process is told to end: for a server that stands alone.

        Args:
            transport: "stdio", for an assistant on this machine that starts the process;
                "streamable-http" (or "http") over HTTP, by uvicorn.
            host: The address to listen at, over HTTP.
            port: The port.
            unknown: Keyword arguments that do not exist; the error says what to write for those of
                other libraries.

        Raises:
            DefinitionError: For another transport, and for other options.
        """
        refuse_unknown("run has no option", unknown, ("transport", "host", "port"), OF_RUN_OPTIONS)
        import_module("mcp_mount.cli.running").run(self, transport, host, port)

    def mount(self, path: str, app: ASGIApp | None = None, name: str | None = None) -> None:
        """Mount another application in this one, as in FastAPI.

        Args:
            path: Where; it begins with "/".
            app: The application.
            name: For `url_path_for`.

        Raises:
            DefinitionError: Without a path or an application, as FastMCP's `mount` is called.
        """
        if not isinstance(path, str) or app is None or (path and not path.startswith("/")):
            raise DefinitionError(OTHER_SERVER)
        super().mount(path, app, name)

    @cached_property
    def wsgi(self) -> WSGIApp:
        """This server as a WSGI application."""
        # Servers under ASGI do without, and importing it takes a while.
        from mcp_mount.transports.wsgi_app import WSGIApp

        return WSGIApp(self, self.core)

    if not TYPE_CHECKING:
        # Type checkers would take any attribute for one that is there.
        def __getattr__(self, name: str) -> Any:
            hint = OF_SERVERS.get(name) or OF_SERVER_CLASS.get(name)
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}"
                + (f": {hint}" if hint else "")
            )

    async def _refused_to_start(self) -> JSONResponse | None:
        """Start what nothing else has started; the refusal of a request if that fails."""
        settings = self.core.protocol.settings
        if settings.startup is not None:
            try:
                settings.startup.check()
                if settings.startup.is_needed():
                    await settings.startup.start()
            except ProtocolError as error:
                return JSONResponse({"detail": error.message}, error.status(stateless=True))
        settings.startup = None
        return None

    def configure(self, **options: Unpack[NamedServerOptions]) -> None:
        """Change options of the server, before the first request: all of them, or none.

        Policies replace those that the same options have declared before; what
        `@server.call_middleware` has added stays.

        Args:
            options: Those that change; the arguments of FastAPI are none of them.

        Raises:
            DefinitionError: For an option that does not exist or cannot have its value.
            ValueError: For a host name or an origin that can match nothing.
        """
        kind: Any = type(self)
        name = kind.__name__
        known = server_options() | options_of(kind)
        fixed = known - NOT_OPTIONS - set(OPTIONS)
        hints = {one: f"it is given when the server is made: {name}({one}=…)" for one in fixed}
        refuse_unknown(f"{name} has no setting", options, OPTIONS, {**OF_SERVER_OPTIONS, **hints})
        self.core.configure(checked(options))

    def include_router(self, router: APIRouter, **options: Unpack[IncludeOptions]) -> None:
        """Include a router, FastAPI's or one of ours.

        Args:
            router: The router; its tools, resources and prompts become those of the server.
            options: FastAPI's.

        Raises:
            DefinitionError: For an option that does not exist, or a name that is taken.
            ValueError: For `dependencies` on a router of ours: they would guard its HTTP routes
                and leave MCP open.
        """
        refuse_unknown_inclusion(options)
        if not isinstance(router, APIRouter):
            raise DefinitionError(
                "include_router takes a router (ToolsRouter(), FastAPI's APIRouter), "
                f"not {type(router).__name__}"
            )
        if (meters := getattr(router, "meter_provider", None)) is not None:
            self.core.measure_by(meters)
        guards = options.get("dependencies") or ()
        for one in routers_of_ours(router, options.get("prefix", ""), guards):
            refuse_dependencies(one.dependencies)
            if one.is_outermost:
                self.registry.include(one.router.registry)
            face = one.router.tools_path
            if face is not None:
                self.core.http_tool_paths.setdefault(one.prefix + face, []).append(
                    one.router.registry
                )
        with self.core.lifespan.growing(self.router, router):
            super().include_router(router, **options)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, with an operation for every tool on the HTTP side.

        Served over HTTP it has what the caller may use alone.
        """
        document = super().openapi()
        unseen = hidden()
        if unseen:
            shown = without_paths(document, unseen.paths)
            return describe_tools(shown, self.core.http_tool_paths, unseen.tools)
        known = self._documented
        if known is None or known[0] != self.registry.version or known[1] is not document:
            known = self._documented = (
                self.registry.version,
                document,
                describe_tools(document, self.core.http_tool_paths),
            )
        return known[2]

    def invalidate(self, *tags: str) -> None:
        """Drop the cached results that have one of these tags; in all processes, if the store is
        shared. `ainvalidate` is the same for coroutines.

        Args:
            tags: The tags, as `Cache(tags=)` gives them.
        """
        follow(invalidate(self.core.store, tags))

    async def ainvalidate(self, *tags: str) -> None:
        """`invalidate`, for coroutines.

        Args:
            tags: The tags, as `Cache(tags=)` gives them.
        """
        await follow_async(invalidate(self.core.store, tags), self.core.runner)

    async def _default(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not route_path(scope).rstrip("/"):
            await self.core.asgi_endpoint(scope, receive, send)
        else:
            await self._not_found(scope, receive, send)

    def _hides(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request is for documentation that is not shown where the server stands."""
        path = route_path(scope).rstrip("/")
        if not path or path not in self._documents:
            return False
        debug = bool(getattr(scope.get("app"), "debug", False))
        return not self.core.shows_documents(mounted=scope["mcp_mount.mounted"], debug=debug)

    @property
    def _documents(self) -> Sequence[str | None]:
        """The paths of the server's documents."""
        return (
            self.openapi_url,
            self.docs_url,
            self.redoc_url,
            self.swagger_ui_oauth2_redirect_url,
        )


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # 'base' is where the official SDK has the messages of prompts.
        refuse_import_from(__name__, name, import_module("mcp_mount").__all__)
