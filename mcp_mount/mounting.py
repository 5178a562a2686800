"""Mounting beside: a server at a path of its own before an application that knows nothing of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mcp_mount.features.functions import DefinitionError
from mcp_mount.host import Host
from mcp_mount.protocol.occupancy import Activity
from mcp_mount.protocol.resource_metadata import discovery_path
from mcp_mount.transports.lasting import ended
from mcp_mount.transports.paths import clean_prefix, is_below, route_path
from mcp_mount.transports.resuming import UntilGoodbye
from mcp_mount.transports.scopes import HOST_PREFIX, Receive, Scope, Send
from mcp_mount.transports.threads import running_functions
from mcp_mount.transports.wsgi import Environ, StartResponse

if TYPE_CHECKING:
    from mcp_mount.base import MCPServer


@runtime_checkable
class SupportsClose(Protocol):
    """A WSGI response that is closed when the server has sent it (PEP 3333)."""

    def close(self) -> None: ...


Around = Callable[[Environ], AbstractContextManager[Any]]


def check_mount(
    app: Any, path: Any, server: Any, takes: int | type, *, kind: type | None = None
) -> None:
    """Refuse arguments of `mount` that are swapped, or of another host.

    Args:
        app: The application.
        path: The mount point.
        server: What is mounted.
        takes: How many arguments the application is called with (2 for WSGI, 3 for ASGI), or its
            class.
        kind: The class of servers that the host takes; by default `MCPServer`.

    Raises:
        TypeError: For the first that is wrong.
    """
    from mcp_mount.base import MCPServer

    kind = kind or MCPServer
    if not isinstance(path, str) or isinstance(app, MCPServer):
        raise TypeError("the application comes first, then the path: mount(app, '/mcp', server)")
    if not isinstance(server, kind):
        raise TypeError(
            f"mount takes an MCPServer of {kind.__module__.partition('.')[0]}, "
            f"not {type(server).__module__.partition('.')[0]}'s {type(server).__name__}"
        )
    if isinstance(takes, type):
        if not isinstance(app, takes):
            raise TypeError(
                f"mount takes an application of {takes.__name__}, not {type(app).__name__}; "
                "mount_wsgi and mount_asgi of mcp_mount take any"
            )
    elif not _is_called_with(app, takes):
        wanted, other = ("a WSGI", "mount_asgi") if takes == 2 else ("an ASGI", "mount_wsgi")
        raise TypeError(f"{type(app).__name__} is not {wanted} application: use {other}")


def _is_called_with(app: Any, count: int) -> bool:
    """Whether an application can be called with so many arguments, as far as can be seen."""
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return callable(app)
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _literal(path: str) -> str:
    """The mount point of a server that stands before its application, which has no patterns."""
    if "{" in path or "<" in path:
        raise ValueError(
            f"{path!r} has parameters, which a server beside its application has not: mount it by "
            "the framework's own integration"
        )
    return clean_prefix(path)


def _refuse_unreachable(app: Any, path: str) -> None:
    """Refuse a mount point before another one that nobody would reach any more.

    Raises:
        DefinitionError: If a server is mounted at the same path, or below it.
    """
    while isinstance(app, mount_wsgi | mount_asgi):
        if app.path == path:
            raise DefinitionError(
                f"a server is mounted at {path!r} already, which nobody would reach any more: "
                "give another path"
            )
        if is_below(app.path, path):
            raise DefinitionError(
                f"a server is mounted at {app.path!r}, below {path!r}, and nobody would reach it "
                "any more: mount the longer path last"
            )
        app = app._app


def serve_metadata(server: MCPServer, path: str) -> None:
    """Note that the metadata of a server are served where RFC 9728 has them.

    That is so if the host itself stands at the root of its domain: nothing else is the host's to
    serve.

    Args:
        server: The server.
        path: Its mount point.
    """
    if server.attached is None:
        server.attach(Host())
    assert server.attached is not None
    server.attach(replace(server.attached, serves_metadata=lambda wanted: wanted == path))


class mount_wsgi:
    """A WSGI application that serves `server` at `path`, and `app` everywhere else.

    Nothing has to be started. If the user gave the server a lifespan, the first request to the
    server starts it.

    Args:
        app: The WSGI application.
        path: Where the server stands, such as "/mcp".
        server: The server.
        around: What a request to the server runs in, such as the host's application context.

    Raises:
        TypeError: If the arguments are swapped, or `app` is no WSGI application.
        ValueError: If the path has parameters.
        DefinitionError: If a server that is mounted already would not be reached any more.
    """

    def __init__(
        self, app: Callable[..., Any], path: str, server: MCPServer, *, around: Around | None = None
    ) -> None:
        check_mount(app, path, server, 2)
        self._app = app
        self.path = _literal(path)
        _refuse_unreachable(app, self.path)
        self.server = server
        serve_metadata(server, self.path)
        host = server.attached
        if host is not None and host.request_type is None:
            known = host.without_permissions or "a WSGI application"
            server.attach(replace(host, request_type=dict, without_permissions=known))
        self._around = around or (lambda environ: nullcontext())

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        resource = self.server.resource_server
        if resource is not None:
            place = discovery_path(path, self.path, has_servers=resource.has_servers)
            path = path if place is None else self.path + place
        if not is_below(path, self.path):
            answer: Iterable[bytes] = self._app(environ, start_response)
            return answer
        inner = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + self.path,
            HOST_PREFIX: environ.get("SCRIPT_NAME", ""),
            "PATH_INFO": path[len(self.path) :],
        }
        return UntilGoodbye(self._serve(inner, start_response))

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # A client that leaves is no failure for what is around: the calls have ended before.
        with self._around(environ), suppress(GeneratorExit):
            answer = self.server.wsgi(environ, start_response)
            try:
                yield from answer
            finally:
                if isinstance(answer, SupportsClose):
                    answer.close()


class mount_asgi:
    """An ASGI application that serves `server` at `path`, and `app` everywhere else.

    Nothing has to be started. If the user gave the server a lifespan, it runs around that of
    `app`, or alone where `app` has none (Django).

    Args:
        app: The ASGI application.
        path: Where the server stands, such as "/mcp".
        server: The server.
        around: What a request to the server runs in, such as the host's application context.

    Raises:
        TypeError: If the arguments are swapped, or `app` is no ASGI application.
        ValueError: If the path has parameters.
        DefinitionError: If a server that is mounted already would not be reached any more.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        path: str,
        server: MCPServer,
        *,
        around: Callable[[Scope], AbstractContextManager[Any]] | None = None,
    ) -> None:
        check_mount(app, path, server, 3)
        self._app = app
        self.path = _literal(path)
        _refuse_unreachable(app, self.path)
        self.server = server
        serve_metadata(server, self.path)
        self._around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self.server.has_lifespan:
            await _Lifespan(self._app, self.server)(scope, receive, send)
            return
        path = route_path(scope) if scope["type"] == "http" else ""
        resource = self.server.resource_server
        if resource is not None:
            place = discovery_path(path, self.path, has_servers=resource.has_servers)
            path = path if place is None else self.path + place
        if path and is_below(path, self.path):
            root_path = scope.get("root_path", "")
            inner = {
                **scope,
                "root_path": root_path + self.path,
                "path": root_path + path,
                HOST_PREFIX: root_path,
            }
            if self._around is None:
                await self.server(inner, receive, send)
                return
            activity = Activity()
            running_functions.set(activity)
            with self._around(inner):
                try:
                    await self.server(inner, receive, send)
                finally:
                    # A client may have left while a function runs on.
                    await ended(activity)
        else:
            await self._app(scope, receive, send)


class _Lifespan:
    """The server's lifespan around the application's, if that has one."""

    def __init__(self, app: Callable[..., Any], server: MCPServer) -> None:
        self._app = app
        self.server = server
        self._stack = AsyncExitStack()
        self._app_answered = False
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_and_start() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start(scope)
            return message

        async def end_and_send(message: MutableMapping[str, Any]) -> None:
            self._app_answered = True
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.startup.failed"):
                await self._stack.aclose()
            await send(message)

        try:
            await self._app(scope, receive_and_start, end_and_send)
        except Exception:
            # Most applications without a lifespan raise at the first look at the scope.
            if self._app_answered:
                await self._stack.aclose()
                raise
        if not self._app_answered:
            await self._alone(scope, receive, send)

    async def _start(self, scope: Scope) -> None:
        context = self.server.router.lifespan_context(self.server)
        state = await self._stack.enter_async_context(context)
        if state and "state" in scope:
            scope["state"].update(state)
        self._started = True

    async def _alone(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._started:
            await receive()
            try:
                await self._start(scope)
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})
