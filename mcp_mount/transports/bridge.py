"""A WSGI request served by an ASGI application, with its thread at the application's service.

a2wsgi bridges whole applications; this bridge is for MCP requests behind ASGI middleware: what the
protocol must run as a plain function comes back to the request's own thread, with its connections
and its context, as it does without middleware.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, MutableMapping
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

from a2wsgi.asgi import build_scope

from mcp_mount.transports import background
from mcp_mount.transports.asgi import RUNNER, WAITING, Receive, Scope, Send
from mcp_mount.transports.threads import Runner
from mcp_mount.transports.wsgi import Environ, StartResponse, status_line

_CHUNK: Final = 65536

Application: TypeAlias = Callable[[Scope, Receive, Send], Any]


@dataclass(slots=True)
class _Work:
    """A function for the request's thread, and how the loop learns that it has ended."""

    function: Callable[[], None]
    done: Callable[[], object]


_Item: TypeAlias = MutableMapping[str, Any] | _Work | None


def bridge(
    application: Application,
    runner: Runner,
    waiting: int,
    environ: Environ,
    start_response: StartResponse,
) -> Iterator[bytes]:
    """Serve the request in `environ`; plain calls run here, by `runner`.

    waiting: how many requests may wait without end on this server, each of them on a thread.
    Raises what the application raises before it starts its response.
    """
    inbox: SimpleQueue[_Item] = SimpleQueue()
    scope: Scope = dict(build_scope(environ))  # type: ignore[arg-type]
    scope[WAITING] = waiting
    scope[RUNNER] = replace(runner, off_loop=partial(_hand_over, inbox))
    outcome, cancel = background.spawn(_serve(application, scope, environ, inbox))
    try:
        while (item := inbox.get()) is not None:
            if isinstance(item, _Work):
                try:
                    item.function()
                finally:
                    item.done()
            elif item["type"] == "http.response.start":
                start_response(status_line(item["status"]), _decoded(item["headers"]))
            else:
                yield item.get("body", b"")
    finally:
        if not outcome.done():
            cancel()
    outcome.result()


class _Body:
    """The body of a WSGI request, chunk by chunk."""

    def __init__(self, environ: Environ) -> None:
        length = environ.get("CONTENT_LENGTH")
        self._left = int(length) if length else None
        self._input = environ["wsgi.input"]
        self.chunk = b""
        self.ended = False
        if self._left is None and not environ.get("wsgi.input_terminated"):
            self._left = 0

    def read(self) -> None:
        """Read the next chunk; `ended` tells that it is the last one."""
        size = _CHUNK if self._left is None else min(_CHUNK, self._left)
        self.chunk = self._input.read(size) if size else b""
        if self._left is None:
            self.ended = not self.chunk
        else:
            self._left -= len(self.chunk)
            self.ended = not self._left or not self.chunk


async def _serve(
    application: Application, scope: Scope, environ: Environ, inbox: SimpleQueue[_Item]
) -> None:
    source = _Body(environ)

    async def receive() -> MutableMapping[str, Any]:
        if source.ended:
            # Nothing comes but the end of the task.
            await asyncio.Event().wait()
        # Reading blocks, and belongs to the request's thread.
        await _hand_over(inbox, source.read)
        return {"type": "http.request", "body": source.chunk, "more_body": not source.ended}

    async def send(message: MutableMapping[str, Any]) -> None:
        inbox.put(message)

    try:
        await application(scope, receive, send)
    finally:
        inbox.put(None)


async def _hand_over(inbox: SimpleQueue[_Item], function: Callable[[], None]) -> None:
    """Run a function on the request's thread, in the context variables of this task."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    work = partial(copy_context().run, function)
    inbox.put(_Work(work, partial(loop.call_soon_threadsafe, ended.set)))
    await ended.wait()


def _decoded(headers: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
