"""What crosses requests: answers to questions, ended sessions, log levels of a session."""

from mcp_mount.backends.backplane.memory import MemoryBackplane

__all__ = ["MemoryBackplane"]
