"""Tasks by Django's tasks framework, as far as its settings are concerned."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from mcp_mount import DefinitionError
from mcp_mount_django.queues import DjangoTasks, tasks

pytestmark = pytest.mark.usefixtures("own_servers")


def test_a_backend_that_runs_tasks_in_the_web_process_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="choose a backend that has workers"):
        tasks.submit("{}")


def test_attempts_is_a_number() -> None:
    with pytest.raises(DefinitionError, match="attempts"):
        DjangoTasks(attempts=0)


def test_a_server_takes_them() -> None:
    from mcp_mount_django import MCPServer

    assert MCPServer("queued", tasks=tasks).core.values["tasks"] is tasks
