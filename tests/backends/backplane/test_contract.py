"""What every backplane does, with its steps taken on a thread and on an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest

from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.backends.backplane.redis import RedisBackplane
from mcp_mount.calls.backplane import UNTOUCHED, Asked, Message, Pool, PoolEntry, SessionState
from mcp_mount.calls.flows import Do
from tests.protocol.test_backplanes import Bare, Remote
from tests.valkey import Valkey, cluster, cluster_url

SECONDS = 20

Taker = Callable[[Asked[Any]], Any]
"""Takes a step, if it is one."""


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Valkey]]:
    with cluster() as running:
        yield running


def in_redis(url: str) -> RedisBackplane:
    return RedisBackplane(url, lambda: "shop {1}:2")


MAKERS: dict[str, Callable[[pytest.FixtureRequest], Any]] = {
    "memory": lambda request: MemoryBackplane(),
    "behind a network": lambda request: Remote(),
    "at once": lambda request: Bare(),
    "redis": lambda request: in_redis(request.getfixturevalue("server").url),
    "cluster": lambda request: in_redis(cluster_url(request.getfixturevalue("nodes"))),
}
"""Makers of all backplanes, by their names."""

SHARED = [name for name in MAKERS if name != "memory"]


@pytest.fixture
def backplane(request: pytest.FixtureRequest) -> Any:
    made = MAKERS[request.param](request)
    servers = {"redis": ["server"], "cluster": ["nodes"]}.get(request.param, [])
    for one in servers:
        found = request.getfixturevalue(one)
        for server in found if isinstance(found, list) else [found]:
            forget(server)
    return made


def forget(server: Valkey) -> None:
    with server.admin() as client:
        client.flushall()


every = pytest.mark.parametrize("backplane", MAKERS, indirect=True)
every_shared = pytest.mark.parametrize("backplane", SHARED, indirect=True)


@pytest.fixture(params=["thread", "loop"])
def take(request: pytest.FixtureRequest) -> Iterator[Taker]:
    if request.param == "thread":
        yield lambda asked: asked.do() if isinstance(asked, Do) else asked
        return
    loop = asyncio.new_event_loop()

    def take_on_loop(asked: Asked[Any]) -> Any:
        if not isinstance(asked, Do):
            return asked
        if asked.awaited is None:
            return asked.do()

        async def run() -> Any:
            assert asked.awaited is not None
            return await asked.awaited()

        return loop.run_until_complete(run())

    yield take_on_loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@every
def test_of_a_session_nothing_is_known_at_first(backplane: Any, take: Taker) -> None:
    assert take(backplane.session("s")) == UNTOUCHED
    assert take(backplane.subscribed("s")) == frozenset()


@every
def test_a_log_level_and_subscriptions_are_kept_for_their_session(
    backplane: Any, take: Taker
) -> None:
    take(backplane.set_log_level("s", "error", ttl=60))
    take(backplane.subscribe("s", "a://é:1", on=True, ttl=60))
    take(backplane.subscribe("s", "b://2", on=True, ttl=60))
    take(backplane.subscribe("s", "b://2", on=False, ttl=60))
    assert take(backplane.session("s")) == SessionState(log_level="error")
    assert take(backplane.subscribed("s")) == {"a://é:1"}
    assert take(backplane.session("other")) == UNTOUCHED


@every
def test_of_a_session_that_has_ended_nothing_else_is_kept(backplane: Any, take: Taker) -> None:
    take(backplane.set_log_level("s", "error", ttl=60))
    take(backplane.subscribe("s", "a://1", on=True, ttl=60))
    take(backplane.end_session("s", ttl=60))
    take(backplane.set_log_level("s", "debug", ttl=60))
    take(backplane.subscribe("s", "a://2", on=True, ttl=60))
    assert take(backplane.session("s")) == SessionState(ended=True)
    assert take(backplane.subscribed("s")) == frozenset()


@every
def test_what_is_known_of_a_session_expires(backplane: Any, take: Taker) -> None:
    if isinstance(backplane, Remote):
        pytest.skip("its sessions are those of the memory")
    take(backplane.set_log_level("s", "error", ttl=0.01))
    take(backplane.subscribe("t", "a://1", on=True, ttl=0.01))
    take(backplane.end_session("u", ttl=0.01))
    time.sleep(0.02)
    assert [take(backplane.session(one)) for one in "stu"] == [UNTOUCHED] * 3
    assert take(backplane.subscribed("t")) == frozenset()


def heard(queue: Queue[Message]) -> Message:
    """The next message that is none of the backplane's own."""
    while (message := queue.get(timeout=SECONDS))["kind"] in ("beat", "begin"):
        pass
    return message


@every_shared
def test_a_message_to_all_is_heard_by_every_node_in_its_order(backplane: Any, take: Taker) -> None:
    queues: list[Queue[Message]] = [Queue(), Queue()]
    stops = [take(backplane.listen(f"n{place}", one.put)) for place, one in enumerate(queues)]
    for number in range(3):
        take(backplane.publish({"kind": "change", "number": number, "what": "é\n"}))
    for queue in queues:
        messages = [heard(queue) for _ in range(3)]
        assert [one["number"] for one in messages] == [0, 1, 2]
        assert messages[0]["what"] == "é\n"
    for stop in stops:
        stop()


@every_shared
def test_a_message_to_a_node_is_heard_there_alone(backplane: Any, take: Taker) -> None:
    queue: Queue[Message] = Queue()
    other: Queue[Message] = Queue()
    stops = [take(backplane.listen("one", queue.put)), take(backplane.listen("two", other.put))]
    assert take(backplane.is_alive("one"))
    assert take(backplane.send("one", {"kind": "answer"}))
    assert heard(queue) == {"kind": "answer"}
    take(backplane.publish({"kind": "last"}))
    assert heard(other) == {"kind": "last"}
    assert not take(backplane.send("nobody", {"kind": "answer"}))
    assert not take(backplane.is_alive("nobody"))
    for stop in stops:
        stop()


@every_shared
def test_who_comes_by_finds_what_was_published_since(backplane: Any, take: Taker) -> None:
    take(backplane.publish({"kind": "change", "number": 0}))
    begin = take(backplane.published(None))
    assert begin.messages == []
    for number in (1, 2):
        take(backplane.publish({"kind": "change", "number": number}))
    found = take(backplane.published(begin.place))
    assert ([one["number"] for one in found.messages], found.is_complete) == ([1, 2], True)
    again = take(backplane.published(found.place))
    assert (list(again.messages), again.place, again.is_complete) == ([], found.place, True)


@every_shared
@pytest.mark.parametrize("place", ["", "x", "1-1", "99999999999999999999-0", "-", "+", "0-0\n"])
def test_at_a_place_that_is_not_kept_something_may_be_missing(
    backplane: Any, take: Taker, place: str
) -> None:
    take(backplane.publish({"kind": "change"}))
    found = take(backplane.published(place))
    assert (list(found.messages), found.is_complete) == ([], False)
    assert take(backplane.published(found.place)).is_complete


@every_shared
def test_a_record_is_made_once_and_ends_with_its_final_field(backplane: Any, take: Taker) -> None:
    assert not take(backplane.note("k", {"a": "1"}, ttl=60))
    assert take(backplane.record("k")) == {}
    assert take(backplane.note("k", {"a": "1"}, ttl=60, new=True))
    assert take(backplane.note("k", {"a": "é", "b": ""}, ttl=60, final="end"))
    assert take(backplane.note("k", {"end": "yes"}, ttl=60, final="end"))
    assert not take(backplane.note("k", {"a": "late"}, ttl=60, final="end"))
    assert take(backplane.record("k")) == {"a": "é", "b": "", "end": "yes"}


@every_shared
def test_a_record_is_forgotten_after_its_time_which_no_change_prolongs(
    backplane: Any, take: Taker
) -> None:
    assert take(backplane.left("k")) == 0
    take(backplane.note("k", {"a": "1"}, ttl=60, new=True))
    time.sleep(0.02)
    take(backplane.note("k", {"a": "2"}, ttl=60))
    assert 50 < take(backplane.left("k")) < 59.99
    take(backplane.note("l", {"a": "1"}, ttl=0.01, new=True))
    time.sleep(0.02)
    assert take(backplane.left("l")) == 0


@every_shared
def test_a_list_keeps_its_last_items(backplane: Any, take: Taker) -> None:
    assert list(take(backplane.items("k"))) == []
    take(backplane.append("k", ["1", "2"], ttl=60, most=3))
    take(backplane.append("k", ["é\n", "4"], ttl=60, most=3))
    assert list(take(backplane.items("k"))) == ["2", "é\n", "4"]
    assert list(take(backplane.items("k", last=2))) == ["é\n", "4"]
    assert list(take(backplane.items("k", last=9))) == ["2", "é\n", "4"]


@every_shared
def test_what_is_forgotten_is_not_there_any_more(backplane: Any, take: Taker) -> None:
    take(backplane.note("k", {"a": "1"}, ttl=60, new=True))
    take(backplane.append("l", ["1"], ttl=60, most=3))
    for key in ("k", "l", "none"):
        take(backplane.forget(key))
    assert take(backplane.record("k")) == {}
    assert list(take(backplane.items("l"))) == []


def two(most: int, most_size: int = 100) -> list[Pool]:
    return [Pool("own", most, most_size), Pool("all", 3, 100)]


@every_shared
def test_a_pool_has_so_many_members_and_no_more(backplane: Any, take: Taker) -> None:
    for member in ("a", "b", "a"):
        assert take(backplane.enter(two(2), member, ttl=60)) == PoolEntry()
    entry = take(backplane.enter(two(2), "c", ttl=60))
    assert (entry.full, list(entry.dropped)) == ("own", [])
    assert 0 < entry.seconds <= 60
    # Who has been refused has taken no place of others.
    assert take(backplane.enter([Pool("other", 9, 100), two(9)[1]], "d", ttl=60)) == PoolEntry()
    entry = take(backplane.enter(two(9), "c", ttl=60))
    assert entry.full == "all"
    take(backplane.leave(["own", "all"], "a"))
    take(backplane.leave(["own", "all"], "none"))
    assert take(backplane.enter(two(2), "c", ttl=60)) == PoolEntry()


@every_shared
def test_a_place_is_free_when_its_time_is_over(backplane: Any, take: Taker) -> None:
    assert take(backplane.enter(two(1, 10), "a", ttl=2, size=10)) == PoolEntry()
    assert take(backplane.enter(two(1, 10), "b", ttl=60)).full == "own"
    time.sleep(2.05)
    assert take(backplane.enter(two(1, 10), "b", ttl=60, size=10)) == PoolEntry()


@every_shared
def test_members_that_need_their_places_no_more_go_for_others(backplane: Any, take: Taker) -> None:
    for member, ttl in (("a", 60), ("b", 50), ("c", 40)):
        assert take(backplane.enter(two(3), member, ttl=ttl)) == PoolEntry()
    for member in ("a", "b", "none"):
        take(backplane.leave(["own", "all"], member, at_need=True))
    assert list(take(backplane.enter(two(3), "d", ttl=60)).dropped) == ["b"]
    # There is room again for the one that has gone, at the cost of the other.
    assert list(take(backplane.enter(two(3), "b", ttl=60)).dropped) == ["a"]
    assert take(backplane.enter(two(3), "e", ttl=60)).full == "own"


@every_shared
def test_of_one_pool_a_member_may_go_that_has_gone_from_another(
    backplane: Any, take: Taker
) -> None:
    other = [Pool("other", 1, 100), two(9)[1]]
    assert take(backplane.enter(other, "a", ttl=60)) == PoolEntry()
    take(backplane.leave(["other", "all"], "a", at_need=True))
    for member in ("b", "c"):
        assert take(backplane.enter(two(9), member, ttl=60)) == PoolEntry()
    assert list(take(backplane.enter(two(9), "d", ttl=60)).dropped) == ["a"]
    take(backplane.leave(["own", "all"], "d"))
    assert list(take(backplane.enter(other, "e", ttl=60)).dropped) == ["a"]


@every_shared
def test_the_members_of_a_pool_are_not_larger_than_it_is(backplane: Any, take: Taker) -> None:
    for member in ("a", "b"):
        assert take(backplane.enter(two(9, 10), member, ttl=60)) == PoolEntry()
    assert take(backplane.enter(two(9, 10), "a", ttl=60, size=6)) == PoolEntry()
    assert take(backplane.enter(two(9, 10), "b", ttl=60, size=5)).full == "own"
    assert take(backplane.enter(two(9, 10), "b", ttl=60, size=4)) == PoolEntry()
    # The same once more, after an answer that was lost.
    assert take(backplane.enter(two(9, 10), "b", ttl=60, size=4)) == PoolEntry()
    assert take(backplane.enter(two(9, 10), "c", ttl=60)).full == "own"
    take(backplane.leave(["own", "all"], "a", at_need=True))
    assert list(take(backplane.enter(two(9, 10), "b", ttl=60, size=9)).dropped) == ["a"]
    assert take(backplane.enter(two(9, 10), "d", ttl=60)) == PoolEntry()
    take(backplane.leave(["own", "all"], "b"))
    assert take(backplane.enter(two(9, 10), "d", ttl=60, size=10)) == PoolEntry()
    assert take(backplane.enter(two(9, 10), "big", ttl=60, size=101)).full == "own"


@every_shared
def test_many_who_come_at_once_take_no_more_places_than_there_are(
    backplane: Any, take: Taker
) -> None:
    pools = [Pool("all", 20, 100)]
    with ThreadPoolExecutor(8) as threads:
        asked = [backplane.enter(pools, str(number), ttl=60) for number in range(60)]
        entries = list(threads.map(plainly, asked))
    assert [one.full for one in entries].count(None) == 20


def plainly(asked: Asked[Any]) -> Any:
    return asked.do() if isinstance(asked, Do) else asked


def test_the_time_of_a_list_changes_without_new_items(server: Valkey) -> None:
    forget(server)
    backplane = RedisBackplane(server.url, lambda: "shop")
    backplane.append("k", [], ttl=60, most=9).do()
    assert backplane.items("k").do() == []
    backplane.append("k", ["1"], ttl=3600, most=9).do()
    backplane.append("k", [], ttl=60, most=9).do()
    assert backplane.items("k").do() == ["1"]
    with server.admin() as client:
        assert 0 < client.ttl("mcp-mount:1:shop:k") <= 60


def test_every_key_in_redis_has_its_server_its_version_and_a_time_to_live(server: Valkey) -> None:
    forget(server)
    backplane = RedisBackplane(server.url, lambda: "shop")
    stop = backplane.listen("n1", lambda message: None).do()
    backplane.set_log_level("s1", "error", ttl=60).do()
    backplane.end_session("s2", ttl=60).do()
    backplane.note("t:1", {"a": "1"}, ttl=60, new=True).do()
    backplane.append("t:1:a", ["1"], ttl=60, most=9).do()
    backplane.enter([Pool("tasks", 9, 9)], "1", ttl=60, size=1).do()
    backplane.leave(["tasks"], "1", at_need=True).do()
    with server.admin() as client:
        kept = {key: client.ttl(key) > 0 for key in client.scan_iter()}
    stop()
    assert kept == {
        "mcp-mount:1:shop:s:s1": True,
        "mcp-mount:1:shop:s:s2": True,
        "mcp-mount:1:shop:t:1": True,
        "mcp-mount:1:shop:t:1:a": True,
        "mcp-mount:1:{shop}:p:tasks": True,
        "mcp-mount:1:{shop}:p:tasks:f": True,
        "mcp-mount:1:{shop}:p:tasks:b": True,
        "mcp-mount:1:{shop}:n:n1": True,
        "mcp-mount:1:{shop}:changes": False,
    }


def test_two_servers_in_one_redis_hear_nothing_of_one_another(server: Valkey) -> None:
    queue: Queue[Message] = Queue()
    stop = RedisBackplane(server.url, lambda: "one").listen("n", queue.put).do()
    RedisBackplane(server.url, lambda: "two").publish({"kind": "change"}).do()
    assert not RedisBackplane(server.url, lambda: "two").send("n", {"kind": "answer"}).do()
    RedisBackplane(server.url, lambda: "one").publish({"kind": "last"}).do()
    assert heard(queue) == {"kind": "last"}
    stop()
