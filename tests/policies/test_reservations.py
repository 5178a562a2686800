"""What is reserved for calls that ask models: by tools, in rounds, together, after their end."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import pytest

from mcp_mount import (
    Audit,
    CallRecord,
    ChatRequest,
    CompletionsRouter,
    Context,
    ImageRouter,
    MaxConcurrency,
    MCPServer,
    SyncContext,
    Throttle,
)
from mcp_mount.backends.stores import Count, MemoryStore
from mcp_mount.calls.flows import Do
from mcp_mount.images import ImageRequest
from mcp_mount.llm.models import ModelTraits
from mcp_mount.models import (
    Budget,
    ChatCompletion,
    ModelError,
    Price,
    Route,
    ToolCall,
    Tools,
    Usage,
)
from mcp_mount.testing import Client
from tests.policies.crowd import crowd
from tests.policies.test_budget import HI, HI_AT_MOST, PNG, URL, ask, takes
from tests.routes.test_chat import Leaver
from tests.routes.test_composition import get

FACES = ["wsgi", "asgi"]
BY_TOOL = 10 + HI_AT_MOST
"""How many tokens a question "hi" with an answer of 10 takes, at most."""


class Watched(MemoryStore):
    """A store whose counts are known."""

    def used(self) -> list[int]:
        return [number for _, number in self._counts.values()]

    def comes_to(self, *expected: int) -> None:
        deadline = time.monotonic() + 20
        while self.used() != list(expected):
            assert time.monotonic() < deadline, f"{self.used()}, not {expected}"
            time.sleep(0.005)


def build(**options: Any) -> tuple[MCPServer, CompletionsRouter, Watched]:
    store = Watched()
    server = MCPServer("tests", open=True, store=store)
    router = CompletionsRouter(**options)
    server.include_router(router)
    return server, router, store


def everyone(limit: str, **options: Any) -> Budget:
    return Budget(limit, key="everyone", **options)


def takes_all(request: ChatRequest) -> Iterator[Any]:
    """As much as is reserved for it."""
    time.sleep(0.001)
    yield "a"
    yield Usage(HI_AT_MOST, request.max_tokens or 0)


async def takes_all_async(request: ChatRequest) -> ChatCompletion:
    await asyncio.sleep(0.001)
    return ChatCompletion("a", usage=Usage(HI_AT_MOST, request.max_tokens or 0))


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("model", [takes_all, takes_all_async], ids=["plain", "coroutine"])
@pytest.mark.parametrize("name", ["a", "smart"])
def test_a_budget_is_exact_for_many_at_once_through_the_chat_tool(
    name: str, model: Any, face: str
) -> None:
    budget = everyone(f"{62 * BY_TOOL} tokens/day")
    server, router, store = build(budget=budget, chat_tool=True)
    router.add_model("a", model)
    router.add_model("smart", Route("a"))
    given = {"message": "hi", "max_tokens": 10, "model": name}
    results = crowd(face, server, "chat", lambda number: given)
    assert [one.text for one in results if not one.is_error] == ["a"] * 62
    store.comes_to(62 * BY_TOOL)
    assert "has not enough left for" in next(one.text for one in results if one.is_error)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("model", [takes_all, takes_all_async], ids=["plain", "coroutine"])
@pytest.mark.parametrize("tool", ["asks", "asks_async"])
def test_a_budget_of_a_tool_is_exact_for_many_at_once(tool: str, model: Any, face: str) -> None:
    server, router, store = build()
    router.add_model("a", model)
    budget = everyone(f"{62 * BY_TOOL} tokens/day", name="shared")

    @server.tool(budget=budget)
    def asks(ctx: SyncContext) -> str:
        return ctx.complete("hi", max_tokens=10).text

    @server.tool(budget=budget)
    async def asks_async(ctx: Context) -> str:
        return (await ctx.complete("hi", max_tokens=10)).text

    results = crowd(face, server, tool)
    assert [one.text for one in results if not one.is_error] == ["a"] * 62
    store.comes_to(62 * BY_TOOL)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("tool", ["generate_image", "edit_image"])
@pytest.mark.parametrize("price", [0.02, Price(input=0, output=5)], ids=["each", "tokens"])
def test_a_budget_of_pictures_is_exact_through_tools(price: Any, tool: str, face: str) -> None:
    images = ImageRouter(budget=everyone("1 USD/day; 1000000 tokens/day", max_tokens=4000))
    drawn: list[int] = []

    @images.backend("painter", edits=True, price=price)
    def painter(request: ImageRequest) -> bytes:
        time.sleep(0.001)
        drawn.append(1)
        return PNG

    store = Watched()
    server = MCPServer("tests", open=True, store=store)
    server.include_router(images)
    given: dict[str, Any] = {"prompt": "a cat"}
    if tool == "edit_image":
        given["images"] = [base64.b64encode(PNG).decode()]
    results = crowd(face, server, tool, lambda number: given)
    assert [one.is_error for one in results].count(False) == len(drawn) == 50
    assert max(store.used()) == 1_000_000_000


def test_what_costs_nothing_is_there_through_tools_when_all_is_spent() -> None:
    server, router, _ = build(budget="0.1 USD/day", chat_tool=True)
    router.add_model("dear", takes(100_000, 0), price=Price(1, 1))
    router.add_model("free", takes(100_000, 0), price=Price(0, 0))
    with Client(server) as client:
        answers = [
            client.call_tool("chat", {"message": "hi", "model": name, "max_tokens": 10})
            for name in ("dear", "dear", "free", "free")
        ]
    assert [one.is_error for one in answers] == [False, True, False, False]


@pytest.mark.parametrize("face", FACES)
def test_what_a_tool_was_refused_is_no_request(face: str) -> None:
    server, router, store = build(budget=everyone("100 tokens/day; 5 requests/day"), chat_tool=True)
    router.add_model("a", takes(6, 4))
    with Client(server) as client:
        for most in (200, 200, 10):
            client.call_tool("chat", {"message": "hi", "max_tokens": most})
    assert sorted(store.used()) == [1, 10]


def test_a_budget_of_a_tool_limits_the_answers_of_models() -> None:
    server, router, _ = build()
    asked: list[int | None] = []

    @router.chat("a")
    def model(request: ChatRequest) -> str:
        asked.append(request.max_tokens)
        return "a"

    @server.tool(budget=Budget("1000 tokens/day", max_tokens=50))
    def asks(ctx: SyncContext) -> str:
        return ctx.complete("hi", model="a").text

    with Client(server) as client:
        assert client.call_tool("asks").text == "a"
    assert asked == [50]


def test_middleware_that_asks_for_more_has_more_reserved() -> None:
    def longer(call: Any, call_next: Any) -> Any:
        call.arguments = {**call.arguments, "max_tokens": 90}
        return call_next()

    server, router, _ = build(budget=everyone("100 tokens/day"))
    asked: list[int | None] = []

    @router.chat("a", call_middleware=longer)
    def model(request: ChatRequest) -> Iterator[Any]:
        asked.append(request.max_tokens)
        yield Usage(6, 1)

    assert [ask(server, max_tokens=1).status_code for _ in range(2)] == [200, 429]
    assert asked == [90]


def two_rounds(usage: Usage, *, breaks: bool = False) -> Any:
    class Model(ModelTraits):
        is_async = False
        wants_context = False
        # A million tokens of a long request cost more there than those of a short one.
        priced_as = "claude-sonnet-4-5", "https://api.anthropic.com"

        def answer(self, asked: Any) -> ChatCompletion:
            if asked.request.messages[-1].role == "user":
                return ChatCompletion(tool_calls=[ToolCall("look")], usage=usage)
            if breaks:
                raise ModelError("Broken off")
            return ChatCompletion("done", usage=usage)

    return Model()


@pytest.mark.parametrize("breaks", [False, True])
def test_each_round_is_priced_by_itself(breaks: bool) -> None:
    records: list[CallRecord] = []
    store = Watched()
    server = MCPServer("tests", open=True, store=store, audit=Audit(after=records.append))
    router = CompletionsRouter(budget="100 USD/day")
    server.include_router(router)
    server.tool("look")(lambda: "seen")
    router.add_model("clerk", two_rounds(Usage(150_000, 0), breaks=breaks), tools="auto")
    assert ask(server, model=None).status_code == (502 if breaks else 200)
    rounds = 1 if breaks else 2
    store.comes_to(rounds * 450_000_000)
    if not breaks:
        assert {one.name: one.cost for one in records}["clerk"] == pytest.approx(0.9)


def test_rounds_are_priced_by_the_model_that_answers_them() -> None:
    server, router, store = build(budget="100 USD/day")
    server.tool("look")(lambda: "seen")

    def first(request: ChatRequest) -> Any:
        if request.messages[-1].role != "user":
            raise ModelError("Down")
        return iter([ToolCall("look"), Usage(1_000_000, 0)])

    router.add_model("first", first, price=Price(2, 0))
    router.add_model("second", takes(1_000_000, 0), price=Price(3, 0))
    router.add_model("clerk", Route("first", "second"), tools="auto")
    assert ask(server, model="clerk").status_code == 200
    store.comes_to(5_000_000_000)


def test_a_round_for_which_nothing_is_left_is_refused() -> None:
    server, router, store = build(budget=everyone("1000 tokens/day"))
    server.tool("look")(lambda: "seen")
    router.add_model("clerk", two_rounds(Usage(900, 80)), tools=Tools(), price=Price(0, 0))
    refused = ask(server)
    assert refused.status_code == 400
    assert "clerk may take more for this request than" in refused.json()["error"]["message"]
    store.comes_to(980)


def test_an_attempt_that_goes_on_after_its_route_counts_when_it_ends() -> None:
    server, router, store = build(budget=everyone("1000 tokens/day"))
    may_end = threading.Event()

    @router.chat("slow")
    def slow(request: ChatRequest) -> Iterator[Any]:
        assert may_end.wait(20)
        yield Usage(60, 0)
        yield "late"

    @router.chat("quick")
    async def quick(request: ChatRequest) -> ChatCompletion:
        return ChatCompletion("b", usage=Usage(5, 5))

    router.add_model("smart", Route("slow", "quick", first_piece=2))

    async def run() -> None:
        async with talking_to(server) as client:
            try:
                body = {"model": "smart", "messages": HI, "max_tokens": 10}
                assert (await client.post(URL, json=body)).status_code == 200
                assert store.used() == [10 + BY_TOOL]
            finally:
                may_end.set()
            await asyncio.to_thread(store.comes_to, 10 + 60)

    asyncio.run(run())


def talking_to(server: MCPServer) -> httpx2.AsyncClient:
    """A client within this event loop, which goes on when an answer is there."""
    transport = httpx2.ASGITransport(app=server)
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")


class Elsewhere(Watched):
    """A store that answers later, and may not be waited for on an event loop."""

    def count(self, counts: Sequence[Count]) -> Do[int]:
        step = super().count(counts)

        def blocking() -> int:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            return step.do()

        async def awaited() -> int:
            await asyncio.sleep(0)
            return step.do()

        return Do(blocking, awaited)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_what_ends_late_never_waits_for_the_store_on_an_event_loop(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Elsewhere()
    server = MCPServer("tests", open=True, store=store)
    router = CompletionsRouter(budget=everyone("1000 tokens/day"))
    server.include_router(router)
    may_end = threading.Event()

    @router.chat("plain", timeout=1)
    def plain(request: ChatRequest) -> Iterator[Any]:
        assert may_end.wait(20)
        yield Usage(60, 0)

    @router.chat("coroutine")
    async def coroutine(request: ChatRequest) -> Any:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            # It takes its time to end.
            while not may_end.is_set():
                await asyncio.sleep(0.01)
            return ChatCompletion("late", usage=Usage(60, 0))

    router.add_model("smart", Route("coroutine", "quick", first_piece=2))
    router.add_model("quick", takes(0, 0))

    async def run() -> None:
        async with talking_to(server) as client:
            name = "plain" if kind == "plain" else "smart"
            body = {"model": name, "messages": HI, "max_tokens": 10}
            reply = await client.post(URL, json=body)
            assert reply.status_code == (504 if kind == "plain" else 200)
            assert store.used() == [BY_TOOL]
            may_end.set()
            # Of the late answer the first piece has come, which nobody took.
            taken = 60 if kind == "plain" else HI_AT_MOST + 2
            await asyncio.to_thread(store.comes_to, taken)

    asyncio.run(run())
    assert "does not know what a call has used" not in caplog.text


@pytest.mark.parametrize("limit", [{"throttle": Throttle("3/minute", key="everyone")}, {}])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_no_picture_is_begun_where_one_is_refused(kind: str, stream: bool, limit: Any) -> None:
    store = Watched()
    server = MCPServer("tests", open=True, store=store)
    images = ImageRouter(**(limit or {"budget": everyone("3 requests/day")}))
    server.include_router(images)
    drawn: list[str] = []

    @images.backend("plain")
    def plain(prompt: str, size: tuple[int, int]) -> bytes:
        drawn.append(prompt)
        return PNG

    @images.backend("coroutine")
    async def coroutine(prompt: str, size: tuple[int, int]) -> bytes:
        await asyncio.sleep(0)
        drawn.append(prompt)
        return PNG

    def draw(n: int) -> int:
        body = {"prompt": "x", "n": n, "model": kind, "stream": stream}
        status: int = get(server, "/v1/images/generations", "POST", json=body).status_code
        return status

    assert [draw(n) for n in (4, 2, 2, 1, 1)] == [400, 200, 429, 200, 429]
    assert len(drawn) == 3


def test_no_prompt_is_answered_where_one_is_refused() -> None:
    server, router, _ = build(throttle=Throttle("3/minute", key="everyone"))
    asked: list[str] = []

    @router.chat("a")
    def model(request: ChatRequest) -> str:
        asked.append(request.text)
        return "a"

    def send(*prompts: str) -> int:
        body = {"prompt": list(prompts), "max_tokens": 5}
        status: int = get(server, "/v1/completions", "POST", json=body).status_code
        return status

    assert [send("a", "b"), send("c", "d"), send("e")] == [200, 429, 200]
    assert asked == ["a", "b", "e"]


def test_what_was_reserved_for_kept_pictures_is_given_back() -> None:
    store = Watched()
    server = MCPServer("tests", open=True, store=store)
    images = ImageRouter(budget=everyone("10 requests/day"), cache=60)
    server.include_router(images)
    images.add_backend("painter", lambda prompt, size: PNG)

    def draw(n: int) -> int:
        body = {"prompt": "x", "n": n}
        status: int = get(server, "/v1/images/generations", "POST", json=body).status_code
        return status

    assert [draw(2), draw(2)] == [200, 200]
    assert store.used() == [2]

    kept = [key for key in store._values if key.startswith("result:")]
    store._values.pop(kept[-1])
    assert draw(2) == 200
    assert store.used() == [3]


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_pictures_of_one_request_wait_for_one_another(kind: str) -> None:
    images = ImageRouter(max_concurrency=MaxConcurrency(1, wait=0))
    server = MCPServer("tests", open=True)
    server.include_router(images)
    most = [0, 0]

    @images.backend("plain")
    def plain(prompt: str, size: tuple[int, int]) -> bytes:
        return PNG

    @images.backend("coroutine")
    async def coroutine(prompt: str, size: tuple[int, int]) -> bytes:
        most[0] += 1
        most[1] = max(most)
        await asyncio.sleep(0.001)
        most[0] -= 1
        return PNG

    body = {"prompt": "x", "n": 4, "model": kind}
    assert get(server, "/v1/images/generations", "POST", json=body).status_code == 200
    assert most == ([0, 1] if kind == "coroutine" else [0, 0])


def test_a_picture_whose_client_leaves_is_paid() -> None:
    store = Watched()
    server = MCPServer("tests", open=True, store=store)
    images = ImageRouter(budget=everyone("1 USD/day"))
    server.include_router(images)

    @images.backend("painter", price=0.25)
    async def painter(prompt: str, size: tuple[int, int]) -> bytes:
        await asyncio.sleep(3600)
        return PNG

    leaver = Leaver(server, stream=False, path="/v1/images/generations", prompt="x")
    asyncio.run(asyncio.wait_for(leaver.run(), 20))
    store.comes_to(250_000_000)


def _passes(call: Any, call_next: Any) -> Any:
    return call_next()


async def _passes_later(call: Any, call_next: Any) -> Any:
    return await call_next()


@pytest.mark.parametrize("middleware", [_passes, _passes_later])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_pictures_are_admitted_together_on_one_thread(kind: str, middleware: Any) -> None:
    store = Elsewhere()
    server = MCPServer("tests", open=True, store=store)
    images = ImageRouter(
        call_middleware=middleware,
        throttle=Throttle("3/minute", key="everyone"),
        budget=everyone("3 requests/day"),
        max_concurrency=MaxConcurrency(1, wait=0),
    )
    server.include_router(images)

    @images.backend("plain")
    def plain(prompt: str, size: tuple[int, int]) -> bytes:
        return PNG

    @images.backend("coroutine")
    async def coroutine(prompt: str, size: tuple[int, int]) -> bytes:
        await asyncio.sleep(0)
        return PNG

    transport = httpx2.WSGITransport(server.wsgi)
    with httpx2.Client(transport=transport, base_url="http://127.0.0.1") as client:
        statuses = [
            client.post(
                "/v1/images/generations", json={"prompt": "x", "n": n, "model": kind}
            ).status_code
            for n in (2, 2, 1)
        ]
    assert statuses == [200, 429, 200]
    assert store.used() == [3]


SHARED = "100 tokens/day; 10 requests/day"


@pytest.mark.parametrize(
    ("around", "own"),
    [
        ({}, [everyone(SHARED, name="x"), everyone("90 tokens/day", name="x")]),
        ({}, [everyone(f"{SHARED}; 90 tokens/day", name="x")]),
        (
            {"budget": everyone(SHARED, name="x")},
            [everyone("90 tokens/day; 10 requests/day", name="x")],
        ),
    ],
    ids=["model", "one", "router"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_budgets_of_one_name_count_once_and_the_smallest_limit_holds(
    stream: bool, around: Any, own: Any
) -> None:
    server, router, store = build(**around)
    router.chat("a", budget=own)(takes(20, 20))
    assert ask(server, max_tokens=90 - HI_AT_MOST + 1, stream=stream).status_code == 400
    assert ask(server, max_tokens=20, stream=stream).status_code == 200
    store.comes_to(40, 1)
    assert ask(server, max_tokens=50 - HI_AT_MOST + 1, stream=stream).status_code == 429
    assert ask(server, max_tokens=50 - HI_AT_MOST, stream=stream).status_code == 200
    store.comes_to(80, 2)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("where", ["server", "name"])
def test_a_tool_and_the_models_that_it_asks_count_once_in_a_budget_of_both(
    where: str, face: str
) -> None:
    store = Watched()
    named = everyone(SHARED, name="x")
    options: dict[str, Any] = {"budget": everyone(SHARED)} if where == "server" else {}
    own: dict[str, Any] = {"budget": named} if where == "name" else {}
    server = MCPServer("tests", open=True, store=store, **options)
    router = CompletionsRouter()
    router.chat("a", **own)(takes(20, 20))
    server.include_router(router)

    @server.tool(**own)
    def asks(ctx: SyncContext, length: int) -> str:
        return ctx.complete("hi", max_tokens=length).text

    with Client(server.wsgi if face == "wsgi" else server) as client:
        assert not client.call_tool("asks", {"length": 20}).is_error
        # The tool and the model are a call each, and have taken the same tokens.
        assert sorted(store.used()) == [2, 40]
        too_long = client.call_tool("asks", {"length": 60 - HI_AT_MOST + 1})
        assert "has not enough left" in too_long.text
        assert not client.call_tool("asks", {"length": 60 - HI_AT_MOST}).is_error


def test_a_smaller_limit_within_holds_too() -> None:
    server, router, store = build()
    router.chat("a", budget=everyone("50 tokens/day", name="x"))(takes(20, 20))

    @server.tool(budget=everyone("100 tokens/day", name="x"))
    def asks(ctx: SyncContext, length: int) -> str:
        return ctx.complete("hi", max_tokens=length).text

    client = Client(server)
    assert "limit the answer" in client.call_tool("asks", {"length": 50}).text
    assert not client.call_tool("asks", {"length": 20}).is_error
    store.comes_to(40)
    assert "has not enough left" in client.call_tool("asks", {"length": 20}).text
