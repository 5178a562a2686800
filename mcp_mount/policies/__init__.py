"""What runs between the core and a handler: declared by arguments, around a tool, a router or a
server."""

from mcp_mount.observability.records import Audit, CallRecord
from mcp_mount.policies.cache import Cache
from mcp_mount.policies.concurrency import MaxConcurrency
from mcp_mount.policies.throttle import Throttle
from mcp_mount.policies.timeout import Timeout

__all__ = ["Audit", "Cache", "CallRecord", "MaxConcurrency", "Throttle", "Timeout"]
