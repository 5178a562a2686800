"""Calling an ASGI application of this process, for a caller who wants its whole response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Response:
    """A whole response. headers: names in lower case, of repeated ones the last."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def call_application(
    application: Callable[..., Any], scope: MutableMapping[str, Any], body: bytes
) -> Response:
    """Send a request to an application, and wait until all of its response is there.

    Raises what the application raises.
    """
    response = Response()
    chunks: list[bytes] = []
    sent = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            # The caller stays: whoever gives up cancels the task.
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            response.headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in message.get("headers", ())
            }
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))

    await application(scope, receive, send)
    response.body = b"".join(chunks)
    return response
