"""Whatever a client sends, the core answers as the specification has it, and never raises."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_mount import MCPServer
from mcp_mount.protocol import Reply, Request
from mcp_mount.transports.wsgi import EventStream
from mcp_mount.wire.extensions import TASKS
from mcp_mount.wire.revisions import SUPPORTED
from tests.fuzz.everything import register
from tests.fuzz.strategies import (
    RIGHT,
    SESSIONS,
    answers,
    fill_in,
    headers,
    messages,
    params,
    rightly,
)
from tests.requests import CAPABILITIES, JSON_HEADERS, STATELESS, Session, ask, meta
from tests.specification import check_from_server, check_result

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "6"))
"""Of each method in each revision; `make fuzz` does not look at schemas."""

server = MCPServer("tests", secret_key="for-tests-only", page_size=2)
register(server)
# Hypothesis gives examples up in the middle, whose questions then wait for ever: they must not take
# the places of others.
server.core.protocol.settings.waiting_threads = 10_000

ASKED = {"elicitation": {}, "sampling": {}, "roots": {}}
ABILITIES = {**ASKED, "extensions": {TASKS: {}}}


def begun(tool: str) -> str:
    """The id of a task that runs a tool."""
    own = meta(capabilities={"elicitation": {}, "extensions": {TASKS: {}}})
    result = ask(server, "tools/call", {"name": tool, "_meta": own})["result"]
    return str(result["taskId"])


TOKENS = {
    version: Session(server, version, ASKED).headers["mcp-session-id"] for version in SESSIONS
}
KNOWN = {
    **{placeholder: TOKENS[version] for version, placeholder in SESSIONS.items()},
    "task:wait": begun("wait"),
    "task:background": begun("background"),
}


def send(method: str, headers: dict[str, str], body: Any) -> Reply | EventStream:
    """Send bytes, or a message as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(fill_in(body, KNOWN)).encode()
    request = Request(method, fill_in({**JSON_HEADERS, **headers}, KNOWN), content)
    return server.core.wsgi_endpoint.respond_to(request)


def receive(reply: Reply | EventStream) -> Iterator[Any]:
    """Check what holds for every reply, and give the messages in it as they come."""
    if isinstance(reply, EventStream):
        for event in reply.events:
            yield from in_events(event)
        return
    assert reply.status in (200, 202, 204, 400, 403, 404, 405, 406, 413, 415, 421, 503)
    if not reply.body:
        assert reply.status in (202, 204)
        return
    if dict(reply.headers)["content-type"] == "text/event-stream":
        yield from in_events(reply.body)
        return
    answers = json.loads(reply.body)
    yield from answers if isinstance(answers, list) else [answers]


def in_events(events: bytes) -> Iterator[Any]:
    for line in events.split(b"\n"):
        if line.startswith(b"data: ") and line != b"data: ":
            yield json.loads(line[6:])


def check(reply: Reply | EventStream) -> list[Any]:
    """Check the JSON-RPC of a reply, to the beginning of one that has no end."""
    found: list[Any] = []
    for one in receive(reply):
        found.append(one)
        assert one["jsonrpc"] == "2.0"
        if "method" in one:
            break
        assert ("result" in one) != ("error" in one)
        if "error" in one:
            assert isinstance(one["error"]["code"], int)
            assert one["error"]["message"]
    if isinstance(reply, EventStream):
        reply.events.close()  # type: ignore[attr-defined]
    return found


@given(st.binary(), headers, st.sampled_from(["POST", "GET", "PUT"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_answered(body: bytes, names: dict[str, str], method: str) -> None:
    check(send(method, names, body))


@given(messages | st.lists(messages, max_size=4), headers)
@settings(max_examples=200, deadline=None)
def test_any_message_is_answered(message: Any, names: dict[str, str]) -> None:
    check(send("POST", names, message))


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize("case", RIGHT)
@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_every_answer_is_one_of_the_schema(case: str, version: str, data: st.DataObject) -> None:
    method = case.split()[0]
    asked = data.draw(RIGHT[case])
    if data.draw(st.integers(0, 3)) == 0:
        wrong = data.draw(params)
        asked = {**asked, **wrong} if isinstance(wrong, dict) else asked
    declared = asked.get("_meta", {"progressToken": 1})
    if version == STATELESS and isinstance(declared, dict):
        asked["_meta"] = {"io.modelcontextprotocol/logLevel": "info", **declared}
        asked["_meta"].setdefault(CAPABILITIES, ABILITIES)
    reply = send("POST", *rightly(version, method, asked))
    for one in receive(reply):
        if "method" in one:
            check_from_server(one, version)
            if method == "subscriptions/listen":
                break
            if "id" in one:
                answer = {"jsonrpc": "2.0", "id": one["id"], "result": data.draw(answers)}
                check(send("POST", {"mcp-session-id": TOKENS[version]}, answer))
        elif "result" in one:
            check_result(method, version, one["result"])
        else:
            assert isinstance(one["error"]["code"], int)
            assert one["error"]["message"]
    if isinstance(reply, EventStream):
        reply.events.close()  # type: ignore[attr-defined]


def test_huge_numbers_are_answered() -> None:
    for body in (
        b'{"jsonrpc":"2.0","id":' + b"9" * 400 + b',"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1e999}}',
        b'{"jsonrpc":"2.0","id":"' + b"x" * 100_000 + b'","method":"ping"}',
    ):
        check(send("POST", {"mcp-session-id": TOKENS["2025-03-26"]}, body))
