"""A server in front of an ASGI application."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, AsyncExitStack
from typing import Any

from mcp_mount.base import MCPServer
from mcp_mount.calls.activity import Activity
from mcp_mount.protocol.direct import DirectCall
from mcp_mount.transports.direct import again
from mcp_mount.transports.lasting import ended
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import HOST_PREFIX, HOST_REQUEST, Receive, Scope, Send
from mcp_mount.transports.threads import running_functions
from mcp_mount.wrapping.arguments import DirectlyWithin, Wrapped
from mcp_mount.wrapping.fallback import asked_first


class mount_asgi(Wrapped):
    """An ASGI application that serves `server` at `path`, and `app` everywhere else.

    Nothing has to be started. If the user gave the server a lifespan, it runs around that of
    `app`, or alone where `app` has none (Django).

    Args:
        app: The ASGI application.
        path: Where the server stands, such as "/mcp".
        server: The server.
        around: What a request to the server runs in, such as the host's application context.
        directly: What it runs in if it is a direct call, by its scope; it must be the same to the
            handler. None, and what returns None, is for the long way.

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
        directly: Callable[[Scope], DirectlyWithin | None] | None = None,
    ) -> None:
        super().__init__(app, path, server, 3)
        self._around = around
        self._directly = directly

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self.server.core.has_lifespan:
            await _Lifespan(self.app, self.server)(scope, receive, send)
            return
        asked = route_path(scope) if scope["type"] == "http" else ""
        path = self.inner_path(asked) if scope["type"] == "http" else None
        if path is None and scope["type"] == "http" and (alias := self.alias_path(asked)):
            unanswered = await asked_first(self.app, scope, receive, send)
            if unanswered is None:
                return
            path, receive = alias, unanswered
        if path is not None:
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
            if self._directly is not None and path == self.path:
                endpoint = self.server.core.asgi_endpoint
                direct = None
                if self.server.core.allows_direct_calls:
                    direct = endpoint.direct.find(inner, inner["root_path"], stands_alone=False)
                within = None if direct is None else self._directly(inner)
                if direct is not None and within is not None:
                    message = await receive()
                    call = endpoint.direct.read(direct, message)
                    if call is not None:
                        await self._answer_directly(call, inner, receive, send, within)
                        return
                    receive = again(message, receive)
            activity = Activity()
            running_functions.set(activity)
            with self._around(inner):
                try:
                    await self.server(inner, receive, send)
                finally:
                    # A client may have left while a function runs on.
                    await ended(activity)
        else:
            await self.app(scope, receive, send)

    async def _answer_directly(
        self, call: DirectCall, scope: Scope, receive: Receive, send: Send, within: DirectlyWithin
    ) -> None:
        core = self.server.core
        manager, read = within

        def complete(scope: Scope) -> Scope:
            scope[HOST_REQUEST] = read()
            return core.complete(scope)

        activity = Activity()
        running_functions.set(activity)
        with manager:
            try:
                await core.asgi_endpoint.answer_directly(call, scope, receive, send, complete)
            finally:
                # As in the long way.
                await ended(activity)


class _Lifespan:
    """The server's lifespan around the application's, if that has one."""

    def __init__(self, app: Callable[..., Any], server: MCPServer) -> None:
        self._app = app
        self._server = server
        self._stack = AsyncExitStack()
        self._app_answered = False
        self._started = False
        self._problem: Exception | None = None

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
        except Exception as error:
            if error is self._problem:
                # The server's own, which has come through the application: nobody else tells it.
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            # Most applications without a lifespan raise at the first look at the scope.
            if self._app_answered:
                await self._stack.aclose()
                raise
        if not self._app_answered:
            await self._alone(scope, receive, send)

    async def _start(self, scope: Scope) -> None:
        context = self._server.router.lifespan_context(self._server)
        try:
            state = await self._stack.enter_async_context(context)
        except Exception as error:
            self._problem = error
            raise
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
