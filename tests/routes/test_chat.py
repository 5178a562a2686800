"""Chat models over HTTP: what they say, and the form in which OpenAI's clients read it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from pydantic import BaseModel

from mcp_mount import (
    ChatRequest,
    CompletionsRouter,
    Context,
    DefinitionError,
    MCPServer,
    SyncContext,
)
from mcp_mount.models import (
    ChatCompletion,
    Delta,
    Finish,
    ModelError,
    Price,
    Reasoning,
    Refusal,
    Route,
    ToolCall,
    Usage,
)
from mcp_mount.testing import Client
from tests.routes.test_composition import get

URL = "/v1/chat/completions"
USAGE = Usage(input_tokens=3, output_tokens=2, cached_tokens=1, reasoning_tokens=1)


def build(*models: Any, **options: Any) -> MCPServer:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter(**options)
    for model in models:
        router.chat(model)
    server.include_router(router)
    return server


def ask(server: MCPServer, **request: Any) -> Any:
    return get(
        server, URL, "POST", json={"messages": [{"role": "user", "content": "hi"}]} | request
    )


def events(server: MCPServer, **request: Any) -> list[dict[str, Any]]:
    answer = ask(server, stream=True, **request)
    assert answer.status_code == 200
    *lines, last = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert last == "[DONE]"
    return [json.loads(line) for line in lines]


def says(*pieces: Any) -> list[Callable[..., Any]]:
    """A model that says some pieces, as each kind of function."""

    def plain(request: ChatRequest) -> Iterator[Any]:
        yield from pieces

    async def coroutine(request: ChatRequest) -> AsyncIterator[Any]:
        async def generate() -> AsyncIterator[Any]:
            for piece in pieces:
                yield piece

        return generate()

    async def generator(request: ChatRequest) -> AsyncIterator[Any]:
        for piece in pieces:
            yield piece

    async def iterator(request: ChatRequest) -> Iterator[Any]:
        return iter(pieces)

    return [plain, coroutine, generator, iterator]


CALL = ToolCall("move", {"to": "é"}, id="call_1")


@pytest.mark.parametrize("number", range(4), ids=["plain", "coroutine", "generator", "iterator"])
def test_an_answer_has_all_that_the_model_says(number: int) -> None:
    model = says(None, Reasoning("hm"), "Hel", "", "lo", CALL, USAGE)[number]
    whole = ask(build(model)).json()
    assert whole["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hello",
                "refusal": None,
                "reasoning_content": "hm",
                "reasoning": "hm",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "move", "arguments": '{"to":"é"}'},
                    }
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]
    assert whole["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    chunks = events(build(model), stream_options={"include_usage": True})
    assert len({chunk["id"] for chunk in chunks}) == 1
    *pieces, last = chunks
    assert [chunk["choices"][0]["delta"] for chunk in pieces] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"content": "Hel"},
        {"content": "lo"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "move", "arguments": '{"to":"é"}'},
                }
            ]
        },
        {},
    ]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in pieces]
    assert reasons == [None, None, None, None, None, "tool_calls"]
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 5)


def test_the_usage_comes_only_if_it_is_asked_for() -> None:
    model = says("a", USAGE)[0]
    assert all("usage" not in chunk for chunk in events(build(model)))


@pytest.mark.parametrize(
    ("said", "content", "reason"),
    [
        ("text", "text", "stop"),
        ("", "", "stop"),
        (iter(()), "", "stop"),
        (ChatCompletion("whole", finish_reason="length"), "whole", "length"),
        (ChatCompletion(tool_calls=[CALL]), None, "tool_calls"),
        (Refusal("no"), None, "stop"),
    ],
)
def test_a_function_may_return_its_answer(said: Any, content: Any, reason: str) -> None:
    def model(request: ChatRequest) -> Any:
        return said

    [choice] = ask(build(model)).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (content, reason)


def test_a_finish_says_why_the_answer_ends() -> None:
    model = says("cut", Finish("length"))[0]
    assert ask(build(model)).json()["choices"][0]["finish_reason"] == "length"
    assert events(build(model))[-1]["choices"][0]["finish_reason"] == "length"


def test_several_answers_have_a_choice_each() -> None:
    def two(request: ChatRequest) -> ChatCompletion:
        assert request.n == 2
        return ChatCompletion("one", others=[ChatCompletion("two")])

    whole = ask(build(two), n=2).json()
    assert [one["message"]["content"] for one in whole["choices"]] == ["one", "two"]
    texts = {0: "", 1: ""}
    for chunk in events(build(two), n=2):
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == {0: "one", 1: "two"}


def test_a_piece_may_say_several_things() -> None:
    def model(request: ChatRequest) -> Iterator[Any]:
        yield Delta(text="a", reasoning="b", refusal="c")

    message = ask(build(model)).json()["choices"][0]["message"]
    assert (message["content"], message["reasoning"], message["refusal"]) == ("a", "b", "c")


def test_a_text_keeps_what_its_provider_wants_back() -> None:
    details = [{"type": "reasoning.encrypted", "data": "x"}]

    def model(request: ChatRequest) -> ChatCompletion:
        return ChatCompletion("a", reasoning_details=details)

    message = ask(build(model)).json()["choices"][0]["message"]
    assert (message["content"], message["reasoning_details"]) == ("a", details)


def test_the_answering_model_is_named() -> None:
    def other(request: ChatRequest) -> ChatCompletion:
        return ChatCompletion("a", model="gpt-5")

    assert ask(build(other)).json()["model"] == "gpt-5"


@pytest.mark.parametrize("said", [3, {"text": "a"}, object()])
def test_what_no_model_can_say_is_an_error(said: Any, caplog: pytest.LogCaptureFixture) -> None:
    def model(request: ChatRequest) -> Any:
        return said

    answer = ask(build(model))
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "The model 'model' failed"
    assert "returns or yields text, ToolCall" in caplog.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_that_returns_nothing_is_an_error(
    is_async: bool, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def forgetful(request: ChatRequest) -> Any:
        request.text.upper()

    async def forgetful_async(request: ChatRequest) -> Any:
        request.text.upper()

    answer = ask(build(forgetful_async if is_async else forgetful), stream=stream)
    assert answer.status_code == 500
    assert "failed" in answer.json()["error"]["message"]
    assert "returned None. A chat model returns or yields text" in caplog.text
    assert 'for an empty answer write return ""' in caplog.text


def test_a_generator_that_yields_nothing_answers_nothing() -> None:
    [choice] = ask(build(says()[0])).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "stop")


def test_a_request_may_have_nulls_and_other_forms() -> None:
    seen: list[ChatRequest] = []

    def model(request: ChatRequest) -> str:
        seen.append(request)
        return request.text

    answer = ask(
        build(model),
        model=None,
        stream=None,
        temperature=None,
        stop="END",
        max_completion_tokens=5,
        logit_bias={"1": 2},
        messages=[
            {"role": "developer", "content": "Be kind"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, "b"]},
            {"role": "assistant", "content": None, "tool_calls": []},
        ],
    )
    assert answer.json()["choices"][0]["message"]["content"] == "ab"
    [request] = seen
    assert (request.stop, request.max_tokens, request.instructions) == (["END"], 5, "Be kind")
    assert request.options() == {"stop": ["END"], "max_tokens": 5, "logit_bias": {"1": 2}}


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages.0.role"),
        ({"n": 0}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "maybe"}, "stream"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_in_the_clients_form(
    request_: dict[str, Any], param: str
) -> None:
    content = json.dumps({"messages": [{"role": "user", "content": "hi"}]} | request_)
    answer = get(
        build(says("a")[0]),
        URL,
        "POST",
        content=content,
        headers={"content-type": "application/json"},
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (
        400,
        "invalid_request_error",
        param,
    )
    assert error["message"].startswith(param)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'"a"', b"NaN", rb'{"a":"\ud800"}']
)
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = get(build(says("a")[0]), URL, "POST", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    "options", [{}, {"price": Price(1, 1), "budget": "1000000 USD/day"}], ids=["direct", "budget"]
)
@pytest.mark.parametrize(
    "member",
    [
        b'"temperature": NaN',
        b'"top_p": 1e999',
        b'"stream_options": {"x": -Infinity}',
        b'"logit_bias": {"1": Infinity}',
        b'"logit_bias": {"1": 1e999}',
        b'"logit_bias": {"1": -1.5E+400}',
        b'"logit_bias": {"1": 1%b.0}' % (b"0" * 400),
        b'"logit_bias": {"1": 1%be99}' % (b"0" * 250),
        b'"response_format": {"type": "text", "x": [{"y": 1e999}]}',
        b'"user": ["x", 1e999]',
        b'"max_tokens": 2147483648',
        b'"max_tokens": 1' + b"0" * 400,
    ],
)
def test_numbers_that_are_none_or_too_large_are_refused_before_a_model_is_asked(
    member: bytes, options: dict[str, Any]
) -> None:
    asked: list[ChatRequest] = []
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()

    @router.chat(**options)
    def model(request: ChatRequest) -> str:
        asked.append(request)
        return "ok"

    server.include_router(router)
    headers = {"content-type": "application/json"}
    body = b'{"messages": [{"role": "user", "content": "NaN"}], %b}' % member
    answer = get(server, URL, "POST", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert not asked


def test_a_text_may_speak_of_numbers_that_are_none() -> None:
    message = {"role": "user", "content": "Is NaN 1e999 -Infinity?"}
    for more in ({}, {"user": "me"}):
        answer = ask(build(lambda request: request.text), messages=[message], **more)
        assert answer.json()["choices"][0]["message"]["content"] == "Is NaN 1e999 -Infinity?"


def test_numbers_that_are_large_reach_the_model() -> None:
    seen: list[Any] = []
    server = build(lambda request: seen.append(request.options()) or "ok")
    ask(server, logit_bias={"1": 1.5e300, "2": 10**250})
    assert seen[0]["logit_bias"] == {"1": 1.5e300, "2": 10**250}


def test_an_error_of_a_model_has_its_status_and_words() -> None:
    def busy(request: ChatRequest) -> str:
        raise ModelError("Come later", status=503, retry_after=2.5, code="busy")

    for stream in (False, True):
        answer = ask(build(busy), stream=stream)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "3"
        assert answer.json()["error"] == {
            "message": "Come later",
            "type": "api_error",
            "param": None,
            "code": "busy",
        }


@pytest.mark.parametrize("after", [float("nan"), float("inf")])
@pytest.mark.parametrize("stream", [False, True])
def test_a_time_that_is_none_is_not_told(stream: bool, after: float) -> None:
    def busy(request: ChatRequest) -> str:
        raise ModelError("Come later", status=503, retry_after=after)

    answer = ask(build(busy), stream=stream)
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "Come later")
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("status", [99, 0, -1, 200, 304, 399, 600, 999, 10**9, True, 400.0, "400"])
def test_an_error_has_the_status_of_an_error(status: Any) -> None:
    with pytest.raises(ValueError, match="from 400 to 599"):
        ModelError("no", status=status)
    for known in (400, 451, 499, 529, 599):
        assert ModelError("no", status=known).status == known

    def model(request: ChatRequest) -> str:
        raise ModelError("no", status=status)

    answer = ask(build(model))
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "failed")


@pytest.mark.parametrize("number", [-1, 1.5, None, "1", float("nan")])
@pytest.mark.parametrize("place", range(4))
def test_a_usage_has_whole_numbers_that_are_not_negative(place: int, number: Any) -> None:
    numbers: list[Any] = [0, 0, 0, 0]
    numbers[place] = number
    with pytest.raises(ValueError, match="whole and not negative"):
        Usage(*numbers)


@pytest.mark.parametrize("stream", [False, True])
def test_what_fails_is_not_asked_again(stream: bool) -> None:
    def broken(request: ChatRequest) -> Iterator[str]:
        raise RuntimeError("secret")
        yield ""

    answer = ask(build(broken), stream=stream)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (500, "false")


def test_a_stream_is_not_buffered_by_proxies() -> None:
    headers = ask(build(says("a")[0]), stream=True).headers
    assert (headers["x-accel-buffering"], headers["cache-control"]) == ("no", "no-cache")


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_has_a_context(stream: bool) -> None:
    server = build()
    router = CompletionsRouter()

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    @router.chat("plain")
    def plain(request: ChatRequest, ctx: SyncContext) -> Iterator[str]:
        yield str(ctx.call_tool("add", {"a": 1, "b": 2}))

    @router.chat("async")
    async def coroutine(request: ChatRequest, ctx: Context) -> AsyncIterator[str]:
        yield str(await ctx.call_tool("add", {"a": 3, "b": 4}))
        yield (await ctx.complete("x", model="plain")).text

    server.include_router(router)
    assert '"content":"3"' in ask(server, model="plain", stream=stream).text.replace(" ", "")
    text = ask(server, model="async", stream=stream).text
    assert ('"content":"73"' if not stream else '"content":"3"') in text


def test_routers_of_a_server_answer_for_the_models_of_all() -> None:
    server = build(says("first")[0])
    second = CompletionsRouter(prefix="/other")

    @second.chat("two", aliases=["org/two", "zwei"])
    def two(request: ChatRequest) -> str:
        return "second"

    server.include_router(second)
    for name in ("two", "org/two", "zwei"):
        for prefix in ("", "/other"):
            body = {"model": name, "messages": [{"role": "user", "content": "hi"}]}
            answer = get(server, prefix + URL, "POST", json=body).json()
            assert answer["choices"][0]["message"]["content"] == "second"
        assert get(server, f"/v1/models/{name}").json()["id"] == name
    listed = [one["id"] for one in get(server, "/v1/models").json()["data"]]
    assert listed == ["plain", "two", "org/two", "zwei"]
    assert get(server, "/v1/models/three").status_code == 404


def test_a_model_has_policies_and_rules_of_its_own() -> None:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()

    @router.chat("rare", throttle="1/hour")
    def rare(request: ChatRequest) -> str:
        return "a"

    @router.chat("hidden", permission=lambda request: False)
    def hidden(request: ChatRequest) -> str:
        return "b"

    @router.chat("kept", cache=60)
    def kept(request: ChatRequest) -> str:
        count.append(1)
        return "c"

    count: list[int] = []
    server.include_router(router)
    assert [ask(server, model="rare").status_code for _ in range(2)] == [200, 429]
    refused = ask(server, model="rare", stream=True)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert ask(server, model="hidden").json()["error"]["code"] == "model_not_found"
    assert [one["id"] for one in get(server, "/v1/models").json()["data"]] == ["rare", "kept"]
    assert (
        ask(server, model="kept").json()["choices"] == ask(server, model="kept").json()["choices"]
    )
    assert '"content":"c"' in ask(server, model="kept", stream=True).text
    assert len(count) == 2, "once whole and once streamed: the request is part of the key"


def test_a_stand_in_answers_until_there_is_a_model() -> None:
    server = build()
    assert ask(server).json()["model"] == "stand-in"
    assert ask(server, model="gpt-9").status_code == 404
    called = [{"role": "user", "content": 'call move {"to": "here"}'}]
    tools = [{"type": "function", "function": {"name": "move"}}]
    [choice] = ask(server, messages=called, tools=tools).json()["choices"]
    [call] = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"to": "here"}
    told = [*called, choice["message"], {"role": "tool", "tool_call_id": "1", "content": "done"}]
    text = ask(server, messages=told, tools=tools).json()["choices"][0]["message"]["content"]
    assert text == "The tool has answered: done"
    other = CompletionsRouter()
    other.chat("own")(lambda request: "mine")
    server.include_router(other)
    assert [one["id"] for one in get(server, "/v1/models").json()["data"]] == ["own"]
    assert ask(server, model="stand-in").status_code == 404


def test_a_stand_in_is_guarded_as_its_router_is() -> None:
    assert ask(build(permission=lambda request: False)).status_code in (401, 403)
    throttled = build(throttle="1/hour")
    assert [ask(throttled).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("number", range(4))
def test_mcp_clients_may_have_a_tool_that_asks_a_model(number: int) -> None:
    def seen(request: ChatRequest) -> str:
        return f"{request.instructions} {request.text} {request.max_tokens}"

    server = build(seen, says("Hello", " you")[number], chat_tool=True)
    client = Client(server)
    assert "chat" in [tool["name"] for tool in client.list_tools()]
    arguments = {"message": "hi", "model": "seen", "instructions": "Be kind", "max_tokens": 5}
    assert client.call_tool("chat", arguments).text == "Be kind hi 5"
    name = list(server.registry.models)[1]
    assert client.call_tool("chat", {"message": "hi", "model": name}).text == "Hello you"
    unknown = client.call_tool("chat", {"message": "hi", "model": "none"})
    assert unknown.is_error
    assert "Unknown model 'none'" in unknown.text
    assert "chat" not in [tool["name"] for tool in Client(build(seen)).list_tools()]


@pytest.mark.parametrize(
    "register",
    [
        lambda router: router.chat("a", aliases=["b"])(lambda request: "x"),
        lambda router: router.chat("b")(lambda request: "x"),
        lambda router: router.chat("c", throtle="1/hour"),
        lambda router: router.chat("c", aliases="x")(lambda request: "x"),
        lambda router: router.add_model("c", 3),
        lambda router: router.add_model("", lambda request: "x"),
        lambda router: router.chat("c")(lambda: "x"),
        lambda router: router.chat("c")(lambda request, other: "x"),
    ],
)
def test_what_cannot_be_a_model_is_refused(register: Any) -> None:
    router = CompletionsRouter()
    router.chat("b")(lambda request: "x")
    with pytest.raises(DefinitionError):
        register(router)(lambda request: "x") or register(router)
    assert set(router.registry.models) == {"b"}


@pytest.mark.parametrize(
    "kind", [str, int, dict, list[dict[str, str]], Context, "str | None", Annotated[str, "text"]]
)
def test_a_function_of_anything_but_a_request_is_told_what_to_write(kind: Any) -> None:
    def model(prompt: Any) -> str:
        return ""

    model.__annotations__["prompt"] = kind
    with pytest.raises(
        DefinitionError,
        match=r"write prompt: ChatRequest, and read prompt\.text",
    ):
        CompletionsRouter().chat(model)


@pytest.mark.parametrize("kind", [Any, object, BaseModel, "ChatRequest | str", "ChatRequest"])
def test_a_parameter_that_may_be_a_request_gets_it(kind: Any) -> None:
    def model(request: Any) -> str:
        return str(request.text)

    model.__annotations__["request"] = kind
    assert ask(build(model)).status_code == 200


def test_a_coroutine_context_in_a_plain_function_is_refused() -> None:
    def wrong(request: ChatRequest, ctx: Context) -> str:
        return ""

    with pytest.raises(DefinitionError, match="SyncContext"):
        build(wrong)


class Point(BaseModel):
    x: int


@pytest.mark.parametrize("text", ['{"x": 3}', '```json\n{"x": 3}\n```'])
def test_a_handler_may_want_a_type(text: str) -> None:
    formats: list[Any] = []
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()

    @router.chat
    def model(request: ChatRequest) -> str:
        formats.append(request.response_format)
        return text

    @server.tool
    async def where() -> int:
        return 0

    @router.chat("asks")
    async def asks(request: ChatRequest, ctx: Context) -> str:
        point = await ctx.complete("where?", model="model", returns=Point)
        return f"x={point.x} {await ctx.complete('?', model='model', returns=str)}"

    server.include_router(router)
    said = ask(server, model="asks").json()["choices"][0]["message"]["content"]
    assert said == f"x=3 {text}"
    assert formats[0]["json_schema"]["schema"]["properties"]["x"]["type"] == "integer"


def test_models_that_ask_one_another_in_a_circle_fail() -> None:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()

    @router.chat
    async def left(request: ChatRequest, ctx: Context) -> str:
        return (await ctx.complete("x", model="right")).text

    @router.chat
    async def right(request: ChatRequest, ctx: Context) -> str:
        return (await ctx.complete("x", model="left")).text

    server.include_router(router)
    answer = ask(server, model="left")
    assert answer.status_code == 500
    assert "asks itself" in answer.json()["error"]["message"]


class Leaver:
    """A client that reads the first chunk of a stream and leaves.

    leaves_after: one that waits for a whole answer leaves after this, by default at once.
    """

    def __init__(
        self,
        server: MCPServer,
        *,
        stream: bool,
        path: str = URL,
        leaves_after: threading.Event | None = None,
        **more: Any,
    ) -> None:
        self._server = server
        self._leaves_after = leaves_after
        self._path = path
        messages = [{"role": "user", "content": "hi"}]
        self._body = json.dumps({"stream": stream, "messages": messages, **more}).encode()
        self._leaves = asyncio.Event()
        self._is_read = False
        if not stream:
            self._leaves.set()

    async def run(self) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(self._body)).encode()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self._server(scope, self._receive, self._send)

    async def _receive(self) -> Any:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._body}
        await self._leaves.wait()
        while self._leaves_after is not None and not self._leaves_after.is_set():
            await asyncio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self._leaves.set()


@pytest.mark.parametrize("options", [{}, {"max_concurrency": 5}], ids=["", "policy"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("asked", ["speaks", "route"])
def test_a_client_that_leaves_ends_a_plain_generator_at_its_next_piece(
    stream: bool, options: Any, asked: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun, ended = threading.Event(), threading.Event()
    server = MCPServer("tests", open=True)
    router = CompletionsRouter(**options)

    @router.chat
    def speaks(request: ChatRequest) -> Iterator[str]:
        try:
            while True:
                begun.set()
                yield "more"
                time.sleep(0.01)
        finally:
            ended.set()

    router.add_model("route", Route("speaks"))
    server.include_router(router)
    leaver = Leaver(server, stream=stream, model=asked, leaves_after=begun)
    asyncio.run(asyncio.wait_for(leaver.run(), 20))
    assert ended.wait(20)
    assert "failed" not in caplog.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_a_coroutine_model_at_once(stream: bool) -> None:
    ended: list[str] = []

    async def model(request: ChatRequest) -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.sleep(3600)
        finally:
            ended.append("ended")

    asyncio.run(asyncio.wait_for(Leaver(build(model), stream=stream).run(), 20))
    assert ended == ["ended"]


def test_a_client_that_leaves_a_stream_ends_a_plain_model_at_its_next_piece() -> None:
    ended = threading.Event()

    def model(request: ChatRequest) -> Iterator[str]:
        try:
            while True:
                yield "piece"
        finally:
            ended.set()

    asyncio.run(asyncio.wait_for(Leaver(build(model), stream=True).run(), 20))
    assert ended.is_set()


def test_dependencies_of_the_user_guard_the_routes_of_models() -> None:
    def refuse() -> None:
        raise HTTPException(418, "teapot")

    router = CompletionsRouter()
    router.chat("a")(lambda request: "x")
    app, outer = FastAPI(), APIRouter()
    outer.include_router(router, dependencies=[Depends(refuse)])
    app.include_router(outer)
    answer = ask(app)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["message"]) == (418, "teapot")
    app.dependency_overrides[refuse] = lambda: None
    assert ask(app).status_code == 200  # type: ignore[arg-type]


def test_the_documents_of_a_server_describe_the_routes_of_models() -> None:
    described = get(build(says("a")[0]), "/openapi.json").json()
    for path, schema in (
        ("/v1/chat/completions", "ChatRequest"),
        ("/v1/completions", "TextRequest"),
        ("/v1/responses", "ResponseRequest"),
        ("/v1/embeddings", "EmbeddingRequest"),
    ):
        content = described["paths"][path]["post"]["requestBody"]["content"]
        assert content["application/json"]["schema"]["$ref"].endswith(f"/{schema}")
