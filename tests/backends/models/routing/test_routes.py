"""Routes of models: which member answers, and what happens when one does not."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest

from mcp_mount import (
    ChatRequest,
    CompletionsRouter,
    Context,
    DefinitionError,
    MaxConcurrency,
    MCPServer,
    SyncContext,
)
from mcp_mount.models import (
    Breaker,
    ChatCompletion,
    Finish,
    ModelChoice,
    ModelError,
    Route,
    Usage,
)
from tests.faces import Connect
from tests.routes.test_chat import URL, Leaver
from tests.routes.test_composition import get


def build(route: Route, **options: Any) -> tuple[MCPServer, CompletionsRouter]:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter(**options)
    router.add_model("smart", route)
    server.include_router(router)
    return server, router


def ask(server: MCPServer, model: str = "smart", **request: Any) -> Any:
    messages = [{"role": "user", "content": "hi"}]
    return get(server, URL, "POST", json={"model": model, "messages": messages} | request)


def answer(server: MCPServer, **request: Any) -> tuple[str, str]:
    """The model that has answered, and its text."""
    reply = ask(server, **request)
    assert reply.status_code == 200, reply.text
    if not request.get("stream"):
        body = reply.json()
        return body["model"], body["choices"][0]["message"]["content"]
    *lines, last = [one.removeprefix("data: ") for one in reply.text.split("\n\n") if one]
    assert last == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    [model] = {chunk["model"] for chunk in chunks}
    said = [one["delta"].get("content", "") for chunk in chunks for one in chunk["choices"]]
    return model, "".join(said)


def says(text: str) -> Callable[..., Any]:
    def model(request: ChatRequest) -> Iterator[Any]:
        yield text
        yield Usage(1, 1)

    return model


def fails(error: Exception | None = None, *, after: tuple[Any, ...] = ()) -> Any:
    """A model that fails, after some pieces; its `count` tells how often."""

    async def model(request: ChatRequest) -> AsyncIterator[Any]:
        model.count += 1  # type: ignore[attr-defined]
        for piece in after:
            yield piece
        raise error or ModelError("Overloaded", status=503)

    model.count = 0  # type: ignore[attr-defined]
    return model


@pytest.mark.parametrize("stream", [False, True])
def test_the_answering_model_is_named(stream: bool) -> None:
    server, router = build(Route("a"))
    router.add_model("a", says("from a"))
    assert answer(server, stream=stream) == ("a", "from a")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("first", [(), (Usage(3, 0),)], ids=["nothing", "usage"])
def test_the_next_model_answers_if_one_fails_before_it_says_something(
    stream: bool, first: tuple[Any, ...]
) -> None:
    server, router = build(Route({"a": 3}, "b", "c"))
    router.add_model("a", fails(after=first))
    router.add_model("b", fails(RuntimeError("secret")))
    router.add_model("c", says("from c"))
    assert answer(server, stream=stream) == ("c", "from c")


def test_what_has_begun_to_go_out_is_not_asked_elsewhere() -> None:
    server, router = build(Route("a", "b"))
    router.add_model("a", fails(after=("begun",)))
    router.add_model("b", says("from b"))
    reply = ask(server, stream=True)
    assert '"begun"' in reply.text
    assert "Overloaded" in reply.text
    assert "from b" not in reply.text
    assert answer(server) == ("b", "from b"), "a whole answer has not begun to go out"


def test_members_get_requests_by_their_weights() -> None:
    server, router = build(Route({"a": 3, "b": 1}, "c"))
    for name in "abc":
        router.add_model(name, says(name))
    answered = [answer(server)[0] for _ in range(8)]
    assert Counter(answered) == {"a": 6, "b": 2}
    assert answered[:4].count("b") == 1, "spread evenly"


def test_members_in_a_list_take_turns() -> None:
    server, router = build(Route(["a", "b"]))
    for name in "ab":
        router.add_model(name, says(name))
    assert Counter(answer(server)[0] for _ in range(4)) == {"a": 2, "b": 2}


def test_the_least_busy_member_is_asked_first() -> None:
    server, router = build(Route({"a": 2, "b": 1}, choose="least_busy"))
    is_asked, may_end = threading.Event(), threading.Event()

    def slow(request: ChatRequest) -> str:
        if request.text == "slow":
            is_asked.set()
            assert may_end.wait(20)
        return ""

    router.add_model("a", slow)
    router.add_model("b", says("b"))
    messages = [{"role": "user", "content": "slow"}]
    waiting = threading.Thread(target=ask, args=(server,), kwargs={"messages": messages})
    waiting.start()
    try:
        assert is_asked.wait(20)
        assert [answer(server)[0] for _ in range(2)] == ["b", "b"]
    finally:
        may_end.set()
        waiting.join()


def _chooses(choice: ModelChoice) -> Any:
    assert [(one.name, one.weight) for one in choice.candidates] == [("a", 1), ("b", 1), ("c", 0)]
    assert choice.caller.id is None
    text = choice.request.text
    return json.loads(text) if text.startswith(("[", '"')) else None


async def _chooses_later(choice: ModelChoice) -> Any:
    return _chooses(choice)


@pytest.mark.parametrize("choose", [_chooses, _chooses_later])
@pytest.mark.parametrize(
    ("chosen", "answered"), [('"b"', "b"), ('["b", "a"]', "b"), ("hi", "a"), ('"c"', "c")]
)
def test_a_function_may_choose(choose: Any, chosen: str, answered: str) -> None:
    server, router = build(Route(["a", "b"], "c", choose=choose))
    for name in "abc":
        router.add_model(name, says(name))
    assert answer(server, messages=[{"role": "user", "content": chosen}])[0] == answered


def test_fallbacks_come_after_the_chosen_model() -> None:
    server, router = build(Route(["a", "b"], "c", choose=lambda choice: "b"))
    for name, model in {"a": says("a"), "b": fails(), "c": says("c")}.items():
        router.add_model(name, model)
    assert answer(server)[0] == "c"


def test_a_choice_that_is_no_member_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    server, router = build(Route(["a", "b"], choose=lambda choice: "z"))
    router.add_model("a", says("a"))
    router.add_model("b", says("b"))
    assert ask(server).status_code == 500
    assert "choose= has returned 'z'" in caplog.text


def test_a_member_is_asked_again_before_the_next_one() -> None:
    server, router = build(Route("a", "b", retries=1))
    broken = fails()
    router.add_model("a", broken)
    router.add_model("b", says("b"))
    assert answer(server)[0] == "b"
    assert broken.count == 2


@pytest.mark.parametrize(
    ("retry_on", "error", "answered"),
    [
        (None, ModelError("Bad", status=400), False),
        ([400], ModelError("Bad", status=400), True),
        ([400], ModelError("Bad", status=503), False),
        (lambda error: error.code == "too_long", ModelError("x", status=400, code="y"), False),
        (lambda error: error.code == "y", ModelError("x", status=400, code="y"), True),
        (None, ModelError("Bad", status=400, again=True), True),
    ],
)
def test_only_what_may_pass_is_asked_again(
    retry_on: Any, error: ModelError, answered: bool
) -> None:
    server, router = build(Route("a", "b", retry_on=retry_on))
    router.add_model("a", fails(error))
    router.add_model("b", says("b"))
    reply = ask(server)
    assert reply.status_code == (200 if answered else error.status)


@pytest.mark.parametrize("stream", [False, True])
def test_clients_do_not_ask_again_what_a_route_has_tried(stream: bool) -> None:
    server, router = build(Route("a", "b"))
    router.add_model("a", fails())
    router.add_model("b", fails(ModelError("Down", status=502)))
    reply = ask(server, stream=stream)
    assert (reply.status_code, reply.headers["x-should-retry"]) == (502, "false")
    message = reply.json()["error"]["message"]
    assert message == "No model of 'smart' has answered: a: Overloaded; b: Down"


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_says_nothing_in_time_is_given_up(stream: bool) -> None:
    ended: list[str] = []

    async def silent(request: ChatRequest) -> AsyncIterator[Any]:
        try:
            yield Usage(1, 0)
            await asyncio.sleep(3600)
        finally:
            ended.append("ended")

    server, router = build(Route("a", "b", first_piece=2))
    router.add_model("a", silent)
    router.add_model("b", says("b"))
    assert answer(server, stream=stream)[0] == "b"
    assert ended == ["ended"]


def test_a_model_that_has_begun_may_take_its_time() -> None:
    async def slow(request: ChatRequest) -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(2.1)
        yield "b"

    server, router = build(Route("a", "b", first_piece=2))
    router.add_model("a", slow)
    router.add_model("b", says("c"))
    assert answer(server, stream=True) == ("a", "ab")


def test_a_plain_function_that_says_nothing_is_left_to_itself() -> None:
    may_end = threading.Event()

    def silent(request: ChatRequest) -> Iterator[str]:
        assert may_end.wait(20)
        yield "late"

    server, router = build(Route("a", "b", first_piece=2))
    router.add_model("a", silent)

    @router.chat("b")
    async def other(request: ChatRequest) -> str:
        return "b"

    try:
        assert answer(server, stream=True) == ("b", "b")
    finally:
        may_end.set()


def test_a_member_that_fails_is_left_alone_for_a_while() -> None:
    server, router = build(Route("a", "b", breaker=Breaker(failures=2, cooldown=60)))
    broken = fails()
    router.add_model("a", broken)
    router.add_model("b", says("b"))
    router.add_model("other", Route("a", "b", breaker=Breaker(failures=2, cooldown=60)))
    assert [answer(server)[0] for _ in range(3)] == ["b"] * 3
    assert answer(server, model="other")[0] == "b"
    assert broken.count == 2, "other routes of the server know as well"


def test_an_answer_forgives_failures() -> None:
    server, router = build(Route("a", breaker=Breaker(failures=2, cooldown=60)))
    outcomes = iter([False, True, False, True])

    @router.chat("a")
    def flaky(request: ChatRequest) -> str:
        if next(outcomes):
            return "a"
        raise ModelError("Down")

    assert [ask(server).status_code for _ in range(4)] == [502, 200, 502, 200]


def test_after_its_cooldown_a_member_is_tried() -> None:
    server, router = build(Route("a", "b", breaker=Breaker(failures=1, cooldown=0.001)))
    outcomes = iter([ModelError("Down"), None, None])

    @router.chat("a")
    def recovering(request: ChatRequest) -> str:
        error = next(outcomes)
        if error is not None:
            raise error
        return "a"

    @router.chat("b")
    async def other(request: ChatRequest) -> str:
        await asyncio.sleep(0.01)
        return "b"

    assert [answer(server)[0] for _ in range(3)] == ["b", "a", "a"]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_model_that_says_when_is_left_alone_until_then(retries: int) -> None:
    server, router = build(Route("a", "b", retries=retries))
    limited = fails(ModelError("Slow down", status=429, retry_after=40))
    router.add_model("a", limited)
    router.add_model("b", says("b"))
    assert [answer(server)[0] for _ in range(3)] == ["b"] * 3
    assert limited.count == 1


@pytest.mark.parametrize("stream", [False, True])
def test_all_members_that_recover_are_one_clear_error(stream: bool) -> None:
    server, router = build(Route({"a": 1, "b": 1}, retries=3))
    router.add_model("a", fails(ModelError("Slow down", status=429, retry_after=40)))
    router.add_model("b", fails(ModelError("Slow down", status=429, retry_after=90)))
    assert ask(server, stream=stream).status_code == 429
    reply = ask(server, stream=stream)
    assert (reply.status_code, reply.headers["x-should-retry"]) == (503, "true")
    assert 30 < int(reply.headers["retry-after"]) <= 40
    message = reply.json()["error"]["message"]
    assert message.startswith("All models of 'smart' are recovering from failures: try again in ")


def test_without_a_breaker_members_are_always_asked() -> None:
    server, router = build(Route("a", breaker=None))
    limited = fails(ModelError("Slow down", status=429, retry_after=40))
    router.add_model("a", limited)
    assert [ask(server).status_code for _ in range(5)] == [429] * 5
    assert limited.count == 5


@pytest.mark.parametrize(
    "options",
    [{"permission": lambda request: False}, {"scopes": "chat:a"}, {"throttle": "1/hour"}],
    ids=["permission", "scopes", "throttle"],
)
def test_a_member_that_the_caller_may_not_ask_is_passed_over(options: Any) -> None:
    server, router = build(Route("a", "b"))
    router.add_model("a", says("a"), **options)
    router.add_model("b", says("b"))
    if "throttle" in options:
        assert answer(server)[0] == "a"
    assert [answer(server)[0] for _ in range(5)] == ["b"] * 5


def test_a_caller_who_may_ask_no_member_is_told_so() -> None:
    server, router = build(Route("a", "b"))
    for name in "ab":
        router.add_model(name, says(name), permission=lambda request: False)
    reply = ask(server)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "access_denied")


def test_throttled_members_are_one_429() -> None:
    server, router = build(Route("a", "b"))
    for name in "ab":
        router.add_model(name, says(name), throttle="1/hour")
    assert [ask(server).status_code for _ in range(3)] == [200, 200, 429]
    assert int(ask(server).headers["retry-after"]) > 1


def test_what_is_declared_for_a_route_and_its_members_counts_once() -> None:
    server, router = build(Route("a"), throttle="2/hour", max_concurrency=1)
    router.add_model("a", says("a"))
    assert [ask(server).status_code for _ in range(3)] == [200, 200, 429]


def test_a_member_that_asks_others_counts_them() -> None:
    server, router = build(Route("a"), throttle="2/hour")
    router.add_model("b", says("b"))

    @router.chat("a")
    async def asks(request: ChatRequest, ctx: Context) -> ChatCompletion:
        return await ctx.complete("x", model="b")

    assert [ask(server).status_code for _ in range(2)] == [200, 429]


def test_a_member_whose_time_is_over_is_a_failure() -> None:
    server, router = build(Route("a", "b", breaker=Breaker(failures=1)))

    @router.chat("a", timeout=1)
    async def slow(request: ChatRequest) -> str:
        calls.append(1)
        await asyncio.sleep(3600)
        return "a"

    calls: list[int] = []
    router.add_model("b", says("b"))
    assert [answer(server)[0] for _ in range(2)] == ["b", "b"]
    assert calls == [1]


@pytest.mark.parametrize("stream", [False, True])
def test_a_route_may_have_routes_as_members(stream: bool) -> None:
    server, router = build(Route("inner", "c", first_piece=20))
    router.add_model("inner", Route("a", "b"))
    router.add_model("a", fails())
    router.add_model("b", says("b"))
    router.add_model("c", says("c"))
    assert answer(server, stream=stream) == ("b", "b")


def test_a_route_may_be_given_before_its_members(caplog: pytest.LogCaptureFixture) -> None:
    server, router = build(Route("a", "late"))
    router.add_model("a", says("a"))
    assert ask(server).status_code == 503
    assert "the model 'smart' asks 'late', which is no model of this server" in caplog.text
    router.add_model("late", says("late"))
    assert answer(server)[0] == "a"


def test_a_kept_answer_of_a_member_is_streamed() -> None:
    server, router = build(Route("a"))
    router.add_model("a", says("a"), cache=60)
    assert [answer(server, stream=True) for _ in range(2)] == [("a", "a"), ("a", "a")]


def test_an_empty_answer_is_an_answer() -> None:
    server, router = build(Route("a", "b"))
    router.add_model("a", lambda request: Finish("length"))
    router.add_model("b", says("b"))
    assert answer(server, stream=True) == ("a", "")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("first_piece", [None, 20])
def test_nothing_is_asked_again_for_a_client_that_has_left(
    stream: bool, first_piece: float | None
) -> None:
    asked: list[str] = []
    ended: list[str] = []
    server, router = build(Route("a", "b", retries=3, first_piece=first_piece))

    @router.chat("a")
    async def first(request: ChatRequest) -> AsyncIterator[str]:
        asked.append("a")
        try:
            yield "first"
            await asyncio.sleep(3600)
        finally:
            ended.append("a")

    @router.chat("b")
    async def second(request: ChatRequest) -> str:
        asked.append("b")
        return ""

    asyncio.run(asyncio.wait_for(Leaver(server, stream=stream).run(), 20))
    assert (asked, ended) == (["a"], ["a"])


def test_a_plain_member_ends_when_its_client_leaves(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []
    server, router = build(Route("a", "b", retries=3))

    @router.chat("a")
    def first(request: ChatRequest) -> Iterator[str]:
        try:
            while True:
                yield "piece"
        finally:
            ended.append("a")

    router.add_model("b", fails())
    asyncio.run(asyncio.wait_for(Leaver(server, stream=True).run(), 20))
    assert ended == ["a"]
    assert not caplog.records


@pytest.mark.parametrize(
    "make",
    [
        lambda: Route({}),
        lambda: Route([]),
        lambda: Route(""),
        lambda: Route(3),  # type: ignore[arg-type]
        lambda: Route({"a": 0}),
        lambda: Route({"a": float("inf")}),
        lambda: Route({"a": "much"}),  # type: ignore[dict-item]
        lambda: Route(["a", "a"]),
        lambda: Route("a", "a"),
        lambda: Route("a", 3),  # type: ignore[arg-type]
        lambda: Route("a", retries=-1),
        lambda: Route("a", retry_on=[3]),
        lambda: Route("a", retry_on="503"),  # type: ignore[arg-type]
        lambda: Route("a", first_piece=0),
        lambda: Route("a", breaker=3),  # type: ignore[arg-type]
        lambda: Route("a", choose="best"),  # type: ignore[arg-type]
        lambda: Breaker(failures=0),
        lambda: Breaker(cooldown=0),
    ],
)
def test_what_no_route_can_be_is_refused(make: Any) -> None:
    with pytest.raises(DefinitionError):
        make()


@pytest.mark.parametrize("asks", ["asks", "asks_async"])
def test_handlers_ask_routes_on_each_host(asks: str, connect_stateless: Connect) -> None:
    server, router = build(Route("a", "b", "c", first_piece=20))
    router.add_model("a", fails())

    @router.chat("b")
    def plain(request: ChatRequest) -> str:
        raise ModelError("Down")

    @router.chat("c")
    async def coroutine(request: ChatRequest) -> str:
        return request.text

    @server.tool
    def asks_(text: str, ctx: SyncContext) -> list[str | None]:
        completion = ctx.complete(text, model="smart")
        return [completion.model, completion.text]

    @server.tool
    async def asks_async_(text: str, ctx: Context) -> list[str | None]:
        completion = await ctx.complete(text, model="smart")
        return [completion.model, completion.text]

    with connect_stateless(server) as client:
        assert client.call_tool(f"{asks}_", {"text": "hi"}).data == ["c", "hi"]


def test_the_log_says_who_has_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    server, router = build(Route("a", "b"))
    router.add_model("a", fails())
    router.add_model("b", says("b"))
    answer(server)
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == [
        "The model 'a' has not answered 'smart': Overloaded"
    ]


def test_one_request_tries_a_member_that_has_rested() -> None:
    server, router = build(Route("a", "b", breaker=Breaker(failures=1, cooldown=0.001)))
    is_tried, may_end = threading.Event(), threading.Event()
    asked: list[str] = []

    @router.chat("a")
    def recovering(request: ChatRequest) -> str:
        asked.append(request.text)
        if request.text == "fail":
            raise ModelError("Down")
        is_tried.set()
        assert may_end.wait(20)
        return "a"

    @router.chat("b")
    async def other(request: ChatRequest) -> str:
        await asyncio.sleep(0.01)
        return "b"

    answer(server, messages=[{"role": "user", "content": "fail"}])
    messages = [{"role": "user", "content": "try"}]
    trial = threading.Thread(target=ask, args=(server,), kwargs={"messages": messages})
    trial.start()
    try:
        assert is_tried.wait(20)
        assert answer(server)[0] == "b"
    finally:
        may_end.set()
        trial.join()
    assert asked == ["fail", "try"]
    assert answer(server)[0] == "a"


def test_a_choice_of_no_model_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    server, router = build(Route(["a"], choose=lambda choice: []))
    router.add_model("a", says("a"))
    assert ask(server).status_code == 500
    assert "choose= has named no model for 'smart'" in caplog.text


def test_a_member_that_is_busy_is_passed_over() -> None:
    server, router = build(Route("a", "b"))
    is_asked, may_end = threading.Event(), threading.Event()

    @router.chat("a", max_concurrency=MaxConcurrency(1, wait=0))
    def slow(request: ChatRequest) -> str:
        is_asked.set()
        assert may_end.wait(20)
        return "a"

    router.add_model("b", says("b"))
    waiting = threading.Thread(target=ask, args=(server,))
    waiting.start()
    try:
        assert is_asked.wait(20)
        assert answer(server)[0] == "b"
        assert ask(server, model="a").status_code == 503
    finally:
        may_end.set()
        waiting.join()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("next_", ["plain", "coroutine"])
def test_on_one_thread_the_next_is_asked_when_a_plain_function_has_ended(
    next_: str, stream: bool
) -> None:
    server, router = build(Route("slow", next_, first_piece=1, breaker=Breaker(failures=1)))

    @router.chat("slow")
    def slow(request: ChatRequest) -> str:
        time.sleep(3)
        return "late"

    @router.chat("plain")
    def plain(request: ChatRequest) -> str:
        return "answer"

    @router.chat("coroutine")
    async def coroutine(request: ChatRequest) -> str:
        return "answer"

    body = {"model": "smart", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    transport = httpx2.WSGITransport(server.wsgi)
    with httpx2.Client(transport=transport, base_url="http://127.0.0.1") as client:
        for _ in range(2):
            reply = client.post(URL, json=body)
            assert (reply.status_code, f'"model":"{next_}"' in reply.text) == (200, True)
