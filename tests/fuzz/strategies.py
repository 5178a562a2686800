"""What clients may send to the server of `everything`: right, slightly wrong, and garbage.

Session ids, task ids and access tokens are known only when a server runs: here stand placeholders
for them, such as "session:2025-11-25", which `fill_in` replaces.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from mcp_mount.wire.extensions import PAGES, TASKS
from mcp_mount.wire.revisions import SUPPORTED
from tests.requests import CAPABILITIES, CLIENT_INFO, STATELESS, VERSION, meta

SESSIONS = {version: f"session:{version}" for version in SUPPORTED if version != STATELESS}
TASK_IDS = ["task:wait", "task:background"]

NAMES = [
    *("echo", "echo_async", "typed", "every_type", "numbers", "picture", "fail", "fail_async"),
    *("mirrored", "talk", "talk_async", "think", "later", "wait", "background", "chained"),
    *("limited", "kept", "narrow", "checked", "refresh", "generate_image", "question", "counted"),
    # Of some hosts.
    *("item", "add_item", "find_content_types", "get_content_type"),
]
URIS = [
    *("file:///a/b", "file:///../b", "item://1", "item://x", "data://bytes", "ui://view"),
]
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


def of(**members: Any) -> st.SearchStrategy[dict[str, Any]]:
    """An object with all of these members: strategies, or values that stay."""
    return st.fixed_dictionaries(
        {
            name: member if isinstance(member, st.SearchStrategy) else st.just(member)
            for name, member in members.items()
        }
    )


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
    arguments=objects(
        text=values,
        days=st.integers() | values,
        trip=trips,
        topic=st.text(),
        number=st.integers() | values,
        share=st.floats() | values,
        day=st.dates().map(str) | values,
        price=st.decimals(allow_nan=False, allow_infinity=False).map(str) | values,
        prompt=st.text(),
        size=st.just("16x16") | values,
    ),
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
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.just("application/json") | st.text(),
        "accept": st.sampled_from(["*/*", "application/json", "text/event-stream"]) | st.text(),
        "mcp-protocol-version": versions | st.text(),
        "mcp-method": st.sampled_from(METHODS) | st.text(),
        "mcp-name": st.sampled_from([*NAMES, *URIS, "=?base64?ZWNobw==?="]) | st.text(),
        "mcp-session-id": st.sampled_from(list(SESSIONS.values())) | st.text(),
        "last-event-id": st.sampled_from(["abc.1", "0.0"]) | st.text(),
        "origin": st.sampled_from(["http://localhost", "null", "http://[", "a://b@c:d"])
        | st.text(),
        # A host that refuses looks no further.
        "host": st.sampled_from(["127.0.0.1"] * 6 + ["[localhost]", "[::1]:x", "a:1@b", ""])
        | st.sampled_from(["127.0.0.1"])
        | st.text(),
    },
)

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
        of(name="echo", arguments=of(text=st.text() | values)),
        of(name="typed", arguments=of(days=st.integers() | values, trip=trips)),
        of(name=names),
    ),
    "tools/call that asks": of(
        name=st.sampled_from(["talk", "talk_async", "think", "later"]),
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
"""By method, and in which way: parameters as they should be."""


def fill_in(value: Any, known: Mapping[str, str]) -> Any:
    """Put what a server has said in the places of the placeholders for it."""
    if isinstance(value, str):
        return known.get(value, value)
    if isinstance(value, list):
        return [fill_in(one, known) for one in value]
    if isinstance(value, dict):
        return {key: fill_in(one, known) for key, one in value.items()}
    return value


def rightly(version: str, method: str, values: Mapping[str, Any]) -> tuple[dict[str, str], Any]:
    """The headers and the message of a request whose envelope is right for a revision."""
    values = dict(values)
    named = {"mcp-protocol-version": version}
    if version == STATELESS:
        given = values.get("_meta")
        given = given if isinstance(given, dict) else {}
        declared = given.get(CAPABILITIES)
        own = meta(version, declared if isinstance(declared, dict) else {})
        values["_meta"] = {**given, **own}
        named["mcp-method"] = method
        name = values.get("name", values.get("uri", values.get("taskId")))
        if isinstance(name, str):
            named["mcp-name"] = name if name in TASK_IDS else encode_header(name)
    else:
        named["mcp-session-id"] = SESSIONS[version]
    return named, {"jsonrpc": "2.0", "id": 1, "method": method, "params": values}


def encode_header(value: str) -> str:
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'surrogatepass')).decode()}?="


paths = st.one_of(
    st.sampled_from(
        [
            *("/", "/mcp", "/mcp/", "/mcp//", "/mcp/mcp", "/docs", "/openapi.json", "/mcp/docs"),
            *("/tools", "/mcp/tools", "/tools/echo", "/mcp/tools/echo", "/tools/%00", "/v1/models"),
            *("/mcp/v1/models", "/v1/chat/completions", "/mcp/v1/images/generations"),
            *("/v1/images/edits", "/mcp/v1/images/files/a.png", "/v1/images/files/"),
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
            "/mcp/.well-known/oauth-protected-resource",
            "/.well-known/oauth-authorization-server",
        ]
    ),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["/", "/mcp/", "/tools/", "/mcp/tools/", "/mcp/.well-known/", "/v1/"]),
        st.text().map(lambda text: quote(text.encode("utf-8", "surrogatepass"))),
        st.sampled_from(["", "/", "?", "?a=b", "?%ff=%00", "%ff", "/../..", "//"]),
    ),
)
"""Where there is something, or nearly."""

RIGHT_CLAIMS = {"sub": "ada", "scope": "read"}
jose_headers = objects(
    alg=st.sampled_from(["ES256", "RS256", "HS256", "none", "EdDSA"]) | values,
    kid=st.sampled_from(["one", "two"]) | values,
    typ=st.just("at+jwt") | values,
    crit=values,
    b64=values,
    jwk=values,
)
instants = (
    st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), "9" * 400, 1e308]) | values
)
claims = objects(
    iss=values,
    sub=st.just("") | values,
    aud=st.lists(st.text()) | values,
    exp=instants,
    nbf=instants,
    iat=instants,
    scope=values,
    roles=values,
    client_id=values,
)
"""What an access token says instead of what is right."""


@dataclass(frozen=True)
class Raw:
    """Bytes of a request in pieces, and how the client ends: see `Peer.exchange`."""

    parts: list[bytes]
    ending: str


_START = b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
_JSON = b"content-type: application/json\r\naccept: application/json, text/event-stream\r\n"


def _chunked(*chunks: tuple[bytes, bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%b\r\n%b\r\n" % chunk for chunk in chunks) + end


def _framings(body: bytes) -> dict[str, tuple[bytes, bytes]]:
    """Headers and bytes of a body, in right and in wrong ways."""
    half, size = len(body) // 2, b"%x" % len(body)
    one = (size, body)
    chunked = b"transfer-encoding: chunked\r\n"
    length = b"content-length: %b\r\n"
    right = length % b"%d" % len(body)
    two = ((b"%x" % half, body[:half]), (b"%x" % (len(body) - half), body[half:]))
    return {
        "length": (right, body),
        "chunked": (chunked, _chunked(*(two if half else (one,)))),
        "extensions": (chunked, _chunked((size + b';a="b"', body), end=b"0\r\nx: y\r\n\r\n")),
        "expected": (b"expect: 100-continue\r\n" + right, body),
        "longer": (length % b"%d" % (len(body) + 9), body),
        "shorter": (length % b"%d" % half, body),
        "huge": (length % (b"9" * 30), body),
        "negative": (length % b"-1", body),
        "words": (length % b"many", body),
        "plus": (length % b"+5", body),
        "superscript": (length % "\xb2".encode("latin-1"), body),
        "twice": (right + length % b"1", body),
        "listed": (length % b"%d, 7" % len(body), body),
        "both": (right + chunked, _chunked(one)),
        "none": (b"", body),
        "no end": (chunked, _chunked(one, end=b"")),
        "half": (chunked, size + b"\r\n" + body[:half]),
        "no size": (chunked, b"\r\n" + body),
        "bad size": (chunked, _chunked((b"xyz", body))),
        "hex": (chunked, _chunked((b"0x" + size, body))),
        "huge size": (chunked, _chunked((b"f" * 40, body))),
        "negative size": (chunked, _chunked((b"-1", body))),
        "wrong size": (chunked, _chunked((b"1", body))),
        "two codings": (b"transfer-encoding: gzip, chunked\r\n", _chunked(one)),
        "unknown coding": (b"transfer-encoding: x\r\n", body),
        "compressed": (b"content-encoding: gzip\r\n" + right, body),
    }


_WELL_FRAMED = ("length", "chunked", "extensions", "expected")


@st.composite
def raw_requests(draw: st.DrawFn) -> Raw:
    """A request as bytes: framed rightly or not, cut into pieces, with some of it replaced."""
    method = draw(st.sampled_from(["ping", "tools/list", "initialize", "x"]))
    body = draw(
        st.binary()
        | st.just(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode())
        | st.just(b"")
    )
    framings = _framings(body)
    framing = draw(st.sampled_from(list(framings)))
    framed, content = framings[framing]
    path = draw(st.sampled_from([b"/mcp", b"/mcp/tools/echo"]))
    whole = _START % path + _JSON + framed + b"\r\n" + content
    is_right = framing in _WELL_FRAMED and (body or framing == "length")
    if draw(st.integers(0, 3)) == 0:
        is_right = False
        first = draw(st.integers(0, len(whole)))
        last = draw(st.integers(first, min(len(whole), first + 8)))
        whole = whole[:first] + draw(st.binary(max_size=20)) + whole[last:]
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    endings = ["read", "shut", "leave"] if is_right else ["shut", "leave"]
    return Raw(parts, draw(st.sampled_from(endings)))
