"""Four workers that find their Redis by Sentinels, while another one becomes the master."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.requests import message, meta, stateless
from tests.valkey import Watched, watched
from tests.workers.client import Client
from tests.workers.hosts import WORKERS, workers
from tests.workers.test_any_worker import answer_to, start, talk
from tests.workers.test_faults import EVERYTHING, Heard, eventually

PATIENT = "?socket_connect_timeout=60&socket_timeout=60"
"""Nothing is silent here: a worker on a busy machine may have its turn late."""

CHANGES = ("notifications/resources/updated", "notifications/tools/list_changed")


@pytest.fixture
def redis() -> Iterator[Watched]:
    with watched() as running:
        yield running


def answered(ask: Callable[[], Any]) -> Any:
    """The answer to a request, which gets 503 until the new master has been found."""
    answers = []

    def is_answered() -> bool:
        answers.append(ask())
        return "error" not in answers[-1]

    eventually(is_answered)
    return answers[-1]


@pytest.mark.parametrize("host", ["uvicorn x 4", "gunicorn -w 4, Flask"])
def test_what_has_begun_before_a_fail_over_goes_on_after_it(host: str, redis: Watched) -> None:
    with workers(host, redis.url + PATIENT) as site:
        client = Client(site.port)
        session = client.open()
        # Of four, requests of the others come to another worker than the one that asks or listens.
        questions = [client.call(session, "ask", word="w") for _ in range(WORKERS)]
        asked = [
            next(event for event in one.events() if "id" in event and "method" in event)
            for one in questions
        ]
        listens = stateless("subscriptions/listen", {"notifications": EVERYTHING, "_meta": meta()})
        heard = [Heard(client.send("POST", *listens)) for _ in range(WORKERS)]
        assert all(one.hears("notifications/subscriptions/acknowledged") for one in heard)
        tasks = [start(client, "job_that_asks", word="t") for _ in range(WORKERS)]
        keys = [client.task(one, "input_required")["inputRequests"] for one in tasks]

        redis.replicate()
        redis.fail_over()
        eventually(redis.has_failed_over)
        redis.master.kill()

        level = message("logging/setLevel", {"level": "error"})
        eventually(lambda: client.status(session, level) == 200)
        for one, stream in zip(asked, questions, strict=True):
            eventually(lambda one=one: client.status(session, answer_to(one)) == 202)
            [result] = [event["result"] for event in stream.events() if "result" in event]
            assert result["content"][0]["text"] == "w True"
        answer = {"action": "accept", "content": {"sure": True}}
        for one, [key] in zip(tasks, keys, strict=True):
            update = {"taskId": one, "inputResponses": {key: answer}}
            answered(lambda update=update: client.stateless("tasks/update", update))
            done = client.task(one, "completed")
            assert done["result"]["content"][0]["text"] == "t True"
        for tool in ("change", "change_tools"):
            called = client.stateless("tools/call", {"name": tool, "arguments": {}})
            assert "error" not in called
        assert all(one.hears(*CHANGES) for one in heard)
        assert talk(client, "ask", "n") == "n True"
        for stream in questions:
            stream.close()
