"""Where tasks run: in this process."""

from mcp_mount.backends.tasks.local import LocalTasks

__all__ = ["LocalTasks"]
