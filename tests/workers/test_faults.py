"""What clients notice when workers, Redis, or the connections to it are lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.requests import message, meta, stateless
from tests.valkey import Valkey
from tests.workers.client import SECONDS, Client
from tests.workers.hosts import Workers, workers
from tests.workers.shop import NEWS
from tests.workers.test_any_worker import answer_to, start, talk

HOST = "uvicorn x 4"
EVERYTHING = {"toolsListChanged": True, "resourceSubscriptions": [NEWS]}


@pytest.fixture
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
def site(server: Valkey) -> Iterator[Workers]:
    with workers(HOST, server.url) as running:
        yield running


@pytest.fixture
def client(site: Workers) -> Client:
    return Client(site.port)


def kill(site: Workers, server: Valkey, pid: int) -> None:
    """Kill a worker, and let the time pass after which it is missed."""
    [process] = [one for one in site.processes if one.pid == pid]
    process.kill()
    process.wait()
    with server.admin() as redis:
        alive = {key: redis.pttl(key) for key in redis.scan_iter("*:n:*")}
        # Those that live renew theirs within two seconds, or a little later on a busy machine.
        time.sleep(5.5)
        for key, left in alive.items():
            if redis.pttl(key) <= left - 5_000:
                redis.delete(key)


class Heard:
    """What a stream tells, as it comes."""

    def __init__(self, stream: Any) -> None:
        self.methods: list[str] = []
        self.uris: list[str] = []
        self._stream = stream
        self.has_ended = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for event in self._stream.events():
                self.methods.append(event.get("method", "result"))
        finally:
            self.has_ended.set()

    def hears(self, *methods: str) -> bool:
        deadline = time.monotonic() + SECONDS
        while not set(methods) <= set(self.methods):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def pid_of(client: Client, task_id: str) -> int:
    """The process that runs a task, of whichever worker knows it first."""
    deadline = time.monotonic() + SECONDS
    while not (text := client.task(task_id, "working").get("statusMessage")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return int(text)


def test_the_call_of_a_worker_that_is_killed_ends_with_an_error_on_another(
    site: Workers, server: Valkey, client: Client
) -> None:
    session = client.open()
    stream = client.call(session, "wait", seconds=600)
    events = stream.events()
    pid = int(next(events)["params"]["progress"])
    seen = stream.last_id
    assert seen is not None
    with server.admin() as redis:
        eventually(lambda: bool(list(redis.scan_iter("*:log:*:e"))))
    kill(site, server, pid)
    headers = {**session, "accept": "text/event-stream", "last-event-id": seen}
    again = client.send("GET", headers)
    assert again.status == 200
    [answer] = [event for event in again.events() if event.get("id") == 7]
    assert answer["error"]["message"] == "The worker that ran this was lost"
    stream.close()
    again.close()


def test_the_task_of_a_worker_that_is_killed_fails(
    site: Workers, server: Valkey, client: Client
) -> None:
    task_id = start(client, "endless_job")
    pid = pid_of(client, task_id)
    kill(site, server, pid)
    task = client.task(task_id, "failed")
    assert task["statusMessage"] == "The worker that ran this task was lost"
    assert task["error"]["message"] == "The worker that ran this task was lost"


def test_the_tasks_of_a_worker_that_is_told_to_end_fail_at_once(
    site: Workers, client: Client
) -> None:
    for tool in ("endless_job", "stubborn_job"):
        task_id = start(client, tool)
        pid = pid_of(client, task_id)
        [process] = [one for one in site.processes if one.pid == pid]
        process.terminate()
        process.wait()
        seen = client.task(task_id, "cancelled", "failed")
        # Nobody has waited until the worker was missed.
        assert seen["error"]["message"] == "The worker that ran this task has ended"


@contextmanager
def stopped(server: Valkey) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@pytest.mark.parametrize("away", [stopped, Valkey.silent])
def test_without_redis_what_needs_it_is_a_503_and_all_else_is_served(
    away: Callable[[Valkey], AbstractContextManager[None]], server: Valkey, client: Client
) -> None:
    goes_on_without_redis(client, away(server))


def goes_on_without_redis(client: Client, away: AbstractContextManager[None]) -> None:
    """What needs Redis gets 503 while it is away, and all else goes on.

    Args:
        client: Of the workers.
        away: Redis is away within it.
    """
    session = client.open()
    question = client.call(session, "ask", word="w")
    asked = next(event for event in question.events() if "id" in event and "method" in event)
    wanted = {"notifications": EVERYTHING, "_meta": meta()}
    heard = Heard(client.send("POST", *stateless("subscriptions/listen", wanted)))
    assert heard.hears("notifications/subscriptions/acknowledged")
    for _ in range(4):
        assert client.status(session, message("ping")) == 200
    with away:
        # Each of the three requests comes to each of the workers.
        for _ in range(4):
            assert isinstance(client.stateless("tools/list")["tools"], list)
            called = client.stateless("tools/call", {"name": "where", "arguments": {}})
            assert "isError" not in called
            assert client.status(session, message("ping")) == 200
        elsewhere = {**answer_to(asked), "id": "0" * 16 + "-" + "0" * 16}
        level = message("logging/setLevel", {"level": "error"})
        statuses = [client.status(session, one) for one in (level, elsewhere)]
        assert [*statuses, client.send("DELETE", session).status] == [503, 503, 503]
        for method, params in (
            ("tools/call", {"name": "job", "arguments": {"word": "w"}}),
            ("tasks/get", {"taskId": "unknown"}),
        ):
            refused = client.send("POST", *stateless(method, {**params, "_meta": task_meta()}))
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        client.stateless("tools/call", {"name": "change", "arguments": {}})
        client.stateless("tools/call", {"name": "change_tools", "arguments": {}})
    # The question goes on, and so do the streams.
    level = message("logging/setLevel", {"level": "info"})
    eventually(lambda: client.status(session, level) == 200)
    # Where Redis has forgotten the process that asks, it says anew that it is there.
    time.sleep(1.5)
    eventually(lambda: client.status(session, answer_to(asked)) == 202)
    results = [event for event in question.events() if "result" in event]
    assert results[0]["result"]["content"][0]["text"] == "w True"
    assert heard.hears("notifications/resources/updated", "notifications/tools/list_changed")
    assert not heard.has_ended.is_set()


def task_meta() -> dict[str, Any]:
    return meta(capabilities={"extensions": {"io.modelcontextprotocol/tasks": {}}})


def test_answers_arrive_though_connections_are_cut_twice_a_second(
    server: Valkey, client: Client
) -> None:
    is_over = threading.Event()

    def cut() -> None:
        while not is_over.wait(0.5):
            server.cut_off()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            words = [f"w{number}" for number in range(40)]
            said = list(pool.map(lambda word: talk(client, "ask_async", word), words))
    finally:
        is_over.set()
        cutter.join()
    assert said == [f"{word} True" for word in words]


def test_streams_are_told_that_all_may_have_changed_where_redis_has_forgotten_it(
    server: Valkey, client: Client
) -> None:
    wanted = {"notifications": EVERYTHING, "_meta": meta()}
    streams = [
        Heard(client.send("POST", *stateless("subscriptions/listen", wanted))) for _ in range(4)
    ]
    for one in streams:
        assert one.hears("notifications/subscriptions/acknowledged")
    with stopped(server):
        pass
    for one in streams:
        assert one.hears("notifications/resources/updated", "notifications/tools/list_changed")


def test_a_full_redis_refuses_what_must_be_noted_and_serves_the_rest(
    server: Valkey, client: Client
) -> None:
    session = client.open()
    assert client.status(session, message("ping")) == 200
    with server.full():
        assert client.status(session, message("ping")) == 200
        assert client.status(session, message("logging/setLevel", {"level": "error"})) == 503
    assert client.status(session, message("logging/setLevel", {"level": "error"})) == 200
