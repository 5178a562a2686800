"""The Model Context Protocol without I/O: no socket, no event loop, no web framework.

An HTTP-shaped `Request` goes in; a finished `Reply` or an `Exchange` of calls to run comes out.
"""

from mcp_mount.protocol.exchange import Exchange, Protocol
from mcp_mount.protocol.settings import Settings
from mcp_mount.wire.errors import ProtocolError
from mcp_mount.wire.messages import Reply, Request

__all__ = ["Exchange", "Protocol", "ProtocolError", "Reply", "Request", "Settings"]
