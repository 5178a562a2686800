"""The gate before our HTTP routes: the checks that the MCP endpoint makes of every request."""

from __future__ import annotations

from fastapi import HTTPException, Request

from mcp_mount.protocol import Protocol, ProtocolError, Settings
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.messages import JSON
from mcp_mount.transports.asgi import ClientLeft, read_body, read_headers


async def gate(request: Request) -> None:
    """Refuse foreign browser origins, and bodies that a cross-site form could send.

    Use it as a FastAPI dependency. Raises HTTPException (403, 415, 421).
    """
    headers = read_headers(request.scope)
    server: Protocol | None = getattr(request.app, "protocol", None)
    if server is not None:
        try:
            server.check_origin(ProtocolRequest(request.method, headers))
        except ProtocolError as error:
            raise HTTPException(error.status(modern=True), error.message) from None
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and media_type != JSON:
        raise HTTPException(415, f"The Content-Type must be {JSON}")


async def gated_body(request: Request) -> bytes:
    """The body of a request, within the server's limit. Raises HTTPException (413, 400)."""
    server: Protocol | None = getattr(request.app, "protocol", None)
    settings = server.settings if server is not None else Settings()
    headers = read_headers(request.scope)
    try:
        body = await read_body(headers, request.receive, settings.max_body_bytes)
    except ClientLeft:
        raise HTTPException(400, "The body is not complete") from None
    if body is None:
        raise HTTPException(413, f"The body exceeds {settings.max_body_bytes} bytes")
    return body
