"""The parts of an `MCPServer` that serve it, and how options make them.

Transports, routes and integrations work with it, as `server.core`; users have no business here.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.requests import Request

from mcp_mount.backends.backplane import MemoryBackplane, backplane_of, store_url
from mcp_mount.backends.stores import store_of
from mcp_mount.backends.tasks import LocalTasks, QueuedTasks
from mcp_mount.backends.tasks.payloads import Origin, Payloads
from mcp_mount.calls.backplane import Backplane
from mcp_mount.calls.call import Call, Policy
from mcp_mount.calls.callers import Callers
from mcp_mount.calls.exception_hooks import NO_HOOKS, ExceptionHooks
from mcp_mount.calls.tasks import TaskLimits
from mcp_mount.features import Registry
from mcp_mount.features.listing import Listing
from mcp_mount.features.registry import needs_loop, refuse_permission_names, refuse_rules
from mcp_mount.hosting.host import Host
from mcp_mount.hosting.lifespan import Lifespan
from mcp_mount.hosting.namesakes import warn_of_namesakes
from mcp_mount.hosting.openness import may_guard, open_models, open_tools
from mcp_mount.hosting.start_warnings import (
    tell_undocumented,
    warn_if_open,
    warn_of_completers,
    warn_of_scopes,
)
from mcp_mount.hosting.task_requests import (
    completed,
    environ_of,
    headers_of,
    origin_of,
    scope_of,
)
from mcp_mount.hosting.task_workers import TaskWorker, register
from mcp_mount.observability.records import Redaction
from mcp_mount.observability.server import Observability
from mcp_mount.options import DEFAULTS, OPTIONS, protocol_settings, refuse_unverified
from mcp_mount.policies.budget import check_budgets
from mcp_mount.policies.chain import PolicyChain, read
from mcp_mount.policies.kinds import PolicyEnvironment, PolicyLevel
from mcp_mount.policies.options import RULES
from mcp_mount.protocol import Protocol as ProtocolCore
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.changes import Change
from mcp_mount.protocol.listener import Changes
from mcp_mount.protocol.notifier import Notifier
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.settings import Observer
from mcp_mount.protocol.task_board import TaskBoard
from mcp_mount.routes.permissions import rules_of
from mcp_mount.transports import background
from mcp_mount.transports.asgi import ASGITransport
from mcp_mount.transports.driving import follow
from mcp_mount.transports.listening import listen
from mcp_mount.transports.outbox import Outbox
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import (
    BARE,
    ENDPOINT,
    HOST_APP,
    LOOP,
    ROOT,
    SERVER,
    Scope,
    request_of,
)
from mcp_mount.transports.short_ways import ShortWay
from mcp_mount.transports.shutdown import before_shutdown, before_shutdown_of_server
from mcp_mount.transports.threads import Runner
from mcp_mount.transports.wsgi import WSGITransport
from mcp_mount.wire.errors import Challenge
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import Reply
from mcp_mount.wire.resource_metadata import metadata_reply
from mcp_mount.wire.sealing import CLOCKS_APART, TokenSealer

if TYPE_CHECKING:
    from mcp_mount.auth.authorization.sign_in import SignIn
    from mcp_mount.auth.resource_server import ResourceServer
    from mcp_mount.auth.verifiers import Verifier


logger = own_logger("mcp_mount")

_SIGN_IN: Final = "mcp_mount.auth.authorization.sign_in"
"""The module of `SignIn`, which servers import that have one."""

NO_OPTIONS: Final[Mapping[str, Any]] = {}


class FastAPIApplication(Protocol):
    """What the core needs of its server as a FastAPI application."""

    title: str
    version: str
    description: str
    openapi_schema: dict[str, Any] | None
    debug: bool
    user_middleware: list[Any]
    dependency_overrides: dict[Any, Any]


class ServerCore:
    """The parts of one server.

    Args:
        application: The server itself, an ASGI application.
        path: Where it answers MCP when it stands alone.
        options: The options of a server that the user gave, checked.
        runner: How handlers run where no request of a host has brought a call.

    Attributes:
        values: The options that keep a value, by their names.
        host: The application that the server is mounted in; a host that knows nothing before.
        is_attached: Whether an integration has mounted it.
        is_bare: Whether an application has mounted it without one.
        registry: What it offers.
        protocol: Opens requests.
        http_tool_paths: The registries whose tools are served as plain HTTP, by their paths.
        short_ways: What answers requests to routes that need nothing of what FastAPI does, by their
            paths, as far as FastAPI has led there before.
        resource_server: Verifies tokens; None without `auth`.
        sign_in: Issues tokens, to people who sign in; None without a `SignIn`.
    """

    def __init__(
        self, application: FastAPIApplication, path: str, options: Mapping[str, Any], runner: Runner
    ) -> None:
        self._application = application
        self.mcp_path = path
        self.values: dict[str, Any] = {**DEFAULTS, **_kept(options)}
        self.host = Host()
        self.is_attached = self.is_bare = False
        self.runner = runner
        self.resource_server: ResourceServer | None = None
        self.sign_in: SignIn | None = None
        self.http_tool_paths: dict[str, list[Registry]] = {}
        self.short_ways: dict[str, ShortWay] = {}
        self._rules: dict[str, Any] = {}
        self._needs_loop = False
        self._observability = Observability()
        callers = Callers()
        self._environment = PolicyEnvironment(
            name=lambda: self.protocol.settings.name,
            callers=callers,
            varies=lambda request: self.host.varies(request),
        )
        self._level = PolicyLevel("server", environment=self._environment)
        settings = protocol_settings(
            self.values,
            host_names=lambda: self.host.host_names(),
            challenge=self._challenge,
            callers=callers,
            on_first_request=self.warn_at_start,
        )
        seal = TokenSealer(
            "cursor", self.secret_keys, server=lambda: settings.name, ahead=CLOCKS_APART
        )
        self.registry = Registry(Listing(seal, settings), policies=PolicyChain((self._level,)))
        outbox = Outbox(on_dropped=lambda: self._peers.send_later("resync"))
        self._peers = Peers(MemoryBackplane(), outbox.put)
        self._changes = changes = Changes(self._peers)
        self.notify = Notifier(changes)
        before_shutdown_of_server(changes.end)
        board = TaskBoard(self._peers, self.registry)
        self.tasks = LocalTasks(
            runner,
            # The board tells the other processes.
            lambda task: changes.publish(Change("task", task)),
            board,
            self._detach,
            around=lambda call: self.host.around_task(call),
        )
        payloads = Payloads(self.secret_keys, lambda: settings.name)
        self._queued = QueuedTasks(
            self.tasks,
            board,
            payloads,
            lambda call: origin_of(call, callers, self.host.task_data(call.incoming.request)),
            around=lambda call: self.host.around_task(call),
        )
        self.protocol = ProtocolCore(
            settings,
            self.registry,
            self.secret_keys,
            self._peers,
            changes,
            self._wait,
            self._queued,
        )
        self._worker = TaskWorker(
            lambda: settings.name,
            payloads,
            self._peers,
            board,
            self.tasks,
            self.protocol,
            self._task_request,
            lambda: frozenset(self.registry.tools),
        )
        self.registry.on_change = self._tell
        self.lifespan = Lifespan(settings, application, self.check_declared)
        self.registry.lifespan = self.lifespan.yielded
        self.asgi_endpoint = ASGITransport(self.protocol, runner)
        self.wsgi_endpoint = WSGITransport(self.protocol, runner)
        self._prepared(options, OPTIONS, self.host)()

    def configure(self, options: Mapping[str, Any]) -> None:
        """Change options, before the first request: all of them, or none.

        Args:
            options: Those that change, checked.

        Raises:
            DefinitionError: For what cannot be made of them.
            ValueError: As DefinitionError.
        """
        self._prepared(options, options, self.host)()

    def _declare(self, policies: Mapping[str, Any]) -> None:
        self._level.declare(policies)
        self.registry.forget_direct()

    def _prepared(
        self, options: Mapping[str, Any], changed: Collection[str], host: Host
    ) -> Callable[[], None]:
        """Make and check all that depends on options, and change nothing yet.

        Args:
            options: Those that the user gave, checked.
            changed: The names of those whose parts are made anew.
            host: The application by whose rules they must do.

        Returns:
            What changes the server. It does not fail.

        Raises:
            DefinitionError: For what cannot be made of them.
            ValueError: As DefinitionError.
        """
        values = {**self.values, **_kept(options)}
        refuse_unverified("auth_required=True", options.get("auth_required"), values["auth"])
        parts = {OPTIONS[name].part for name in changed}
        policies = _policies(options)
        given = {**self._rules, **{key: policies[key] for key in policies if key in RULES}}
        rules = rules_of(given)
        refuse_permission_names(rules, host.without_permissions())
        if host.request_type is not None:
            refuse_rules(rules, host.request_type)
        declared = read(policies)
        resource_server, sign_in = self.resource_server, self.sign_in
        if "auth" in parts:
            verifiers, sign_in = self._verifiers(values)
            resource_server = self._resource_server(values, verifiers)
        observability = self._observability
        if "observability" in parts:
            observability = observability.changed(
                telemetry=values["telemetry"], audit=values["audit"], log_calls=values["log_calls"]
            )
        watched = observability.policies(), observability.observers()
        store, backplane = self._environment.store, self._peers.states
        if "backplane" in changed:
            backplane = backplane_of(values["backplane"], lambda: self.protocol.settings.name)
        if "store" in changed or "backplane" in changed:
            store = store_of(values["store"] or store_url(values["backplane"]))

        def change() -> None:
            self.values = values
            for name in changed:
                if OPTIONS[name].part == "settings":
                    setattr(self.protocol.settings, name, values[name])
            if "settings" in parts:
                self.registry.listing.clear()
                self._describe_application(values, changed)
            self.protocol.settings.auth = self.resource_server = resource_server
            self.sign_in = sign_in
            self._observability = observability
            self._observe(*watched)
            self._environment.callers.function = values["caller"]
            self._environment.store = store
            self.tasks.limits = values["task_limits"] or TaskLimits()
            self._queued.queue = values["tasks"]
            if values["tasks"] is not None:
                register(self._worker)
            self._peers.use(backplane)
            self._rules = given
            self._needs_loop = any(map(needs_loop, rules))
            self.protocol.settings.rules = rules
            # Last: it makes policies anew, which read what stands above.
            self._declare(declared)

        return change

    @property
    def backplane(self) -> Backplane | None:
        """What connects its processes; None, if each is on its own."""
        return self._peers.backplane if self._peers.shared else None

    @property
    def store(self) -> Any:
        """What keeps counts and results."""
        return self._environment.store

    def attach(self, host: Host, options: Mapping[str, Any] = NO_OPTIONS) -> None:
        """Live by the rules of a host from now on; integrations call it when they mount.

        Args:
            host: The application.
            options: Those that its configuration changes, checked.

        Raises:
            DefinitionError: For handlers, rules and permission names that mean nothing there, and
                for options of which nothing can be made. Then nothing has changed.
            ValueError: For such options.
        """
        change = self._prepared(options, options, host)
        self.registry.attach(host.request_type, host.without_permissions)
        change()
        self.host = host
        self.is_attached = True
        if host.exceptions is not NO_HOOKS:
            self.protocol.settings.hooks = host.exceptions

    def handle_exceptions(self, hooks: ExceptionHooks) -> None:
        """Let hooks translate and report what handlers raise, until a host brings its own."""
        self.protocol.settings.hooks = hooks

    def measure_by(self, provider: Any) -> None:
        """Let the metrics go to a meter provider of OpenTelemetry.

        Raises:
            DefinitionError: If they go elsewhere already.
        """
        self._observability.measure_by(provider)
        self.values["telemetry"] = self._observability.telemetry
        self._observe(self._observability.policies(), self._observability.observers())
        self._declare({})

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

    @property
    def allows_direct_calls(self) -> bool:
        """Whether direct calls may be answered in front of the server's routes: it has no
        middleware, which would have to see them."""
        return not self._application.user_middleware

    def complete(self, scope: Scope) -> Scope:
        """A scope, with what parts of this library look for there on the long way."""
        # FastAPI replaces scope["app"] with the server, so this is the time to look.
        outer = scope.get("app")
        scope["mcp_mount.mounted"] = self.is_attached or outer is not None
        if outer is not None and not self.is_attached:
            self.note_bare_mount()
            scope[BARE] = True
        if HOST_APP not in scope:
            scope[HOST_APP] = self._application if outer is None else outer
        if outer is None:
            scope["app"] = self._application
        scope[SERVER] = self._application
        scope[ROOT] = scope.get("root_path", "")
        if self.needs_loop:
            scope[LOOP] = asyncio.get_running_loop()
        scope.setdefault("state", {})
        if self.lifespan.is_late:
            # No web server gives it to its requests.
            scope["state"] = {**self.lifespan.state, **scope["state"]}
        if self.resource_server is not None:
            path = "" if scope["mcp_mount.mounted"] else self.mcp_path
            scope[ENDPOINT] = scope.get("root_path", "") + path
        return scope

    def short_way(self, path: str) -> ShortWay | None:
        """The short way to the route at a path, if there is one and nothing of the application has
        to see its requests.

        Args:
            path: The path below the mount point.
        """
        application = self._application
        if not self.short_ways or application.user_middleware or application.dependency_overrides:
            return None
        return self.short_ways.get(path)

    def metadata_reply(self, method: str, url: str | None) -> Reply:
        """The reply to a request for the metadata of the server as a protected resource.

        Args:
            method: The HTTP method.
            url: The URL of the MCP endpoint, as clients write it; None if it is not known.
        """
        resource = self.resource_server
        document = None if resource is None or url is None else resource.metadata(url)
        return metadata_reply(method, document)

    def request_beside(self, scope: MutableMapping[str, Any], app: Any = None) -> Request:
        """The request that handlers get where no ASGI server makes one: under WSGI and over stdio.

        Args:
            scope: What is known of it.
            app: The application that the server is in, if the host does not tell.
        """
        own = self.host.app or app or self._application
        state = dict(self.lifespan.state)
        return Request(
            {"state": state, **scope, "app": own, HOST_APP: own, SERVER: self._application}
        )

    @property
    def gives_environ(self) -> bool:
        """Whether handlers get the environment of a WSGI request: where the host's are those."""
        return self.host.request_type is dict

    @property
    def needs_loop(self) -> bool:
        """Whether rules are asked on a thread, since they need the event loop of the request."""
        return self._needs_loop or self.registry.needs_loop

    @property
    def is_guarded(self) -> bool:
        """Whether it depends on the caller what the server does."""
        settings = self.protocol.settings
        return (
            bool(settings.rules) or self.registry.guarded or settings.callers.function is not None
        )

    @property
    def is_meant_open(self) -> bool:
        """Whether the user said that everybody may call its tools."""
        return bool(self.values["open"])

    @property
    def has_lifespan(self) -> bool:
        """Whether the server has something to start, of its own or of a router's, or cannot start
        at all."""
        return self.lifespan.is_declared or not self.lifespan.can_start

    def check_declared(self) -> None:
        """Check what models name, and what their budgets need to know.

        Raises:
            DefinitionError: For models and tools that there are not, and prices that are not known.
        """
        self.registry.check_models()
        check_budgets(self.registry.models)

    def unknown_scopes(self) -> Mapping[str, Sequence[str]]:
        """The scopes that are asked for and that the `SignIn` issues no token for, each with the
        names of what asks for it."""
        if self.sign_in is None:
            return {}
        from mcp_mount.hosting.signing_in import unknown_scopes

        return unknown_scopes(self)

    def missing_for_tasks(self) -> str | None:
        """What the server lacks for the queue of its tasks, if it has one and lacks anything."""
        return self._queued.missing()

    def warn_at_start(self) -> None:
        """Log, when all has been declared, what the owner has most likely not meant: tools without
        a description, completions of nothing, tasks that nothing can run, scopes that nobody is
        granted, tools that may write or models that everybody may use, and two servers of one
        name."""
        application, host = self._application, self.host
        warn_of_namesakes(self)
        warn_of_completers(self.registry)
        if (missing := self.missing_for_tasks()) is not None:
            logger.error("Tasks of %r are refused: tasks= needs %s", application.title, missing)
        tell_undocumented(application.title, self.registry)
        warn_of_scopes(application.title, self.unknown_scopes())
        if self.is_meant_open or application.debug or host.debug():
            return
        warn_if_open(
            application.title,
            open_tools(self.registry),
            open_models(self.registry),
            resource=self.resource_server,
            is_guarded=bool(self.protocol.settings.rules)
            or host.guards()
            or may_guard(application.user_middleware),
        )

    def shows_documents(self, *, mounted: bool, debug: bool) -> bool:
        """Whether /docs and the like are shown.

        Args:
            mounted: Whether the server is reached within another application.
            debug: Whether that application is in debug mode, as far as ASGI tells.
        """
        docs: bool | None = self.values["docs"]
        if docs is not None:
            return docs
        return not mounted or (self.host.debug() if self.is_attached else debug)

    def secret_keys(self) -> Sequence[str | bytes]:
        """The keys that it seals with, the oldest first."""
        own: list[str | bytes] = [*self.values["secret_key"]][::-1]
        own = own or [os.environ.get("MCP_MOUNT_SECRET_KEY", "")]
        return own if any(own) or not self.is_attached else self.host.secret_keys()

    def _describe_application(self, values: Mapping[str, Any], changed: Collection[str]) -> None:
        """Tell the HTTP side what the options say of the server that have changed."""
        application = self._application
        if "name" in changed:
            application.title = values["name"]
        if "version" in changed:
            application.version = values["version"]
        if "description" in changed:
            application.description = values["description"] or ""
        # FastAPI makes its document once, of what these were then.
        application.openapi_schema = None

    def _resource_server(
        self, values: Mapping[str, Any], verifiers: Sequence[Verifier] | None
    ) -> ResourceServer | None:
        """What lets requests in by these options; None without `auth`."""
        if verifiers is None:
            return None
        # It is imported by servers that need it only.
        from mcp_mount.auth.resource_server import ResourceServer

        return ResourceServer(
            verifiers,
            self.protocol.settings,
            required=values["auth_required"],
            resource=values["resource"],
            hierarchy=values["scope_hierarchy"],
            find_user=values["find_user"],
            has_root=self.serves_root,
        )

    def _verifiers(
        self, values: Mapping[str, Any]
    ) -> tuple[Sequence[Verifier] | None, SignIn | None]:
        """What verifies tokens by these options, and the `SignIn` among it that issues some.

        Raises:
            DefinitionError: For two of them.
        """
        auth = values["auth"]
        if auth is None or _SIGN_IN not in sys.modules:
            # Nobody can have made one.
            return auth, None
        from mcp_mount.hosting.signing_in import with_sign_in

        return with_sign_in(auth, self)

    def serves_root(self, path: str) -> bool:
        """Whether metadata for a path are served at the root of the domain."""
        if self.is_attached:
            return self.host.serves_metadata(path)
        return path == self.mcp_path and not self.is_bare

    def note_bare_mount(self) -> None:
        """Note that an application has mounted the server by itself, and not by an integration: it
        gets no requests outside of its mount point."""
        if not self.is_bare:
            self.is_bare = True
            if self.sign_in is not None:
                logger.warning(
                    "The server %r is mounted by app.mount, so that clients find its authorization "
                    "server only if they look below the mount point, which few do: use "
                    "mount(app, path, server) of mcp_mount_fastapi or mcp_mount_starlette.",
                    self._application.title,
                )

    def _observe(
        self, policies: list[Callable[[Redaction], Policy]], observers: Sequence[Observer]
    ) -> None:
        self._environment.observers = policies
        self.protocol.settings.observers = observers
        self.protocol.settings.may_block = self._observability.may_block

    def _challenge(self, request: ProtocolRequest, challenge: Challenge) -> str:
        if self.resource_server is not None:
            return self.resource_server.challenge(request, challenge)
        return self.host.challenge(request, challenge)

    @contextmanager
    def _task_request(self, origin: Origin) -> Iterator[ProtocolRequest]:
        """What stands in a worker for the request that began a task."""
        with (self.host.task_request or self._own_task_request)(origin) as request:
            if self.resource_server is not None and origin.token is not None:
                follow(self.resource_server.restore(request, origin.token))
            yield request

    @contextmanager
    def _own_task_request(self, origin: Origin) -> Iterator[ProtocolRequest]:
        """The same for hosts that leave it to us: Starlette's request, or a WSGI environment."""
        if self.gives_environ:
            environ = environ_of(origin)
            request = ProtocolRequest("POST", headers_of(origin), host_request=lambda: environ)
            yield completed(request, origin)
            return
        scope = self.request_beside(scope_of(origin)).scope
        if self.needs_loop:
            scope[LOOP] = background.loop()
        yield completed(request_of(scope, headers_of(origin)), origin)

    def _detach(self, call: Call) -> Context:
        return self.host.detach(call)

    def is_ending(self) -> bool:
        """Whether the process is told to end, of which it hears from now on."""
        before_shutdown(self._changes.end)
        return self._changes.has_ended

    async def _wait(self, *arguments: Any, **options: Any) -> None:
        """The wait of a subscription, which a shutdown ends."""
        before_shutdown(self._changes.end)
        await listen(*arguments, **options)

    def _tell(self, kind: str) -> None:
        """Notify of an entry that was added; of completers nobody can hear."""
        changed: Callable[[], None] | None = {
            "tool": self.notify.tools_list_changed,
            "prompt": self.notify.prompts_list_changed,
            "resource": self.notify.resources_list_changed,
        }.get(kind)
        # Other processes make the same entries when they start, and their clients see no change.
        if changed is not None and (self._peers.is_serving or not self._peers.shared):
            changed()


def _kept(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that keep a value."""
    return {name: value for name, value in options.items() if OPTIONS[name].part != "policies"}


def _policies(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that declare policies."""
    return {name: value for name, value in options.items() if OPTIONS[name].part == "policies"}
