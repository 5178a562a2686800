"""Tasks of a Flask application that workers of RQ run, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

from tests.queues.running import Desk, answered, gunicorn, until, worker
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
            broker.stop()
            asked = {"name": "mark", "arguments": {"file": str(tmp_path / "away")}}
            error = desk.stateless("tools/call", asked)["error"]
            assert error["data"] == {"retryAfter": 5}
