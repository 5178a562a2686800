"""Requests as bytes on the wire: calls of both kinds of protocol, and posts to plain views."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from tests.requests import (
    CLIENT_INFO,
    JSON_HEADERS,
    initialize,
    message,
    meta,
    session_headers,
    stateless,
)

HOST = "127.0.0.1:8000"
"""What clients call the server; some servers refuse a name without a port."""
FIRST_ID = 1_000_000
"""The id of the first request in a session; of those after it, each has an id of its own."""
REVISION = "2025-11-25"
"""The revision of the sessions that are measured."""


@dataclass(frozen=True)
class Request:
    """A POST request, and how to tell that its answer is right.

    Attributes:
        path: Path of the URL.
        headers: All headers but Host and Content-Length.
        body: The body.
        expect: Bytes that each correct answer contains.
        in_session: Whether a session has to be opened first, which adds its id to the headers.
        varies: Whether correct answers differ in length.
        where: Keys and indices to the text "hello" in the JSON of the answer; empty if it has none.
    """

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    expect: bytes
    in_session: bool = False
    varies: bool = False
    where: tuple[str | int, ...] = ()

    def within(self, session: str) -> Request:
        """The request in a session that is open."""
        return replace(self, headers={**self.headers, "mcp-session-id": session})

    def encoder(self) -> Callable[[], bytes]:
        """Makes the bytes of one request after another: in a session, each has a new id."""
        data = self.encode()
        if not self.in_session:
            return lambda: data
        before, _, after = data.partition(b"%d" % FIRST_ID)
        ids = itertools.count(FIRST_ID)
        return lambda: b"%b%d%b" % (before, next(ids), after)

    def encode(self) -> bytes:
        """The request as HTTP/1.1."""
        own = {"host": HOST, **self.headers, "content-length": str(len(self.body))}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {own[name]}" for name in own), "", ""]
        return "\r\n".join(lines).encode() + self.body


def request(
    method: str,
    params: dict[str, Any],
    expect: str,
    *,
    path: str = "/mcp",
    in_session: bool = False,
    capabilities: Any = None,
    progress: bool = False,
    varies: bool = False,
) -> Request:
    """A message of MCP, stateless (2026-07-28) or in a session (2025-11-25)."""
    own: dict[str, Any] = {} if in_session else {**meta(capabilities=capabilities), **_CLIENT}
    if progress:
        own["progressToken"] = 1
    params = {**params, "_meta": own} if own else params
    if in_session:
        headers = session_headers("", REVISION)
        body = json.dumps(message(method, params, FIRST_ID)).encode()
    else:
        headers, body = stateless(method, params)
    return Request(path, headers, body, expect.encode(), in_session=in_session, varies=varies)


def call(
    tool: str,
    arguments: dict[str, Any] | None = None,
    expect: str = "hello",
    more: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> Request:
    """A call of a tool, with more parameters; the options are those of `request`."""
    params = {"name": tool, "arguments": arguments or {}, **more}
    return request("tools/call", params, expect, **options)


def echo(tool: str = "echo", **options: Any) -> Request:
    """The small call that all targets answer."""
    where = ("result", "content", 0, "text")
    return replace(call(tool, {"text": "hello"}, **options), where=where)


def plain(path: str = "/echo") -> Request:
    """A request to a JSON view, with the same data in it."""
    headers = {"content-type": "application/json", "accept": "application/json"}
    body = json.dumps({"text": "hello"}).encode()
    return Request(path, headers, body, b"hello", where=("text",))


def with_headers_of_mcp(request: Request) -> Request:
    """The same with the further headers that a call of MCP has: web servers read those, too."""
    return replace(request, headers={**request.headers, **echo().headers})


def opening(path: str = "/mcp", capabilities: Any = None) -> Request:
    """The request that opens a session."""
    body = initialize(REVISION, capabilities)
    return Request(path, dict(JSON_HEADERS), body, b"serverInfo", varies=True)


def opened(session: str, path: str = "/mcp") -> Request:
    """What a client says when its session is open; answered with 202."""
    body = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
    return Request(path, session_headers(session, REVISION), body, b"")


def reply(id: Any, result: Any, session: str, path: str = "/mcp") -> Request:
    """The answer of a client to a question of the server."""
    body = json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode()
    return Request(path, session_headers(session, REVISION), body, b"")


def chat(body: Any) -> Request:
    """A request to a chat model."""
    headers = {"content-type": "application/json"}
    encoded = json.dumps(body).encode()
    return Request("/v1/chat/completions", headers, encoded, b"[DONE]", varies=True)


_CLIENT = {CLIENT_INFO: {"name": "benchmark", "version": "1"}}
