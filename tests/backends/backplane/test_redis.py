"""What is particular to the backplane in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from queue import Queue

import pytest

from mcp_mount.backends.backplane.redis import RedisBackplane
from mcp_mount.calls.backplane import RESYNC, BackplaneUnavailable, Message
from tests.valkey import Valkey

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
