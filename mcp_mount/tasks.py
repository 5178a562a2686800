"""Tasks in other processes: queues that bring tasks to workers, and what a worker runs."""

from mcp_mount.calls.tasks import TaskQueue
from mcp_mount.hosting.celery_tasks import CeleryTasks
from mcp_mount.hosting.task_workers import run_task

__all__ = ["CeleryTasks", "TaskQueue", "run_task"]
