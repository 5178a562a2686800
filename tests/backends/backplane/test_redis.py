"""What is particular to the backplane in Redis."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from queue import Queue

import pytest

from mcp_mount.backends.backplane import redis_node
from mcp_mount.backends.backplane.redis import RedisBackplane
from mcp_mount.backends.backplane.redis_node import RedisNode
from mcp_mount.calls.backplane import BEAT, RESYNC, BackplaneUnavailable, Message
from tests.valkey import Valkey, cluster, cluster_url

SECONDS = 20


@pytest.fixture
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
def backplane(server: Valkey) -> RedisBackplane:
    return RedisBackplane(server.url, lambda: "shop")


def hears(queue: Queue[Message], kind: str) -> bool:
    while queue.get(timeout=SECONDS)["kind"] != kind:
        pass
    return True


def test_who_listens_before_redis_is_there_hears_that_it_may_have_missed_something(
    server: Valkey, backplane: RedisBackplane
) -> None:
    queue: Queue[Message] = Queue()
    server.kill()
    stop = backplane.listen("one", queue.put).do()
    server.start()
    assert hears(queue, RESYNC["kind"])
    stop()


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_a_reader_keeps_to_the_time_limit_of_the_url(
    kind: str, server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        url = server.url if kind == "single" else cluster_url(stack.enter_context(cluster()))
        backplane = RedisBackplane(f"{url}?socket_timeout=2", lambda: "shop")
        queue: Queue[Message] = Queue()
        stop = backplane.listen("one", queue.put).do()
        # It has read for longer than that, and there was nothing.
        time.sleep(2.5)
        assert hears(queue, BEAT["kind"])
        assert "cannot be reached" not in caplog.text
        stop()


def test_who_listens_hears_that_redis_has_forgotten_what_was_published(
    server: Valkey, backplane: RedisBackplane
) -> None:
    queue: Queue[Message] = Queue()
    stop = backplane.listen("one", queue.put).do()
    with server.admin() as client:
        client.flushall()
    assert hears(queue, RESYNC["kind"])
    assert backplane.is_alive("one").do()
    stop()


def test_while_redis_is_silent_one_operation_waits_and_others_fail_at_once(
    server: Valkey, backplane: RedisBackplane
) -> None:
    async def both() -> None:
        asked = backplane.session("s").awaited
        assert asked is not None
        await asked()

    backplane.session("s").do()
    with server.silent():
        with pytest.raises(BackplaneUnavailable):
            backplane.session("s").do()
        begun = time.monotonic()
        for _ in range(20):
            with pytest.raises(BackplaneUnavailable):
                backplane.session("s").do()
            with pytest.raises(BackplaneUnavailable):
                asyncio.run(both())
        # Each that was tried would have taken two seconds.
        assert time.monotonic() < begun + SECONDS
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            backplane.session("s").do()
            return
        except BackplaneUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_what_a_full_redis_refuses_does_not_keep_it_from_reading(
    server: Valkey, backplane: RedisBackplane
) -> None:
    with server.full():
        with pytest.raises(BackplaneUnavailable, match="memory"):
            backplane.set_log_level("s", "error", ttl=60).do()
        backplane.session("s").do()


def test_who_listens_hears_that_nothing_could_be_sent_to_it_for_a_while(
    server: Valkey, backplane: RedisBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_node, "_BEAT_SECONDS", 0.1)
    queue: Queue[Message] = Queue()
    stop = backplane.listen("one", queue.put).do()
    with server.admin() as client:
        [key] = client.keys("*:n:one")
        client.delete(key)
        assert hears(queue, RESYNC["kind"])
        assert 0 < client.ttl(key) <= 30
    stop()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_number(heard: list[Message], number: int) -> bool:
    """Whether a message was heard; after it there may be signs of life, and a request to look
    again."""
    return any(one.get("number") == number for one in heard[-5:])


@pytest.mark.parametrize(
    ("stream", "messages"), [("n:one", 5000), ("changes", 15_000)], ids=["its own", "of all"]
)
def test_who_is_too_slow_to_read_all_hears_that_it_has_missed_something(
    server: Valkey, backplane: RedisBackplane, stream: str, messages: int
) -> None:
    heard: list[Message] = []
    is_held, go_on = threading.Event(), threading.Event()

    def hear(message: Message) -> None:
        heard.append(message)
        if message["kind"] == "hold":
            is_held.set()
            go_on.wait(SECONDS)

    stop = backplane.listen("one", hear).do()
    assert backplane.send("one", {"kind": "hold"}).do()
    assert is_held.wait(SECONDS)
    with server.admin() as client:
        [key] = client.keys(f"*:{stream}")
        pipeline = client.pipeline()
        most = 1000 if stream == "n:one" else 10_000
        for number in range(messages):
            pipeline.xadd(key, {"m": f'{{"kind":"m","number":{number}}}'}, maxlen=most)
        pipeline.execute()
    go_on.set()
    wait_until(lambda: RESYNC in heard)
    # A reader that was held for long goes on behind all that it has missed.
    new: Message = {"kind": "m", "number": messages}
    (backplane.send("one", new) if stream == "n:one" else backplane.publish(new)).do()
    wait_until(lambda: has_number(heard, messages))
    stop()
    assert len(heard) < messages


def test_who_has_read_all_of_many_messages_has_missed_nothing(
    server: Valkey, backplane: RedisBackplane
) -> None:
    heard: list[Message] = []
    stop = backplane.listen("one", heard.append).do()
    with server.admin() as client:
        [key] = client.keys("*:changes")
        pipeline = client.pipeline()
        for number in range(5000):
            pipeline.xadd(key, {"m": f'{{"kind":"m","number":{number}}}'})
        pipeline.execute()
    wait_until(lambda: has_number(heard, 4999))
    stop()
    assert RESYNC not in heard


def test_a_redis_that_does_not_let_a_process_read_is_told_once(
    server: Valkey,
    backplane: RedisBackplane,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_node, "_PAUSES", (0.01,))
    tries: list[object] = []
    connect = RedisNode._connect
    monkeypatch.setattr(RedisNode, "_connect", lambda node: tries.append(node) or connect(node))
    with server.admin() as client:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["-xread"])
        stop = backplane.listen("one", lambda message: None).do()
        deadline = time.monotonic() + SECONDS
        while len(tries) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert [one.getMessage() for one in caplog.records] == [
            "The backplane cannot be reached (User default has no permissions to run the 'xread' "
            "command): trying again"
        ]
        client.acl_setuser("default", enabled=True, nopass=True, commands=["+xread"])
        while len(caplog.records) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert caplog.records[1].getMessage() == "The backplane can be reached again"
    stop()


def test_nobody_reads_for_a_request_that_was_cancelled_before_it_listened(
    server: Valkey, backplane: RedisBackplane
) -> None:
    def readers() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if one.name == "mcp-mount-backplane"}

    async def leave() -> None:
        listening = backplane.listen("one", lambda message: None).awaited
        assert listening is not None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(listening(), 0.2)

    # Those of other tests may end meanwhile.
    others = readers()
    with server.silent():
        asyncio.run(leave())
        assert len(readers() - others) == 1
    deadline = time.monotonic() + SECONDS
    while readers() - others:
        assert time.monotonic() < deadline
        time.sleep(0.05)
