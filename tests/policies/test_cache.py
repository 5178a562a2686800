"""Cached results: for whom, for how long, and what is never kept."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel

from mcp_mount import (
    Cache,
    Context,
    DefinitionError,
    MCPServer,
    SyncContext,
    ToolError,
    ToolsRouter,
)
from mcp_mount.auth import APIKey, APIKeys
from tests.faces import Connect
from tests.policies.crowd import crowd
from tests.transports.leaving import leave_during

ADA, BOB = "ada-has-this-api-key", "bob-has-this-api-key"


def build(cache: Any, **options: Any) -> tuple[MCPServer, Counter[str]]:
    runs: Counter[str] = Counter()
    tools = ToolsRouter()

    @tools.tool(cache=cache)
    def price(sku: str, amount: int = 1) -> dict[str, Any]:
        runs["price"] += 1
        run = runs["price"]
        time.sleep(0.02)
        return {"sku": sku, "total": amount * 10, "run": run}

    @tools.tool(cache=cache)
    async def price_async(sku: str) -> dict[str, Any]:
        runs["price_async"] += 1
        await asyncio.sleep(0.02)
        return {"sku": sku, "run": runs["price_async"]}

    server = MCPServer(**options)
    server.include_router(tools)
    return server, runs


@pytest.mark.parametrize("tool", ["price", "price_async"])
def test_equal_calls_have_the_same_result(tool: str, connect: Connect) -> None:
    server, runs = build(60)
    with connect(server) as client:
        first = client.call_tool(tool, {"sku": "a"})
        again = client.call_tool(tool, {"sku": "a"})
        other = client.call_tool(tool, {"sku": "b"})
    assert first.data == again.data != other.data
    assert first.text == again.text
    assert runs[tool] == 2


def test_the_order_of_arguments_is_no_difference(connect_stateless: Connect) -> None:
    server, runs = build(60)
    with connect_stateless(server) as client:
        client.call_tool("price", {"sku": "a", "amount": 2})
        client.call_tool("price", {"amount": 2, "sku": "a"})
    assert runs["price"] == 1


def test_a_result_is_kept_for_its_time(connect_stateless: Connect) -> None:
    server, runs = build(0.1)
    with connect_stateless(server) as client:
        client.call_tool("price", {"sku": "a"})
        time.sleep(0.15)
        client.call_tool("price", {"sku": "a"})
    assert runs["price"] == 2


def test_callers_do_not_see_each_others_results(connect_stateless: Connect) -> None:
    server, runs = build(60, auth=APIKeys({"ada": ADA, "bob": BOB}))
    for key in (ADA, BOB, ADA, BOB):
        with connect_stateless(server, headers={"x-api-key": key}) as client:
            client.call_tool("price", {"sku": "a"})
    assert runs["price"] == 2


def test_callers_whom_nobody_knows_are_told_apart_by_their_credentials(
    connect_stateless: Connect,
) -> None:
    server, runs = build(60)
    for cookie in ("session=ada", "session=bob", "session=ada"):
        with connect_stateless(server, headers={"cookie": cookie}) as client:
            client.call_tool("price", {"sku": "a"})
    assert runs["price"] == 2


def test_a_result_for_everyone(connect_stateless: Connect) -> None:
    server, runs = build(Cache(60, per="everyone"), auth=APIKeys({"ada": ADA, "bob": BOB}))
    for key in (ADA, BOB):
        with connect_stateless(server, headers={"x-api-key": key}) as client:
            client.call_tool("price", {"sku": "a"})
    assert runs["price"] == 1


def test_a_result_for_those_of_a_kind(connect_stateless: Connect) -> None:
    cache = Cache(60, per=lambda call: call.headers.get("x-tenant"))
    server, runs = build(cache)
    for tenant in ("acme", "acme", "other"):
        with connect_stateless(server, headers={"x-tenant": tenant}) as client:
            client.call_tool("price", {"sku": "a"})
    assert runs["price"] == 2
    with connect_stateless(server) as client:
        # None is kept for nobody.
        client.call_tool("price", {"sku": "a"})
        client.call_tool("price", {"sku": "a"})
    assert runs["price"] == 4


def test_each_face_and_revision_has_its_own_form(over_http: Any) -> None:
    from tests.faces import connect_to

    tools = ToolsRouter()

    @tools.tool(cache=60)
    def numbers() -> list[int]:
        return [1, 2]

    server = MCPServer()
    server.include_router(tools)
    for _ in range(2):
        assert over_http(server, "numbers").json() == [1, 2]
        with connect_to("wsgi", server) as client:
            assert client.call_tool("numbers").data == [1, 2]
        with connect_to("wsgi-session", server) as client:
            assert client.call_tool("numbers").structured == {"result": [1, 2]}


def test_a_failure_is_not_kept(connect: Connect) -> None:
    runs: list[int] = []
    server = MCPServer()

    @server.tool(cache=60)
    def flaky() -> int:
        runs.append(1)
        if len(runs) == 1:
            raise ToolError("Not yet")
        return len(runs)

    with connect(server) as client:
        assert client.call_tool("flaky").text == "Not yet"
        assert client.call_tool("flaky").text == "2"


def test_what_was_asked_of_a_person_is_not_kept(connect: Connect) -> None:
    class Answer(BaseModel):
        name: str

    asked: list[str] = []
    server = MCPServer()

    @server.tool(cache=60)
    async def greet(ctx: Context) -> str:
        answer = await ctx.elicit("Your name?", Answer)
        assert answer.data is not None
        return f"Hello {answer.data.name}"

    def answer(question: Any) -> dict[str, str]:
        asked.append("")
        return {"name": f"number {len(asked)}"}

    with connect(server, elicit=answer) as client:
        assert client.call_tool("greet").text == "Hello number 1"
        assert client.call_tool("greet").text == "Hello number 2"


def test_a_resource_is_read_once(connect: Connect) -> None:
    reads: list[str] = []
    server = MCPServer()

    @server.resource("text://{name}", cache=60)
    def text(name: str) -> str:
        reads.append(name)
        return f"{name} {len(reads)}"

    with connect(server) as client:
        texts = [
            client.read_resource(uri)[0]["text"] for uri in ("text://a", "text://a", "text://b")
        ]
    assert texts == ["a 1", "a 1", "b 2"]


def test_a_tag_drops_what_has_it(connect_stateless: Connect) -> None:
    server, runs = build(Cache(60, tags=["prices", "sku:{sku}"]))
    with connect_stateless(server) as client:

        def both() -> None:
            client.call_tool("price", {"sku": "a"})
            client.call_tool("price", {"sku": "b"})

        both()
        both()
        assert runs["price"] == 2
        server.invalidate("sku:a")
        both()
        assert runs["price"] == 3
        asyncio.run(server.ainvalidate("prices"))
        both()
        assert runs["price"] == 5
        server.invalidate("unknown")
        both()
        assert runs["price"] == 5


def test_what_is_made_while_its_tag_is_dropped_is_not_kept(connect_stateless: Connect) -> None:
    runs: list[int] = []
    server = MCPServer()

    @server.tool(cache=Cache(60, tags="stock"))
    def stock() -> int:
        runs.append(1)
        if len(runs) == 1:
            # Somebody sells while it is counted.
            server.invalidate("stock")
        return len(runs)

    with connect_stateless(server) as client:
        assert [client.call_tool("stock").text for _ in range(3)] == ["1", "2", "2"]


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("tool", ["price", "price_async"])
def test_of_64_equal_calls_at_once_one_runs(kind: str, tool: str) -> None:
    server, runs = build(60)
    answers = crowd(kind, server, tool, lambda number: {"sku": "a"})
    assert {one.data["run"] for one in answers} == {1}
    assert runs[tool] == 1


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_of_64_calls_each_caller_has_one_run(kind: str) -> None:
    keys = {f"user{number}": f"key-of-user-number-{number}" for number in range(4)}
    server, runs = build(60, auth=APIKeys(keys))
    answers = crowd(
        kind,
        server,
        "price",
        lambda number: {"sku": "a"},
        lambda number: {"x-api-key": f"key-of-user-number-{number % 4}"},
    )
    assert len({one.data["run"] for one in answers}) == 4
    assert runs["price"] == 4


def test_those_who_wait_share_a_failure_and_the_next_runs_again() -> None:
    runs: list[int] = []
    server = MCPServer()

    @server.tool(cache=60)
    def broken() -> int:
        runs.append(1)
        time.sleep(0.1)
        raise ToolError("broken")

    answers = crowd("wsgi", server, "broken")
    assert {one.text for one in answers} == {"broken"}
    assert len(runs) < 64


def test_a_leader_whose_client_leaves_leaves_no_one_waiting() -> None:
    runs: list[int] = []
    server = MCPServer()

    @server.tool(cache=60)
    async def slow() -> int:
        runs.append(1)
        if len(runs) == 1:
            await asyncio.sleep(60)
        return len(runs)

    async def main() -> Any:
        leader = asyncio.create_task(leave_during(server, "slow", after=0.2))
        await asyncio.sleep(0.01)
        follower = asyncio.create_task(leave_during(server, "slow", after=60))
        return await leader, await asyncio.wait_for(follower, 60)

    gone, answered = asyncio.run(main())
    assert gone == []
    assert answered[0]["status"] == 200
    assert len(runs) == 2


def test_arguments_that_do_not_fit_a_tag_are_told_as_such(connect: Connect, over_http: Any) -> None:
    tools = ToolsRouter()

    @tools.tool(cache=Cache(60, tags=["order:{number:05d}"]))
    def status(number: int) -> str:
        return f"{number}"

    server = MCPServer()
    server.include_router(tools)
    with connect(server) as client:
        assert client.call_tool("status", {"number": 7}).text == "7"
        assert "Invalid arguments" in client.call_tool("status", {"number": "x"}).text
        assert "Invalid arguments" in client.call_tool("status", {"number": None}).text
    assert over_http(server, "status", {"number": ["x"]}).status_code == 422


def test_memory_is_bounded_by_bytes() -> None:
    from mcp_mount.backends.stores import MemoryStore
    from mcp_mount.calls.results import Result

    store = MemoryStore(max_bytes=10_000)
    for number in range(100):
        store.set(f"result:{number}", Result(b"x" * 1000), 60).do()
    kept = store.get([f"result:{number}" for number in range(100)]).do()
    assert [number for number in range(100) if kept[number] is not None] == list(range(93, 100))
    store.set("result:huge", Result(b"x" * 20_000), 60).do()
    huge, other = store.get(["result:huge", "result:99"]).do()
    assert huge is None
    assert other is not None


@pytest.mark.parametrize("cache", [0, -1, True, "60", 8 * 24 * 3600])
def test_what_is_no_time_is_refused(cache: Any) -> None:
    with pytest.raises(DefinitionError, match="cache is a number of seconds"):
        build(cache)


def test_a_prompt_has_no_cache() -> None:
    server = MCPServer()
    with pytest.raises(DefinitionError, match="the prompt 'greet' has no cache="):
        server.prompt("greet", cache=60)(lambda: "hi")


def test_a_context_is_there_as_without(connect_stateless: Connect) -> None:
    server = MCPServer()

    @server.tool(cache=60)
    def tell(ctx: SyncContext) -> str:
        ctx.info("running")
        return ctx.protocol_version

    with connect_stateless(server, log_level="info") as client:
        assert len(client.call_tool("tell").notifications) == 1
        assert len(client.call_tool("tell").notifications) == 0


def test_a_narrower_token_does_not_get_what_a_wider_one_of_the_same_caller_has_called_up(
    connect: Connect,
) -> None:
    keys = [APIKey("ada", ADA, scopes="read admin"), APIKey("ada", BOB, scopes="read")]
    server = MCPServer(auth=APIKeys(keys))

    @server.tool(scopes="admin")
    def salaries() -> str:
        return "100,000"

    @server.tool(cache=60)
    def report(ctx: SyncContext) -> str:
        return str(ctx.call_tool(salaries))

    wide, narrow = (connect(server, headers={"x-api-key": key}) for key in (ADA, BOB))
    assert wide.call_tool("report").content[0]["text"] == "100,000"
    assert wide.call_tool("report").content[0]["text"] == "100,000"
    assert narrow.call_tool("report").is_error
