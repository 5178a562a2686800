"""A server of plain functions as a WSGI application, twice, and requests for both: one answers
direct calls, the other lets them go the long way. They must answer alike."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pytest
from hypothesis import strategies as st

from mcp_mount import MCPServer, SyncContext
from mcp_mount.transports.direct_wsgi import WSGIDirectCalls
from mcp_mount.transports.environs import make_environ
from tests.fuzz.strategies import values
from tests.requests import ACCEPT, CAPABILITIES, CLIENT_INFO, STATELESS, VERSION, message, meta
from tests.transports.test_direct import ERRORS, VALUES, Point

KEY = "for-tests-only"
FREE: dict[str, Any] = {**VALUES, "generator": (one for one in "ab")}

Environ: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[..., Any]
Answer: TypeAlias = tuple[str, list[tuple[str, str]], bytes]


class PlainShop:
    """A server with plain tools of all kinds, and how often each handler has run.

    Args:
        direct: Whether it answers direct calls.
        make: Makes the server: the class of a host.
    """

    def __init__(self, *, direct: bool, make: Callable[..., MCPServer] = MCPServer) -> None:
        self.runs: Counter[str] = Counter()
        self.server = server = make("shop", secret_key=KEY, open=True)
        runs = self.runs

        @server.tool
        def echo(text: str) -> str:
            runs["echo"] += 1
            return text

        @server.tool
        def point(x: float, label: str = "") -> Point:
            runs["point"] += 1
            return Point(x=x, label=label)

        @server.tool
        def free(kind: str) -> Any:
            runs["free"] += 1
            return FREE[kind]

        @server.tool
        def number(kind: str) -> int:
            runs["number"] += 1
            value: int = FREE[kind]
            return value

        @server.tool
        def fails(kind: str) -> str:
            runs["fails"] += 1
            raise ERRORS[kind]

        @server.tool
        async def waits(text: str) -> str:
            runs["waits"] += 1
            return text

        @server.tool
        def with_context(text: str, ctx: SyncContext) -> str:
            runs["with_context"] += 1
            return text

        @server.tool(timeout=60)
        def limited(text: str) -> str:
            runs["limited"] += 1
            return text

        if not direct:
            server.core.protocol.direct.find = lambda *args: None  # type: ignore[method-assign]


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("echo", {"text": "hé"}),
    ("echo", {"text": 5}),
    ("echo", {}),
    ("echo", {"text": "a", "more": 1}),
    ("point", {"x": 1, "label": "a"}),
    ("point", {"x": "1.5"}),
    ("waits", {"text": "hi"}),
    ("with_context", {"text": "hi"}),
    ("limited", {"text": "hi"}),
    ("unknown", {}),
    *(("free", {"kind": kind}) for kind in VALUES),
    *(("number", {"kind": kind}) for kind in VALUES),
    *(("fails", {"kind": kind}) for kind in ERRORS),
]

DIRECT = {"echo", "point", "free", "number", "fails"}


def request(tool: str, arguments: dict[str, Any], path: str = "/mcp") -> tuple[Environ, Any]:
    """The environment of a call as clients send it, without a length, and its message."""
    headers = {
        "host": "127.0.0.1:8000",
        "accept": ACCEPT,
        "content-type": "application/json",
        "mcp-protocol-version": STATELESS,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    own = {**meta(), CLIENT_INFO: {"name": "tests", "version": "1"}}
    params = {"name": tool, "arguments": arguments, "_meta": own}
    environ = make_environ("POST", path, headers)
    del environ["CONTENT_LENGTH"]
    return environ, message("tools/call", params, 7)


def send(application: Application, environ: Environ, body: bytes) -> Answer:
    """Send a request, with its length unless it has one; status, headers and body of the answer."""
    started: list[Any] = []
    own = {**environ, "wsgi.input": io.BytesIO(body)}
    own.setdefault("CONTENT_LENGTH", str(len(body)))
    chunks = application(own, lambda status, headers, error=None: started.append((status, headers)))
    try:
        content = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = started[-1]
    return status, headers, content


def answer_of(application: Application, environ: Environ, body: bytes) -> Any:
    """The answer to a request, or the type of what is raised in its place."""
    try:
        status, headers, content = send(application, environ, body)
    except BaseException as error:
        return type(error)
    content = re.sub(rb"id: \w+\.", b"id: random.", content)
    # Cookies of sessions are signed with the time.
    cleaned = [
        (name.lower(), re.sub(r"\.[\w-]+\.[\w-]+;", ".signed;", value)) for name, value in headers
    ]
    return status, sorted(cleaned), content


class Twins:
    """Two servers, one of which answers direct calls, hosted in the same way.

    Args:
        host: Makes a WSGI application of a server.
        make: Makes the servers: the class of the host.
    """

    def __init__(
        self,
        host: Callable[[MCPServer], Application],
        make: Callable[..., MCPServer] = MCPServer,
    ) -> None:
        self.shops = PlainShop(direct=True, make=make), PlainShop(direct=False, make=make)
        self.applications = [host(shop.server) for shop in self.shops]
        environ, body = request("echo", {"text": ""})
        # The first request of a server always goes the long way.
        self.both(environ, json.dumps(body).encode())

    def both(self, environ: Environ, body: bytes) -> Any:
        """The answer of both, which must be the same one, of as many runs of each handler."""
        for shop in self.shops:
            shop.runs.clear()
        answers = [answer_of(one, environ, body) for one in self.applications]
        assert answers[0] == answers[1]
        assert self.shops[0].runs == self.shops[1].runs
        assert sum(self.shops[0].runs.values()) <= 1
        return answers[0]


@contextmanager
def counted() -> Iterator[list[Any]]:
    """The direct calls that are answered within the block."""
    answered: list[Any] = []
    own = WSGIDirectCalls.run

    def run(self: WSGIDirectCalls, call: Any) -> Any:
        answered.append(call)
        return own(self, call)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WSGIDirectCalls, "run", run)
        yield answered


_KEYS = (
    *("HTTP_HOST", "HTTP_ACCEPT", "CONTENT_TYPE", "HTTP_MCP_PROTOCOL_VERSION", "HTTP_MCP_METHOD"),
    *("HTTP_MCP_NAME", "HTTP_MCP_SESSION_ID", "HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE"),
    *("CONTENT_LENGTH", "HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_EXPECT", "REMOTE_USER"),
    *("HTTP_TRANSFER_ENCODING", "HTTP_X_FORWARDED_HOST", "SERVER_NAME"),
)
_WORDS = (
    *("", " ", "*/*", ACCEPT, "application/json", "text/event-stream", "text/html"),
    *("application/json; charset=utf-8", "APPLICATION/JSON", "application/json;q=0"),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "chunked"),
    *("127.0.0.1:8000", "localhost", "evil.example", "a b", "http://evil.example"),
    *("http://localhost:3000", "cross-site", "same-origin", "none", "0", "99999999999", "abc"),
    *("10", "-1", "+5", "²", "session=abc", "100-continue"),
    *("tools/call", "tools/list", "echo", " echo", "=?base64?ZWNobw==?=", "limited", "unknown"),
    *(STATELESS, "2025-11-25"),
)
changes = st.lists(
    st.tuples(
        st.sampled_from(_KEYS),
        st.none() | st.sampled_from(_WORDS),
    )
    | st.tuples(st.just("wsgi.input_terminated"), st.just(True))
    | st.tuples(st.just("wsgi.multithread"), st.just(False)),
    max_size=3,
)
"""Keys of an environment with other values; None for those that are not there."""

_PLACES = (
    *(("jsonrpc",), ("id",), ("method",), ("params",), ("more",), ("params", "name")),
    *(("params", "arguments"), ("params", "arguments", "text"), ("params", "arguments", "x")),
    *(("params", "_meta"), ("params", "_meta", VERSION), ("params", "_meta", CAPABILITIES)),
    *(("params", "_meta", CLIENT_INFO), ("params", "_meta", "progressToken")),
    *(("params", "inputResponses"), ("params", "requestState"), ("params", "task")),
)
edits = st.lists(
    st.tuples(
        st.sampled_from(_PLACES),
        st.none()
        | st.tuples(
            values | st.sampled_from(["2.0", "tools/call", "tools/list", "echo", {}, None])
        ),
    ),
    max_size=2,
)
"""Members of a message with other values; None for those that are not there."""

spoilt = st.sampled_from(
    [
        (b"", b""),
        (b"7", b"NaN"),
        (b"7", b"123456789012345678901234567890"),
        (b'"id"', b'"id": 8, "id"'),
        (b'"text"', b'"text": "first", "text"'),
        (b"{", b"\xef\xbb\xbf{"),
        (b'"2.0"', b'"\xff"'),
        (b"}}", b"}} x"),
        (b"{", b"[{"),
    ]
)
"""Bytes of a body, and what they are replaced by."""


def changed(environ: Environ, given: list[tuple[str, Any]], method: str = "POST") -> Environ:
    """An environment with changes."""
    whole = {**environ, "REQUEST_METHOD": method}
    for key, value in given:
        if value is None:
            whole.pop(key, None)
        else:
            whole[key] = value
    return whole
