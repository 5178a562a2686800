"""Routes over upstreams, by real HTTP: what fails there, who leaves, and what is counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import httpx2
import pytest

from mcp_mount import CompletionsRouter, MCPServer
from mcp_mount.models import Breaker, Budget, Route
from tests.backends.models.asking import KINDS, model_of
from tests.routes.test_chat import URL, Leaver
from tests.upstream import Upstream, until

STREAMS = (False, True)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


def build(route: Route, budget: Any = None, **models: Any) -> MCPServer:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter(budget=budget)
    router.add_model("smart", route)
    for name, model in models.items():
        router.add_model(name, model)
    server.include_router(router)
    return server


class Asker:
    """Asks a server in this process, on one event loop."""

    def __init__(self, server: MCPServer) -> None:
        transport = httpx2.ASGITransport(server)
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://testserver")

    async def __aenter__(self) -> Asker:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._client.aclose()

    async def ask(self, *, stream: bool = False, **request: Any) -> tuple[int, Any, str]:
        """The status, the model that has answered, and its text or all that was sent."""
        messages = [{"role": "user", "content": "Hello you there"}]
        body = {"model": "smart", "messages": messages, "stream": stream} | request
        answer = await self._client.post(URL, json=body)
        if answer.status_code != 200:
            return answer.status_code, None, answer.text
        if not stream:
            whole = answer.json()
            return 200, whole["model"], whole["choices"][0]["message"]["content"]
        lines = [one.removeprefix("data: ") for one in answer.text.split("\n\n") if one]
        chunks = [json.loads(line) for line in lines if line != "[DONE]"]
        if "error" in chunks[-1]:
            return 200, None, answer.text
        [model] = {chunk["model"] for chunk in chunks}
        said = [one["delta"].get("content", "") for chunk in chunks for one in chunk["choices"]]
        return 200, model, "".join(said)


def ask(server: MCPServer, times: int = 1, **request: Any) -> list[tuple[int, Any, str]]:
    async def together() -> list[tuple[int, Any, str]]:
        async with Asker(server) as asker:
            return [await asker.ask(**request) for _ in range(times)]

    return asyncio.run(together())


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("behaviour", ["429", "500", "503", "529", "garbage", "html", "stall"])
def test_another_upstream_answers_for_one_that_does_not(
    kind: str, behaviour: str, stream: bool, upstream: Upstream
) -> None:
    server = build(
        # Beside other tests the model that answers may need long for it, too.
        Route({"bad": 1}, "good", first_piece=2 if behaviour == "stall" else 20),
        bad=model_of(kind, upstream, behaviour),
        good=model_of(kind, upstream),
    )
    assert ask(server, stream=stream) == [(200, "good", "Hello you there")]
    assert upstream.asked == {behaviour: 1, "ok": 1}
    asyncio.run(until(lambda: upstream.open == 0))


@pytest.mark.parametrize("behaviour", ["drop", "cut", "error"])
def test_an_answer_that_breaks_off_is_asked_elsewhere_only_if_nothing_has_gone_out(
    kind: str, behaviour: str, upstream: Upstream
) -> None:
    server = build(
        Route({"bad": 1}, "good", first_piece=20),
        bad=model_of(kind, upstream, behaviour),
        good=model_of(kind, upstream),
    )
    assert ask(server) == [(200, "good", "Hello you there")]
    [(status, model, text)] = ask(server, stream=True)
    assert (status, model) == (200, None)
    assert '"error"' in text
    assert upstream.asked == {behaviour: 2, "ok": 1}


@pytest.mark.parametrize("stream", STREAMS)
def test_an_upstream_is_asked_again(kind: str, stream: bool, upstream: Upstream) -> None:
    server = build(Route("flaky", retries=1), flaky=model_of(kind, upstream, "500,ok"))
    assert ask(server, stream=stream) == [(200, "flaky", "Hello you there")]
    assert upstream.asked == {"500,ok": 2}


@pytest.mark.parametrize("stream", STREAMS)
def test_wrong_requests_are_not_sent_elsewhere(kind: str, stream: bool, upstream: Upstream) -> None:
    server = build(
        Route("strict", "other", retries=2),
        strict=model_of(kind, upstream, "400"),
        other=model_of(kind, upstream),
    )
    assert [one[0] for one in ask(server, stream=stream)] == [400]
    assert upstream.asked == {"400": 1}


def test_an_upstream_that_fails_is_left_alone(kind: str, upstream: Upstream) -> None:
    server = build(
        Route({"bad": 1}, "good", breaker=Breaker(failures=2, cooldown=60)),
        bad=model_of(kind, upstream, "503"),
        good=model_of(kind, upstream),
    )
    assert {one[1] for one in ask(server, 5)} == {"good"}
    assert upstream.asked == {"503": 2, "ok": 5}


def test_an_upstream_that_says_when_is_not_asked_before(kind: str, upstream: Upstream) -> None:
    server = build(Route("limited", retries=3), limited=model_of(kind, upstream, "429"))
    assert [one[0] for one in ask(server, 3)] == [429, 503, 503]
    assert upstream.asked == {"429": 1}


@pytest.mark.parametrize("first_piece", [None, 20])
def test_clients_that_leave_end_what_upstreams_are_asked(
    kind: str, first_piece: float | None, upstream: Upstream
) -> None:
    server = build(
        Route({"one": 1, "two": 1}, "last", retries=2, first_piece=first_piece),
        one=model_of(kind, upstream, "endless:one"),
        two=model_of(kind, upstream, "endless:two"),
        last=model_of(kind, upstream),
    )

    async def leave() -> None:
        await asyncio.gather(*(Leaver(server, stream=True).run() for _ in range(50)))

    asyncio.run(asyncio.wait_for(leave(), 60))
    assert upstream.asked == {"endless:one": 25, "endless:two": 25}, "and never the last one"
    asyncio.run(until(lambda: upstream.open == 0))


@pytest.mark.parametrize("stream", STREAMS)
def test_many_at_once_are_counted_exactly(kind: str, stream: bool, upstream: Upstream) -> None:
    server = build(
        Route({"one": 3, "two": 1, "bad": 1}, breaker=None),
        # Each takes 18 tokens of the 20 that it reserves or more.
        budget=Budget("720 tokens/month; 1000 requests/month", key="everyone"),
        one=model_of(kind, upstream, "ok:one"),
        two=model_of(kind, upstream, "ok:two"),
        bad=model_of(kind, upstream, "500"),
    )

    async def together() -> Counter[int]:
        async with Asker(server) as asker:
            statuses: Counter[int] = Counter()
            for _ in range(5):
                asked = (asker.ask(stream=stream, max_tokens=8) for _ in range(16))
                statuses += Counter([one[0] for one in await asyncio.gather(*asked)])
            return statuses

    statuses = asyncio.run(together())
    answered = upstream.asked["ok:one"] + upstream.asked["ok:two"]
    assert answered == statuses[200] == 40
    assert statuses[429] == 40
