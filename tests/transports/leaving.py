"""A client that leaves while a tool runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.requests import stateless


async def leave_during(
    server: Any, tool: str, *, after: float | Callable[[], Awaitable[Any]]
) -> list[Any]:
    """Call a tool and leave after some seconds, or something else; what was sent to nobody."""
    headers, body = stateless("tools/call", {"name": tool, "arguments": {}})
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Any] = []
    asked = False

    async def receive() -> Any:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}
        await (asyncio.sleep(after) if isinstance(after, float | int) else after())
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await server(scope, receive, send)
    return sent
