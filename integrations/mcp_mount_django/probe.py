"""Ask a mounted server as a client would, through all of the project's middleware."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.test import Client

from mcp_mount.protocol.stateless import CAPABILITIES_META, VERSION_META
from mcp_mount.wire.revisions import LATEST


def probe(path: str, host: str) -> str | None:
    """Send a discovery request to the server at `path`. A response that requires a login counts as
    an answer.

    Args:
        path: The path in the project's URLs.
        host: The host name to use.

    Returns:
        What prevents an answer, or None.
    """
    meta = {VERSION_META: LATEST.name, CAPABILITIES_META: {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}}
    client = Client(raise_request_exception=False, headers={"host": host})
    response: Any = client.post(
        path,
        json.dumps(message),
        content_type="application/json",
        secure=bool(settings.SECURE_SSL_REDIRECT),
        headers={
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": LATEST.name,
            "mcp-method": "server/discover",
        },
    )
    status = response.status_code
    if status in (301, 302, 303, 307, 308):
        return (
            f"redirects to {response['location']}: a middleware answers instead, "
            "or the prefix ends with a slash"
        )
    if status == 400 and b"error" not in response.content:
        return f"refuses the host {host!r}: is it in ALLOWED_HOSTS?"
    if status in (200, 401, 403) and response.headers.get("content-type") == "application/json":
        return None
    return f"answers {status}, and not with a message of the protocol"
