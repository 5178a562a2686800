"""Whatever a client sends, the core answers and never raises."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_mount import MCPServer
from mcp_mount.protocol import Exchange, Reply, Request
from mcp_mount.protocol.revisions import SUPPORTED
from tests.requests import CAPABILITIES, CLIENT_INFO, JSON_HEADERS, VERSION, Session

server = MCPServer("tests", secret_key="for-tests-only")
server.tool(name="echo")(lambda text="": text)
server.prompt(name="ask")(lambda topic="": topic)
server.completion("ask", "topic")(lambda completion: [completion.value])
TOKEN = Session(server, "2025-03-26").headers["mcp-session-id"]

METHODS = [
    *("initialize", "ping", "server/discover", "tools/list", "tools/call", "prompts/list"),
    *("prompts/get", "completion/complete", "logging/setLevel", "notifications/cancelled"),
    *("subscriptions/listen", "resources/subscribe"),
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["echo", "ask", "topic", "2.0", *SUPPORTED])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)
versions = st.sampled_from([*SUPPORTED, "1999-01-01"])
metas = st.fixed_dictionaries(
    {},
    optional={
        VERSION: versions | values,
        CAPABILITIES: st.just({}) | values,
        CLIENT_INFO: st.just({"name": "x"}) | values,
        "io.modelcontextprotocol/logLevel": st.sampled_from(["info", "loud"]) | values,
        "progressToken": values,
    },
)
params = st.fixed_dictionaries(
    {},
    optional={
        "_meta": metas | values,
        "name": st.sampled_from(["echo", "ask"]) | values,
        "arguments": st.fixed_dictionaries({}, optional={"text": values}) | values,
        "protocolVersion": versions | values,
        "capabilities": st.just({}) | values,
        "clientInfo": st.just({"name": "x"}) | values,
        "level": st.just("info") | values,
        "ref": st.just({"type": "ref/prompt", "name": "ask"}) | values,
        "argument": st.just({"name": "topic", "value": "x"}) | values,
        "context": values,
        "notifications": st.just({"toolsListChanged": True}) | values,
    },
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | values,
        "id": st.integers() | st.text() | values,
        "method": st.sampled_from(METHODS) | values,
        "params": params | values,
        "result": values,
        "error": values,
    },
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.just("application/json") | st.text(),
        "accept": st.sampled_from(["*/*", "application/json", "text/event-stream"]) | st.text(),
        "mcp-protocol-version": versions | st.text(),
        "mcp-method": st.sampled_from(METHODS) | st.text(),
        "mcp-name": st.sampled_from(["echo", "ask", "=?base64?ZWNobw==?="]) | st.text(),
        "mcp-session-id": st.just(TOKEN) | st.text(),
        "origin": st.just("http://localhost") | st.text(),
        "host": st.text(),
    },
)


def answer(method: str, names: dict[str, str], body: bytes) -> Reply:
    opened = server.protocol.open(Request(method, {**JSON_HEADERS, **names}, body))
    if isinstance(opened, Exchange):
        if any(call.is_async for call in opened.calls):
            return Reply(202)  # A subscription, which does not end.
        for call in opened.calls:
            call.run()
        opened = opened.reply()
    return opened


def check(reply: Reply) -> None:
    """What holds for every reply: a status, and JSON-RPC if there is a body."""
    assert reply.status in (200, 202, 204, 400, 403, 404, 405, 406, 413, 415, 421, 503)
    if not reply.body:
        assert reply.status in (202, 204)
        return
    text = reply.body.decode()
    if dict(reply.headers)["content-type"] == "text/event-stream":
        text = f"[{','.join(line[6:] for line in text.splitlines() if line.startswith('data: '))}]"
    answers: Any = json.loads(text)
    for one in answers if isinstance(answers, list) else [answers]:
        assert one["jsonrpc"] == "2.0"
        assert ("result" in one) != ("error" in one)
        if "error" in one:
            assert isinstance(one["error"]["code"], int)
            assert one["error"]["message"]


@given(st.binary(), headers, st.sampled_from(["POST", "GET", "PUT"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_answered(body: bytes, names: dict[str, str], method: str) -> None:
    check(answer(method, names, body))


@given(messages | st.lists(messages, max_size=4), headers)
@settings(max_examples=400, deadline=None)
def test_any_message_is_answered(message: Any, names: dict[str, str]) -> None:
    check(answer("POST", names, json.dumps(message).encode()))


@given(params, st.sampled_from(METHODS), versions)
@settings(max_examples=400, deadline=None)
def test_any_parameters_are_answered(values: Any, method: str, version: str) -> None:
    meta = values.get("_meta")
    if isinstance(meta, dict):
        meta.update({VERSION: version, CAPABILITIES: {}})
    names = {"mcp-protocol-version": version, "mcp-method": method, "mcp-session-id": TOKEN}
    if isinstance(values.get("name"), str):
        names["mcp-name"] = values["name"]
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": values}
    check(answer("POST", names, json.dumps(body).encode()))


def test_huge_numbers_are_answered() -> None:
    for body in (
        b'{"jsonrpc":"2.0","id":' + b"9" * 400 + b',"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1e999}}',
        b'{"jsonrpc":"2.0","id":"' + b"x" * 100_000 + b'","method":"ping"}',
    ):
        check(answer("POST", {"mcp-session-id": TOKEN}, body))
