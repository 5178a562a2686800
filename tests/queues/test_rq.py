"""Tasks of a Flask application that workers of RQ run, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sample_projects.processes import PYTHONPATH, ROOT
from tests.queues.running import Desk, answered, gunicorn, tasks_in, until, worker
from tests.valkey import Valkey


def test_workers_of_rq_run_tasks(tmp_path: Path) -> None:
    with Valkey() as backplane, Valkey() as broker:
        environment = {"BROKER": broker.url, "BACKPLANE": backplane.url}
        words = ["rq.cli", "worker", "--url", broker.url]
        with (
            gunicorn("tests.queues.rq_flask:app", environment) as (port, _),
            worker(words, environment, tmp_path / "log", "Listening on"),
        ):
            desk = Desk(port)
            assert desk.outcome("count", number=4)["sum"] == 6
            assert answered(desk, "ask_async") == "w True"
            started = tmp_path / "started"
            task_id = desk.begin("slow", started=str(started))
            until(lambda: started.exists() and started.read_text())
            desk.cancel(task_id)
            assert desk.ended(task_id)["status"] == "cancelled"
            known = tasks_in(backplane)
            broker.stop()
            asked = {"name": "mark", "arguments": {"file": str(tmp_path / "away")}}
            error = desk.stateless("tools/call", asked)["error"]
            assert error["data"] == {"retryAfter": 5}
            assert tasks_in(backplane) == known


@pytest.mark.parametrize(
    ("web", "worker"), [("old", "old new"), ("old new", "new old"), ("new old", "old new")]
)
def test_a_worker_runs_what_another_process_has_sealed_while_the_key_is_replaced(
    web: str, worker: str
) -> None:
    with Valkey() as redis:
        environment = {"BROKER": redis.url, "BACKPLANE": redis.url}
        with gunicorn("tests.queues.rq_flask:app", {**environment, "SECRET_KEYS": web}) as (
            port,
            _,
        ):
            desk = Desk(port)
            task_id = desk.begin("count", number=4)
            subprocess.run(
                [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", redis.url],
                cwd=ROOT,
                env={**os.environ, **environment, "SECRET_KEYS": worker, "PYTHONPATH": PYTHONPATH},
                check=True,
                capture_output=True,
            )
            seen = desk.ended(task_id)
    assert seen["status"] == "completed", seen
    assert seen["result"]["structuredContent"]["sum"] == 6
