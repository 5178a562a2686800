"""MCPServer: a FastAPI application that owns one registry and one protocol core."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.types import ASGIApp
from typing_extensions import Unpack

from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.backends.stores import Store, store_of
from mcp_mount.backends.tasks import LocalTasks
from mcp_mount.backends.tasks.contexts import Around
from mcp_mount.calls.call import Call
from mcp_mount.calls.callers import CallerKey, Callers
from mcp_mount.calls.exception_hooks import NO_HOOKS
from mcp_mount.calls.tasks import TaskLimits
from mcp_mount.elsewhere import (
    OF_RUN_OPTIONS,
    OF_SERVER_CLASS,
    OF_SERVER_OPTIONS,
    OF_SERVERS,
    OTHER_SERVER,
    lacking,
    refuse_import_from,
)
from mcp_mount.features import Registry
from mcp_mount.features.listing import Listing
from mcp_mount.features.registry import needs_loop, refuse_permission_names, refuse_rules
from mcp_mount.hosting.exception_handlers import exception_hooks
from mcp_mount.hosting.host import Host
from mcp_mount.hosting.lifespan import Lifespan
from mcp_mount.hosting.openness import (
    may_guard,
    open_tools,
    tell_undocumented,
    warn_if_open,
    warn_of_completers,
)
from mcp_mount.observability.records import Audit
from mcp_mount.observability.server import Observability
from mcp_mount.options import OPTIONS, value_of
from mcp_mount.policies.cache import invalidate
from mcp_mount.policies.declared import PolicyChain, PolicyEnvironment, PolicyLevel
from mcp_mount.policies.options import CHECKS, RULES, PolicyOptions, declare, split
from mcp_mount.protocol import Protocol, Settings
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.notifier import Notifier
from mcp_mount.routes.documents import guard_documents, hidden
from mcp_mount.routes.endpoint import EndpointRoute, MetadataRoute
from mcp_mount.routes.errors import answer_unfit
from mcp_mount.routes.openapi import describe_tools, without_paths
from mcp_mount.routes.permissions import rules_of
from mcp_mount.routes.router import (
    HandlerDecorators,
    refuse_dependencies,
    refuse_unfit,
    refuse_unknown_inclusion,
    routers_of_ours,
)
from mcp_mount.schemas.arguments import request_types
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import options_of, refuse_unknown, refuse_unknown_options
from mcp_mount.schemas.permissions import Names
from mcp_mount.transports.asgi import ASGITransport
from mcp_mount.transports.driving import follow, follow_async
from mcp_mount.transports.listening import before_shutdown, listen
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import (
    ENDPOINT,
    HOST_APP,
    LOOP,
    SERVER,
    Receive,
    Scope,
    Send,
    is_refused,
    read_headers,
    request_of,
)
from mcp_mount.transports.threads import Runner
from mcp_mount.transports.wsgi import WSGITransport
from mcp_mount.transports.wsgi_app import WSGIApp
from mcp_mount.wire.errors import Challenge, ProtocolError
from mcp_mount.wire.sealing import TokenSealer
from mcp_mount.wire.tokens import AccessToken

if TYPE_CHECKING:
    from mcp_mount.auth.resource_server import ResourceServer
    from mcp_mount.auth.verifiers import Verifier
    from mcp_mount.observability.telemetry import Telemetry

request_types.append(Request)


_SETTINGS = {"server_title": "title"}
"""Options that the settings of the protocol know by another name."""

NOT_OPTIONS = frozenset({"title", "max_body_size"})
"""Arguments of FastAPI that a server gives it by itself, or has in a form of its own that holds for
MCP as well (`max_body_bytes`)."""


def server_options() -> frozenset[str]:
    """The keyword arguments of MCPServer: its own, those that declare policies, and FastAPI's."""
    return (options_of(MCPServer) | set(PolicyOptions.__annotations__)) - NOT_OPTIONS


class _NoOptions(TypedDict):
    """Keyword arguments that type checkers refuse, and that the function names in its error."""


@lacking(OF_SERVER_CLASS)
class MCPServer(HandlerDecorators, FastAPI):
    """An MCP server, as an ASGI application.

    Alone it answers MCP at `path`, beside its other routes; mounted in another application it
    answers at the mount point. It is a FastAPI application: routers, middleware, dependencies and
    exception handlers work as they do there. `wsgi` is the same server for WSGI hosts.

    name, version, server_title, description, website_url, icons: what the server tells clients of
    itself. instructions: how a model should use it. secret_key: seals session ids; one key, or
    several with the newest first; by default the MCP_MOUNT_SECRET_KEY variable or the host's own
    key. max_body_bytes: the largest request body. allowed_origins: browser origins that may call,
    besides loopback. allowed_hosts: Host headers to serve (".example.com" for a whole domain), if
    the host framework does not check them. session_ttl: seconds. keep_alive: after how many seconds
    of silence a comment is sent on an event stream; a client that accepts one gets a response that
    begins after a third of it, if the handler is not done by then. poll_seconds: how often clients
    of 2025-11-25 come by for changes under WSGI; max_poll_seconds: how seldom, when nothing has
    happened for long. task_limits: how much is kept
    for tasks, a `TaskLimits`. list_ttl_ms: for how long clients
    may keep lists, in milliseconds. page_size: the most entries in one answer to a list request, by
    default all. docs: whether /docs and /openapi.json are shown; by default
    when the server runs alone, or in a host in debug mode.

    store: where throttles and caches keep their counts and results: by default this process, or
    "redis://…" for all processes. telemetry: True, or a `Telemetry`, for spans and metrics of
    OpenTelemetry. log_calls: whether each call is logged, by the logger `mcp_mount.calls`. audit:
    an `Audit`, told before and after each call.

    auth: what verifies access tokens or API keys, see `mcp_mount.auth`. auth_required: whether
    requests without any are refused; otherwise they are the host's to know, or anonymous.
    resource: the URL of the MCP endpoint, as clients write it, which tokens must be for; by default
    that of the request, where `allowed_hosts` or the host framework vouches for its host.
    scope_hierarchy: scopes that imply others, such as {"orders:write": "orders:read"}.
    find_user: a function of the verified `AccessToken`, plain or a coroutine function, that finds
    its user, who is `request.user` then; a token of nobody is refused, and one of a user who is not
    active.
    list_step_up: whether lists show also what only scopes are missing for: a client that calls it
    is told to get them.

    caller: a function of the host's request that returns the key of its caller, a text, by which
    results are cached, calls counted, and tasks, states and sessions bound; by default the id of
    the user. Give one where that says too little: `lambda request: f"{tenant}:{request.user.pk}"`.
    For None nothing is cached, and the rest is as for somebody whom nobody knows. open: whether it
    is meant that everybody may call tools that may write; otherwise a server of which that is so
    warns of it.

    What `PolicyOptions` has may be declared here for all that the server offers; those who do not
    fulfil its rules get 401 or 403. Further arguments are FastAPI's.
    """

    def __init__(
        self,
        name: str = "mcp-mount",
        *,
        version: str = "0.1.0",
        server_title: str | None = None,
        description: str | None = None,
        website_url: str | None = None,
        icons: Sequence[Mapping[str, Any]] = (),
        instructions: str | None = None,
        path: str = "/mcp",
        secret_key: str | bytes | Sequence[str | bytes] | None = None,
        max_body_bytes: int = 4 * 1024 * 1024,
        allowed_origins: Iterable[str] = (),
        allowed_hosts: Iterable[str] | None = None,
        session_ttl: float = 7 * 24 * 3600.0,
        keep_alive: float = 15.0,
        poll_seconds: float = 3.0,
        max_poll_seconds: float = 30.0,
        task_limits: TaskLimits | None = None,
        list_ttl_ms: int = 60_000,
        page_size: int | None = None,
        docs: bool | None = None,
        store: str | Store | None = None,
        telemetry: bool | Telemetry = False,
        log_calls: bool = False,
        audit: Audit | None = None,
        auth: Verifier | Sequence[Verifier] | None = None,
        auth_required: bool = True,
        resource: str | None = None,
        scope_hierarchy: Mapping[str, Names] | None = None,
        find_user: Callable[[AccessToken], Any] | None = None,
        list_step_up: bool = False,
        caller: CallerKey | None = None,
        open: bool = False,
        **options: Any,
    ) -> None:
        refuse_unknown_options(
            self, options, server_options(), but=NOT_OPTIONS, elsewhere=OF_SERVER_OPTIONS
        )
        declared, fastapi = split(options)
        refuse_dependencies(fastapi.get("dependencies"))
        if not path.startswith("/") or path.rstrip("/") == "":
            raise ValueError(f"path must start with '/' and name something, not {path!r}")
        self.mcp_path = path.rstrip("/")
        self.attached: Host | None = None
        self._rules: dict[str, Any] = {}
        self._needs_loop = False
        self.resource_server: ResourceServer | None = None
        self._observing = Observability(
            telemetry, audit, log_calls=value_of("log_calls", log_calls)
        )
        callers = Callers()
        callers.function = value_of("caller", caller)
        self._around = PolicyEnvironment(
            lambda: self.protocol.settings.name,
            store_of(store),
            callers,
            lambda request: (self.attached or Host()).varies(request),
        )
        self._level = PolicyLevel("server", surroundings=self._around)
        self.registry = Registry(
            Listing(
                TokenSealer(
                    "cursor", self._secret_keys, server=lambda: self.protocol.settings.name
                ),
                page_size=value_of("page_size", page_size),
                ttl_ms=value_of("list_ttl_ms", list_ttl_ms),
                step_up=value_of("list_step_up", list_step_up),
            ),
            policies=PolicyChain((self._level,)),
        )
        self.http_tool_paths: dict[str, list[Registry]] = {}
        self._docs = value_of("docs", docs)
        self._open: bool = value_of("open", open)
        self._keys: list[str | bytes] = value_of("secret_key", secret_key)
        self.runner = Runner(run=self.run_call, run_async=self.run_call_async)
        backplane = MemoryBackplane()
        self.notify = Notifier(backplane.publish)
        self.tasks = LocalTasks(
            self.runner,
            self.notify.task_changed,
            self._detach,
            around=self._around_task,
            limits=value_of("task_limits", task_limits),
        )
        self.protocol = Protocol(
            Settings(
                name=value_of("name", name),
                version=value_of("version", version),
                title=server_title,
                description=description,
                website_url=website_url,
                icons=icons,
                instructions=instructions,
                max_body_bytes=value_of("max_body_bytes", max_body_bytes),
                allowed_origins=value_of("allowed_origins", allowed_origins),
                allowed_hosts=value_of("allowed_hosts", allowed_hosts),
                host_names=lambda: self.attached.host_names() if self.attached else (),
                session_ttl=value_of("session_ttl", session_ttl),
                keep_alive=value_of("keep_alive", keep_alive),
                poll_seconds=value_of("poll_seconds", poll_seconds),
                max_poll_seconds=value_of("max_poll_seconds", max_poll_seconds),
                list_ttl_ms=list_ttl_ms,
                challenge=self._challenge,
                callers=callers,
                on_first_request=self.warn_if_open,
            ),
            self.registry,
            self._secret_keys,
            backplane,
            self._wait,
            self.tasks,
        )
        self.registry.on_change = self._tell
        self._auth: dict[str, Any] = {
            "auth": auth,
            "auth_required": value_of("auth_required", auth_required),
            "resource": resource,
            "scope_hierarchy": scope_hierarchy,
            "find_user": value_of("find_user", find_user),
        }
        self._authenticate()
        self._observe()
        self._declare(declared)
        self.asgi_endpoint = ASGITransport(self.protocol, self.runner)
        self.wsgi_endpoint = WSGITransport(self.protocol, self.runner)
        self._documented: tuple[int, dict[str, Any], dict[str, Any]] | None = None
        self.protocol.settings.hooks = exception_hooks(self)
        self.lifespan = Lifespan(self.protocol.settings, self)
        self.registry.lifespan = self.lifespan.yielded
        super().__init__(
            title=name,
            version=version,
            description=description or "",
            **self.lifespan.noting(fastapi),
        )
        self.lifespan.take_over(self.router)
        if RequestValidationError not in (fastapi.get("exception_handlers") or {}):
            self.add_exception_handler(RequestValidationError, answer_unfit)
        guard_documents(self.router.routes, self._documents, self.registry)
        self.router.routes[:0] = [EndpointRoute(self), MetadataRoute(self)]
        self._not_found = self.router.default
        self.router.default = self._default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self.protocol.settings.on_first_request is not None:
            # The web server starts it: the earliest moment at which it has all its tools.
            self.protocol.settings.on_first_request = None
            self.warn_if_open()
        if scope["type"] == "http":
            if self.root_path:
                scope["root_path"] = self.root_path
            # FastAPI replaces scope["app"] with this server, so this is the time to look.
            outer = scope.get("app")
            scope["mcp_mount.mounted"] = self.is_attached or outer is not None
            if HOST_APP not in scope:
                scope[HOST_APP] = self if outer is None else outer
            if outer is None:
                scope["app"] = self
            scope[SERVER] = self
            if self.needs_loop:
                scope[LOOP] = asyncio.get_running_loop()
            scope.setdefault("state", {})
            if self.protocol.settings.startup is not None and not is_refused(scope):
                refused = await self._refused_to_start()
                if refused is not None:
                    await refused(scope, receive, send)
                    return
            if self.lifespan.is_late:
                # No web server gives it to its requests.
                scope["state"] = {**self.lifespan.state, **scope["state"]}
            if self.resource_server is not None:
                path = "" if scope["mcp_mount.mounted"] else self.mcp_path
                scope[ENDPOINT] = scope.get("root_path", "") + path
            if not self.user_middleware and self.is_endpoint(scope):
                # Nothing stands between: skip what FastAPI does for its own routes.
                await self.asgi_endpoint(scope, receive, send)
                return
            try:
                # All faces of a server have the same names, its documents and metadata, too.
                self.protocol.check_host(request_of(scope, read_headers(scope)))
            except ProtocolError as error:
                refused = JSONResponse({"detail": error.message}, error.status(stateless=True))
                await refused(scope, receive, send)
                return
            if self._hides(scope):
                await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    @property
    def gives_environ(self) -> bool:
        """Whether handlers get the environment of a WSGI request: where the host says that its
        requests are those."""
        return self.attached is not None and self.attached.request_type is dict

    def request_beside(self, scope: Scope, app: Any = None) -> Request:
        """The request that handlers get where no ASGI server makes one: under WSGI and over stdio.

        Args:
            scope: What is known of it.
            app: The application that the server is in, if the host does not tell.
        """
        host = self.attached or Host()
        own = host.app or app or self
        state = dict(self.lifespan.state)
        return Request({"state": state, **scope, "app": own, HOST_APP: own, SERVER: self})

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
            unknown: None that mean anything: those of other libraries are named in the error.

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
        return WSGIApp(self)

    if not TYPE_CHECKING:
        # Type checkers would take any attribute for one that is there.
        def __getattr__(self, name: str) -> Any:
            hint = OF_SERVERS.get(name) or OF_SERVER_CLASS.get(name)
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}"
                + (f": {hint}" if hint else "")
            )

    @property
    def has_lifespan(self) -> bool:
        """Whether this server has something to start, of its own or of a router's."""
        return self.lifespan.is_declared

    async def _refused_to_start(self) -> JSONResponse | None:
        """Start what nothing else has started; the refusal of a request if that fails."""
        settings = self.protocol.settings
        if settings.startup is not None and settings.startup.is_needed():
            try:
                await settings.startup.start()
            except ProtocolError as error:
                return JSONResponse({"detail": error.message}, error.status(stateless=True))
        settings.startup = None
        return None

    @property
    def needs_loop(self) -> bool:
        """Whether rules are asked on a thread, since they need the event loop of the request."""
        return self._needs_loop or self.registry.needs_loop

    @property
    def is_guarded(self) -> bool:
        """Whether it depends on the caller what this server does."""
        settings = self.protocol.settings
        return (
            bool(settings.rules) or self.registry.guarded or settings.callers.function is not None
        )

    @property
    def is_meant_open(self) -> bool:
        """Whether it is said that everybody may call its tools."""
        return self._open

    def warn_if_open(self) -> None:
        """Log a warning if everybody may call tools that may write, and nobody has said so."""
        warn_of_completers(self.registry)
        tell_undocumented(self.title, self.registry)
        host = self.attached or Host()
        if self._open or self.debug or host.debug():
            return
        warn_if_open(
            self.title,
            open_tools(self.registry),
            resource=self.resource_server,
            is_guarded=bool(self.protocol.settings.rules)
            or host.guards()
            or may_guard(self.user_middleware),
        )

    @property
    def is_attached(self) -> bool:
        """Whether an integration has mounted this server in a host."""
        return self.attached is not None

    def attach(self, host: Host) -> None:
        """Live by the rules of `host` from now on: integrations call this when they mount."""
        if host.request_type is not None:
            refuse_rules(self.protocol.settings.rules, host.request_type)
            self.registry.give_requests(host.request_type)
        if host.without_permissions is not None:
            self._without_permissions(host.without_permissions)
        self.attached = host
        if host.exceptions is not NO_HOOKS:
            self.protocol.settings.hooks = host.exceptions

    def _without_permissions(self, host: str) -> None:
        refuse_permission_names(self.protocol.settings.rules, host)
        self.registry.forbid_permission_names(host)

    def run_call(self, call: Call) -> None:
        """Run a plain handler on the thread where it belongs; integrations stand around it."""
        call.run()

    async def run_call_async(self, call: Call) -> None:
        """Run a coroutine handler; integrations stand around it."""
        await call.run_async()

    def configure(self, **options: Any) -> None:
        """Change what the arguments of the same name have set, before the first request.

        Those that can be changed so are in `mcp_mount.options`. Raises DefinitionError for any
        other, and for a value that an option cannot have.
        """
        refuse_unknown(f"{type(self).__name__} has no setting", options, self.configurable())
        checked = {name: value_of(name, value) for name, value in options.items()}
        settings = self.protocol.settings
        for name, value in checked.items():
            part = OPTIONS[name].part
            if part == "settings":
                setattr(settings, _SETTINGS.get(name, name), value)
            elif part == "policies":
                self._declare({name: value})
            elif part == "listing":
                self._list_by(name, value)
            elif part == "auth":
                self._auth[name] = value
                self._authenticate()
            elif part == "observability":
                setattr(self._observing, name, value)
                self._observe()
            elif name == "secret_key":
                self._keys = value
            elif name == "docs":
                self._docs = value
            elif name == "task_limits":
                self.tasks.limits = value
            elif name == "store":
                self._around.store = store_of(value)
            elif name == "open":
                self._open = value
            else:
                assert name == "caller", f"nobody keeps the option {name!r}"
                settings.callers.function = value
        if "name" in checked:
            self.title = checked["name"]
        if "version" in checked:
            self.version = checked["version"]

    def _list_by(self, name: str, value: Any) -> None:
        """Change how lists are answered."""
        listing = self.registry.listing
        if name == "list_ttl_ms":
            self.protocol.settings.list_ttl_ms = listing.ttl_ms = value
        elif name == "page_size":
            listing.page_size = value
        else:
            listing.step_up = value
        listing.clear()

    @classmethod
    def configurable(cls) -> frozenset[str]:
        """The names that `configure` takes."""
        return frozenset(OPTIONS)

    def include_router(self, router: APIRouter, **options: Any) -> None:
        """Include a router, FastAPI's or one of ours, with FastAPI's arguments.

        Raises DefinitionError if a name is taken already, ValueError for `dependencies` on a
        router of ours: they would guard its HTTP routes and leave MCP open.
        """
        refuse_unknown_inclusion(options)
        if not isinstance(router, APIRouter):
            raise DefinitionError(
                "include_router takes a router (ToolsRouter(), FastAPI's APIRouter), "
                f"not {type(router).__name__}"
            )
        if (meters := getattr(router, "meter_provider", None)) is not None:
            self._observing.measure_by(meters)
            self._observe()
        guards = options.get("dependencies") or ()
        for one in routers_of_ours(router, options.get("prefix", ""), guards):
            refuse_dependencies(one.dependencies)
            if one.is_outermost:
                self.registry.include(one.router.registry)
            face = one.router.tools_path
            if face is not None:
                self.http_tool_paths.setdefault(one.prefix + face, []).append(one.router.registry)
        with self.lifespan.growing(self.router, router):
            super().include_router(router, **options)

    def is_endpoint(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request is for MCP: at `path` if the server is alone, else at the mount point.

        At the root, other methods than MCP's are left to the routes that the user has there.
        """
        path = route_path(scope).rstrip("/")
        if path:
            return path == self.mcp_path and not scope.get("mcp_mount.mounted")
        method = scope["method"]
        if method in ("POST", "DELETE"):
            return True
        return method == "GET" and any(
            name == b"accept" and b"text/event-stream" in value for name, value in scope["headers"]
        )

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, with an operation for every tool on the HTTP side.

        Served over HTTP it has what the caller may use alone.
        """
        document = super().openapi()
        unseen = hidden()
        if unseen:
            shown = without_paths(document, unseen.paths)
            return describe_tools(shown, self.http_tool_paths, unseen.tools)
        known = self._documented
        if known is None or known[0] != self.registry.version or known[1] is not document:
            known = self._documented = (
                self.registry.version,
                document,
                describe_tools(document, self.http_tool_paths),
            )
        return known[2]

    def invalidate(self, *tags: str) -> None:
        """Drop the cached results that have one of these tags; in all processes, if the store is
        shared. `ainvalidate` is the same for coroutines."""
        follow(invalidate(self._around.store, tags))

    async def ainvalidate(self, *tags: str) -> None:
        """`invalidate`, for coroutines."""
        await follow_async(invalidate(self._around.store, tags), self.runner)

    def _declare(self, options: Mapping[str, Any]) -> None:
        """Declare policies for all that the server offers, in place of those of the same name."""
        refuse_unfit("a server", options, CHECKS)
        self._rules |= {key: value for key, value in options.items() if key in RULES}
        rules = rules_of(self._rules)
        if self.attached is not None:
            refuse_permission_names(rules, self.attached.without_permissions)
        if self.attached is not None and self.attached.request_type is not None:
            refuse_rules(rules, self.attached.request_type)
        self._needs_loop = any(map(needs_loop, rules))
        self.protocol.settings.rules = rules
        declare(self._level, options)

    def _authenticate(self) -> None:
        """Let requests in by what the settings say now."""
        auth = self._auth["auth"]
        if auth is None:
            self.protocol.settings.auth = self.resource_server = None
            return
        from mcp_mount.auth.resource_server import ResourceServer
        from mcp_mount.auth.verifiers import verifiers_of

        self.protocol.settings.auth = self.resource_server = ResourceServer(
            verifiers_of(auth),
            self.protocol.settings,
            required=self._auth["auth_required"],
            resource=self._auth["resource"],
            hierarchy=self._auth["scope_hierarchy"],
            find_user=self._auth["find_user"],
            has_root=self._serves_root,
        )

    def _serves_root(self, path: str) -> bool:
        """Whether metadata for a path are served at the root of the domain."""
        if self.attached is not None:
            return self.attached.serves_metadata(path)
        return path == self.mcp_path

    def _observe(self) -> None:
        self._around.observers = self._observing.policies()
        self.protocol.settings.observers = self._observing.observers()
        self.protocol.settings.may_block = self._observing.may_block

    def _challenge(self, request: ProtocolRequest, challenge: Challenge) -> str:
        if self.resource_server is not None:
            return self.resource_server.challenge(request, challenge)
        return (self.attached or Host()).challenge(request, challenge)

    def _detach(self, call: Call) -> Context:
        return (self.attached or Host()).detach(call)

    def _around_task(self, call: Call) -> Around | None:
        return (self.attached or Host()).around_task(call)

    async def _wait(self, *arguments: Any, **options: Any) -> None:
        """The wait of a subscription, which a shutdown ends."""
        before_shutdown(self.notify.close)
        await listen(*arguments, **options)

    def _tell(self, kind: str) -> None:
        """Notify of an entry that was added; of completers nobody can hear."""
        changed = {
            "tool": self.notify.tools_list_changed,
            "prompt": self.notify.prompts_list_changed,
            "resource": self.notify.resources_list_changed,
        }.get(kind)
        if changed is not None:
            changed()

    async def _default(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not route_path(scope).rstrip("/"):
            await self.asgi_endpoint(scope, receive, send)
        else:
            await self._not_found(scope, receive, send)

    def _hides(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request is for documentation that is not shown where the server stands."""
        if self._docs or (self._docs is None and not scope["mcp_mount.mounted"]):
            return False
        path = route_path(scope).rstrip("/")
        if not path or path not in self._documents:
            return False
        debug = (
            self.attached.debug() if self.attached else getattr(scope.get("app"), "debug", False)
        )
        return self._docs is False or not debug

    @property
    def _documents(self) -> Sequence[str | None]:
        """The paths of the server's documents."""
        return (
            self.openapi_url,
            self.docs_url,
            self.redoc_url,
            self.swagger_ui_oauth2_redirect_url,
        )

    def _secret_keys(self) -> Sequence[str | bytes]:
        own: list[str | bytes] = self._keys[::-1] or [os.environ.get("MCP_MOUNT_SECRET_KEY", "")]
        return own if any(own) or self.attached is None else self.attached.secret_keys()


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # 'base' is where the official SDK has the messages of prompts.
        refuse_import_from(__name__, name, import_module("mcp_mount").__all__)
