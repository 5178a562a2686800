"""Calling an ASGI application of this process, for a caller who wants its whole response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")


class Body(Protocol):
    """What collects the body of a response; it raises when that is too large."""

    def expect(self, length: str | None) -> None: ...
    def add(self, chunk: bytes) -> None: ...
    def whole(self) -> bytes: ...


@dataclass(slots=True)
class Response:
    """A whole response.

    Attributes:
        status: The HTTP status.
        headers: By names in lower case; of repeated headers the last one.
        body: As bytes.
    """

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def call_application(
    application: Callable[..., Any],
    scope: MutableMapping[str, Any],
    body: bytes,
    collected: Body,
) -> Response:
    """Send a request to an application, and wait until all of its response is there.

    The application runs in a task of its own, which nobody cancels: it ends as it does for a client
    of HTTP. What it does after its response, such as background tasks, is not waited for. A caller
    that is cancelled has left: the application hears that as over HTTP, and goes on as it will; the
    cancellation is raised when its response has ended.

    Args:
        application: The ASGI application.
        scope: Of the request.
        body: Of the request.
        collected: What collects the body of the response. If it raises, the application is told
            that its client has left, and nothing more is kept of what it sends.

    Returns:
        The response.

    Raises:
        Exception: What the application raises, and what `collected` does.
    """
    running = _Running(application, scope, body, collected)
    if (cancellation := await wait_until_done(running.answered, running.leave)) is not None:
        raise cancellation
    return running.answered.result()


class _Running:
    """An application that answers a request.

    Attributes:
        answered: Its response, or what it raised before the response was complete.
    """

    def __init__(
        self,
        application: Callable[..., Any],
        scope: MutableMapping[str, Any],
        body: bytes,
        collected: Body,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[Response] = loop.create_future()
        self._body: bytes | None = body
        self._response = Response()
        self._collected = collected
        self._left = asyncio.Event()
        keep(loop.create_task(self._run(application, scope)))

    def leave(self) -> None:
        """Tell the application that its client has left."""
        self._left.set()

    async def _run(self, application: Callable[..., Any], scope: MutableMapping[str, Any]) -> None:
        try:
            await application(scope, self._receive, self._send)
            self._end()
        except (Exception, SystemExit) as error:
            # Raised by a task, SystemExit would end the event loop.
            if self.answered.done():
                if not self._left.is_set():
                    logger.error("%r failed after its response", scope["path"], exc_info=error)
            elif isinstance(error, Exception):
                self._fail(error)
            else:
                self._fail(RuntimeError("The application has called sys.exit()"))
        finally:
            if not self.answered.done():
                # The loop ends, and cancels all of its tasks.
                self.answered.cancel()

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._body is None:
            await self._left.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if self.answered.done() or self._left.is_set():
            if message.get("more_body"):
                # ASGI 2.4: a server raises OSError where the client has left. A stream ends by it;
                # for a response that is whole it would be a failure of what has been done.
                raise OSError("the caller takes no more of this response")
            self._end()
            return
        try:
            if message["type"] == "http.response.start":
                self._response.status = message["status"]
                self._response.headers = {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in message.get("headers", ())
                }
                self._collected.expect(self._response.headers.get("content-length"))
            elif message["type"] == "http.response.body":
                self._collected.add(message.get("body", b""))
                if not message.get("more_body"):
                    self._end()
        except Exception as error:
            self._fail(error)
            self.leave()
            if message.get("more_body"):
                raise OSError("the caller takes no more of this response") from error

    def _end(self) -> None:
        if not self.answered.done():
            self._response.body = self._collected.whole()
            self.answered.set_result(self._response)

    def _fail(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)
            # Perhaps nobody waits for it.
            self.answered.exception()
