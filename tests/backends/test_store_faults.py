"""Calls whose store is away, silent, busy or full, and stores in a cluster: real Valkey servers."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Literal

import pytest
import redis

from mcp_mount import Cache, CompletionsRouter, MCPServer, Throttle, ToolsRouter
from mcp_mount.backends.redis_store import RedisStore
from mcp_mount.backends.stores import Count, StoreUnavailable
from tests.faces import connect_to
from tests.routes.test_composition import get
from tests.valkey import Valkey, cluster, cluster_url

# redis-py's clients of clusters leave sockets to the garbage collector when their loop has ended.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test leaves is collected with it, and not in another test."""
    yield
    gc.collect()


LATER = "The server cannot reach its store at the moment: try again in 5 seconds"

KINDS = ["wsgi", "asgi"]


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@contextmanager
def away(valkey: Valkey) -> Iterator[None]:
    valkey.stop()
    yield


@contextmanager
def busy(valkey: Valkey) -> Iterator[None]:
    """Others have all connections that it accepts."""
    with ExitStack() as stack, valkey.admin() as admin:
        admin.config_set("maxclients", 3)
        admin.client_kill_filter(_type="normal", skipme=True)
        for _ in range(2):
            stack.enter_context(valkey.admin()).ping()
        yield


FAULTS: dict[str, Callable[[Valkey], AbstractContextManager[None]]] = {
    "away": away,
    "silent": Valkey.silent,
    "busy": busy,
    "full": Valkey.full,
}


class Site:
    """A server with tools that need its store, and what they have left behind."""

    def __init__(self, url: str) -> None:
        self.runs: list[str] = []
        self.during: Callable[[], Any] = lambda: None
        self.server = MCPServer("faults", store=f"{url}?socket_timeout=1", open=True)
        router = ToolsRouter()

        def ran(name: str) -> int:
            self.runs.append(name)
            self.during()
            return len(self.runs)

        @router.tool(throttle=Throttle("100/minute", key="everyone"))
        def limited() -> int:
            return ran("limited")

        @router.tool(throttle=Throttle("100/minute", key="everyone"))
        async def limited_async() -> int:
            return ran("limited_async")

        @router.tool(cache=Cache(60, per="everyone", tags=["x", "y"]))
        def cached() -> int:
            return ran("cached")

        @router.tool(cache=Cache(60, per="everyone", tags=["x", "y"]))
        async def cached_async() -> int:
            return ran("cached_async")

        self.server.include_router(router)
        models = CompletionsRouter(budget="100000 tokens/day")

        @models.chat("small")
        def small(request: Any) -> Any:
            ran("small")
            return "hi"

        self.server.include_router(models)

    def call(self, kind: str, tool: str) -> Any:
        with connect_to(kind, self.server) as client:
            return client.call_tool(tool)

    def post(self, path: str, **body: Any) -> Any:
        return get(self.server, path, "POST", json=body)


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tool", ["limited", "limited_async"])
def test_what_cannot_be_counted_does_not_run_and_may_come_again(
    fault: str, kind: str, tool: str, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(valkey.url)
    assert site.call(kind, tool).data == 1
    with FAULTS[fault](valkey):
        refused = site.call(kind, tool)
        assert (refused.is_error, refused.text) == (True, LATER)
        answer = site.post(f"/tools/{tool}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert LATER in answer.text
        assert "127.0.0.1" not in answer.text
        if fault == "away":
            valkey.start()
    assert site.runs == [tool]
    # Once for all of them.
    assert caplog.text.count("The store cannot be reached") == 1
    assert site.call(kind, tool).data == 2


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_model_whose_budget_cannot_be_counted_is_not_asked(fault: str, valkey: Valkey) -> None:
    site = Site(valkey.url)
    hi = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}
    assert site.post("/v1/chat/completions", **hi).status_code == 200
    with FAULTS[fault](valkey):
        answer = site.post("/v1/chat/completions", **hi)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert site.runs == ["small"]


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tool", ["cached", "cached_async"])
def test_caches_run_uncached_meanwhile(fault: str, kind: str, tool: str, valkey: Valkey) -> None:
    site = Site(valkey.url)
    with FAULTS[fault](valkey):
        assert [site.call(kind, tool).data for _ in range(2)] == [1, 2]
        if fault == "away":
            valkey.start()
    assert [site.call(kind, tool).data for _ in range(2)] == [3, 3]


@pytest.mark.parametrize("value", [b"", b"word", b"5", b"[]", b"[1,2]", b'["x",5]', b"\xff\xfe"])
@pytest.mark.parametrize("tool", ["cached", "cached_async"])
def test_what_is_no_result_in_the_store_is_written_anew(
    tool: str, value: bytes, valkey: Valkey
) -> None:
    site = Site(valkey.url)
    assert site.call("wsgi", tool).data == 1
    with valkey.admin() as client:
        kept = client.keys("*result:*")
        assert kept
        for key in kept:
            client.set(key, value)
        assert [site.call("wsgi", tool).data for _ in range(2)] == [2, 2]
        # As if a tag had been invalidated.
        client.set(kept[0].partition("result:")[0] + "version:x", b"\xff")
    assert [site.call("wsgi", tool).data for _ in range(2)] == [3, 3]


@pytest.mark.parametrize("fault", ["away", "silent", "full"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tool", ["cached", "cached_async"])
def test_a_result_is_not_lost_with_the_store_that_would_keep_it(
    fault: str, kind: str, tool: str, valkey: Valkey
) -> None:
    site = Site(valkey.url)
    with ExitStack() as stack:
        site.during = lambda: stack.enter_context(FAULTS[fault](valkey))
        assert site.call(kind, tool).data == 1
    assert site.runs == [tool]


def test_guards_before_a_cache_stay_closed_without_the_store(valkey: Valkey) -> None:
    site = Site(valkey.url)

    @site.server.tool(throttle="100/minute", cache=60)
    def both() -> int:
        site.runs.append("both")
        return 1

    with away(valkey):
        assert site.call("wsgi", "both").text == LATER
    assert site.runs == []


@pytest.mark.parametrize("do", ["invalidate", "ainvalidate"])
def test_what_could_not_be_dropped_is_an_error(do: str, valkey: Valkey) -> None:
    site = Site(valkey.url)

    def drop() -> None:
        if do == "invalidate":
            site.server.invalidate("x")
        else:
            asyncio.run(site.server.ainvalidate("x"))

    with away(valkey), pytest.raises(StoreUnavailable):
        drop()


def test_a_command_that_is_sent_again_counts_once(valkey: Valkey) -> None:
    store = RedisStore(valkey.url)
    counting = store.count([Count("{a}:x", 3, 60), Count("{a}:y", 2, 60, limit=2)])
    assert [counting.do(), counting.do()] == [-1, -1]
    claiming = store.claim("lock", "token", 60)
    assert [bool(claiming.do()), bool(claiming.do())] == [True, True]
    assert not store.claim("lock", "other", 60).do()
    with redis.Redis.from_url(valkey.url) as client:
        assert client.mget("mcp-mount:{a}:x", "mcp-mount:{a}:y") == [b"3", b"2"]
    assert store.count([Count("{a}:x", 1, 60), Count("{a}:y", 1, 60, limit=2)]).do() == 1


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Valkey]]:
    with cluster() as nodes:
        yield nodes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tool", ["cached", "cached_async"])
def test_a_cluster_drops_the_results_of_two_tags(kind: str, tool: str, nodes: list[Valkey]) -> None:
    site = Site(cluster_url(nodes))
    # What another test has left.
    site.server.invalidate("x", "y")
    assert [site.call(kind, tool).data for _ in range(2)] == [1, 1]
    site.server.invalidate("x", "y")
    assert [site.call(kind, tool).data for _ in range(2)] == [2, 2]
    site.server.invalidate("y")
    assert site.call(kind, tool).data == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", ["moving-window", "fixed-window", "sliding-window-counter"])
def test_a_throttle_counts_in_a_cluster(
    kind: str,
    strategy: Literal["moving-window", "fixed-window", "sliding-window-counter"],
    nodes: list[Valkey],
) -> None:
    server = MCPServer("cluster", store=cluster_url(nodes), open=True)
    name = f"{kind} {strategy} {time.time()}"

    @server.tool(throttle=Throttle("3/hour", key="everyone", strategy=strategy, name=name))
    def limited() -> int:
        return 1

    with connect_to(kind, server) as client:
        answers = [client.call_tool("limited") for _ in range(5)]
    assert [answer.is_error for answer in answers] == [False] * 3 + [True] * 2
    assert "too often" in answers[-1].text


def test_a_budget_counts_in_a_cluster(nodes: list[Valkey]) -> None:
    server = MCPServer("cluster", store=cluster_url(nodes), open=True)
    router = CompletionsRouter(budget="100000 tokens/day; 2 requests/day; 10 requests/month")

    @router.chat("small")
    def small(request: Any) -> Any:
        return "hi"

    server.include_router(router)
    hi = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}
    answers = [get(server, "/v1/chat/completions", "POST", json=hi) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
