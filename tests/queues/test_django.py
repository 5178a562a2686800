"""Tasks of a Django project under gunicorn, which workers of Celery and of Django's tasks framework
run."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sample_projects.processes import PYTHONPATH, ROOT
from tests.queues.running import (
    Desk,
    answered,
    celery,
    children,
    gunicorn,
    has_ended,
    tasks_in,
    until,
    worker,
)
from tests.valkey import Valkey

MODULE = "tests.queues.django_desk"
LOST_SECONDS = 60

_FIRST = """
from django.contrib.auth.models import Permission, User
ada = User.objects.create_user("ada")
ada.user_permissions.add(Permission.objects.get(codename="view_user"))
User.objects.create_user("bob")
"""


class Project:
    """A running project; `queue` is "celery" or "django"."""

    def __init__(
        self,
        queue: str,
        folder: Path,
        environment: dict[str, str],
        broker: Valkey,
        backplane: Valkey,
    ) -> None:
        self.queue = queue
        self.broker = broker
        self.backplane = backplane
        self.folder = folder
        self.environment = environment
        self.port = 0

    def desk(self, **headers: str) -> Desk:
        return Desk(self.port, **headers)

    def manage(self, *words: str) -> None:
        environment = {**os.environ, "PYTHONPATH": PYTHONPATH, **self.environment}
        command = [sys.executable, "-m", "tests.queues.manage", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()

    def worker(self) -> AbstractContextManager[Any]:
        if self.queue == "celery":
            words, ready = celery(f"{MODULE}:celery", "prefork"), "ready."
        else:
            words, ready = (
                ["tests.queues.manage", "db_worker", "--interval", "0.1", "-v", "3"],
                "Starting worker",
            )
        return worker(words, self.environment, self.folder / "log", ready)

    @contextmanager
    def without_queue(self) -> Iterator[None]:
        """The broker is stopped, and the table of Django's own tasks cannot be found."""
        self.broker.stop()
        self._rename("django_tasks_database_dbtaskresult", "away")
        try:
            yield
        finally:
            self._rename("away", "django_tasks_database_dbtaskresult")
            self.broker.start()

    def _rename(self, table: str, other: str) -> None:
        with closing(sqlite3.connect(self.folder / "db.sqlite3")) as database:
            database.execute(f"ALTER TABLE {table} RENAME TO {other}")

    def file(self, name: str) -> str:
        return str(self.folder / name)


@contextmanager
def project(queue: str, folder: Path, **variables: str) -> Iterator[Project]:
    with Valkey() as backplane, Valkey() as broker:
        environment = {
            "QUEUE": queue,
            "BROKER": broker.url,
            "BACKPLANE": backplane.url,
            "FOLDER": str(folder),
            **variables,
        }
        running = Project(queue, folder, environment, broker, backplane)
        running.manage("migrate", "-v", "0")
        running.manage("shell", "-c", _FIRST)
        with gunicorn(f"{MODULE}:wsgi", environment, workers=2) as (port, _):
            running.port = port
            yield running


@pytest.fixture(scope="module", params=["celery", "django"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    with project(request.param, tmp_path_factory.mktemp(request.param)) as one:
        yield one


def test_tasks_run_in_a_worker_for_their_user(running: Project) -> None:
    desk = running.desk(x_user="ada", accept_language="de")
    with running.worker() as process:
        processes = children(process)
        for tool in ("who", "who_async"):
            found = desk.outcome(tool)
            assert found.pop("pid") in processes
            assert found == {
                "user": "ada",
                "users": 2,
                "language": "de",
                "time_zone": "UTC",
                "tenants": 1,
                "secret": None,
            }
        assert desk.outcome("secret") == "ada"
        for tool in ("count", "count_async"):
            assert desk.outcome(tool, number=4)["sum"] == 6
        for tool in ("ask", "ask_async"):
            assert answered(desk, tool) == "w True"
        for tool in ("slow", "slow_async"):
            started = Path(running.file(tool))
            task_id = desk.begin(tool, started=str(started))
            until(lambda started=started: started.exists() and started.read_text())
            desk.cancel(task_id)
            assert desk.ended(task_id)["status"] == "cancelled"


@pytest.mark.parametrize("queue", ["celery", "django"])
def test_a_task_that_an_atomic_handler_starts_is_in_the_queue_when_its_client_knows_it(
    queue: str, tmp_path: Path
) -> None:
    """What the handler has done before is rolled back, and the row of the queue is not."""
    with project(queue, tmp_path, ATOMIC="1") as running, running.worker():
        for tool in ("enroll", "enroll_async"):
            assert running.desk().outcome(tool, name=tool) == 1


def test_who_may_not_come_any_more_has_no_task_run(running: Project) -> None:
    """A user who is inactive by then, and one who has lost the permission."""
    of_ada = running.desk(x_user="ada").begin("secret")
    of_bob = running.desk(x_user="bob").begin("mark", file=running.file("bob"))
    running.manage(
        "shell",
        "-c",
        "from django.contrib.auth.models import User\n"
        "User.objects.filter(username='bob').update(is_active=False)\n"
        "User.objects.get(username='ada').user_permissions.clear()",
    )
    try:
        with running.worker():
            # Not by a task that comes after them: Celery's worker has two processes, and the end
            # of this block kills what they still do.
            until(lambda: all(has_ended(running.backplane, one) for one in (of_ada, of_bob)))
    finally:
        running.manage(
            "shell",
            "-c",
            "from django.contrib.auth.models import Permission, User\n"
            "User.objects.filter(username='bob').update(is_active=True)\n"
            "User.objects.get(username='ada').user_permissions.add("
            "Permission.objects.get(codename='view_user'))",
        )
    seen = running.desk(x_user="bob").ended(of_bob)
    assert (seen["status"], seen["error"]["message"]) == ("failed", "Authentication required")
    assert not Path(running.file("bob")).exists()
    seen = running.desk(x_user="ada").ended(of_ada)
    assert (seen["status"], seen["error"]["message"]) == ("failed", "Unknown tool: secret")


def test_of_a_task_that_its_queue_does_not_take_nothing_is_kept(running: Project) -> None:
    known = tasks_in(running.backplane)
    with running.without_queue():
        asked = {"name": "mark", "arguments": {"file": running.file("away")}}
        error = running.desk().stateless("tools/call", asked)["error"]
        assert error["data"] == {"retryAfter": 5}
        assert tasks_in(running.backplane) == known


def test_a_task_of_a_worker_that_is_killed_fails(running: Project) -> None:
    desk = running.desk()
    started = Path(running.file("killed"))
    with running.worker() as process:
        task_id = desk.begin("slow", started=str(started))
        until(lambda: started.exists() and started.read_text())
        os.killpg(process.pid, signal.SIGKILL)
    seen = desk.ended(task_id, LOST_SECONDS)
    assert seen["error"]["message"] == "The worker that ran this task was lost"
