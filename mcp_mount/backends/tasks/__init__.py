"""Where tasks run: in the process that took their request, or in workers that a queue reaches."""

from mcp_mount.backends.tasks.local import LocalTasks
from mcp_mount.backends.tasks.queued import QueuedTasks

__all__ = ["LocalTasks", "QueuedTasks"]
