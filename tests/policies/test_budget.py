"""Budgets: how much callers may use up, and what counts."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import httpx2
import pytest

from mcp_mount import (
    Audit,
    CallRecord,
    ChatRequest,
    CompletionsRouter,
    Context,
    DefinitionError,
    ImageRouter,
    MCPServer,
    SyncContext,
)
from mcp_mount.backends.stores import MemoryStore
from mcp_mount.llm.models import ModelTraits
from mcp_mount.models import (
    Anthropic,
    Budget,
    Embeddings,
    ModelError,
    OpenAI,
    Price,
    Route,
    ToolCall,
    Usage,
)
from mcp_mount.policies.allowances import allowances
from mcp_mount.testing import Client
from tests.routes.test_chat import Leaver
from tests.routes.test_composition import get

URL = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
HI_AT_MOST = 6
"""How many tokens are reserved for it."""


def build(budget: Any = None, **options: Any) -> tuple[MCPServer, CompletionsRouter]:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter(budget=budget, **options)
    server.include_router(router)
    return server, router


def ask(server: MCPServer, **request: Any) -> Any:
    return get(server, URL, "POST", json={"messages": HI, "max_tokens": 10} | request)


def statuses(server: MCPServer, count: int, **request: Any) -> list[int]:
    return [ask(server, **request).status_code for _ in range(count)]


def takes(input_tokens: int, output_tokens: int) -> Any:
    def model(request: ChatRequest) -> Iterator[Any]:
        yield "a"
        yield Usage(input_tokens, output_tokens)

    return model


@pytest.mark.parametrize("stream", [False, True])
def test_requests_are_counted(stream: bool) -> None:
    server, router = build("2 requests/day")
    router.add_model("a", takes(1, 1))
    assert statuses(server, 3, stream=stream) == [200, 200, 429]


@pytest.mark.parametrize("stream", [False, True])
def test_the_tokens_count_that_the_model_tells(stream: bool) -> None:
    server, router = build("100 tokens/day")
    router.add_model("a", takes(30, 12))
    # 84 of 100 are used up after two, and a third one reserves 16.
    assert statuses(server, 4, stream=stream) == [200, 200, 200, 429]


def test_a_refusal_says_when_the_window_ends() -> None:
    server, router = build("1 requests/month")
    router.add_model("a", takes(1, 1))
    ask(server)
    refused = ask(server)
    wait = int(refused.headers["retry-after"])
    now = datetime.now(timezone.utc)
    end = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=timezone.utc)
    assert abs((end - now).total_seconds() - wait) < 60
    message = refused.json()["error"]["message"]
    assert message.startswith("The budget of 1 requests per month has not enough left for a: ")


def test_money_counts_by_the_price() -> None:
    server, router = build("1 USD/day")
    router.add_model("a", takes(100_000, 100_000), price=Price(input=1, output=2, cached=0))
    assert statuses(server, 5) == [200, 200, 200, 200, 429], "0.30 USD each, as long as there is 1"


def test_a_model_that_costs_nothing_is_there_when_all_is_spent() -> None:
    server, router = build("0.1 USD/day")
    router.add_model("dear", takes(100_000, 0), price=Price(1, 1))
    router.add_model("free", takes(100_000, 0), price=Price(0, 0))
    assert statuses(server, 2, model="dear") == [200, 429]
    assert statuses(server, 2, model="free") == [200, 200]


def test_a_function_without_a_price_costs_nothing_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, router = build("0.001 USD/day")
    router.add_model("unpriced", takes(100_000, 0))
    assert statuses(server, 3) == [200, 200, 200]
    assert [one.message for one in caplog.records if "has no price" in one.message] == [
        "The model 'unpriced' has no price, so it costs nothing in budgets of money: declare price="
    ]


class _Listed(ModelTraits):
    is_async = False
    wants_context = False

    def __init__(self, model: str) -> None:
        self.priced_as = model, "https://api.openai.com/v1"

    def answer(self, asked: Any) -> Any:
        from mcp_mount.models import ChatCompletion

        return ChatCompletion("a", usage=Usage(1_000_000, 0))


def test_the_price_of_an_upstream_is_looked_up() -> None:
    server, router = build("3 USD/day")
    router.add_model("a", _Listed("gpt-4o"))
    assert statuses(server, 3) == [200, 200, 429], "2.50 USD each"


@pytest.mark.parametrize(
    "add",
    [
        lambda router, **given: router.add_model("own", Route(["a"]), **given),
        lambda router, **given: router.add_model("own", Route(["b"], "nickname"), **given),
        lambda router, **given: router.add_model("own", "a", **given),
        lambda router, **given: router.add_model("own", "a", tools="auto", **given),
        lambda router, **given: (
            router.add_model("own", "outer", **given),
            router.add_model("outer", Route(["a"])),
        ),
    ],
    ids=["route", "alias", "named", "tools", "deep"],
)
def test_a_price_of_a_member_that_is_not_known_is_found_when_the_server_starts(add: Any) -> None:
    def build_with(**options: Any) -> Any:
        server, router = build()
        router.add_model("a", OpenAI("http://127.0.0.1:1/v1", "no-such"), aliases=["nickname"])
        router.chat("b", price=Price(1, 1))(lambda request: "x")
        add(router, **options)
        return server

    budget = {"budget": Budget("1 USD/day")}
    with pytest.raises(DefinitionError, match="budget of the model 'own' cannot be kept") as raised:
        build_with(**budget).core.check_declared()
    assert "declare price=Price(…) of the model 'a'" in str(raised.value)
    # A price of its own is enough; a budget of tokens needs none.
    build_with(**budget, price=Price(1, 1)).core.check_declared()
    build_with(budget=Budget("1 tokens/day")).core.check_declared()


@pytest.mark.parametrize("where", ["server", "model"])
def test_a_budget_without_a_price_keeps_the_server_from_starting(where: str) -> None:
    server, router = build("3 USD/day" if where == "server" else "5 requests/day")
    own: Any = {"budget": "3 USD/day"} if where == "model" else {}
    router.add_model("a", _Listed("nobody-knows"), **own)
    with pytest.raises(DefinitionError, match="the budget of the model 'a' cannot be kept: the pr"):
        server.core.check_declared()
    assert statuses(server, 1) == [503]


def test_an_upstream_whose_price_is_not_known_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, router = build("3 USD/day")
    router.add_model("free", takes(1, 1), price=Price(0, 0))
    assert statuses(server, 1) == [200]
    # The server has been checked when it started.
    router.add_model("a", _Listed("nobody-knows"))
    answer = ask(server, model="a")
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        500,
        "The budget of the model 'a' cannot be kept: its price is not known",
    )
    [line] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert line.exc_info is None
    assert "The budget of the model 'a' cannot be kept: the price of" in line.getMessage()
    assert "the price of 'nobody-knows' at https://api.openai.com/v1 is not known" in caplog.text
    assert "declare price=Price(…) of the model 'a'" in caplog.text


@pytest.mark.parametrize("budget", ["50 tokens/day", Budget("50 tokens/day", max_tokens=45)])
def test_a_request_that_may_take_more_than_all_is_told_what_to_do(budget: Any) -> None:
    server, router = build(budget)
    router.add_model("a", takes(1, 1))
    refused = get(server, URL, "POST", json={"messages": HI})
    assert refused.status_code == 400
    assert "limit the answer by max_tokens" in refused.json()["error"]["message"]
    assert ask(server, max_tokens=50 - HI_AT_MOST).status_code == 200
    assert ask(server, n=5).status_code == 400


def test_several_budgets_hold_together() -> None:
    server, router = build(["100 requests/day", "3 requests/week"])
    router.add_model("a", takes(1, 1), budget="2 requests/hour; 1000 tokens/hour")
    router.add_model("b", takes(1, 1))
    assert statuses(server, 3, model="a") == [200, 200, 429]
    assert statuses(server, 2, model="b") == [200, 429], "what was refused was not counted"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("caller", [200, 429, 200]),
        ("everyone", [200, 429, 429]),
        (lambda call: call.headers.get("x-team"), [200, 429, 200]),
        (lambda call: None, [200, 200, 200]),
    ],
)
def test_a_key_says_who_shares_a_budget(key: Any, expected: list[int]) -> None:
    server, router = build(Budget("1 requests/day", key=key))
    router.add_model("a", takes(1, 1))
    seen = []
    for name in ("one", "one", "two"):
        headers = {"x-api-key": name, "x-team": name}
        body = {"messages": HI}
        seen.append(get(server, URL, "POST", json=body, headers=headers).status_code)
    assert seen == expected


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (("x" * 60,), 100 - HI_AT_MOST - 20),
        ((Usage(40, 0), "x" * 60), 100 - 40 - 20),
        ((Usage(40, 30), "x"), 100 - 70),
        ((), 100),
    ],
    ids=["text", "usage first", "usage", "nothing"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_fails_counts_what_has_come(said: Any, left: int, stream: bool) -> None:
    server, router = build("100 tokens/day")

    @router.chat("a")
    async def breaks(request: ChatRequest) -> AsyncIterator[Any]:
        for piece in said:
            yield piece
        if request.max_tokens == 1:
            raise ModelError("Broken off")

    ask(server, max_tokens=1, stream=stream)
    assert ask(server, max_tokens=left - HI_AT_MOST + 1).status_code in (400, 429)
    assert ask(server, max_tokens=left - HI_AT_MOST).status_code == 200


def test_a_model_that_tells_no_usage_counts_by_its_text() -> None:
    server, router = build("100 tokens/day")
    router.add_model("a", lambda request: "x" * 180)
    # 66 of 100 are used up, and another request reserves 16; then 132.
    assert statuses(server, 3) == [200, 200, 429]


def test_what_was_refused_for_other_reasons_is_given_back() -> None:
    server, router = build("2 requests/day; 1000 tokens/day")
    router.add_model("a", takes(1, 1), budget="1 requests/day")
    router.add_model("b", takes(1, 1))
    assert statuses(server, 3, model="a") == [200, 429, 429]
    assert statuses(server, 2, model="b") == [200, 429]


def test_kept_answers_cost_nothing() -> None:
    server, router = build("1 requests/day", cache=60)
    router.add_model("a", takes(1, 1))
    assert statuses(server, 3) == [200, 200, 200]


def test_a_route_and_its_members_count_once() -> None:
    server, router = build("2 requests/day; 200 tokens/day")
    router.add_model("smart", Route("inner"))
    router.add_model("inner", Route("a"))
    router.add_model("a", takes(60, 20))
    assert statuses(server, 3) == [200, 200, 429]


def test_the_budget_of_a_member_is_its_own() -> None:
    server, router = build("3 requests/day")
    router.add_model("smart", Route("a", "b"))
    router.add_model("a", takes(1, 1), budget="1 requests/day")
    router.add_model("b", takes(1, 1))
    assert [ask(server).json()["model"] for _ in range(3)] == ["a", "b", "b"]
    assert ask(server).status_code == 429


def test_failed_attempts_of_a_route_count_what_they_took() -> None:
    server, router = build("100 tokens/day")
    router.add_model("smart", Route("a", "b"))
    router.add_model("b", takes(5, 5))

    @router.chat("a")
    async def breaks(request: ChatRequest) -> AsyncIterator[Any]:
        yield Usage(60, 0)
        raise ModelError("Broken off")

    assert statuses(server, 1) == [200]
    assert ask(server, max_tokens=30 - HI_AT_MOST + 1).status_code == 429
    assert ask(server, max_tokens=30 - HI_AT_MOST, model="b").status_code == 200


def test_a_route_costs_what_its_members_cost() -> None:
    server, router = build("1 USD/day")
    router.add_model("smart", Route("cheap"))
    router.add_model("cheap", takes(300_000, 0), price=Price(1, 1))
    assert statuses(server, 5) == [200, 200, 200, 200, 429]


def test_a_budget_of_a_tool_counts_what_it_asks_models() -> None:
    server, router = build()
    router.add_model("a", takes(40, 20))

    @server.tool(budget="100 tokens/day")
    async def asks_async(times: int, ctx: Context) -> int:
        for _ in range(times):
            await ctx.complete("hi", model="a", max_tokens=10)
        return times

    @server.tool(budget="100 tokens/day")
    def asks_sync(times: int, ctx: SyncContext) -> int:
        for _ in range(times):
            ctx.complete("hi", model="a", max_tokens=10)
        return times

    with Client(server) as client:
        for tool in ("asks_async", "asks_sync"):
            results = [client.call_tool(tool, {"times": 1}) for _ in range(3)]
            assert [one.is_error for one in results] == [False, False, True]
        assert "has not enough left for asks_sync" in results[-1].text


def test_a_model_that_passes_on_the_usage_of_others_counts_it_once() -> None:
    server, router = build("100 tokens/day")

    @router.chat("first")
    async def asks(request: ChatRequest, ctx: Context) -> Any:
        return await ctx.complete("hi", model="second", max_tokens=10)

    router.add_model("second", takes(20, 20), budget="100 requests/day")
    assert ask(server, model="first").status_code == 200
    # Both are calls of the router, which has the budget: what was used is the same.
    assert ask(server, model="second", max_tokens=60 - HI_AT_MOST + 1).status_code == 429
    assert ask(server, model="second", max_tokens=60 - HI_AT_MOST).status_code == 200


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_budget_is_exact_for_many_at_once(kind: str) -> None:
    server, router = build(Budget("1000 tokens/day; 40 requests/day", key="everyone"))
    asked: list[int] = []

    @router.chat("plain")
    def plain(request: ChatRequest) -> Iterator[Any]:
        asked.append(1)
        yield "a"
        yield Usage(4, 8)

    @router.chat("coroutine")
    async def coroutine(request: ChatRequest) -> AsyncIterator[Any]:
        asked.append(1)
        await asyncio.sleep(0.001)
        yield "a"
        yield Usage(4, 8)

    # As in tests/backends/test_stores.py: what FastAPI prepares at the first request is prepared.
    assert get(server, "/v1/models").status_code == 200
    barrier = threading.Barrier(64)

    def one(number: int) -> int:
        barrier.wait()
        status: int = ask(server, model=kind).status_code
        return status

    with ThreadPoolExecutor(64) as pool:
        counted = Counter(pool.map(one, range(64)))
    assert counted == {200: 40, 429: 24}
    assert len(asked) == 40


def test_a_plain_function_that_goes_on_keeps_what_it_has_reserved() -> None:
    server, router = build("100 tokens/day")
    may_end, has_ended = threading.Event(), threading.Event()

    @router.chat("a", timeout=1)
    def slow(request: ChatRequest) -> Iterator[Any]:
        if request.max_tokens == 90:
            assert may_end.wait(20)
        yield Usage(5, 5)
        has_ended.set()

    async def together() -> None:
        transport = httpx2.ASGITransport(app=server)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def status(max_tokens: int) -> int:
                body = {"messages": HI, "max_tokens": max_tokens}
                return (await client.post(URL, json=body)).status_code

            try:
                assert await status(90) == 504
                assert await status(5) == 429
            finally:
                may_end.set()
            assert await asyncio.to_thread(has_ended.wait, 20)
            for _ in range(1000):
                if await status(5) == 200:
                    return
            raise AssertionError("what it did not use was not given back")

    asyncio.run(together())


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("5 USD/day", [(5_000_000_000, "USD", "day")]),
        ("0.05 usd per hour", [(50_000_000, "USD", "hour")]),
        ("100_000 tokens/week", [(100_000, "tokens", "week")]),
        ("1 request/minute; 5 tokens / month", [(1, "requests", "minute"), (5, "tokens", "month")]),
    ],
)
def test_a_budget_is_written_in_words(limit: str, expected: Any) -> None:
    assert [(one.amount, one.unit, one.period) for one in allowances(limit)] == expected


@pytest.mark.parametrize(
    ("period", "begin", "left"),
    [
        ("minute", "20260228T2359", 1),
        ("hour", "20260228T2300", 1),
        ("day", "20260228T0000", 1),
        ("week", "20260223T0000", 86401),
        ("month", "20260201T0000", 1),
    ],
)
def test_windows_are_those_of_the_calendar(period: str, begin: str, left: float) -> None:
    [allowance] = allowances(f"1 requests/{period}")
    now = datetime(2026, 2, 28, 23, 59, 59, tzinfo=timezone.utc)
    assert allowance.window(now) == (begin, left)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Budget("5 EUR/day"),
        lambda: Budget("5 USD"),
        lambda: Budget("0 USD/day"),
        lambda: Budget("1.5 tokens/day"),
        lambda: Budget("5 USD/year"),
        lambda: Budget(""),
        lambda: Budget("5 USD/day;"),
        lambda: Budget(5),  # type: ignore[arg-type]
        lambda: Budget("5 USD/day", key="nobody"),  # type: ignore[arg-type]
        lambda: Budget("5 USD/day", max_tokens=0),
        lambda: Budget("5 USD/day", name=5),  # type: ignore[arg-type]
        lambda: Price(-1, 1),
        lambda: Price(1, float("nan")),
        lambda: Price(1, None),  # type: ignore[arg-type]
        lambda: build(budget=[]),
        lambda: build()[1].add_model("a", takes(1, 1), price=5),  # type: ignore[arg-type]
    ],
)
def test_what_no_budget_or_price_can_be_is_refused(make: Any) -> None:
    with pytest.raises(DefinitionError):
        make()


def test_the_audit_has_tokens_and_costs() -> None:
    records: list[CallRecord] = []
    server = MCPServer("tests", open=True, audit=Audit(after=records.append))
    router = CompletionsRouter()
    router.add_model("smart", Route("a", "b"))
    router.add_model("a", takes(3, 500_000), price=Price(0, 4))
    server.include_router(router)
    router.add_model("b", lambda request: "x")
    assert statuses(server, 1, model="smart") + statuses(server, 1, model="b") == [200, 200]
    told = [(one.name, one.input_tokens, one.output_tokens, one.cost) for one in records]
    assert told == [
        ("a", 3, 500_000, 2.0),
        ("smart", 3, 500_000, None),
        ("b", None, None, None),
    ]


@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        (lambda: OpenAI("https://api.openai.com/v1", "gpt-5", key="k"), True),
        (lambda: Anthropic("claude-sonnet-4-5", key="k"), True),
        (lambda: OpenAI("http://localhost:11434/v1", "llama3.2"), False),
    ],
)
def test_upstreams_have_listed_prices(model: Any, allowed: bool) -> None:
    router = CompletionsRouter()
    router.add_model("a", model())
    price = router.registry.models["a"].price
    assert price is not None
    if allowed:
        assert price.cost(Usage(1_000_000, 1_000_000)) > 1
    else:
        with pytest.raises(DefinitionError, match="declare price="):
            price.cost(Usage(1, 1))


def test_a_reservation_limits_the_answer() -> None:
    seen: list[int | None] = []

    def model(request: ChatRequest) -> str:
        seen.append(request.max_tokens)
        return "a"

    for budget in (Budget("100 tokens/day", max_tokens=50), Budget("5 requests/day")):
        server, router = build(budget)
        router.chat("model")(model)
        ask(server, max_tokens=None)
        ask(server, max_tokens=7)
    assert seen == [50, 7, None, 7]


def test_a_client_that_leaves_before_the_answer_has_had_its_request_read() -> None:
    server, router = build(Budget(f"{2 * HI_AT_MOST + 1} tokens/day", key="everyone", max_tokens=1))

    @router.chat("model")
    async def model(request: ChatRequest) -> str:
        if request.max_tokens == 1:
            await asyncio.sleep(3600)
        return "a"

    asyncio.run(asyncio.wait_for(Leaver(server, stream=False).run(), 20))
    assert ask(server, max_tokens=2).status_code == 429


def test_an_answer_whose_client_leaves_counts_what_has_come() -> None:
    server, router = build(Budget("5000 tokens/day", key="everyone"))

    @router.chat("a")
    async def model(request: ChatRequest) -> AsyncIterator[Any]:
        yield "x" * 300
        if request.max_tokens is None:
            await asyncio.sleep(3600)

    asyncio.run(asyncio.wait_for(Leaver(server, stream=True).run(), 20))
    left = 5000 - HI_AT_MOST - 100
    assert ask(server, max_tokens=left - HI_AT_MOST + 1).status_code == 429
    assert ask(server, max_tokens=left - HI_AT_MOST).status_code == 200


def test_a_store_that_fails_after_the_answer_does_not_fail_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(MemoryStore):
        counted = 0

        def count(self, counts: Any) -> Any:
            self.counted += 1
            if self.counted > 1:
                raise ConnectionError("The store is away")
            return super().count(counts)

    server = MCPServer("tests", open=True, store=Failing())
    router = CompletionsRouter(budget="1000 tokens/day")
    router.add_model("a", takes(1, 1))
    server.include_router(router)
    assert statuses(server, 2) == [200, 500]
    assert "what it reserved counts" in caplog.text


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TOOL = {"type": "function", "function": {"name": "x" * 3000, "parameters": {}}}


@pytest.mark.parametrize(
    "request_",
    [
        {"tools": [TOOL]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x" * 3000}}},
        {"messages": [*HI, {"role": "assistant", "tool_calls": [TOOL]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}, "hi"]}]},
        {"n": 128},
    ],
    ids=["tools", "format", "calls", "image", "several"],
)
def test_the_worst_case_counts_all_that_a_request_has(request_: Any) -> None:
    server, router = build("900 tokens/minute")
    router.add_model("a", takes(1, 1))
    assert ask(server).status_code == 200
    refused = ask(server, **request_)
    assert refused.status_code == 400
    assert "the whole budget of 900 tokens per minute" in refused.json()["error"]["message"]


def test_embeddings_count() -> None:
    records: list[CallRecord] = []
    server = MCPServer("tests", open=True, audit=Audit(after=records.append))
    router = CompletionsRouter(budget="30 tokens/day; 1 USD/day")
    server.include_router(router)

    @router.embedding("told", price=Price(1, 0))
    def told(texts: list[str]) -> Embeddings:
        return Embeddings([[1.0] for _ in texts], usage=Usage(12))

    @router.embedding("untold", price=Price(1, 0))
    def untold(texts: list[str]) -> list[list[float]]:
        return [[1.0] for _ in texts]

    def embed(model: str, *texts: Any) -> int:
        body = {"model": model, "input": texts}
        status: int = get(server, "/v1/embeddings", "POST", json=body).status_code
        return status

    assert embed("told", "abc") == 200
    assert (records[0].input_tokens, records[0].cost) == (12, 12 / 1_000_000)
    assert embed("untold", "abcdef", "ghi") == 200
    assert embed("untold", "x" * 3 * (30 - 12 - 3 + 1)) == 429
    assert embed("untold", "x" * 3 * (30 - 12 - 3)) == 200


def test_a_model_with_tools_costs_what_its_rounds_take() -> None:
    server, router = build("1 USD/day")
    rounds: list[int] = []

    @server.tool
    def look() -> str:
        return "seen"

    @router.chat("clerk", tools="auto", price=Price(1, 1))
    def clerk(request: ChatRequest) -> Any:
        rounds.append(1)
        said = ToolCall("look") if request.messages[-1].role == "user" else "done"
        return iter([said, Usage(200_000, 0)])

    # 0.40 USD each: after the first round of the third one, 1 USD is spent.
    assert statuses(server, 4) == [200, 200, 429, 429]
    assert len(rounds) == 5


def test_each_picture_counts() -> None:
    records: list[CallRecord] = []
    server = MCPServer("tests", open=True, audit=Audit(after=records.append))
    images = ImageRouter(budget="5 requests/day; 1 USD/day")
    drawn: list[str] = []

    @images.backend("dear", price=0.3)
    def dear(prompt: str, size: tuple[int, int]) -> bytes:
        drawn.append(prompt)
        return PNG

    @images.backend("cheap", price=0)
    async def cheap(prompt: str, size: tuple[int, int]) -> bytes:
        drawn.append(prompt)
        return PNG

    server.include_router(images)

    def draw(model: str, n: int) -> int:
        body = {"prompt": "a cat", "model": model, "n": n}
        status: int = get(server, "/v1/images/generations", "POST", json=body).status_code
        return status

    assert draw("dear", 2) == 200
    assert [draw("dear", 2), draw("cheap", 2), draw("cheap", 1)] == [429, 200, 200]
    assert [draw("cheap", 1), len(drawn)] == [429, 5], "what was refused is not drawn in part"
    costs = {one.name: one.cost for one in records if one.outcome == "ok"}
    assert costs == {"dear": 0.3, "cheap": 0}
