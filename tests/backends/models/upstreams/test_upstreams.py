"""Models of upstreams over HTTP: what they are asked, what they say, and what goes wrong there."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from mcp_mount import CompletionsRouter, DefinitionError, MCPServer
from mcp_mount.backends.models.upstreams import connections, upstream_answers
from mcp_mount.llm.requests import chat_request
from mcp_mount.models import Anthropic, Invocation, ModelError, OpenAI, ToolCall, Usage
from mcp_mount.schemas.extras import MissingExtra
from mcp_mount_flask import MCPMount
from tests.backends.models.asking import KINDS, Taken, ask, ask_in_pieces, events, model_of, tool
from tests.routes.test_composition import get
from tests.upstream import Upstream, until

STREAMS = (False, True)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Whatever nobody has closed is found here, and warns."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine loses no connections."""
    monkeypatch.setattr(connections, "_IDLE_SECONDS", 60)
    monkeypatch.setattr(upstream_answers, "_DRAIN_SECONDS", 10)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("ok", {"text": "Hello you there", "finish": "stop"}),
        ("length", {"text": "Hello you there", "finish": "length"}),
        ("reasoning", {"text": "Hello you there", "reasoning": "Let me think"}),
        (
            "tools",
            {
                "text": "",
                "finish": "tool_calls",
                "calls": [("a", {"number": 1}), ("b", {"number": 1})],
            },
        ),
    ],
)
def test_an_answer_has_all_that_the_upstream_says(
    kind: str, stream: bool, behaviour: str, expected: dict[str, Any], upstream: Upstream
) -> None:
    model = model_of(kind, upstream, behaviour)
    tools = [tool("a", number={}), tool("b", number={})]
    said, pieces = ask_in_pieces(model, stream=stream, tools=tools)
    calls = [(one.name, one.arguments) for one in said.tool_calls]
    found = {
        "text": said.text,
        "reasoning": said.reasoning,
        "finish": said.finish,
        "calls": calls,
        "model": said.model,
    }
    usual = {"reasoning": "", "finish": "stop", "calls": [], "model": f"stand-in-{behaviour}"}
    assert found == usual | expected
    reasoned = 2 if kind == "openai" else 0
    assert said.usage == Usage(11, 7, cached_tokens=4, reasoning_tokens=reasoned)
    assert "".join(one.text for one in pieces) == (said.text if stream else "")
    if stream:
        assert (pieces[-2].finish, pieces[-1].usage) == (said.finish, said.usage)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_refusal_is_one(stream: bool, upstream: Upstream) -> None:
    assert ask(model_of("openai", upstream, "refusal"), stream=stream).refusal == "I will not"
    said = ask(model_of("anthropic", upstream, "refusal"), stream=stream)
    assert (said.text, said.finish) == ("", "content_filter")


@pytest.mark.parametrize("stream", STREAMS)
def test_several_answers_come_with_their_log_probabilities(
    stream: bool, upstream: Upstream
) -> None:
    said = ask(model_of("openai", upstream), stream=stream, n=2, logprobs=True)
    assert [one.text for one in said.choices] == ["Hello you there"] * 2
    tokens = [[one["token"] for one in choice.logprobs["content"]] for choice in said.choices]
    assert tokens == [["Hello", " you", " there"] if stream else ["Hello you there"]] * 2


def test_an_openai_upstream_is_asked_for_what_the_client_has_asked(upstream: Upstream) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [
        {"role": "developer", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
        {"role": "tool", "content": "5", "tool_call_id": "1"},
    ]
    options = {
        "temperature": 0.5,
        "stop": ["x"],
        "logit_bias": {"1": 2},
        "response_format": {"type": "json_object"},
        "min_p": 0.1,
    }
    model = model_of(
        "openai",
        upstream,
        defaults={"temperature": 0, "service_tier": "flex"},
        headers={"x-team": "shop"},
    )
    ask(model, messages, max_tokens=5, stream=True, **options)
    [request] = upstream.requests
    assert request["body"] == {
        "model": "ok",
        "messages": messages,
        "max_tokens": 5,
        "service_tier": "flex",
        "stream": True,
        "stream_options": {"include_usage": True},
        **options,
    }
    headers = request["headers"]
    assert (headers["authorization"], headers["x-team"]) == ("Bearer sk-secret", "shop")


def test_a_query_of_the_base_url_is_sent_with_each_request(upstream: Upstream) -> None:
    ask(OpenAI(f"{upstream.url}/openai/deployments/x/?api-version=2024-10-21", "ok"))
    [request] = upstream.requests
    assert request["path"] == "/openai/deployments/x/chat/completions"
    assert request["query"] == "api-version=2024-10-21"
    assert "authorization" not in request["headers"]


def test_the_limit_of_an_answer_has_the_name_that_is_set(upstream: Upstream) -> None:
    ask(model_of("openai", upstream, max_tokens_name="num_predict"), max_tokens=5, n=1)
    [request] = upstream.requests
    assert request["body"]["num_predict"] == 5
    assert "n" not in request["body"]


def test_an_upstream_that_refuses_stream_options_gets_none(upstream: Upstream) -> None:
    ask(model_of("openai", upstream, stream_usage=False), stream=True)
    assert "stream_options" not in upstream.requests[0]["body"]


def test_headers_of_the_user_come_before_others(upstream: Upstream) -> None:
    ask(model_of("openai", upstream, headers={"Authorization": "Basic eA=="}))
    assert upstream.requests[0]["headers"]["authorization"] == "Basic eA=="


@pytest.mark.parametrize("is_async", [False, True])
def test_a_key_may_be_made_for_each_request(is_async: bool, upstream: Upstream) -> None:
    keys = iter(["first", "second"])

    def plain() -> str:
        return next(keys)

    async def coroutine() -> str:
        return next(keys)

    model = model_of("anthropic", upstream, key=coroutine if is_async else plain)
    ask(model)
    ask(model)
    assert [one["headers"]["x-api-key"] for one in upstream.requests] == ["first", "second"]


ERRORS = {
    "400": (400, False),
    "401": (502, True),
    "403": (502, True),
    "404": (502, True),
    "429": (429, True),
    "500": (502, True),
    "504": (504, True),
    "529": (502, True),
    "302": (502, True),
    "garbage": (502, True),
    "html": (502, True),
    "drop": (502, True),
    "cut": (502, True),
    "huge": (502, True),
    "stall": (504, True),
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("behaviour", ERRORS)
def test_what_goes_wrong_is_a_model_error(
    kind: str, stream: bool, behaviour: str, upstream: Upstream
) -> None:
    timeout = 0.3 if behaviour == "stall" else 30
    model = model_of(kind, upstream, behaviour, max_answer_bytes=100_000, timeout=timeout)
    with pytest.raises(ModelError) as caught:
        ask(model, stream=stream)
    error = caught.value
    assert (error.status, error.again) == ERRORS[behaviour]
    assert error.retry_after == (7 if behaviour == "429" else None)
    assert upstream.asked[behaviour] == 1


def test_an_error_in_a_stream_is_a_model_error(kind: str, upstream: Upstream) -> None:
    with pytest.raises(ModelError, match="breaks off: The stand-in is tired") as caught:
        ask(model_of(kind, upstream, "error"), stream=True)
    assert caught.value.status == 502


def test_nobody_listens_is_a_model_error(kind: str) -> None:
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        ask(model_of(kind, Upstream("http://127.0.0.1:9")))
    assert (caught.value.status, caught.value.again) == (502, True)


def test_the_key_is_never_shown(
    kind: str, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mcp_mount")
    model = model_of(kind, upstream, "tells,401,500")
    shown = [repr(model)]
    for _ in range(3):
        with pytest.raises(ModelError) as caught:
            ask(model)
        shown.append(str(caught.value))
    assert "***" in shown[1]
    assert "sk-secret" not in "".join([*shown, caplog.text])
    assert "status 401" in caplog.text


async def _leave(model: Any, stream: bool, upstream: Upstream) -> None:
    taken = Taken()
    asking = asyncio.create_task(
        model.answer(Invocation(chat_request("a b", stream=stream), taken))
    )
    await until(lambda: upstream.open == 1 and (bool(taken.deltas) or not stream))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    # The loop goes on: what has closed the connection is not its end.
    await until(lambda: upstream.open == 0)


@pytest.mark.parametrize(
    ("behaviour", "stream"), [("stall", False), ("hang", True), ("endless", True)]
)
def test_cancellation_ends_the_request_of_the_upstream(
    kind: str, behaviour: str, stream: bool, upstream: Upstream
) -> None:
    asyncio.run(_leave(model_of(kind, upstream, behaviour), stream, upstream))
    assert upstream.left == 1


def test_requests_share_connections_which_end_with_their_loop(
    kind: str, upstream: Upstream
) -> None:
    model = model_of(kind, upstream, "ok")
    # Loops of other tests, such as the one in the background of WSGI, keep theirs.
    before = upstream.connections

    async def several() -> None:
        for stream in (True, False, True):
            await model.answer(Invocation(chat_request("a b", stream=stream), Taken()))

    asyncio.run(several())
    asyncio.run(several())
    ports = [one["port"] for one in upstream.requests]
    assert (len(set(ports)), len(ports)) == (2, 6)
    asyncio.run(until(lambda: upstream.connections <= before))


def test_many_streams_run_at_one_time(kind: str, upstream: Upstream) -> None:
    model = model_of(kind, upstream, "hang")

    async def several() -> None:
        request = chat_request("a b", stream=True)
        tasks = [
            asyncio.create_task(model.answer(Invocation(request, Taken()))) for _ in range(150)
        ]
        await until(lambda: upstream.open == 150)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await until(lambda: upstream.open == 0)

    asyncio.run(several())


def test_requests_above_the_limit_wait_and_then_are_refused(upstream: Upstream) -> None:
    model = model_of("openai", upstream, "stall", max_connections=1, connect_timeout=1)

    async def two() -> None:
        request = chat_request("a")
        first = asyncio.create_task(model.answer(Invocation(request, Taken())))
        await until(lambda: upstream.open == 1)
        with pytest.raises(ModelError) as caught:
            await model.answer(Invocation(request, Taken()))
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    asyncio.run(two())


def test_the_environment_names_no_proxy(
    monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert ask(model_of("openai", upstream)).text == "Hello you there"
    with pytest.raises(ModelError):
        ask(model_of("openai", upstream, trust_env=True))


def test_an_upstream_sets_no_cookies(upstream: Upstream) -> None:
    upstream.raw = ("application/json\r\nset-cookie: a=b", b"{}")
    model = model_of("openai", upstream)

    async def twice() -> None:
        for _ in range(2):
            with pytest.raises(ModelError):
                await model.answer(Invocation(chat_request("a"), Taken()))

    asyncio.run(twice())
    assert "cookie" not in upstream.requests[1]["headers"]


def _chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def _call(number: int | None, identity: str | None, name: str | None, text: Any) -> Any:
    call: dict[str, Any] = {"function": {"name": name, "arguments": text}}
    call |= {} if number is None else {"index": number}
    return _chunk({"tool_calls": [call if identity is None else {**call, "id": identity}]})


CALLS = [ToolCall("a", {"x": 1}, "1"), ToolCall("b", {"y": 2}, "2")]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # Azure: a first event without choices, one without a delta; no [DONE].
        (
            [
                {"choices": [], "prompt_filter_results": []},
                _chunk({"content": "é"}),
                {"choices": [{"index": 0, "finish_reason": "stop"}]},
            ],
            {"text": "é", "finish": "stop"},
        ),
        # Servers that do not say why an answer ends, and end it.
        ([_chunk({"content": "a"}), "[DONE]"], {"text": "a", "finish": "stop"}),
        # Mistral: parts, and thinking among them.
        (
            [
                _chunk(
                    {
                        "content": [
                            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                            {"type": "text", "text": "a"},
                        ]
                    },
                    "model_length",
                )
            ],
            {"text": "a", "reasoning": "hm", "finish": "length"},
        ),
        # Gemini: whole calls, all of one number, or of none.
        (
            [_call(0, "1", "a", '{"x":1}'), _call(0, "2", "b", '{"y":2}'), "[DONE]"],
            {"calls": CALLS},
        ),
        (
            [_call(None, "1", "a", '{"x":1}'), _call(None, "2", "b", {"y": 2}), "[DONE]"],
            {"calls": CALLS},
        ),
        # Pieces whose calls have their number only, and mixed.
        (
            [
                _call(0, "1", "a", '{"x"'),
                _call(1, "2", "b", ""),
                _call(0, None, None, ":1}"),
                _call(1, None, None, '{"y":2}'),
                "[DONE]",
            ],
            {"calls": CALLS},
        ),
        # Counts with each chunk, DeepSeek's for the cache.
        (
            [
                _chunk({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
                _chunk(
                    {"reasoning": "b"},
                    "end_turn",
                    usage={
                        "prompt_tokens": 3,
                        "completion_tokens": 2,
                        "prompt_cache_hit_tokens": 2,
                    },
                ),
            ],
            {"text": "a", "reasoning": "b", "usage": Usage(3, 2, 2)},
        ),
        # Arguments that are no JSON that Python can read.
        (
            [_call(0, "1", "a", "[" * 100_000), "[DONE]"],
            {"calls": [ToolCall("a", "[" * 100_000, "1")]},
        ),
        # Half of a surrogate pair.
        (['{"choices":[{"delta":{"content":"\\ud83d"}}]}', "[DONE]"], {"text": "\ud83d"}),
    ],
)
def test_streams_of_many_upstreams_are_read(
    said: list[Any], expected: dict[str, Any], upstream: Upstream
) -> None:
    upstream.raw = events(*said)
    answer = ask(model_of("openai", upstream), stream=True)
    found = {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "calls": answer.tool_calls,
        "finish": answer.finish,
        "usage": answer.usage,
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "said",
    [
        [],
        ["[DONE]"],
        [3],
        [{"choices": [{"index": 10**9, "delta": {"content": "a"}}]}],
        [{"choices": [{"index": -1, "delta": {"content": "a"}}]}],
        [{"error": "tired"}],
        [_chunk({}, "error")],
        ["["],
        ["[" * 100_000],
        ['{"choices": NaN}'],
        ['{"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": 1e400}]}'],
        ['{"choices": [{"delta": {"tool_calls": [{"id": "\\ud800", "extra_content": 1e400}]}}]}'],
    ],
)
def test_streams_that_are_none_are_model_errors(
    kind: str, said: list[Any], upstream: Upstream
) -> None:
    kind_of_raw, data = events(*said)
    upstream.raw = kind_of_raw, data if len(data) < 1000 else data[:2000] + b"\n\n"
    with pytest.raises(ModelError) as caught:
        ask(model_of(kind, upstream), stream=True)
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfdata: %b\n\ndata: [DONE]\n\n",
        b": waiting\r\n\r\nevent: x\r\nid: 1\r\ndata:%b\r\n\r\ndata: [DONE]\r\n\r\n",
        b"data: %b\r\rdata: [DONE]\r\r",
    ],
)
def test_events_may_have_any_form_that_the_standard_allows(data: bytes, upstream: Upstream) -> None:
    upstream.raw = (
        "text/event-stream; charset=utf-8",
        data % b'{"choices":[{"delta":{"content":"a"}}]}',
    )
    assert ask(model_of("openai", upstream), stream=True).text == "a"


def test_an_upstream_may_answer_whole_where_a_stream_is_wanted(upstream: Upstream) -> None:
    whole = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}
    upstream.raw = "application/json", json.dumps(whole).encode()
    said, pieces = ask_in_pieces(model_of("openai", upstream), stream=True)
    assert (said.text, [one.text for one in pieces]) == ("whole", ["whole", ""])


def test_texts_become_vectors(upstream: Upstream) -> None:
    model = model_of("openai", upstream)
    found = asyncio.run(model.embed(["a", "bcd"], {"dimensions": 2}))
    assert found.vectors == [[1.0, 0.5], [3.0, 0.5]]
    assert (found.usage, found.model) == (Usage(5), "stand-in")
    assert upstream.requests[0]["body"] == {"model": "ok", "input": ["a", "bcd"], "dimensions": 2}


@pytest.mark.parametrize(
    "data",
    [
        {"data": []},
        {"data": [{"embedding": ["x"], "index": 0}]},
        {"data": [{"embedding": [1], "index": 4}]},
        {"data": 3},
        {"error": {"message": "no"}},
        [],
    ],
)
def test_other_vectors_than_wanted_are_a_model_error(data: Any, upstream: Upstream) -> None:
    upstream.raw = "application/json", json.dumps(data).encode()
    with pytest.raises(ModelError) as caught:
        asyncio.run(model_of("openai", upstream).embed(["a"], {}))
    assert caught.value.status == 502


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "api.openai.com"}, "base_url begins with https://"),
        ({"base_url": ""}, "base_url is empty"),
        ({"base_url": "https://user:word@host/v1"}, "base_url has a password in it"),
        (
            {"base_url": "https://host/v1/chat/completions"},
            "base_url is the URL before '/chat/completions', .* write 'https://host/v1'",
        ),
        ({"base_url": "https://host/v1/embeddings/"}, "write 'https://host/v1'"),
        ({"base_url": "https://host/x/chat/completions?key=word@"}, r"write 'https://host/x\?…'"),
        ({"model": ""}, "model is empty"),
        ({"key": ""}, "key is a text, or a function that returns one, not an empty one"),
        ({"key": "sk-secret\n"}, "a character that cannot be sent"),
        ({"headers": {"x": "é"}}, "a character that cannot be sent"),
        ({"headers": {"x y": "z"}}, "'x y' is no name of a header"),
        ({"timeout": 0}, "timeout is a number of seconds above 0"),
        ({"timeot": 3}, "OpenAI has no option 'timeot'"),
        ({"proxy": "nowhere"}, "proxy is the URL of a proxy"),
        ({"defaults": 3}, "defaults is a dict"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_declared(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        OpenAI(**{"base_url": "https://api.example/v1", "model": "m"} | options)
    assert "secret" not in str(caught.value)
    assert "word@" not in str(caught.value)


def test_anthropic_adds_its_path_itself() -> None:
    with pytest.raises(DefinitionError, match=r"write 'https://api\.anthropic\.com'"):
        Anthropic("claude", key="k", base_url="https://api.anthropic.com/v1/messages")


def test_anthropic_needs_a_key() -> None:
    with pytest.raises(DefinitionError, match="needs a key"):
        Anthropic("claude", key=None)


def test_without_httpx2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx2", None)
    with pytest.raises(MissingExtra, match=r"mcp-mount\[llm\]"):
        OpenAI("https://api.example/v1", "m")


def serve(model: Any) -> MCPServer:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()
    router.add_model("gpt", model)
    server.include_router(router)
    return server


def post(server: MCPServer, **request: Any) -> Any:
    messages = [{"role": "user", "content": "Hello you there"}]
    return get(server, "/v1/chat/completions", "POST", json={"messages": messages, **request})


def test_a_server_answers_by_its_upstream(kind: str, upstream: Upstream) -> None:
    server = serve(model_of(kind, upstream))
    whole = post(server).json()
    assert whole["choices"][0]["message"]["content"] == "Hello you there"
    assert whole["usage"]["total_tokens"] == 18
    streamed = post(server, stream=True).text
    assert streamed.count('"content":" you"') == 1
    assert streamed.endswith("data: [DONE]\n\n")


def test_a_server_under_wsgi_answers_by_its_upstream(kind: str, upstream: Upstream) -> None:
    app = Flask("shop")
    MCPMount(app, "/mcp", server=serve(model_of(kind, upstream)))
    messages = [{"role": "user", "content": "Hello you there"}]
    for stream in STREAMS:
        body = {"messages": messages, "stream": stream}
        said = app.test_client().post("/mcp/v1/chat/completions", json=body).text
        assert said.count(" you") == 1
    assert len({one["port"] for one in upstream.requests}) == 1


def test_clients_of_a_server_learn_when_to_come_again(upstream: Upstream) -> None:
    answer = post(serve(model_of("openai", upstream, "429")))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["error"]["type"] == "rate_limit_error"


def test_a_client_that_leaves_at_any_moment_ends_the_request_of_the_upstream(
    upstream: Upstream,
) -> None:
    server = serve(model_of("openai", upstream, "stall"))
    data = json.dumps({"messages": [{"role": "user", "content": "a"}]}).encode()
    headers = [(b"content-type", b"application/json"), (b"host", b"testserver")]
    path = "/v1/chat/completions"
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    scope |= {"http_version": "1.1", "root_path": "", "scheme": "http", "query_string": b""}

    async def leave_after(steps: int) -> None:
        messages = iter([{"type": "http.request", "body": data}])

        async def receive() -> Any:
            for message in messages:
                return message
            for _ in range(steps):
                await asyncio.sleep(0)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None: ...

        answering = asyncio.create_task(server({**scope, "state": {}}, receive, send))
        _, pending = await asyncio.wait([answering], timeout=30)
        assert not pending, f"after {steps} steps of the loop"

    async def leave() -> None:
        # Connecting takes about ten steps, in which anyio cancels tasks of its own.
        for steps in range(30):
            await leave_after(steps)
        await until(lambda: upstream.open == 0)

    asyncio.run(leave())
