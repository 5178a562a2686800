"""Four workers that find their Redis by Sentinels, while another one becomes the master."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.requests import message, meta, stateless
from tests.valkey import Watched, watched
from tests.workers.client import Client
from tests.workers.hosts import workers
from tests.workers.shop import NEWS
from tests.workers.test_any_worker import answer_to, start, talk
from tests.workers.test_faults import Heard, eventually

WANTED = {"toolsListChanged": True, "resourceSubscriptions": [NEWS]}


@pytest.fixture
def redis() -> Iterator[Watched]:
    with watched() as running:
        yield running


@pytest.mark.parametrize("host", ["uvicorn x 4", "gunicorn -w 4, Flask"])
def test_what_has_begun_before_a_fail_over_goes_on_after_it(host: str, redis: Watched) -> None:
    with workers(host, redis.url) as site:
        client = Client(site.port)
        session = client.open()
        question = client.call(session, "ask", word="w")
        asked = next(event for event in question.events() if "id" in event and "method" in event)
        listens = {"notifications": WANTED, "_meta": meta()}
        heard = Heard(client.send("POST", *stateless("subscriptions/listen", listens)))
        assert heard.hears("notifications/subscriptions/acknowledged")
        task_id = start(client, "job_that_asks", word="t")
        [key] = client.task(task_id, "input_required")["inputRequests"]
        level = message("logging/setLevel", {"level": "error"})
        assert client.status(session, level) == 200

        redis.replicate()
        redis.fail_over()
        eventually(redis.has_failed_over)
        redis.master.kill()

        eventually(lambda: client.status(session, level) == 200)
        eventually(lambda: client.status(session, answer_to(asked)) == 202)
        [result] = [event["result"] for event in question.events() if "result" in event]
        assert result["content"][0]["text"] == "w True"
        answer = {"action": "accept", "content": {"sure": True}}
        client.stateless("tasks/update", {"taskId": task_id, "inputResponses": {key: answer}})
        done = client.task(task_id, "completed")
        assert done["result"]["content"][0]["text"] == "t True"
        client.stateless("tools/call", {"name": "change", "arguments": {}})
        client.stateless("tools/call", {"name": "change_tools", "arguments": {}})
        assert heard.hears("notifications/resources/updated", "notifications/tools/list_changed")
        assert talk(client, "ask", "n") == "n True"
