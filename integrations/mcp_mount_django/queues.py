"""Tasks by Django's tasks framework: that of Django 6, or of the package django-tasks before.

Write `"TASKS": "mcp_mount_django.queues.tasks"` in the setting MCP_MOUNT, or make a `DjangoTasks`
for another backend or queue. Which workers run tasks says the setting TASKS of the framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from mcp_mount.schemas.values import whole

__all__ = ["DjangoTasks", "tasks"]


class DjangoTasks:
    """Gives tasks of servers to a backend of Django's tasks framework.

    Args:
        backend: The alias of the backend in the setting TASKS.
        queue_name: The queue; by default that of the framework.
        attempts: How often a task may begin, if its workers are lost and the backend brings it
            again.

    Raises:
        DefinitionError: If `attempts` is not a number from 1 on.
    """

    def __init__(
        self, backend: str = "default", *, queue_name: str | None = None, attempts: int = 1
    ) -> None:
        self.attempts = whole(1)("attempts", attempts)
        self._backend = backend
        self._queue_name = queue_name

    def submit(self, payload: str) -> None:
        """Enqueue a payload.

        Args:
            payload: The payload.

        Raises:
            ImproperlyConfigured: If the backend would run it at once, in this process.
            Exception: If the backend does not take it.
        """
        chosen = self._chosen()
        # Under ASGI this is no thread of the request, and nobody else closes what is opened here.
        is_own = not connections.all(initialized_only=True)
        try:
            chosen.enqueue(payload)
        finally:
            if is_own:
                connections.close_all()

    def check(self) -> None:
        """Check that there is a backend that has workers.

        Raises:
            ImproperlyConfigured: If the setting TASKS has none of this name, or one that would run
                tasks in the web process.
            ModuleNotFoundError: If the framework is not installed.
            Exception: If the framework refuses the queue.
        """
        self._chosen()

    def _chosen(self) -> Any:
        # Django's settings must be there.
        task: Any = import_module("mcp_mount_django.task_worker").run_task_of_server
        options: dict[str, Any] = {"backend": self._backend}
        if self._queue_name is not None:
            options["queue_name"] = self._queue_name
        chosen = task.using(**options)
        kind = type(chosen.get_backend()).__name__
        if kind == "ImmediateBackend":
            raise ImproperlyConfigured(
                f"TASKS[{self._backend!r}] is an ImmediateBackend, which runs tasks in the web "
                "process while their client waits: choose a backend that has workers"
            )
        return chosen


tasks = DjangoTasks()
