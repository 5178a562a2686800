"""What crosses requests: ended sessions, the log level and the subscriptions of a session."""

from mcp_mount.backends.backplane.memory import MemoryBackplane

__all__ = ["MemoryBackplane"]
