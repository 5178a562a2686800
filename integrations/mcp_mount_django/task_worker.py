"""What the workers of Django's tasks framework run. It is imported when there are settings."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any, Final

import django

from mcp_mount.hosting.task_workers import run_task

_framework: Any = import_module("django.tasks" if django.VERSION >= (6, 0) else "django_tasks")

_AGAIN_SECONDS: Final = 10


@_framework.task()  # type: ignore[untyped-decorator]
def run_task_of_server(payload: str) -> None:
    """Run a task of a server.

    Args:
        payload: What `DjangoTasks.submit` was given.
    """
    while not run_task(payload):
        # Another worker has it, and may be lost.
        time.sleep(_AGAIN_SECONDS)
