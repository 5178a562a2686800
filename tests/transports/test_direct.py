"""Direct calls and the long way: whatever comes, both answer alike."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from mcp_mount import Audit, CallRejected, Context, MCPError, MCPServer, ResourceError, ToolError
from mcp_mount.auth import TokenVerifier
from mcp_mount.models import Budget
from mcp_mount.options import OPTIONS
from mcp_mount.transports.direct import ASGIDirectCalls
from mcp_mount_starlette import mount
from tests.fuzz.strategies import values
from tests.requests import (
    ACCEPT,
    CAPABILITIES,
    CLIENT_INFO,
    STATELESS,
    VERSION,
    Session,
    message,
    meta,
)

EXAMPLES = int(os.environ.get("DIRECT_EXAMPLES", "200"))
KEY = "for-tests-only"
REVISIONS = (STATELESS, "2025-11-25", "2025-06-18", "2025-03-26")


class Point(BaseModel):
    x: float
    label: str = ""


ERRORS: dict[str, BaseException] = {
    "tool": ToolError("told"),
    "resource": ResourceError("told"),
    "rejected": CallRejected("busy", status=429, retry_after=3),
    "mcp": MCPError(-32099, "told", {"a": 1}),
    "value": ValueError("secret"),
    "stop": StopIteration("x"),
    "exit": SystemExit(3),
    "cancelled": asyncio.CancelledError(),
    "generator": GeneratorExit(),
}

VALUES: dict[str, Any] = {
    "text": "hé\n",
    "surrogate": "\ud800",
    "none": None,
    "number": 3,
    "nan": float("nan"),
    "bytes": b"\xff",
    "dict": {"a": [1, None]},
    "list": ["a", 2],
    "object": object(),
    "point": Point(x=1.5),
    "infinite": Point(x=float("inf")),
    "response": JSONResponse({"a": 1}),
    "redirect": RedirectResponse("/login"),
}


def _generate(kind: str) -> Iterator[Any]:
    yield 1
    if kind == "fails":
        raise ValueError("midway")
    yield "two" if kind == "unfit" else 2


class Awaitable:
    """What a handler returns that has forgotten to await it."""

    def __await__(self) -> Iterator[Any]:
        return iter(())


ITERATORS = ("fits", "fails", "unfit")
"""What gives its values once only."""


class Shop:
    """A server with tools of all kinds, and how often each handler has run."""

    def __init__(self, *, direct: bool) -> None:
        self.runs: Counter[str] = Counter()
        self.server = server = MCPServer("shop", secret_key=KEY, open=True)
        runs = self.runs

        @server.tool
        async def echo(text: str) -> str:
            runs["echo"] += 1
            return text

        @server.tool
        async def point(x: float, label: str = "") -> Point:
            runs["point"] += 1
            return Point(x=x, label=label)

        @server.tool
        async def free(kind: str) -> Any:
            runs["free"] += 1
            return VALUES[kind]

        @server.tool
        async def number(kind: str) -> int:
            runs["number"] += 1
            value: int = VALUES[kind]
            return value

        @server.tool
        async def fails(kind: str) -> str:
            runs["fails"] += 1
            raise ERRORS[kind]

        @server.tool
        async def waits(kind: str = "") -> str:
            runs["waits"] += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0.0001)
            if kind in ERRORS:
                raise ERRORS[kind]
            return kind

        @server.tool
        def plain(count: int = 1) -> list[int]:
            runs["plain"] += 1
            return [count]

        @server.tool
        def plain_free(kind: str) -> Any:
            runs["plain_free"] += 1
            return VALUES[kind]

        @server.tool
        def plain_number(kind: str) -> int:
            runs["plain_number"] += 1
            value: int = VALUES[kind]
            return value

        @server.tool
        async def iterates(kind: str) -> Iterable[int]:
            return _generate(kind)

        @server.tool
        def plain_iterates(kind: str) -> Iterable[int]:
            return _generate(kind)

        @server.tool
        async def lists(kind: str) -> list[int]:
            return _generate(kind)  # type: ignore[return-value]

        @server.tool
        async def forgets_to_wait(kind: str) -> str:
            return Awaitable()  # type: ignore[return-value]

        @server.tool
        def plain_fails(kind: str) -> str:
            runs["plain_fails"] += 1
            raise ERRORS[kind]

        @server.tool
        async def with_context(text: str, ctx: Context) -> str:
            runs["with_context"] += 1
            await ctx.info(text)
            return text

        @server.tool(timeout=60)
        async def limited(text: str) -> str:
            runs["limited"] += 1
            return text

        if not direct:
            server.core.protocol.direct.find = lambda *args: None  # type: ignore[method-assign]


@contextmanager
def counted() -> Iterator[list[Any]]:
    """The direct calls that are answered within the block."""
    answered: list[Any] = []
    own = ASGIDirectCalls.run

    def run(self: ASGIDirectCalls, call: Any) -> Any:
        answered.append(call)
        return own(self, call)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ASGIDirectCalls, "run", run)
        yield answered


SHOPS = Shop(direct=True), Shop(direct=False)
TOKENS = {
    revision: Session(SHOPS[0].server, revision).headers["mcp-session-id"]
    for revision in REVISIONS[1:]
}


def scope_of(headers: list[tuple[bytes, bytes]], method: str = "POST") -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }


async def send(
    server: Any, headers: list[tuple[bytes, bytes]], chunks: list[bytes], method: str = "POST"
) -> tuple[Any, ...]:
    """Send a request; its status, headers and body."""
    waiting = list(chunks)
    sent: list[Any] = []

    async def receive() -> Any:
        if not waiting:
            await asyncio.sleep(3600)
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    async def note(one: Any) -> None:
        sent.append(one)

    await server(scope_of(headers, method), receive, note)
    start, *rest = sent
    body = re.sub(rb"id: \w+\.", b"id: random.", b"".join(one.get("body", b"") for one in rest))
    given = {name: value for name, value in start["headers"] if name != b"mcp-session-id"}
    return start["status"], given, body


def both(
    headers: list[tuple[bytes, bytes]], chunks: list[bytes], method: str = "POST"
) -> tuple[Any, ...]:
    """The answers of both ways, which must be alike, and run the same handlers."""
    for shop in SHOPS:
        shop.runs.clear()
    answers = [asyncio.run(send(shop.server, headers, chunks, method)) for shop in SHOPS]
    assert answers[0] == answers[1]
    assert SHOPS[0].runs == SHOPS[1].runs
    return answers[0]


def request(
    revision: str, tool: str, arguments: dict[str, Any]
) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers and the message of a call as clients send it."""
    headers = {
        "host": "127.0.0.1:8000",
        "accept": ACCEPT,
        "content-type": "application/json",
        "mcp-protocol-version": revision,
    }
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    if revision == STATELESS:
        headers |= {"mcp-method": "tools/call", "mcp-name": tool}
        params["_meta"] = {**meta(), CLIENT_INFO: {"name": "tests", "version": "1"}}
    else:
        headers["mcp-session-id"] = TOKENS[revision]
    return headers, message("tools/call", params, 7)


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


CALLS = [
    ("echo", {"text": "hé"}),
    ("echo", {"text": 5}),
    ("echo", {}),
    ("echo", {"text": "a", "more": 1}),
    ("point", {"x": 1, "label": "a"}),
    ("point", {"x": "1.5"}),
    ("plain", {"count": 2}),
    ("plain", {"count": "two"}),
    ("with_context", {"text": "hi"}),
    ("limited", {"text": "hi"}),
    ("unknown", {}),
    *(("free", {"kind": kind}) for kind in VALUES),
    *(("number", {"kind": kind}) for kind in VALUES),
    *(("fails", {"kind": kind}) for kind in ERRORS),
    *(("plain_free", {"kind": kind}) for kind in VALUES),
    *(("plain_number", {"kind": kind}) for kind in VALUES),
    *(("plain_fails", {"kind": kind}) for kind in ERRORS),
    *(("waits", {"kind": kind}) for kind in ("", *ERRORS)),
    *(("iterates", {"kind": kind}) for kind in ITERATORS),
    *(("plain_iterates", {"kind": kind}) for kind in ITERATORS),
    *(("lists", {"kind": kind}) for kind in ITERATORS),
    ("forgets_to_wait", {"kind": "a"}),
]

DIRECT = {
    *("echo", "point", "free", "number", "fails", "waits"),
    *("plain", "plain_free", "plain_number", "plain_fails"),
    *("iterates", "plain_iterates", "lists", "forgets_to_wait"),
}


@pytest.fixture(autouse=True, scope="module")
def _begun() -> None:
    """The first request of a server, and of a session, always goes the long way."""
    for revision in REVISIONS:
        headers, body = request(revision, "echo", {"text": ""})
        both(raw(headers), [json.dumps(body).encode()])


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(("tool", "arguments"), CALLS)
def test_right_requests_are_answered_alike(
    tool: str, arguments: dict[str, Any], revision: str
) -> None:
    headers, body = request(revision, tool, arguments)
    with counted() as direct:
        both(raw(headers), [json.dumps(body).encode()])
    assert len(direct) == (1 if tool in DIRECT else 0)


_HEADERS = (
    *("host", "accept", "content-type", "mcp-protocol-version", "mcp-method", "mcp-name"),
    *("mcp-session-id", "origin", "sec-fetch-site", "authorization"),
)
"""Not Content-Length: a web server hands on no body of another length."""
_WORDS = (
    *("", " ", "*/*", ACCEPT, "application/json", "text/event-stream", "text/html"),
    *("application/json; charset=utf-8", "APPLICATION/JSON", "application/json;q=0"),
    *("127.0.0.1:8000", "localhost", "evil.example", "a b", "http://evil.example"),
    *("http://localhost:3000", "cross-site", "same-origin", "none", "0", "99999999999", "abc"),
    *("tools/call", "tools/list", "echo", " echo", "=?base64?ZWNobw==?=", "plain", "unknown"),
    *REVISIONS,
    *TOKENS.values(),
)
_changes = st.lists(
    st.tuples(
        st.sampled_from(["set", "drop", "repeat"]),
        st.sampled_from(_HEADERS),
        st.sampled_from(_WORDS),
    ),
    max_size=2,
)
_PLACES = (
    *(("jsonrpc",), ("id",), ("method",), ("params",), ("more",), ("params", "name")),
    *(("params", "arguments"), ("params", "arguments", "text"), ("params", "arguments", "x")),
    *(("params", "_meta"), ("params", "_meta", VERSION), ("params", "_meta", CAPABILITIES)),
    *(("params", "_meta", CLIENT_INFO), ("params", "_meta", "progressToken")),
    ("params", "_meta", "io.modelcontextprotocol/logLevel"),
    *(("params", "inputResponses"), ("params", "requestState"), ("params", "task")),
)
_members = values | st.sampled_from(
    ["2.0", "tools/call", "tools/list", "initialize", "echo", "debug", {}, None, *REVISIONS]
)
_edits = st.lists(st.tuples(st.sampled_from(_PLACES), st.none() | st.tuples(_members)), max_size=2)
_spoilt = st.sampled_from(
    [
        (b"", b""),
        (b"7", b"NaN"),
        (b"7", b"7.0"),
        (b"7", b"1e999"),
        (b"7", b"123456789012345678901234567890"),
        (b'"id"', b'"id": 8, "id"'),
        (b'"name"', b'"name": "point", "name"'),
        (b'"text"', b'"text": "first", "text"'),
        (b'"method"', b'"m\\u0065thod"'),
        (b"{", b"\xef\xbb\xbf{"),
        (b"{", b" \r\n{"),
        (b'"2.0"', b'"2.0\\ud800"'),
        (b'"2.0"', b'"\xff"'),
        (b"}", b""),
        (b"}}", b"}} x"),
        (b"{", b"[{"),
    ]
)


def edited(body: dict[str, Any], edits: list[Any]) -> dict[str, Any]:
    """A message with some of its members replaced, added or left out."""
    whole: dict[str, Any] = json.loads(json.dumps(body))
    for place, value in edits:
        node: Any = whole
        for key in place[:-1]:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(place[-1], None)
            if value is not None:
                node[place[-1]] = deepcopy(value[0])
    return whole


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(REVISIONS),
    st.sampled_from(CALLS),
    _changes,
    _edits,
    _spoilt,
    st.sampled_from([0, 0, 0, 10]),
    st.sampled_from(["POST", "POST", "POST", "DELETE", "PUT"]),
)
@example(STATELESS, ("echo", {"text": "a"}), [("drop", "accept", "")], [], (b"", b""), 0, "POST")
def test_odd_requests_are_answered_alike(
    revision: str,
    tool: tuple[str, dict[str, Any]],
    changes: list[tuple[str, str, str]],
    edits: list[Any],
    spoilt: tuple[bytes, bytes],
    cut: int,
    method: str,
) -> None:
    headers, body = request(revision, *tool)
    pairs = raw(headers)
    for kind, name, word in changes:
        pair = (name.encode(), word.encode("latin-1"))
        if kind == "repeat":
            pairs.append(pair)
            continue
        pairs = [one for one in pairs if one[0] != pair[0]]
        if kind == "set":
            pairs.append(pair)
    if method == "DELETE":
        # It would end the session for all further examples.
        pairs = [one for one in pairs if one[0] != b"mcp-session-id"]
    content = json.dumps(edited(body, edits)).encode().replace(*spoilt, 1)
    both(pairs, [content[:cut], content[cut:]] if cut else [content], method)


def test_a_body_over_the_limit_is_refused() -> None:
    for shop in SHOPS:
        shop.server.configure(max_body_bytes=1000)
    try:
        headers, body = request(STATELESS, "echo", {"text": "a" * 2000})
        assert both(raw(headers), [json.dumps(body).encode()])[0] == 413
    finally:
        for shop in SHOPS:
            shop.server.configure(max_body_bytes=4 * 1024 * 1024)


def _refuse(call: Any, call_next: Any) -> Any:
    raise CallRejected("refused", status=429)


def change(server: MCPServer, options: dict[str, Any]) -> None:
    if "auth" in options:
        options = {**options, "resource": "http://127.0.0.1:8000/mcp"}
    server.configure(**options)


AROUND: dict[str, Any] = {
    "allowed_hosts": ["elsewhere.example"],
    "audit": Audit(),
    "auth": TokenVerifier(lambda token: None),
    "budget": Budget("1 requests/day"),
    "cache": 60.0,
    "call_middleware": _refuse,
    "caller": lambda request: "a",
    "extra_arguments": "ignore",
    "log_calls": True,
    "max_argument_depth": 5,
    "max_concurrency": 5,
    "max_result_bytes": 1000,
    "permission": lambda request: False,
    "roles": ["admin"],
    "scopes": ["write"],
    "telemetry": True,
    "throttle": "1000/minute",
    "timeout": 60.0,
    "when": lambda caller: False,
}
"""Options of a server that stand around its calls, so that none is direct."""

HARMLESS = {
    # What the server says of itself, or lists.
    *("name", "version", "display_name", "description", "website_url", "icons", "instructions"),
    *("docs", "open", "list_step_up", "list_ttl_ms", "page_size"),
    # A request with an Origin, or a larger body, goes the long way.
    *("allowed_origins", "max_body_bytes"),
    # How long things last that direct calls do not begin.
    *("keep_alive", "poll_seconds", "max_poll_seconds", "waiting_threads", "session_ttl"),
    # Of calls that become tasks, which are none.
    *("task_limits", "tasks"),
    # Nothing without another option, which stands around.
    *("auth_required", "find_user", "redact", "resource", "scope_hierarchy", "store"),
    # Read where it is used: for sessions, and by what is shared.
    *("secret_key", "backplane"),
}
"""Options that leave direct calls as they are. A backplane that is shared stands around those in
sessions (tests/protocol/test_backplanes.py)."""


def test_every_option_is_one_that_stands_around_calls_or_is_harmless() -> None:
    assert AROUND.keys() | HARMLESS == OPTIONS.keys()
    assert not AROUND.keys() & HARMLESS


@pytest.mark.parametrize(
    "options", [{name: value} for name, value in AROUND.items()], ids=lambda one: next(iter(one))
)
def test_what_is_declared_later_holds(options: dict[str, Any]) -> None:
    server = Shop(direct=True).server
    headers, body = request(STATELESS, "echo", {"text": "a", "more": 1})
    content = [json.dumps(body).encode()]
    for _ in range(2):
        asyncio.run(send(server, raw(headers), content))
    change(server, options)
    other = Shop(direct=False).server
    change(other, options)
    with counted() as direct:
        answers = [asyncio.run(send(one, raw(headers), content)) for one in (server, other)]
    assert answers[0] == answers[1]
    assert direct == []


@pytest.mark.parametrize("revision", REVISIONS[:2])
@pytest.mark.parametrize(
    "change",
    [
        lambda server: server.remove_tool("echo"),
        lambda server: server.configure(permission=lambda request: False),
        lambda server: server.configure(caller=lambda request: "a"),
    ],
    ids=["removed", "guarded", "counted"],
)
def test_what_is_declared_while_the_body_comes_holds(change: Any, revision: str) -> None:
    server = MCPServer("slowly", secret_key=KEY, open=True)
    server.tool(name="echo")(lambda text: text)
    headers, body = request(revision, "echo", {"text": "a"})
    if revision != STATELESS:
        headers["mcp-session-id"] = Session(server, revision).headers["mcp-session-id"]

    async def run() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            if sent:
                change(server)
            return {"type": "http.request", "body": json.dumps(body).encode()}

        async def note(one: Any) -> None:
            sent.append(one)

        for _ in range(2):
            await server(scope_of(raw(headers)), receive, note)
        return sent

    with counted() as direct:
        sent = asyncio.run(run())
    assert direct == []
    assert sent[0]["status"] == 200


def test_a_tool_that_is_replaced_is_called_no_more() -> None:
    server = Shop(direct=True).server
    headers, body = request(STATELESS, "echo", {"text": "a"})
    content = [json.dumps(body).encode()]
    for _ in range(2):
        assert b'"text":"a"' in asyncio.run(send(server, raw(headers), content))[2]
    server.registry.remove("tool", "echo")
    assert b"Unknown tool" in asyncio.run(send(server, raw(headers), content))[2]

    @server.tool
    async def echo(text: str) -> str:
        return text * 2

    assert b'"text":"aa"' in asyncio.run(send(server, raw(headers), content))[2]


@pytest.mark.parametrize(
    "kind", ["text", "point", "none", "object", "tool", "value", "exit", *ITERATORS]
)
def test_a_response_begins_before_a_slow_plain_function_ends(kind: str) -> None:
    def ask(*, direct: bool) -> tuple[Any, ...]:
        server = MCPServer("slow", secret_key=KEY, open=True, keep_alive=0.03)
        begun = threading.Event()

        def slow() -> Any:
            assert begun.wait(20)
            if kind in ERRORS:
                raise ERRORS[kind]
            return _generate(kind) if kind in ITERATORS else VALUES[kind]

        if kind in ITERATORS:
            slow.__annotations__["return"] = Iterable[int]
        server.tool(slow)

        if not direct:
            server.core.protocol.direct.find = lambda *args: None  # type: ignore[method-assign]
        headers, body = request(STATELESS, "slow", {})
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": json.dumps(body).encode()}

        async def note(one: Any) -> None:
            sent.append(one)
            begun.set()

        for _ in range(2):
            # The first one goes the long way.
            sent.clear()
            begun.clear()
            asyncio.run(server(scope_of(raw(headers)), receive, note))
        start, *rest = sent
        text = b"".join(one.get("body", b"") for one in rest)
        return start, {line for line in text.splitlines() if line}

    with counted() as direct:
        answers = ask(direct=True), ask(direct=False)
    assert len(direct) == 1
    assert answers[0] == answers[1]
    assert (b"content-type", b"text/event-stream") in answers[0][0]["headers"]


def test_a_client_that_leaves_cancels_a_handler_that_waits() -> None:
    ended: list[str] = []
    server = MCPServer("leaving", secret_key=KEY, open=True)

    @server.tool
    async def waits() -> str:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("ended")
        return "never"

    headers, body = request(STATELESS, "waits", {})

    async def run() -> None:
        messages = [{"type": "http.request", "body": json.dumps(body).encode()}]

        async def receive() -> Any:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def note(one: Any) -> None:
            ended.append(one["type"])

        for _ in range(2):
            # The first one goes the long way.
            messages[:] = [{"type": "http.request", "body": json.dumps(body).encode()}]
            await server(scope_of(raw(headers)), receive, note)

    with counted() as direct:
        asyncio.run(run())
    assert ended == ["ended", "ended"]
    assert len(direct) == 1


class OutOfStock(Exception):
    """Something that a tool raises and an application knows how to answer."""


@pytest.mark.parametrize("kind", ["at once", "waits", "plain"])
@pytest.mark.parametrize("host", ["alone", "starlette"])
def test_exception_handlers_get_the_applications_request(host: str, kind: str) -> None:
    """A scope is completed when a direct call turns to the long way."""
    server = MCPServer("stock", secret_key=KEY, open=True)
    application: Any = server
    if host == "starlette":
        application = Starlette()
        mount(application, "/mcp", server)
    seen: list[Any] = []

    def handle(request: Any, error: Exception) -> PlainTextResponse:
        seen.append((request.app, request.url.path, dict(request.state._state)))
        return PlainTextResponse("Out of stock", 409)

    application.add_exception_handler(OutOfStock, handle)

    async def buy() -> str:
        if kind == "waits":
            await asyncio.sleep(0)
        raise OutOfStock

    def buy_plain() -> str:
        raise OutOfStock

    server.tool(name="buy")(buy_plain if kind == "plain" else buy)
    headers, body = request(STATELESS, "buy", {})
    with counted() as direct:
        for _ in range(2):
            # The first one goes the long way.
            answer = asyncio.run(send(application, raw(headers), [json.dumps(body).encode()]))
            assert b"Out of stock" in answer[2]
    assert len(direct) == 1
    assert seen[0] == seen[1] == (application, "/mcp", {})


def test_names_that_are_no_tools_are_not_kept() -> None:
    tools = Shop(direct=True).server.registry.direct_tools
    known = tools["echo"]
    assert known is not None
    assert tools[b"echo"] is known
    assert tools["echo"] is known
    assert tools["limited"] is None
    assert tools[b"unknown"] is tools["unknown"] is tools["\xe9"] is tools[b"\xe9"] is None
    assert set(tools) == {"echo", b"echo", "limited"}


def test_hosts_that_are_seen_are_kept_within_bounds() -> None:
    server = Shop(direct=True).server
    server.configure(allowed_hosts=["*"])
    find = server.core.protocol.direct
    headers, body = request(STATELESS, "echo", {"text": "a"})
    asyncio.run(send(server, raw(headers), [json.dumps(body).encode()]))
    rest = ACCEPT, "application/json", STATELESS, "tools/call", "127.0.0.1", True
    for number in range(2_500):
        assert find.find((f"{number}.example", *rest), "echo", None, "") is not None
    assert find.find(("a" * 1_000 + ".example", *rest), "echo", None, "") is not None
    assert 0 < len(find._seen) <= 1_000
    assert all(len(str(one[0])) < 100 for one in find._seen)
    server.configure(allowed_hosts=["elsewhere.example"])
    assert find.find(("1.example", *rest), "echo", None, "") is None
    assert find.find(("elsewhere.example", *rest), "echo", None, "") is not None
