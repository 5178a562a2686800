"""Host headers: which are any, which are served, and on which faces of a server."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mcp_mount import CompletionsRouter, MCPServer, ToolsRouter
from mcp_mount.auth import JWT, AccessToken, TokenVerifier
from mcp_mount.protocol.refusals import RefusalLog
from mcp_mount.testing.conversation import HTTPRequest
from mcp_mount.testing.inprocess import BlockingASGIClient, WSGIClient
from mcp_mount.wire.host_names import Authority, parse_authority
from mcp_mount_flask import MCPMount
from mcp_mount_starlette import mount
from tests.requests import stateless


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("api.example.com", Authority("api.example.com", None)),
        ("API.example.com:8443", Authority("api.example.com", 8443)),
        ("[::1]:80", Authority("::1", 80)),
        ("127.0.0.1:", Authority("127.0.0.1", None)),
        ("api.example.com:1@evil.com", None),
        ("user@api.example.com", None),
        ("a:b:c", None),
        ("[localhost]", None),
        ("[::1", None),
        ("two words", None),
        ("a.example, b.example", None),
        ("a.example/path", None),
        ("a.example:65536", None),
        ("a.example:-1", None),
        ("a.example\n", None),
        ("é.example", None),
        ("", None),
    ],
)
def test_a_host_header_is_a_name_and_perhaps_a_port(text: str, authority: Authority | None) -> None:
    assert parse_authority(text) == authority


@pytest.mark.parametrize("names", [["https://api.example.com"], ["api.example.com/mcp"], [""]])
def test_a_name_that_no_host_header_can_have_is_refused_at_definition(names: list[str]) -> None:
    with pytest.raises(ValueError, match="allowed_hosts"):
        MCPServer(allowed_hosts=names)
    with pytest.raises(ValueError, match="allowed_hosts"):
        MCPServer().configure(allowed_hosts=names)


def alone(**options: Any) -> MCPServer:
    auth = JWT("https://login.example.com")
    server = MCPServer("alone", auth=auth, auth_required=False, **options)
    for router in (ToolsRouter(), CompletionsRouter()):
        server.include_router(router)

    @server.get("/own")
    def own() -> str:
        return "own"

    return server


FACES = (
    ("POST", "/mcp"),
    ("GET", "/tools"),
    ("GET", "/v1/models"),
    ("GET", "/own"),
    ("GET", "/docs"),
    ("GET", "/redoc"),
    ("GET", "/openapi.json"),
    ("GET", "/.well-known/oauth-protected-resource/mcp"),
)


def status_of(app: Any, method: str, path: str, host: str, *, wsgi: bool = False) -> int:
    client: Any = (WSGIClient if wsgi else BlockingASGIClient)(app, path)
    headers, body = stateless("server/discover")
    own = {**headers, "host": host}
    with client.open(HTTPRequest(method, own, body if method == "POST" else b"")) as response:
        b"".join(response.chunks)
        return int(response.status)


@pytest.mark.parametrize("wsgi", [False, True], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(("method", "path"), FACES)
def test_a_server_alone_on_a_loopback_address_serves_loopback_names_on_all_faces(
    method: str, path: str, wsgi: bool
) -> None:
    server = alone()
    app = server.wsgi if wsgi else server
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"):
        assert status_of(app, method, path, host, wsgi=wsgi) == 200, host
    assert status_of(app, method, path, "evil.com", wsgi=wsgi) == 421
    assert status_of(app, method, path, "[localhost]", wsgi=wsgi) == 400
    assert status_of(app, method, path, "localhost:1@evil.com", wsgi=wsgi) == 400


@pytest.mark.parametrize("wsgi", [False, True], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(("method", "path"), FACES)
def test_allowed_hosts_are_those_of_all_faces(method: str, path: str, wsgi: bool) -> None:
    server = alone(allowed_hosts=["api.example.com", "other.example.com:8443"])
    app = server.wsgi if wsgi else server
    for host, status in (
        ("api.example.com", 200),
        ("api.example.com:9000", 200),
        ("other.example.com:8443", 200),
        ("other.example.com", 421),
        ("localhost", 421),
    ):
        assert status_of(app, method, path, host, wsgi=wsgi) == status, host


def test_which_names_a_mounted_server_has_is_for_its_host_to_say() -> None:
    app = Starlette()
    mount(app, "/mcp", MCPServer())
    assert status_of(app, "POST", "/mcp", "public.example.com") == 200
    flask = Flask("mounted")
    MCPMount(flask, "/mcp")
    assert status_of(flask, "POST", "/mcp", "public.example.com", wsgi=True) == 200


def test_a_server_on_another_address_has_whatever_name_it_is_called_by() -> None:
    client = TestClient(MCPServer(), base_url="http://lan.example.com")
    headers, body = stateless("server/discover")
    assert client.post("/mcp", content=body, headers=headers).status_code == 200


def audience(host: str, **options: Any) -> bool:
    """Whether a token for the URL that a request names is let in."""

    def verify(token: str, resource: str | None) -> AccessToken | None:
        return AccessToken("ada") if resource == token else None

    server = MCPServer("audience", auth=TokenVerifier(verify), **options)
    app = Starlette()
    mount(app, "/mcp", server)
    client = BlockingASGIClient(app, "/mcp")
    headers, body = stateless("server/discover")
    own = {**headers, "host": host, "authorization": f"Bearer http://{host}/mcp"}
    with client.open(HTTPRequest("POST", own, body)) as response:
        b"".join(response.chunks)
        return bool(response.status == 200)


@pytest.mark.parametrize(
    ("names", "host", "accepted"),
    [
        (["api.example.com"], "api.example.com", True),
        (["api.example.com"], "api.example.com:80", True),
        (["api.example.com"], "api.example.com:8443", False),
        (["api.example.com:8443"], "api.example.com:8443", True),
        (["api.example.com:8443"], "api.example.com:8444", False),
        ([".example.com"], "api.example.com", True),
        ([".example.com"], "api.example.com:8443", False),
        (["api.example.com"], "api.example.com:1@evil.com", False),
        (["*"], "api.example.com", False),
        (None, "api.example.com", False),
        (None, "localhost", True),
        # The in-process client comes to port 80.
        (None, "localhost:9999", False),
        (["localhost"], "localhost:9999", False),
    ],
)
def test_a_token_is_for_a_host_and_port_that_somebody_vouches_for(
    names: list[str] | None, host: str, accepted: bool
) -> None:
    assert audience(host, allowed_hosts=names) is accepted


def test_a_refusal_is_logged_once_and_names_the_option(caplog: pytest.LogCaptureFixture) -> None:
    server = alone(allowed_hosts=["localhost"])
    headers, body = stateless("server/discover")
    client = BlockingASGIClient(server, "/mcp")
    for _ in range(3):
        status_of(server, "POST", "/mcp", "evil.com")
        own = {**headers, "origin": "https://evil.com"}
        with client.open(HTTPRequest("POST", own, body)) as response:
            assert response.status == 403
            assert "not allowed" in json.loads(b"".join(response.chunks))["error"]["message"]
    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len(lines) == 2
    assert "'evil.com'" in lines[0]
    assert "allowed_hosts" in lines[0]
    assert "allowed_origins" in lines[1]


def test_a_client_that_makes_up_names_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    log = RefusalLog(lambda: now[0])
    for number in range(1000):
        log.warn("Origin", f"https://{number}.example\n{'x' * 1000}", "allowed_origins")
    assert len(caplog.records) == 21
    assert not any("\n" in one.getMessage() for one in caplog.records)
    now[0] = 3601.0
    log.warn("Origin", "https://mine.example", "allowed_origins")
    assert "https://mine.example" in caplog.records[-1].getMessage()
