"""Any worker serves any request of a client, sixteen times of sixteen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from traceback import format_exception
from typing import Any

import pytest

from tests.requests import message, meta, stateless
from tests.valkey import Valkey
from tests.workers.client import SECONDS, Client
from tests.workers.hosts import HOSTS, workers
from tests.workers.shop import NEWS

TIMES = 16


@pytest.fixture(scope="module")
def backplane() -> Iterator[str]:
    with Valkey() as server:
        yield server.url


@pytest.fixture(scope="module", params=HOSTS)
def client(request: pytest.FixtureRequest, backplane: str) -> Iterator[Client]:
    with workers(request.param, backplane) as running:
        yield Client(running.port)


def answer_to(question: Any) -> Any:
    """What a client says to a question."""
    results = {
        "elicitation/create": {"action": "accept", "content": {"sure": True}},
        "sampling/createMessage": {
            "role": "assistant",
            "model": "m",
            "content": {"type": "text", "text": "yes"},
        },
        "roots/list": {"roots": [{"uri": "file:///home"}]},
    }
    return {"jsonrpc": "2.0", "id": question["id"], "result": results[question["method"]]}


def talk(client: Client, tool: str, word: str) -> str:
    """What a tool says that asks its client something, in a session."""
    session = client.open()
    stream = client.call(session, tool, word=word)
    for event in stream.events():
        if "method" in event and "id" in event:
            assert client.status(session, answer_to(event)) == 202
        elif "result" in event:
            stream.close()
            text: str = event["result"]["content"][0]["text"]
            return text
    raise AssertionError("no result")


def elicit(client: Client, number: int) -> None:
    assert talk(client, "ask", f"w{number}") == f"w{number} True"


def elicit_async(client: Client, number: int) -> None:
    assert talk(client, "ask_async", f"w{number}") == f"w{number} True"


def sampling(client: Client, number: int) -> None:
    assert talk(client, "sample", f"w{number}") == f"w{number} yes"


def roots(client: Client, number: int) -> None:
    assert talk(client, "roots", f"w{number}") == f"w{number} file:///home"


def hears(stream: Any, method: str, *, act: Callable[[], Any]) -> None:
    """Read a stream, until it tells of something that `act` does again and again."""
    found = threading.Event()

    def read() -> None:
        for event in stream.events():
            if event.get("method") == method:
                found.set()
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert "isError" not in act()
    assert found.wait(SECONDS), f"nobody told of {method}"
    reader.join(SECONDS)
    stream.close()


def listen(client: Client, number: int) -> None:
    wanted = {"notifications": {"resourceSubscriptions": [NEWS]}, "_meta": meta()}
    stream = client.send("POST", *stateless("subscriptions/listen", wanted))
    first = next(stream.events())
    assert first.get("method") == "notifications/subscriptions/acknowledged", first
    hears(
        stream,
        "notifications/resources/updated",
        act=lambda: client.stateless("tools/call", {"name": "change", "arguments": {}}),
    )


def session_stream(client: Client, session: dict[str, str], method: str, tool: str) -> None:
    """The stream of a session tells of what a tool changes; its client comes by again, if the
    stream ends."""
    headers = {**session, "accept": "text/event-stream"}
    first = client.send("GET", headers)
    assert first.status == 200
    if first.headers["transfer-encoding"] == "chunked" and _lasts(first):
        call = message("tools/call", {"name": tool, "arguments": {}})
        hears(first, method, act=lambda: client.ask(session, call)["result"])
        return
    assert list(first.events()) == []
    done = client.ask(session, message("tools/call", {"name": tool, "arguments": {}}))
    assert "isError" not in done["result"]
    deadline = time.monotonic() + SECONDS
    seen = first.last_id
    while True:
        assert seen is not None
        stream = client.send("GET", {**headers, "last-event-id": seen})
        methods = [event.get("method") for event in stream.events()]
        stream.close()
        if method in methods:
            return
        seen = stream.last_id
        assert time.monotonic() < deadline, f"nobody told of {method}"
        time.sleep(0.05)


def _lasts(stream: Any) -> bool:
    """Whether a stream begins with a comment, and goes on: one that is polled ends at once."""
    return bool(stream._response.peek(1)[:1] == b":")


def subscribe(client: Client, number: int) -> None:
    session = client.open()
    assert "result" in client.ask(session, message("resources/subscribe", {"uri": NEWS}))
    session_stream(client, session, "notifications/resources/updated", "change")


def list_changed(client: Client, number: int) -> None:
    session_stream(client, client.open(), "notifications/tools/list_changed", "change_tools")


def delete(client: Client, number: int) -> None:
    session = client.open()
    stream = client.send("DELETE", session)
    stream.close()
    assert stream.status in (200, 204)
    for _ in range(4):
        assert client.status(session, message("ping")) == 404


def log_level(client: Client, number: int) -> None:
    session = client.open()
    assert "result" in client.ask(session, message("logging/setLevel", {"level": "error"}))
    for _ in range(4):
        stream = client.call(session, "chatter")
        assert "event-stream" not in stream.headers["content-type"]
        stream.close()


def cancelled(client: Client, number: int) -> None:
    session = client.open()
    stream = client.call(session, "wait")
    events = stream.events()
    assert next(events)["method"] == "notifications/progress"
    params = {"requestId": 7}
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
    assert client.status(session, note) == 202
    assert list(events) == []
    stream.close()


def resumed(client: Client, number: int) -> None:
    """A client that is cut off in a call gets the rest from another worker."""
    session = client.open()
    stream = client.call(session, "wait", seconds=1)
    assert next(stream.events())["method"] == "notifications/progress"
    seen = stream.last_id
    assert seen is not None
    stream.close()
    headers = {**session, "accept": "text/event-stream", "last-event-id": seen}
    again = client.send("GET", headers)
    assert again.status == 200
    [answer] = [event for event in again.events() if event.get("id") == 7]
    assert answer["result"]["content"][0]["text"] == "slept"
    again.close()


def start(client: Client, tool: str, **arguments: Any) -> str:
    """The id of a new task."""
    made = client.stateless("tools/call", {"name": tool, "arguments": arguments})
    task_id: str = made["taskId"]
    return task_id


def task_get(client: Client, number: int) -> None:
    task = client.task(start(client, "job", word=f"w{number}"), "completed")
    assert task["result"]["content"][0]["text"] == f"w{number}"


def task_update(client: Client, number: int) -> None:
    task_id = start(client, "job_that_asks", word=f"w{number}")
    [key] = client.task(task_id, "input_required")["inputRequests"]
    answer = {"action": "accept", "content": {"sure": True}}
    client.stateless("tasks/update", {"taskId": task_id, "inputResponses": {key: answer}})
    task = client.task(task_id, "completed")
    assert task["result"]["content"][0]["text"] == f"w{number} True"


def task_cancel(client: Client, number: int) -> None:
    task_id = start(client, "endless_job")
    client.stateless("tasks/cancel", {"taskId": task_id})
    assert client.task(task_id, "cancelled")["status"] == "cancelled"


ROWS = (
    *(elicit, elicit_async, sampling, roots),
    *(listen, subscribe, list_changed),
    *(delete, log_level, cancelled, resumed),
    *(task_get, task_update, task_cancel),
)


def every_time(client: Client, row: Callable[[Client, int], None]) -> None:
    """Do something sixteen times, four at a time."""
    failures = []

    def attempt(number: int) -> None:
        try:
            row(client, number)
        except BaseException as error:
            failures.append("".join(format_exception(error))[-1500:])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, range(TIMES)))
    assert failures == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_sixteen_times_of_sixteen(client: Client, row: Callable[[Client, int], None]) -> None:
    every_time(client, row)
