"""Direct chats and the long way: whatever comes, both answer alike, on every host."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

import mcp_mount_fastapi
import mcp_mount_flask
import mcp_mount_starlette
from mcp_mount import (
    CallRejected,
    ChatRequest,
    CompletionsRouter,
    Context,
    MaxConcurrency,
    MCPServer,
)
from mcp_mount.llm.plain_requests import plain_request
from mcp_mount.models import ChatCompletion, ModelError, ToolCall, Tools, Usage
from mcp_mount.policies.options import ResourcePolicies
from mcp_mount.routes.openai.direct import DirectChats
from tests.fuzz.strategies import values
from tests.transports.test_direct import AROUND, change

KEY = "for-tests-only"
PATH = "/v1/chat/completions"
HEADERS = {"host": "127.0.0.1:8000", "content-type": "application/json"}

RETURNED: dict[str, Any] = {
    "text": "hé\n",
    "empty": "",
    "surrogate": "\ud800",
    "nothing": None,
    "object": object(),
    "completion": ChatCompletion("hi", usage=Usage(3, 4), model="other", finish_reason="length"),
    "call": ChatCompletion(tool_calls=[ToolCall("add", {"a": 1}, "call_1")]),
    "several": ChatCompletion("a", others=[ChatCompletion("b")]),
    "refusal": ChatCompletion(refusal="no"),
    "piece": ToolCall("add", {}, "call_2"),
}
RAISED: dict[str, BaseException] = {
    "model": ModelError("told", status=418, code="teapot"),
    "busy": CallRejected("busy", status=429, retry_after=3),
    "value": ValueError("secret"),
    "exit": SystemExit(3),
}

Answer = tuple[int, Any, Any, bytes]
Ask = Callable[..., Answer]
Runs = Counter[str]


def fill(server: Any, runs: Runs) -> Any:
    """Add models of all kinds; the name of what one does is the last word of the user."""
    chats = CompletionsRouter()

    def done(name: str, request: ChatRequest) -> Any:
        runs[name] += 1
        word = request.text
        if word in RAISED:
            raise RAISED[word]
        return RETURNED.get(word, word)

    @chats.chat
    async def quick(request: ChatRequest) -> Any:
        return done("quick", request)

    @chats.chat
    def plain(request: ChatRequest) -> Any:
        return done("plain", request)

    @chats.chat
    async def waits(request: ChatRequest) -> Any:
        runs["begun"] += 1
        await asyncio.sleep(0.001)
        return done("waits", request)

    @chats.chat
    async def pieces(request: ChatRequest) -> AsyncIterator[Any]:
        for _ in range(2):
            yield done("pieces", request)

    @chats.chat
    def plain_pieces(request: ChatRequest) -> Iterator[Any]:
        yield done("plain_pieces", request)
        yield Usage(1, 2)

    @chats.chat
    async def with_context(request: ChatRequest, ctx: Context) -> Any:
        return done("with_context", request)

    @chats.chat(timeout=60)
    async def limited(request: ChatRequest) -> Any:
        return done("limited", request)

    server.include_router(chats)
    return server


DIRECT = ("quick", "plain", "waits", "pieces")
MODELS = (*DIRECT, "plain_pieces", "with_context", "limited", "unknown", None)


def over_asgi(app: Any, path: str) -> Ask:
    async def send_one(headers: dict[str, str], body: bytes, method: str) -> Answer:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), word.encode()) for name, word in headers.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            if not waiting:
                await asyncio.sleep(3600)
            return waiting.pop()

        async def note(one: Any) -> None:
            sent.append(one)

        await app(scope, receive, note)
        found = {name.lower().decode(): word.decode() for name, word in sent[0]["headers"]}
        return _seen(sent[0]["status"], found, b"".join(one.get("body", b"") for one in sent[1:]))

    def ask(body: bytes, method: str = "POST", **headers: str) -> Answer:
        return asyncio.run(send_one({**HEADERS, **_named(headers)}, body, method))

    return ask


def over_wsgi(app: Any, path: str) -> Ask:
    def ask(body: bytes, method: str = "POST", **headers: str) -> Answer:
        given = {**HEADERS, **_named(headers)}
        names = {f"HTTP_{name.upper().replace('-', '_')}": word for name, word in given.items()}
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": names.pop("HTTP_CONTENT_TYPE"),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input": io.BytesIO(body),
            **names,
        }
        started: list[Any] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
            started[:] = [int(status[:3]), {name.lower(): word for name, word in headers}]

        answer = app(environ, start_response)
        try:
            whole = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return _seen(*started, whole)

    return ask


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): word for name, word in headers.items()}


def _seen(status: int, headers: dict[str, str], body: bytes) -> Answer:
    """An answer without what is another in each."""
    told = headers.get("retry-after"), headers.get("x-should-retry")
    body = re.sub(rb'"(id|created)":("chatcmpl-\w+"|\d+)', rb'"\1":0', body)
    return status, headers.get("content-type"), told, body


def _flask() -> Flask:
    app = Flask("tests")
    app.config.from_mapping(SECRET_KEY=KEY, MCP_OPEN=True)
    return app


def _server() -> MCPServer:
    return MCPServer("tests", secret_key=KEY, open=True)


def _mounted(app: Any, mount: Callable[..., Any], runs: Runs) -> Any:
    mount(app, "/mcp", fill(_server(), runs))
    return app


def _in_flask(runs: Runs) -> Flask:
    app = _flask()
    fill(mcp_mount_flask.MCPMount(app, "/mcp"), runs)
    return app


HOSTS: dict[str, Callable[[Runs], Ask]] = {
    "alone": lambda runs: over_asgi(fill(_server(), runs), PATH),
    "starlette": lambda runs: over_asgi(
        _mounted(Starlette(), mcp_mount_starlette.mount, runs), "/mcp" + PATH
    ),
    "fastapi": lambda runs: over_asgi(
        _mounted(FastAPI(), mcp_mount_fastapi.mount, runs), "/mcp" + PATH
    ),
    "wsgi": lambda runs: over_wsgi(fill(_server(), runs).wsgi, PATH),
    "flask": lambda runs: over_wsgi(_in_flask(runs), "/mcp" + PATH),
    "beside-flask": lambda runs: over_wsgi(
        mcp_mount_flask.mount(_flask(), "/mcp", fill(_server(), runs)), "/mcp" + PATH
    ),
}


@contextmanager
def counted(*, possible: bool = True) -> Iterator[list[Any]]:
    """The direct chats within the block; there are none unless they are possible."""
    found: list[Any] = []
    own = DirectChats.read

    def read(self: DirectChats, body: bytes, environ: Any) -> Any:
        chat = own(self, body, environ) if possible else None
        if chat is not None:
            found.append(chat)
        return chat

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirectChats, "read", read)
        yield found


def chat(model: str | None, word: str = "hello", **more: Any) -> bytes:
    named = {} if model is None else {"model": model}
    messages = [{"role": "user", "content": word}]
    return json.dumps({**named, "messages": messages, **more}).encode()


def alike(ask: Ask, runs: Runs, body: bytes, **how: str) -> tuple[Answer, int]:
    """The answer to a request, which is the same in both ways and runs the same models; and how
    many direct chats there were."""
    runs.clear()
    with counted() as direct:
        short = ask(body, **how)
    ran = Counter(runs)
    runs.clear()
    with counted(possible=False):
        long = ask(body, **how)
    assert short == long
    assert ran == runs
    return short, len(direct)


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest) -> tuple[Ask, Runs]:
    runs: Runs = Counter()
    ask = HOSTS[request.param](runs)
    # FastAPI leads the first request to its route.
    assert ask(chat("quick"))[0] == 200
    return ask, runs


@pytest.mark.parametrize("word", ["hello", *RETURNED, *RAISED])
@pytest.mark.parametrize("model", MODELS)
def test_chats_are_answered_alike(host: tuple[Ask, Runs], model: str | None, word: str) -> None:
    _, direct = alike(*host, chat(model, word))
    assert direct == (model in DIRECT or model is None)


@pytest.mark.parametrize(
    "more",
    [
        {"stream": True},
        {"n": None},
        {"n": 200},
        {"max_completion_tokens": 5},
        {"stop": "a"},
        {"temperature": "warm"},
        {"further": 1},
        {"messages": []},
        {"messages": [{"role": "user", "content": ["a", {"type": "text", "text": "b"}]}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("model", ["quick", "plain"])
def test_unusual_bodies_go_the_long_way(
    host: tuple[Ask, Runs], model: str, more: dict[str, Any]
) -> None:
    assert alike(*host, chat(model, **more))[1] == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", chat("quick", "x" * 5_000_000)]
)
def test_bodies_that_are_no_request_are_refused_alike(host: tuple[Ask, Runs], body: bytes) -> None:
    answer, direct = alike(*host, body)
    assert (400 <= answer[0] < 500, direct) == (True, 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/json; charset=utf-8"}, 200),
        ({"host": "evil.example"}, None),
        ({"host": "a b"}, None),
    ],
    ids=str,
)
def test_unusual_headers_go_the_long_way(
    host: tuple[Ask, Runs], headers: dict[str, str], status: int | None
) -> None:
    answer, _ = alike(*host, chat("quick"), **headers)
    assert status in (None, answer[0])


@pytest.mark.parametrize("headers", [{"authorization": "Bearer x"}, {"accept": "*/*"}], ids=str)
def test_usual_headers_of_clients_are_those_of_direct_chats(
    host: tuple[Ask, Runs], headers: dict[str, str]
) -> None:
    answer, direct = alike(*host, chat("quick"), **headers)
    assert (answer[0], direct) == (200, 1)


def test_other_methods_are_answered_alike(host: tuple[Ask, Runs]) -> None:
    assert alike(*host, chat("quick"), method="PUT")[0][0] == 405


# What is declared around models.


def _refuse(call: Any, call_next: Any) -> Any:
    raise CallRejected("refused", status=429)


@pytest.mark.parametrize("option", AROUND)
def test_what_a_server_declares_later_holds(option: str) -> None:
    server = fill(_server(), Counter())
    ask = over_asgi(server, PATH)
    with counted() as direct:
        assert [ask(chat("quick"))[0] for _ in range(2)] == [200, 200]
    assert len(direct) == 1
    change(server, {option: AROUND[option]})
    # A host that is not allowed is refused before, and arguments of tools are no concern of models.
    is_harmless = option == "extra_arguments"
    with counted() as direct:
        first = ask(chat("quick"))
    with counted(possible=False):
        second = ask(chat("quick"))
    if option not in ("budget", "cache"):
        assert first == second
    assert (len(direct) == 0) or is_harmless


OF_MODELS: dict[str, Any] = {
    **{name: AROUND[name] for name in ResourcePolicies.__annotations__ if name in AROUND},
    "call_middleware": _refuse,
    "max_concurrency": MaxConcurrency(1),
    "max_body_bytes": 10,
    "redact": "messages",
    "tools": Tools("*"),
}
HARMLESS_OF_MODELS = {"redact"}
"""It says what logs show, which stand around themselves."""


def test_every_policy_of_models_is_tried() -> None:
    assert set(OF_MODELS) >= ResourcePolicies.__annotations__.keys()


@pytest.mark.parametrize("option", OF_MODELS)
def test_what_a_model_declares_holds(option: str) -> None:
    server, chats = _server(), CompletionsRouter()

    @chats.chat("own", **{option: OF_MODELS[option]})
    async def own(request: ChatRequest) -> str:
        return "hello"

    server.include_router(chats)
    ask = over_asgi(server, PATH)
    ask(chat("own"))
    with counted() as direct:
        ask(chat("own"))
    assert (len(direct) == 0) or option in HARMLESS_OF_MODELS


@pytest.mark.parametrize("option", [one for one in OF_MODELS if one != "tools"])
def test_what_a_router_declares_holds(option: str) -> None:
    server, chats = _server(), CompletionsRouter(**{option: OF_MODELS[option]})

    @chats.chat
    async def own(request: ChatRequest) -> str:
        return "hello"

    server.include_router(chats)
    ask = over_asgi(server, PATH)
    ask(chat("own"))
    with counted() as direct:
        ask(chat("own"))
    assert (len(direct) == 0) or option in HARMLESS_OF_MODELS


def test_the_rules_of_a_router_hold_for_its_route_whatever_model_is_asked() -> None:
    server, free = _server(), CompletionsRouter()
    server.include_router(CompletionsRouter(when=lambda caller: False))

    @free.chat
    async def own(request: ChatRequest) -> str:
        return "hello"

    server.include_router(free)
    ask = over_asgi(server, PATH)
    with counted() as direct:
        assert [ask(chat("own"))[0] for _ in range(2)] == [401, 401]
    assert direct == []


@pytest.mark.parametrize("what", ["middleware", "override", "dependency"])
def test_what_the_application_has_around_routes_holds(what: str) -> None:
    server = _server()
    seen: list[str] = []

    def depend() -> None:
        seen.append("asked")

    if what == "dependency":
        inner = FastAPI()
        router = CompletionsRouter()

        @router.chat
        async def quick(request: ChatRequest) -> str:
            return "hello"

        inner.include_router(router, dependencies=[Depends(depend)])
        ask = over_asgi(inner, PATH)
        assert [ask(chat("quick"))[0] for _ in range(2)] == [200, 200]
        assert seen == ["asked", "asked"]
        return
    ask = over_asgi(fill(server, Counter()), PATH)
    if what == "middleware":

        @server.middleware("http")
        async def note(request: Any, call_next: Any) -> Any:
            seen.append("asked")
            return await call_next(request)

    else:
        server.dependency_overrides[depend] = depend
    with counted() as direct:
        assert [ask(chat("quick"))[0] for _ in range(2)] == [200, 200]
    assert direct == []
    assert seen == (["asked", "asked"] if what == "middleware" else [])


def test_a_model_that_is_registered_later_is_found() -> None:
    server, chats = _server(), CompletionsRouter()
    server.include_router(chats)
    ask = over_asgi(server, PATH)
    for _ in range(2):
        assert b'"model":"stand-in"' in ask(chat(None))[3]

    @chats.chat
    async def late(request: ChatRequest) -> str:
        return "late"

    with counted() as direct:
        assert b'"model":"late"' in ask(chat(None))[3]
    assert len(direct) == 1


def test_a_route_before_that_of_the_server_is_asked_first() -> None:
    app = Starlette()
    mcp_mount_starlette.mount(app, "/mcp", fill(_server(), Counter()))
    ask = over_asgi(app, "/mcp" + PATH)
    for _ in range(2):
        assert ask(chat("quick"))[0] == 200

    async def other(request: Any) -> Any:
        from starlette.responses import PlainTextResponse

        return PlainTextResponse("other")

    app.router.add_route("/mcp/v1/{rest:path}", other, methods=["POST"])
    app.router.routes.insert(0, app.router.routes.pop())
    assert ask(chat("quick"))[3] == b"other"


# Bodies that are read in one pass.

_OPTIONS = {
    name: values | st.sampled_from([None, 1, 0, "a", ["a"], {"a": None}, True, 0.5, 1e400])
    for name in (*ChatRequest.model_fields, "max_completion_tokens", "user")
    if name != "messages"
}
_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", None])},
        optional={
            "content": values
            | st.sampled_from(["a", ["a"], [{"type": "text", "text": "a"}], {"type": "text"}]),
            "name": values,
            "tool_calls": values | st.just([{"id": "a"}]),
            "tool_call_id": values,
            "more": values,
        },
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({"messages": _MESSAGES}, optional=_OPTIONS))
def test_a_plain_request_is_what_others_read_in_it(data: dict[str, Any]) -> None:
    body = json.dumps(data).encode()
    found = plain_request(body)
    if found is None:
        return
    whole = ChatRequest.model_validate_json(body)
    assert found == whole
    assert type(found) is ChatRequest
    assert found.model_fields_set == whole.model_fields_set
    assert found.model_extra == whole.model_extra == {}
    for one, other in zip(found.messages, whole.messages, strict=True):
        assert type(one) is type(other)
        assert one.model_fields_set == other.model_fields_set


def test_a_usual_body_is_a_plain_request() -> None:
    tool = [{"id": "call_1", "type": "function", "function": {"name": "a", "arguments": "{}"}}]
    body = {
        "model": "gpt",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hello?"}]},
            {"role": "assistant", "content": None, "tool_calls": tool},
            {"role": "tool", "tool_call_id": "call_1", "content": "4"},
        ],
        "temperature": 1,
        "max_tokens": 100,
        "stop": ["\n"],
        "stream": False,
    }
    found = plain_request(json.dumps(body).encode())
    assert found is not None
    assert found.messages[3].tool_call_id == "call_1"
