"""Direct calls over WSGI: what their headers say, and their handlers run on the spot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_mount.calls.call import Call
from mcp_mount.calls.catalogue import DirectTool
from mcp_mount.calls.results import Result
from mcp_mount.protocol.direct import DirectCall, DirectCalls, Resumed
from mcp_mount.protocol.exchange import Protocol
from mcp_mount.transports.scopes import HOST_REQUEST
from mcp_mount.transports.threads import Runner


class WSGIDirectCalls:
    """Finds direct calls among WSGI requests, and runs them.

    Their handlers are plain functions: a coroutine function needs the background loop. They are
    calls of the stateless revision: in a session, a client may cancel a function that runs, by
    another request, and gets no answer then.

    Args:
        protocol: The core.
        runner: How handlers run; direct calls are for servers whose host has nothing around them.
    """

    def __init__(self, protocol: Protocol, runner: Runner) -> None:
        self._calls: DirectCalls = protocol.direct
        self._is_plain = runner.run is Call.run

    def find(
        self,
        environ: Mapping[str, Any],
        *,
        stands_alone: bool,
        with_coroutines: bool = False,
    ) -> DirectTool | None:
        """The tool that the headers of a request name, if it may be a direct call; None for the
        long way.

        Args:
            environ: The WSGI environment.
            stands_alone: Whether the server is not mounted in another application.
            with_coroutines: Whether tools that are coroutine functions are found as well.
        """
        get = environ.get
        if (
            not self._is_plain
            or environ["REQUEST_METHOD"] != "POST"
            # Only by its length a body is read in the same way by all.
            or not get("CONTENT_LENGTH", "").isdecimal()
            or "HTTP_TRANSFER_ENCODING" in environ
            or "HTTP_MCP_SESSION_ID" in environ
            or "HTTP_ORIGIN" in environ
            or "HTTP_SEC_FETCH_SITE" in environ
            or HOST_REQUEST in environ
        ):
            return None
        seen = (
            get("HTTP_HOST"),
            get("HTTP_ACCEPT"),
            get("CONTENT_TYPE"),
            get("HTTP_MCP_PROTOCOL_VERSION"),
            get("HTTP_MCP_METHOD"),
            get("SERVER_NAME", ""),
            stands_alone,
        )
        asked = self._calls.find(seen, get("HTTP_MCP_NAME"), None, "")
        if not isinstance(asked, DirectTool) or (asked.is_async and not with_coroutines):
            return None
        return asked

    def read(self, asked: DirectTool, body: bytes) -> DirectCall | None:
        """The call in the body of a request; None for the long way.

        Args:
            asked: The tool that its headers name.
            body: Its body.
        """
        return self._calls.read(asked, body)

    def run(self, call: DirectCall) -> tuple[bytes | None, Result | Resumed | None]:
        """Run the handler of a call.

        Args:
            call: The call.

        Returns:
            As `DirectCalls.run`; twice None if the handler has not run.
        """
        try:
            call.validated = call.tool.validate(call.arguments)
        except Exception:
            # Once more the long way, which knows what to tell the client.
            return None, None
        return self._calls.run(call)
