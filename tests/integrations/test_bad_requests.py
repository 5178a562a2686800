"""Bad requests of each kind, sent to every host: the right status and code, never a 500."""

from __future__ import annotations

import json
import socket
from http.client import HTTPException, HTTPResponse
from typing import Any

import httpx2
import pytest
from mcp_types import JSONRPCError

from tests.requests import CAPABILITIES, JSON_HEADERS, VERSION, initialize, message, meta, stateless

Built = tuple[dict[str, str], bytes]


def raw(body: bytes | str, **headers: str) -> Built:
    own = JSON_HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return own, body if isinstance(body, bytes) else body.encode()


def with_meta(value: Any, **headers: str) -> Built:
    """A stateless tools/list whose `_meta` is `value`."""
    own, _ = stateless("tools/list", **headers)
    params = {} if value is None else {"_meta": value}
    return own, json.dumps(message("tools/list", params)).encode()


BAD: dict[str, tuple[Built, int, int]] = {
    "no JSON": (raw("{"), 400, -32700),
    "no UTF-8": (raw(b'{"a": "\xff"}'), 400, -32700),
    "NaN": (raw('{"jsonrpc":"2.0","id":NaN,"method":"ping"}'), 400, -32700),
    "nesting": (raw("[" * 5000), 400, -32700),
    "a page of another site": (
        stateless("tools/list", sec_fetch_site="cross-site", sec_fetch_mode="no-cors"),
        403,
        -32600,
    ),
    "a lone surrogate": (
        raw(r'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\ud800"}}'),
        400,
        -32600,
    ),
    "an empty body": (raw(b""), 400, -32700),
    "no object": (raw("3"), 400, -32600),
    "no version": (raw('{"id":1,"method":"ping"}'), 400, -32600),
    "null id": (raw('{"jsonrpc":"2.0","id":null,"method":"ping"}'), 400, -32600),
    "fractional id": (raw('{"jsonrpc":"2.0","id":1.5,"method":"ping"}'), 400, -32600),
    "boolean id": (raw('{"jsonrpc":"2.0","id":true,"method":"ping"}'), 400, -32600),
    "method no string": (raw('{"jsonrpc":"2.0","id":1,"method":7}'), 400, -32600),
    "params no object": (raw('{"jsonrpc":"2.0","id":1,"method":"x","params":[]}'), 400, -32600),
    "neither method nor result": (raw('{"jsonrpc":"2.0","id":1}'), 400, -32600),
    "wrong media type": (raw("{}", content_type="text/plain"), 415, -32600),
    "no media type": (({"accept": "*/*"}, b"{}"), 415, -32600),
    "a form": (raw("a=b", content_type="application/x-www-form-urlencoded"), 415, -32600),
    "nothing acceptable": (stateless("tools/list", accept="image/png"), 406, -32600),
    "foreign origin": (stateless("tools/list", origin="https://evil.example"), 403, -32600),
    "null origin": (stateless("tools/list", origin="null"), 403, -32600),
    "broken origin": (stateless("tools/list", origin="http://["), 403, -32600),
    "no session": (raw(json.dumps(message("tools/list"))), 400, -32600),
    "bad session": (raw(json.dumps(message("ping")), mcp_session_id="x.y.z"), 404, -32600),
    "a batch in the stateless revision": (
        raw("[]", mcp_protocol_version="2026-07-28"),
        400,
        -32600,
    ),
    "no _meta": (with_meta(None), 400, -32602),
    "_meta no object": (with_meta([]), 400, -32602),
    "no version in _meta": (with_meta({CAPABILITIES: {}}), 400, -32602),
    "no capabilities in _meta": (with_meta({VERSION: "2026-07-28"}), 400, -32602),
    "capabilities no object": (with_meta({VERSION: "2026-07-28", CAPABILITIES: 1}), 400, -32602),
    "bad log level": (
        with_meta({**meta(), "io.modelcontextprotocol/logLevel": "loud"}),
        400,
        -32602,
    ),
    "version header differs": (
        stateless("tools/list", mcp_protocol_version="2025-06-18"),
        400,
        -32020,
    ),
    "unknown version": (
        with_meta(meta("1999-01-01"), mcp_protocol_version="1999-01-01"),
        400,
        -32022,
    ),
    "unknown version in the header alone": (
        raw(json.dumps(message("ping", {})), mcp_protocol_version="1999-01-01"),
        400,
        -32602,
    ),
    "method header differs": (stateless("tools/list", mcp_method="tools/call"), 400, -32020),
    "name header differs": (
        stateless("tools/call", {"name": "test_simple_text"}, mcp_name="other"),
        400,
        -32020,
    ),
    "name header is bad Base64": (
        stateless("tools/call", {"name": "x"}, mcp_name="=?base64?***?="),
        400,
        -32020,
    ),
    "no name": (stateless("tools/call", {}), 400, -32602),
    "unknown method": (stateless("no/method"), 404, -32601),
    "a method of another revision": (stateless("ping"), 404, -32601),
    "initialize with stateless metadata": (stateless("initialize"), 404, -32601),
    "unknown tool": (stateless("tools/call", {"name": "nothing"}), 400, -32602),
    "arguments no object": (
        stateless("tools/call", {"name": "test_simple_text", "arguments": [1]}),
        400,
        -32602,
    ),
    "a response in the stateless revision": (
        raw('{"jsonrpc":"2.0","id":1,"result":{}}', mcp_protocol_version="2026-07-28"),
        400,
        -32600,
    ),
    "initialize without members": (raw(json.dumps(message("initialize", {}))), 200, -32602),
    "initialize with huge capabilities": (
        raw(initialize(capabilities={"extensions": {str(n): str(n) * 9 for n in range(2000)}})),
        200,
        -32602,
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_request_gets_its_status_and_code(host_url: str, kind: str) -> None:
    (headers, body), status, code = BAD[kind]
    response = httpx2.post(f"{host_url}/mcp", headers=headers, content=body)
    assert response.status_code == status, response.text
    assert response.json()["error"]["code"] == code
    assert "Traceback" not in response.text


@pytest.mark.parametrize("kind", BAD)
def test_the_error_of_a_bad_request_is_one_that_clients_read(host_url: str, kind: str) -> None:
    """The official client shows the words of an error only if it has an id, be it null."""
    (headers, body), _, _ = BAD[kind]
    response = httpx2.post(f"{host_url}/mcp", headers=headers, content=body)
    answer = JSONRPCError.model_validate(response.json())
    assert answer.id in (None, 0, 1)
    assert answer.error.message


def test_an_error_names_the_request_it_answers(host_url: str) -> None:
    headers, body = stateless("no/method", id="a-1")
    response = httpx2.post(f"{host_url}/mcp", headers=headers, content=body)
    assert response.json()["id"] == "a-1"


def test_a_version_error_lists_what_is_served(host_url: str) -> None:
    (headers, body), _, _ = BAD["unknown version"]
    error = httpx2.post(f"{host_url}/mcp", headers=headers, content=body).json()["error"]
    assert error["data"] == {
        "supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
        "requested": "1999-01-01",
    }


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "HEAD"])
def test_other_methods_are_not_allowed(host_url: str, method: str) -> None:
    headers = {"accept": "text/event-stream", "mcp-protocol-version": "2025-11-25"}
    response = httpx2.request(method, f"{host_url}/mcp", headers=headers)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST, DELETE"


def test_options_is_answered_as_for_other_routes_of_the_host(
    request: pytest.FixtureRequest, host_url: str
) -> None:
    response = httpx2.options(f"{host_url}/mcp")
    if "flask-wsgi" in request.node.name:
        # Flask answers it for each of its routes.
        assert response.status_code == 200
        assert response.headers["allow"] == "GET, POST, DELETE, OPTIONS"
    else:
        assert response.status_code == 405
        assert response.headers["allow"] == "POST, DELETE"


def test_a_delete_without_session_is_refused(host_url: str) -> None:
    assert httpx2.delete(f"{host_url}/mcp").status_code == 400
    stateless_delete = httpx2.delete(
        f"{host_url}/mcp", headers={"mcp-protocol-version": "2026-07-28"}
    )
    assert stateless_delete.status_code == 405


@pytest.mark.parametrize("length", ["announced", "chunked"])
def test_a_body_over_the_limit_is_refused_and_the_client_hears_so(
    host_url: str, length: str, request: pytest.FixtureRequest
) -> None:
    headers, _ = stateless("tools/list")
    chunks = (b"x" * 65536 for _ in range(100))
    content = b"x" * 65536 * 100 if length == "announced" else chunks
    response = httpx2.post(f"{host_url}/mcp", headers=headers, content=content, timeout=60)
    assert response.status_code == 413
    assert response.json()["id"] is None
    limit = "4194304 bytes"
    if "django" in request.node.name and "django-wsgi-chunked" not in request.node.name:
        # Django reads these, and has a smaller limit of its own.
        limit = "2621440 bytes (DATA_UPLOAD_MAX_MEMORY_SIZE)"
    assert response.json()["error"]["message"] == f"The body exceeds {limit}"


CUT_OFF = {
    "less than announced": b'content-length: 90\r\n\r\n{"jsonrpc":"2.0",',
    "no last chunk": b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "half a chunk": b"transfer-encoding: chunked\r\n\r\n90\r\n{",
    "a chunk without a size": b"transfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
}


def tool_path(host_url: str) -> str:
    """Where the tool `greet` is over plain HTTP: beside MCP for a server alone, else below it."""
    alone = httpx2.get(f"{host_url}/tools").status_code == 200
    return "/tools/greet" if alone else "/mcp/tools/greet"


def test_a_chunked_body_is_read_on_every_route(host_url: str) -> None:
    headers = {"content-type": "application/json"}
    url, chunks = host_url + tool_path(host_url), iter([b'{"name":', b'"Ada"}'])
    response = httpx2.post(url, headers=headers, content=chunks)
    assert response.json() == "Hello, Ada!"


@pytest.mark.parametrize("kind", CUT_OFF)
@pytest.mark.parametrize("route", ["MCP", "a tool"])
def test_a_body_that_does_not_come_whole_is_refused(host_url: str, route: str, kind: str) -> None:
    path = "/mcp" if route == "MCP" else tool_path(host_url)
    head = b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    head %= path.encode()
    port = int(host_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head + b"connection: close\r\n" + CUT_OFF[kind])
        connection.shutdown(socket.SHUT_WR)
        with HTTPResponse(connection) as response:
            try:
                response.begin()
            except (HTTPException, ConnectionError):
                return  # The server has closed the connection.
            assert response.status == 400
            assert b"Traceback" not in response.read()


def test_a_foreign_host_and_origin_are_refused_together(host_url: str) -> None:
    """DNS rebinding: the page's own name points at this server, so Host and Origin agree."""
    headers, body = stateless("tools/list", origin="http://evil.example", host="evil.example")
    response = httpx2.post(f"{host_url}/mcp", headers=headers, content=body)
    assert response.status_code in (400, 403)


def test_a_loopback_origin_is_allowed(host_url: str) -> None:
    headers, body = stateless("tools/list", origin="http://localhost:6274")
    assert httpx2.post(f"{host_url}/mcp", headers=headers, content=body).status_code == 200
