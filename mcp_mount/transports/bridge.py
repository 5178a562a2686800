"""A WSGI request served by an ASGI application, with its thread at the application's service.

What the application must run as plain functions (handlers, rules, the reading of the body) comes
back to the request's own thread, with its connections and its context, as it does without an ASGI
application between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from a2wsgi.asgi import build_scope

from mcp_mount.transports import background
from mcp_mount.transports.departures import LOOK_SECONDS, departure_of
from mcp_mount.transports.environs import Environ, IncompleteBody, body_length, whole_body
from mcp_mount.transports.executor import Executor
from mcp_mount.transports.in_process import (
    Application,
    ApplicationExchange,
    ClientGone,
    Message,
)
from mcp_mount.transports.scopes import RUNNER, WAITING, Scope
from mcp_mount.transports.threads import Runner
from mcp_mount.transports.wsgi import StartResponse, status_line
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_CHUNK: Final = 65536

_ASCII: Final = "".join(map(chr, range(128)))


class Bridge:
    """A WSGI response that an ASGI application gives, on the background loop.

    What is plain runs on the thread that takes the response, by `runner`. A client that leaves is
    told to the application, which ends as it would under an ASGI server; so does what it still does
    after its response (FastAPI's background tasks). `close` waits for that.

    Args:
        application: The ASGI application.
        runner: How handlers run for this request.
        waiting: How many requests may wait without end on this server, each of them on a thread.
        environ: The request.
        start_response: Called when the application starts its response.

    Raises:
        Exception: What the application raises, from the iteration.
    """

    def __init__(
        self,
        application: Application,
        runner: Runner,
        waiting: int,
        environ: Environ,
        start_response: StartResponse,
    ) -> None:
        self._start_response = start_response
        self._executor = Executor()
        self._exchange = _BridgedExchange(self._executor, environ)
        scope = scope_of(environ)
        scope[WAITING] = waiting
        scope[RUNNER] = runner
        run = partial(self._exchange.run, application, scope)
        self._outcome, _ = background.spawn(self._executor.entered(run))
        self._has_more = True
        self._has_begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while self._has_more:
            self._exchange.let_go_on()
            message = self._executor.heard()
            if message is None:
                self._has_more = False
                # A client that has left hears nothing.
                with suppress(ClientGone):
                    self._outcome.result()
                if not self._has_begun:
                    # ASGI lets an application leave a client without answer that has left itself.
                    self._start_response(status_line(400), [("content-length", "0")])
            elif message["type"] == "http.response.start":
                self._has_begun = True
                self._start_response(status_line(message["status"]), _decoded(message["headers"]))
            elif message["type"] == "http.response.body":
                self._has_more = message.get("more_body", False)
                body: bytes = message.get("body", b"")
                return body
        raise StopIteration

    def close(self) -> None:
        """Let the application end, and run what is plain for it meanwhile."""
        try:
            if not self._outcome.done():
                self._exchange.let_leave()
                self._executor.serve(self._outcome)
                if (error := self._outcome.exception()) is not None:
                    logger.error("A request failed after its response", exc_info=error)
        finally:
            self._executor.close()


class _BridgedExchange(ApplicationExchange):
    """A request and its response, between the application on the loop and the request's thread."""

    def __init__(self, executor: Executor, environ: Environ) -> None:
        super().__init__()
        self._executor = executor
        self._input = _Body(environ)
        self._loop = background.loop()
        self._has_left = departure_of(environ)
        self._timer: asyncio.TimerHandle | None = None

    def sent(self, message: Message) -> None:
        self._executor.say(message)

    def ended(self) -> None:
        self._executor.say(None)

    def let_go_on(self) -> None:
        """Let the application send the next part of its response. On the thread."""
        self._loop.call_soon_threadsafe(self.go_on)

    def let_leave(self) -> None:
        """Tell the application that nobody reads what it sends. On the thread."""
        self._loop.call_soon_threadsafe(self.leave)

    async def departure(self) -> None:
        if self._has_left is None:
            # It shows when something is sent to the client.
            return await super().departure()
        self._look(self._has_left)
        try:
            await super().departure()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _look(self, has_left: Callable[[], bool]) -> None:
        """Look whether the client has left, now and again."""
        if has_left():
            self.leave()
        else:
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look, has_left)

    async def next_body(self) -> Message | None:
        if self._input.ended:
            return None
        # Reading blocks, and belongs to the request's thread.
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._input.read)
        except IncompleteBody:
            return {"type": "http.disconnect"}
        chunk, more = self._input.chunk, not self._input.ended
        return {"type": "http.request", "body": chunk, "more_body": more}


class _Body:
    """The body of a WSGI request, chunk by chunk."""

    def __init__(self, environ: Environ) -> None:
        self._environ = environ
        self._left: int | None = None
        self._has_begun = False
        self.chunk = b""
        self.ended = False

    def read(self) -> None:
        """Read the next chunk; `ended` tells whether it is the last one.

        Raises:
            IncompleteBody: If the client left before the end.
        """
        if not self._has_begun:
            self._has_begun = True
            self._left = body_length(self._environ)
            if self._left is None and not self._environ.get("wsgi.input_terminated"):
                self._left = 0
        size = _CHUNK if self._left is None else min(_CHUNK, self._left)
        with whole_body():
            self.chunk = self._environ["wsgi.input"].read(size) if size else b""
        if self._left is None:
            self.ended = not self.chunk
            return
        self._left -= len(self.chunk)
        self.ended = not self._left
        if not self.ended and not self.chunk:
            raise IncompleteBody


def scope_of(environ: Environ) -> Scope:
    """The scope of a request, whatever its server leaves in the environment."""
    port = environ.get("SERVER_PORT") or ""
    fit = {
        # Behind a Unix socket there is none where the client names no host (gunicorn).
        "SERVER_PORT": port if port.isdecimal() else "80",
        # Servers differ in whether they refuse what is no ASCII there.
        "QUERY_STRING": quote(environ.get("QUERY_STRING") or "", safe=_ASCII, encoding="latin-1"),
    }
    return dict(build_scope({**environ, **fit}))  # type: ignore[typeddict-item]


def _decoded(headers: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
