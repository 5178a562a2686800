"""Tasks of a Flask application under gunicorn, which Celery's workers run."""

from __future__ import annotations

import json
import os
import signal
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.queues.running import (
    Desk,
    accept,
    answered,
    celery,
    children,
    gunicorn,
    tasks_in,
    until,
    worker,
)
from tests.requests import meta, stateless
from tests.valkey import Valkey
from tests.workers.client import TASKS

APP = "tests.queues.celery_flask"
LOST_SECONDS = 60


class Site:
    """A web server, the broker and the backplane.

    Args:
        port: Of the web server.
        web: Its process, whose children serve.
        environment: Of its processes.
        broker: Keeps the messages of Celery.
        backplane: Has the states of tasks.
        folder: For files of the tools.
    """

    def __init__(
        self,
        port: int,
        web: Any,
        environment: dict[str, str],
        broker: Valkey,
        backplane: Valkey,
        folder: Path,
    ) -> None:
        self.port = port
        self.web = web
        self.broker = broker
        self.backplane = backplane
        self.folder = folder
        self._environment = environment

    def desk(self, **headers: str) -> Desk:
        return Desk(self.port, **headers)

    def worker(self, pool: str = "prefork", *, ahead: float = 0) -> AbstractContextManager[Any]:
        """A worker, whose clock may be ahead of that of the web server."""
        words = celery(f"{APP}:celery", pool)
        environment = {**self._environment, "CLOCK_AHEAD": str(ahead)}
        return worker(words, environment, self.folder / f"{pool}.log", "ready.")

    def log(self, pool: str = "prefork") -> str:
        return (self.folder / f"{pool}.log").read_text()

    def file(self, name: str) -> str:
        return str(self.folder / name)


@contextmanager
def site(folder: Path, **environment: str) -> Iterator[Site]:
    with Valkey() as backplane, Valkey() as broker:
        variables = {
            "BROKER": broker.url,
            "BACKPLANE": backplane.url,
            "FOLDER": str(folder),
            **environment,
        }
        with gunicorn(f"{APP}:app", variables, workers=2) as (port, web):
            yield Site(port, web, variables, broker, backplane, folder)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("celery")) as one:
        yield one


@pytest.fixture
def waiting(running: Site) -> Site:
    """The site without a worker: tasks wait."""
    return running


@pytest.fixture(
    scope="class",
    params=[("prefork", 0), ("threads", 600)],
    ids=["prefork", "threads, with another clock"],
)
def working(request: pytest.FixtureRequest, running: Site) -> Iterator[tuple[Desk, set[int]]]:
    pool, ahead = request.param
    with running.worker(pool, ahead=ahead) as process:
        yield running.desk(x_user="ada"), children(process)


class TestAWorkerOfEachPool:
    @pytest.mark.parametrize("tool", ["count", "count_async"])
    def test_a_task_runs_in_a_worker(self, working: tuple[Desk, set[int]], tool: str) -> None:
        desk, processes = working
        task_id = desk.begin(tool, number=4)
        seen = desk.ended(task_id)
        content = seen["result"]["structuredContent"]
        assert (seen["status"], content["sum"]) == ("completed", 6)
        assert content["pid"] in processes
        assert content.get("task", task_id) == task_id

    @pytest.mark.parametrize("tool", ["ask", "ask_async"])
    def test_a_task_in_a_worker_asks_its_client(
        self, working: tuple[Desk, set[int]], tool: str
    ) -> None:
        assert answered(working[0], tool) == "w True"

    @pytest.mark.parametrize("tool", ["slow", "slow_async"])
    def test_a_task_in_a_worker_is_cancelled(
        self, working: tuple[Desk, set[int]], tool: str, tmp_path: Path
    ) -> None:
        desk, processes = working
        started = tmp_path / "started"
        task_id = desk.begin(tool, started=str(started))
        assert int(until(lambda: started.exists() and started.read_text())) in processes
        until(lambda: desk.task(task_id, "working").get("statusMessage") == "begun")
        desk.cancel(task_id)
        assert desk.ended(task_id)["status"] == "cancelled"

    def test_a_task_has_the_user_of_flask_login_and_no_headers(
        self,
        working: tuple[Desk, set[int]],
    ) -> None:
        found = working[0].outcome("who")
        assert (found["user"], found["secret"]) == ("ada", None)
        assert found["host"].startswith("127.0.0.1:")
        assert working[0].outcome("boss") == "ada"


def test_a_task_of_a_user_who_is_dismissed_meanwhile_does_not_run(waiting: Site) -> None:
    desk = waiting.desk(x_user="bob")
    task_id = desk.begin("mark", file=waiting.file("bob"))
    Path(waiting.file("dismissed-bob")).touch()
    try:
        with waiting.worker():
            until(lambda: "succeeded" in waiting.log())
    finally:
        Path(waiting.file("dismissed-bob")).unlink()
    seen = desk.ended(task_id)
    assert (seen["status"], seen["error"]["message"]) == ("failed", "Authentication required")
    assert not Path(waiting.file("bob")).exists()


def test_a_task_that_was_cancelled_in_its_queue_never_begins(waiting: Site) -> None:
    desk = waiting.desk()
    task_id = desk.begin("mark", file=waiting.file("cancelled"))
    desk.cancel(task_id)
    assert desk.ended(task_id)["status"] == "cancelled"
    with waiting.worker():
        assert desk.outcome("mark", file=waiting.file("next")) == "marked"
    assert not Path(waiting.file("cancelled")).exists()


def test_a_task_that_is_delivered_three_times_runs_once(waiting: Site) -> None:
    desk = waiting.desk()
    task_id = desk.begin("mark", file=waiting.file("once"))
    with waiting.broker.admin() as broker:
        [message] = broker.lrange("celery", 0, -1)
        broker.rpush("celery", message, message)
        with waiting.worker():
            assert desk.ended(task_id)["status"] == "completed"
            broker.rpush("celery", message)
            assert desk.outcome("mark", file=waiting.file("next once")) == "marked"
            until(lambda: waiting.log().count("succeeded") == 5)
    assert Path(waiting.file("once")).read_text() == "x"


def test_who_writes_to_the_broker_cannot_make_or_change_a_task(waiting: Site) -> None:
    desk = waiting.desk(x_user="bob")
    task_id = desk.begin("mark", file=waiting.file("forged"))
    with waiting.broker.admin() as broker:
        [message] = broker.lrange("celery", 0, -1)
        broker.delete("celery")
        taken = json.loads(message)
        args, kwargs, embed = json.loads(b64decode(taken["body"]))
        payload = json.loads(args[0])
        head, _, rest = payload["sealed"].partition(".")
        forged = [
            {**payload, "sealed": f"{head[:-2]}AA.{rest}"},
            {**payload, "sealed": f"{payload['sealed'][:-2]}AA"},
            {**payload, "server": "another"},
            {"server": "desk", "task": task_id, "sealed": '{"task": 1}'},
        ]
        with waiting.worker():
            for one in [*map(json.dumps, forged), "x", "[]", "{}", 7, None]:
                body = json.dumps([[one], kwargs, embed])
                broker.rpush(
                    "celery", json.dumps({**taken, "body": b64encode(body.encode()).decode()})
                )
            until(lambda: waiting.log().count("succeeded") == 9)
    assert waiting.log().count("is refused") >= 7
    assert "Traceback" not in waiting.log()
    assert desk.stateless("tasks/get", {"taskId": task_id})["status"] == "working"
    assert not Path(waiting.file("forged")).exists()
    # Nothing of a payload is a secret of the server's, or a header of the client's.
    assert "bob" not in message


def test_a_task_that_its_broker_has_lost_fails(waiting: Site) -> None:
    desk = waiting.desk()
    task_id = desk.begin("soon")
    with waiting.broker.admin() as broker:
        [late] = broker.lrange("celery", 0, -1)
        broker.delete("celery")
        seen = desk.ended(task_id)
        assert seen["error"]["message"] == "No worker began this task within 1 seconds"
        broker.rpush("celery", late)
    with waiting.worker():
        until(lambda: "succeeded" in waiting.log())
    assert desk.ended(task_id)["status"] == "failed"


def test_no_task_begins_while_the_broker_is_away(waiting: Site) -> None:
    desk = waiting.desk()
    known = tasks_in(waiting.backplane)
    waiting.broker.stop()
    try:
        given = {"name": "mark", "arguments": {"file": waiting.file("away")}}
        stream = desk.send(
            "POST", *stateless("tools/call", {**given, "_meta": meta(capabilities=TASKS)})
        )
        assert (stream.status, stream.headers["retry-after"]) == (503, "5")
        assert stream.body()["error"]["data"] == {"retryAfter": 5}
        stream.close()
        assert tasks_in(waiting.backplane) == known
    finally:
        waiting.broker.start()
    with waiting.worker():
        assert desk.outcome("mark", file=waiting.file("back")) == "marked"
    assert not Path(waiting.file("away")).exists()


def test_no_task_begins_that_a_silent_broker_takes_too_late(waiting: Site) -> None:
    desk = waiting.desk()
    given = {"name": "mark", "arguments": {"file": waiting.file("late")}}
    with waiting.broker.silent():
        stream = desk.send(
            "POST", *stateless("tools/call", {**given, "_meta": meta(capabilities=TASKS)})
        )
        assert stream.status == 503
        stream.close()
    with waiting.worker():
        assert desk.outcome("mark", file=waiting.file("after silence")) == "marked"
    assert not Path(waiting.file("late")).exists()


def test_tasks_of_workers_that_are_killed_fail(waiting: Site) -> None:
    """One in a child of a pool of processes, one in a worker whose group is killed."""
    desk = waiting.desk()
    first = Path(waiting.file("child"))
    with waiting.worker() as process:
        of_child = desk.begin("die", begun=str(first))
        until(first.exists)
        # Another child serves what comes after.
        assert desk.outcome("count", number=2)["sum"] == 1
        started = Path(waiting.file("of worker"))
        of_worker = desk.begin("slow", started=str(started))
        until(lambda: started.exists() and started.read_text())
        os.killpg(process.pid, signal.SIGKILL)
    for task_id in (of_child, of_worker):
        seen = desk.ended(task_id, LOST_SECONDS)
        assert seen["status"] == "failed"
        assert seen["error"]["message"] == "The worker that ran this task was lost"
    assert first.read_text() == "x"


def test_a_task_outlives_the_web_processes_that_took_it(waiting: Site) -> None:
    desk = waiting.desk()
    with waiting.worker():
        task_id = desk.begin("ask", word="w")
        [key] = desk.task(task_id, "input_required")["inputRequests"]
        for process in children(waiting.web) - {waiting.web.pid}:
            os.kill(process, signal.SIGKILL)
        answer = {"action": "accept", "content": {"sure": True}}

        def answered() -> bool:
            with suppress(OSError):
                desk.stateless("tasks/update", {"taskId": task_id, "inputResponses": {key: answer}})
                return True
            return False

        until(answered)
        assert desk.ended(task_id)["result"]["structuredContent"]["result"] == "w True"


def test_a_task_with_attempts_begins_again_when_its_worker_is_lost(tmp_path: Path) -> None:
    with site(tmp_path, ATTEMPTS="2") as one, one.worker():
        desk = one.desk()
        asks = desk.begin("ask_and_die", begun=one.file("asked"))
        accept(desk, asks)
        task_id = desk.begin("die", begun=one.file("begun"))
        seen = desk.ended(task_id, LOST_SECONDS)
        assert seen["status"] == "completed", seen
        assert Path(one.file("begun")).read_text() == "xx"
        # What was answered before is not asked again.
        accept(desk, asks)
        seen = desk.ended(asks, LOST_SECONDS)
        assert seen["result"]["structuredContent"]["result"] == "accept accept"
