"""Calling an ASGI application of this process, for a caller who wants its whole response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Body(Protocol):
    """What collects the body of a response; it raises when that is too large."""

    def expect(self, length: str | None) -> None: ...
    def add(self, chunk: bytes) -> None: ...
    def whole(self) -> bytes: ...


@dataclass(slots=True)
class Response:
    """A whole response. headers: names in lower case, of repeated ones the last."""

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
    response = Response()
    sent = False
    left = asyncio.Event()
    refusal: Exception | None = None

    async def receive() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            await left.wait()
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal refusal
        if refusal is not None:
            # ASGI 2.4: a server raises OSError where the client has left.
            raise OSError("the caller takes no more of this response")
        try:
            if message["type"] == "http.response.start":
                response.status = message["status"]
                response.headers = {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in message.get("headers", ())
                }
                collected.expect(response.headers.get("content-length"))
            elif message["type"] == "http.response.body":
                collected.add(message.get("body", b""))
        except Exception as error:
            refusal = error
            left.set()
            raise OSError("the caller takes no more of this response") from error

    try:
        await application(scope, receive, send)
    except Exception:
        if refusal is None:
            raise
    if refusal is not None:
        raise refusal
    response.body = collected.whole()
    return response
