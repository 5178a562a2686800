"""Whatever a client sends, the core answers as the specification has it, and never raises."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from mcp_mount import Image, MCPServer, SyncContext, TaskPolicy
from mcp_mount.protocol import Reply, Request
from mcp_mount.protocol.extensions import PAGES, TASKS
from mcp_mount.protocol.revisions import SUPPORTED
from mcp_mount.transports.wsgi import EventStream
from tests.requests import (
    CAPABILITIES,
    CLIENT_INFO,
    JSON_HEADERS,
    MODERN,
    VERSION,
    Session,
    ask,
    meta,
)
from tests.schemas import check_from_server, check_result

server = MCPServer("tests", secret_key="for-tests-only", page_size=2)


class Trip(BaseModel):
    """What a form asks for."""

    city: str
    days: int = 3


@server.tool
def echo(text: Any = "") -> Any:
    return text


@server.tool
def typed(days: int, trip: Trip | None = None) -> Trip:
    return trip or Trip(city="Oslo", days=days)


@server.tool
def picture() -> list[Any]:
    return ["A point", Image(data=b"png", format="png")]


@server.tool
def fail() -> None:
    raise ValueError("no")


@server.tool
def talk(ctx: SyncContext) -> str:
    ctx.report_progress(1, 2, "half")
    ctx.info({"any": "thing"})
    return str(ctx.elicit("Where?", Trip))


@server.tool
def think(ctx: SyncContext) -> Any:
    return [str(ctx.sample("Why?", max_tokens=5)), [str(root) for root in ctx.list_roots()]]


@server.tool(task=TaskPolicy(ttl=1))
def later(ctx: SyncContext) -> str:
    return str(ctx.elicit("Where?", Trip))


@server.tool(task=True)
def wait(ctx: SyncContext) -> str:
    return str(ctx.elicit("Where?", Trip))


@server.tool(task="required")
def background(text: str = "") -> str:
    return text


@server.page("ui://view")
def view() -> str:
    return "<!doctype html><title>View</title>"


@server.tool(page="ui://view", app_only=True)
def refresh() -> str:
    return "new"


@server.resource("file:///{+path}")
def file(path: str) -> str:
    return path


@server.resource("data://bytes")
def data() -> bytes:
    return b"\xff"


@server.prompt
def question(topic: str = "") -> str:
    return topic


@server.completion("question", "topic")
def topics(completion: Any) -> list[str]:
    return [completion.value]


TOKENS = {
    version: Session(server, version, {"elicitation": {}, "sampling": {}, "roots": {}}).headers[
        "mcp-session-id"
    ]
    for version in SUPPORTED
    if version != MODERN
}
KNOWN = {"elicitation": {}, "extensions": {TASKS: {}}}
TASK_IDS = [
    ask(server, "tools/call", {"name": name, "_meta": meta(capabilities=KNOWN)})["result"]["taskId"]
    for name in ("wait", "background")
]
NAMES = [
    *("echo", "typed", "picture", "fail", "talk", "think", "later", "background", "refresh"),
    "question",
]
URIS = ["file:///a/b", "file:///../b", "data://bytes", "ui://view"]

METHODS = [
    *("initialize", "ping", "server/discover", "tools/list", "tools/call", "prompts/list"),
    *("prompts/get", "completion/complete", "logging/setLevel", "notifications/cancelled"),
    *("subscriptions/listen", "resources/list", "resources/templates/list", "resources/read"),
    *("resources/subscribe", "resources/unsubscribe", "tasks/get", "tasks/update"),
    *("tasks/cancel", "notifications/initialized"),
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["topic", "2.0", *NAMES, *URIS, *SUPPORTED])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


def objects(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object that has some of the members, or now and then anything else."""
    return st.fixed_dictionaries({}, optional=members) | values


versions = st.sampled_from([*SUPPORTED, "1999-01-01"])
names = st.sampled_from(NAMES)
trips = objects(city=st.text() | values, days=st.integers() | values)
capabilities = objects(
    elicitation=objects(form=objects(), url=objects()),
    sampling=objects(tools=objects()),
    roots=objects(),
    extensions=st.just({TASKS: {}, PAGES: {"mimeTypes": ["text/html;profile=mcp-app"]}}) | values,
)
metas = objects(
    **{
        VERSION: versions | values,
        CAPABILITIES: capabilities,
        CLIENT_INFO: st.just({"name": "x"}) | values,
        "io.modelcontextprotocol/logLevel": st.sampled_from(["info", "loud"]) | values,
        "progressToken": st.integers() | st.text() | values,
    }
)
answers = st.fixed_dictionaries(
    {}, optional={"action": st.sampled_from(["accept", "decline"]) | values, "content": trips}
) | objects(
    role=st.just("assistant"),
    model=st.text(),
    content=st.just({"type": "text", "text": "Because"}) | values,
    roots=st.just([{"uri": "file:///a"}]) | values,
)
params = objects(
    _meta=metas,
    name=names | values,
    arguments=objects(text=values, days=st.integers() | values, trip=trips, topic=st.text()),
    uri=st.sampled_from(URIS) | st.text() | values,
    cursor=values,
    taskId=st.sampled_from(TASK_IDS) | values,
    inputResponses=st.dictionaries(st.sampled_from(["elicitation", "sampling", "roots"]), answers)
    | values,
    requestState=values,
    requestId=values,
    protocolVersion=versions | values,
    capabilities=capabilities,
    clientInfo=st.just({"name": "x", "version": "1"}) | values,
    level=st.just("info") | values,
    ref=st.sampled_from(
        [
            {"type": "ref/prompt", "name": "question"},
            {"type": "ref/resource", "uri": "file:///{+path}"},
        ]
    )
    | values,
    argument=st.just({"name": "topic", "value": "x"}) | values,
    context=values,
    notifications=st.just({"toolsListChanged": True}) | values,
)
messages = objects(
    jsonrpc=st.just("2.0") | values,
    id=st.integers() | st.text() | values,
    method=st.sampled_from(METHODS) | values,
    params=params,
    result=values,
    error=values,
)
tokens = st.sampled_from(list(TOKENS.values()))
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.just("application/json") | st.text(),
        "accept": st.sampled_from(["*/*", "application/json", "text/event-stream"]) | st.text(),
        "mcp-protocol-version": versions | st.text(),
        "mcp-method": st.sampled_from(METHODS) | st.text(),
        "mcp-name": st.sampled_from([*NAMES, *URIS, "=?base64?ZWNobw==?="]) | st.text(),
        "mcp-session-id": tokens | st.text(),
        "last-event-id": st.sampled_from(["abc.1", "0.0"]) | st.text(),
        "origin": st.just("http://localhost") | st.text(),
        "host": st.text(),
    },
)


def send(method: str, headers: dict[str, str], body: bytes) -> Reply | EventStream:
    request = Request(method, {**JSON_HEADERS, **headers}, body)
    return server.wsgi_endpoint.respond_to(request)


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
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_answered(body: bytes, names: dict[str, str], method: str) -> None:
    check(send(method, names, body))


@given(messages | st.lists(messages, max_size=4), headers)
@settings(max_examples=400, deadline=None)
def test_any_message_is_answered(message: Any, names: dict[str, str]) -> None:
    check(send("POST", names, json.dumps(message).encode()))


def ask_with(version: str, method: str, values: dict[str, Any]) -> Reply | EventStream:
    """Send a request whose envelope and headers are right."""
    named = {"mcp-protocol-version": version}
    if version == MODERN:
        given = values.get("_meta")
        given = given if isinstance(given, dict) else {}
        declared = given.get(CAPABILITIES)
        own = meta(version, declared if isinstance(declared, dict) else {})
        values = {**values, "_meta": {**given, **own}}
        named["mcp-method"] = method
        name = values.get("name", values.get("uri", values.get("taskId")))
        if isinstance(name, str):
            named["mcp-name"] = encode_header(name)
    else:
        named["mcp-session-id"] = TOKENS[version]
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": values}
    return send("POST", named, json.dumps(body).encode())


def encode_header(value: str) -> str:
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'surrogatepass')).decode()}?="


def of(**members: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Parameters with all of these members: strategies, or values that stay."""
    return st.fixed_dictionaries(
        {
            name: member if isinstance(member, st.SearchStrategy) else st.just(member)
            for name, member in members.items()
        }
    )


texts = st.text() | values
PROMPT = {"type": "ref/prompt", "name": "question"}
TEMPLATE = {"type": "ref/resource", "uri": "file:///{+path}"}
RIGHT: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "initialize": of(
        protocolVersion=versions, capabilities={}, clientInfo={"name": "x", "version": "1"}
    ),
    "ping": of(),
    "server/discover": of(),
    "tools/list": of(),
    "tools/call": st.one_of(
        of(name="echo", arguments=of(text=texts)),
        of(name="typed", arguments=of(days=st.integers() | values, trip=trips)),
        of(name=names),
    ),
    "tools/call that asks": of(
        name=st.sampled_from(["talk", "think", "later"]),
        inputResponses=st.fixed_dictionaries(
            {}, optional={"elicitation": answers, "sampling": answers, "roots": answers}
        ),
    ),
    "prompts/list": of(),
    "prompts/get": of(name="question", arguments=of(topic=st.text())),
    "resources/list": of(),
    "resources/templates/list": of(),
    "resources/read": of(uri=st.sampled_from(URIS) | st.text().map("file:///".__add__)),
    "resources/subscribe": of(uri=st.sampled_from(URIS)),
    "resources/unsubscribe": of(uri=st.sampled_from(URIS)),
    "completion/complete": of(
        ref=st.sampled_from([PROMPT, TEMPLATE]), argument=of(name="topic", value=st.text())
    ),
    "logging/setLevel": of(level=st.sampled_from(["debug", "emergency"])),
    "subscriptions/listen": of(notifications=of(toolsListChanged=st.booleans())),
    "tasks/get": of(taskId=st.sampled_from(TASK_IDS)),
    "tasks/update": of(taskId=st.sampled_from(TASK_IDS), inputResponses=of(elicitation=answers)),
    "tasks/cancel": of(taskId=st.sampled_from(TASK_IDS)),
}
ABILITIES = {"elicitation": {}, "sampling": {}, "roots": {}, "extensions": {TASKS: {}}}


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize("case", RIGHT)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_every_answer_is_one_of_the_schema(case: str, version: str, data: st.DataObject) -> None:
    method = case.split()[0]
    asked = data.draw(RIGHT[case])
    if data.draw(st.integers(0, 3)) == 0:
        wrong = data.draw(params)
        asked = {**asked, **wrong} if isinstance(wrong, dict) else asked
    declared = asked.get("_meta", {"progressToken": 1})
    if version == MODERN and isinstance(declared, dict):
        asked["_meta"] = {"io.modelcontextprotocol/logLevel": "info", **declared}
        asked["_meta"].setdefault(CAPABILITIES, ABILITIES)
    reply = ask_with(version, method, asked)
    for one in receive(reply):
        if "method" in one:
            check_from_server(one, version)
            if method == "subscriptions/listen":
                break
            if "id" in one:
                answer = {"jsonrpc": "2.0", "id": one["id"], "result": data.draw(answers)}
                session = {"mcp-session-id": TOKENS[version]}
                check(send("POST", session, json.dumps(answer).encode()))
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
