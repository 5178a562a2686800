"""Direct calls in front of Flask under ASGI: the same answers and contexts as the long way."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from typing import Any

import flask
import pytest
from flask import Flask, has_app_context, has_request_context
from flask.ctx import RequestContext
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_mount import MCPServer
from mcp_mount_flask import mount_asgi
from mcp_mount_flask.lazy import LazyRequestContext
from tests.mcp_mount_flask.test_direct import LOOKS, Note, add_tools, application
from tests.requests import JSON_HEADERS, STATELESS, initialize
from tests.transports.test_direct import (
    _HEADERS,
    _WORDS,
    counted,
    edited,
    raw,
    request,
    scope_of,
    send,
)
from tests.transports.test_direct import _edits as edits
from tests.transports.test_direct import _spoilt as spoilt

EXAMPLES = int(os.environ.get("DIRECT_EXAMPLES", "120"))

WAYS = ("plain", "coroutine", "waits")


def add_coroutines(server: MCPServer) -> None:
    """The tools of a server as coroutine functions: some return at once, some wait before."""
    for name, tool in list(server.registry.tools.items()):
        for way in WAYS[1:]:

            def handler(plain: Any = tool.function, way: str = way) -> Any:
                @functools.wraps(plain)
                async def run(*args: Any, **kwargs: Any) -> Any:
                    if way == "waits":
                        await asyncio.sleep(0)
                        await asyncio.sleep(0.0001)
                    return plain(*args, **kwargs)

                return run

            server.tool(name=f"{way}-{name}")(handler())


class ASGITwins:
    """Two applications with a server in front, one of which answers direct calls."""

    def __init__(self) -> None:
        self.notes = Note(), Note()
        self.wholes = []
        self.servers = []
        for note, direct in zip(self.notes, (True, False), strict=True):
            server = MCPServer("shop", secret_key="k", open=True)
            add_tools(server, note)
            add_coroutines(server)
            self.wholes.append(mount_asgi(application(note, hooks=False), "/mcp", server))
            self.servers.append(server)
            if not direct:
                server.core.protocol.direct.find = (  # type: ignore[method-assign]
                    lambda *args: None
                )
        headers, body = request(STATELESS, "keeps", {})
        # The first request of a server always goes the long way.
        self.both(raw(headers), [json.dumps(body).encode()])

    def both(self, headers: list[tuple[bytes, bytes]], chunks: list[bytes]) -> Any:
        """The answer of both, which must be the same one, with the same events."""
        answers = [asyncio.run(send(one, headers, chunks)) for one in self.wholes]
        assert answers[0] == answers[1]
        self.events = self.notes[0].take()
        assert self.events == self.notes[1].take()
        return answers[0]


TWINS = ASGITwins()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("tool", "arguments"), LOOKS)
def test_tools_that_look_at_flask_are_answered_alike(
    tool: str, arguments: dict[str, Any], way: str
) -> None:
    name = tool if way == "plain" else f"{way}-{tool}"
    headers, body = request(STATELESS, name, arguments)
    headers |= {"user-agent": "tests", "cookie": "session=unsigned"}
    with counted() as direct:
        TWINS.both(raw(headers), [json.dumps(body).encode()])
    assert len(direct) == 1
    assert TWINS.events[-1].startswith("teardown_appcontext")


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(LOOKS),
    st.sampled_from(WAYS),
    st.lists(st.tuples(st.sampled_from(_HEADERS), st.sampled_from(_WORDS)), max_size=2),
    edits,
    spoilt,
    st.sampled_from([0, 0, 10]),
)
def test_odd_requests_are_answered_alike(
    look: tuple[str, dict[str, Any]],
    way: str,
    changes: list[tuple[str, str]],
    edits: list[Any],
    spoilt: tuple[bytes, bytes],
    cut: int,
) -> None:
    tool, arguments = look
    headers, body = request(STATELESS, tool if way == "plain" else f"{way}-{tool}", arguments)
    pairs = raw(headers | dict(changes))
    content = json.dumps(edited(body, edits)).encode().replace(*spoilt, 1)
    TWINS.both(pairs, [content[:cut], content[cut:]] if cut else [content])


def sees(app: Flask, *, middleware: bool = False) -> tuple[Any, list[Any]]:
    """A server in front of an application, and the contexts of its tool."""
    server = MCPServer("shop", secret_key="k", open=True)
    contexts: list[Any] = []

    @server.tool
    async def nothing() -> str:
        found = flask.globals.request_ctx._get_current_object()  # type: ignore[attr-defined]
        contexts.append(type(found))
        return "nothing"

    if middleware:
        server.add_middleware(lambda app: app)
    return mount_asgi(app, "/mcp", server), contexts


def asked(whole: Any, times: int = 2) -> None:
    headers, body = request(STATELESS, "nothing", {})
    for _ in range(times):
        answer = asyncio.run(send(whole, raw(headers), [json.dumps(body).encode()]))
        assert b"nothing" in answer[2]


def test_a_request_context_is_made_when_something_looks_at_it() -> None:
    whole, contexts = sees(Flask("shop", static_folder=None))
    with counted() as direct:
        asked(whole)
    assert contexts == [RequestContext, LazyRequestContext]
    assert len(direct) == 1
    assert not has_request_context()
    assert not has_app_context()


def test_functions_at_the_end_of_requests_run() -> None:
    app = Flask("shop", static_folder=None)
    whole, contexts = sees(app)
    ended: list[str] = []
    asked(whole)
    app.teardown_request(lambda error: ended.append(flask.request.path))
    with counted() as direct:
        asked(whole)
    assert ended == ["/mcp", "/mcp"]
    assert contexts[2:] == [RequestContext] * 2
    assert direct == []


def test_middleware_of_the_server_sees_direct_calls() -> None:
    whole, contexts = sees(Flask("shop", static_folder=None), middleware=True)
    asked(whole)
    assert contexts == [RequestContext] * 2


def test_a_session_is_that_of_the_mount_point() -> None:
    whole, contexts = sees(Flask("shop", static_folder=None))
    asked(whole, 1)
    opened: list[Any] = []

    async def begin() -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": initialize()}

        async def note(one: Any) -> None:
            opened.append(one)

        await whole(scope_of(raw({"host": "127.0.0.1:8000", **JSON_HEADERS})), receive, note)

    asyncio.run(begin())
    token = dict(opened[0]["headers"])[b"mcp-session-id"].decode()
    headers, body = request(STATELESS, "nothing", {})
    headers = {
        name: value
        for name, value in headers.items()
        if name not in ("mcp-method", "mcp-name", "mcp-protocol-version")
    }
    headers["mcp-session-id"] = token
    del body["params"]["_meta"]
    with counted() as direct:
        for _ in range(2):
            answer = asyncio.run(send(whole, raw(headers), [json.dumps(body).encode()]))
            assert answer[0] == 200, answer
    assert len(direct) == 1
    assert contexts[-1] is LazyRequestContext


def test_a_client_that_leaves_ends_its_contexts() -> None:
    note = Note()
    server = MCPServer("shop", secret_key="k", open=True)

    @server.tool
    async def nothing() -> str:
        try:
            await asyncio.sleep(3600)
        finally:
            note.events.append(f"ended {flask.request.path}")
        return "never"

    whole = mount_asgi(application(note, hooks=False), "/mcp", server)
    headers, body = request(STATELESS, "nothing", {})

    async def run() -> None:
        for _ in range(2):
            messages = [{"type": "http.request", "body": json.dumps(body).encode()}]

            async def receive(messages: list[Any] = messages) -> Any:
                return messages.pop() if messages else {"type": "http.disconnect"}

            async def sent(one: Any) -> None:
                note.events.append(one["type"])

            await whole(scope_of(raw(headers)), receive, sent)

    with counted() as direct:
        asyncio.run(run())
    assert len(direct) == 1
    assert note.take() == ["ended /mcp", "teardown_appcontext None False None"] * 2
