"""What clients without a key are told by a server that takes API keys and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import mcp_mount_fastapi
import mcp_mount_starlette
from mcp_mount import MCPServer, mount_asgi, mount_wsgi
from mcp_mount.auth import JWT, APIKeys
from mcp_mount_flask import MCPMount
from tests.requests import stateless

KEY = "a-long-secret-of-ada"
PLACES = (
    "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/oauth-authorization-server/mcp",
    "/.well-known/openid-configuration/mcp",
    "/mcp/.well-known/oauth-protected-resource",
    "/mcp/.well-known/openid-configuration",
)


def server(**options: Any) -> MCPServer:
    return MCPServer("keys", auth=APIKeys({"ada": KEY}), **options)


def page(request: Any) -> HTMLResponse:
    return HTMLResponse("<p>a page of the application")


def alone() -> Any:
    return server()


def starlette() -> Any:
    app = Starlette()
    mcp_mount_starlette.mount(app, "/mcp", server())
    app.routes.append(Route("/{rest:path}", page))
    return app


def fastapi() -> Any:
    app = FastAPI()
    mcp_mount_fastapi.mount(app, "/mcp", server())
    app.add_route("/{rest:path}", page)
    return app


def beside_asgi() -> Any:
    return mount_asgi(Starlette(routes=[Route("/{rest:path}", page)]), "/mcp", server())


def flask() -> Any:
    app = Flask("keys")
    MCPMount(app, "/mcp", server=server())
    app.add_url_rule("/<path:rest>", "page", lambda rest: "<p>a page")
    return app


def beside_wsgi() -> Any:
    return mount_wsgi(flask_page(), "/mcp", server())


def flask_page() -> Any:
    app = Flask("pages")
    app.add_url_rule("/<path:rest>", "page", lambda rest: "<p>a page")
    return app


def client_of(app: Any) -> Any:
    if isinstance(app, Flask | mount_wsgi):
        from werkzeug.test import Client

        return Client(app)
    return TestClient(app, base_url="http://localhost")


def body_of(response: Any) -> Any:
    return json.loads(response.get_data() if hasattr(response, "get_data") else response.content)


HOSTS = [alone, starlette, fastapi, beside_asgi, flask, beside_wsgi]


def send(client: Any, **more: str) -> Any:
    headers, body = stateless("tools/list", id="q")
    data = {"data": body} if "werkzeug" in type(client).__module__ else {"content": body}
    return client.post("/mcp", headers={**headers, **more}, **data)


@pytest.mark.parametrize("make", HOSTS)
def test_a_client_without_a_key_reads_which_header_to_send(make: Callable[[], Any]) -> None:
    response = send(client_of(make()))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'ApiKey header="X-API-Key"'
    assert body_of(response) == {
        "jsonrpc": "2.0",
        "id": "q",
        "error": {
            "code": -32600,
            "message": "Authentication required: send an API key in the header X-API-Key",
        },
    }


@pytest.mark.parametrize("make", HOSTS)
def test_where_clients_look_for_an_authorization_server_there_is_none(
    make: Callable[[], Any],
) -> None:
    client = client_of(make())
    for place in PLACES:
        response = client.get(place)
        assert (response.status_code, body_of(response)) == (404, {"detail": "Not Found"}), place


def test_a_wrong_key_is_told_without_a_promise_of_tokens() -> None:
    response = send(client_of(alone()), x_api_key="x")
    assert response.status_code == 401
    response = send(client_of(alone()), **{"x-api-key": "wrong"})
    assert response.headers["www-authenticate"] == 'ApiKey header="X-API-Key"'
    assert body_of(response)["error"]["message"] == "The API key is not valid"


def test_a_server_that_takes_tokens_as_well_names_both() -> None:
    tokens = JWT("https://issuer.example", audience="https://api.example/mcp")
    both = MCPServer("both", auth=[tokens, APIKeys({"ada": KEY}, header="X-Key")])
    response = send(client_of(both))
    assert response.headers["www-authenticate"].startswith("Bearer ")
    assert body_of(response)["error"]["message"] == (
        "Authentication required: send an access token, or an API key in the header X-Key"
    )
