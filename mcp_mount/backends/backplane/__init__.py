"""What the processes of a server have in common: in this process alone, or in Redis."""

from mcp_mount.backends.backplane.given import backplane_of, check_backplane, is_shared, store_url
from mcp_mount.backends.backplane.memory import MemoryBackplane

__all__ = ["MemoryBackplane", "backplane_of", "check_backplane", "is_shared", "store_url"]
