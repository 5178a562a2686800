"""The endpoints of an authorization server at the root, where a server is in front of an
application: the application is asked first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import httpx2
import pytest

from mcp_mount import MCPServer, mount_asgi, mount_wsgi
from mcp_mount.auth import SignIn

BODY = {"redirect_uris": ["http://localhost/callback"], "client_name": "Café"}

Answer = tuple[int, bytes]
Responds = Callable[[str, str, bytes], Answer]


def server(**options: Any) -> MCPServer:
    sign_in = SignIn(user=lambda request: None, login="/login", **options)
    return MCPServer("shop", auth=sign_in, secret_key="k", allowed_hosts=["shop.example"])


def wsgi(respond: Responds) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        status, answer = respond(environ["REQUEST_METHOD"], environ["PATH_INFO"], body)
        # As a generator, which begins at its first chunk.
        start_response(f"{status} Words", [("content-type", "text/plain")])
        yield answer
        yield b"."

    return app


def asgi(respond: Responds) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        status, answer = respond(scope["method"], scope["path"], body)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer, "more_body": True})
        await send({"type": "http.response.body", "body": b"."})

    return app


@pytest.fixture(params=["wsgi", "asgi"])
def ask(request: pytest.FixtureRequest) -> Callable[..., httpx2.Response]:
    """Asks a server in front of an application."""

    def ask(
        respond: Responds, method: str, path: str, *, own: MCPServer | None = None, **given: Any
    ) -> httpx2.Response:
        url = f"https://shop.example{path}"
        if request.param == "wsgi":
            app = mount_wsgi(wsgi(respond), "/mcp", own or server())
            with httpx2.Client(transport=httpx2.WSGITransport(app)) as client:
                return client.request(method, url, **given)
        inner = mount_asgi(asgi(respond), "/mcp", own or server())

        async def later() -> httpx2.Response:
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(inner)) as client:
                return await client.request(method, url, **given)

        return asyncio.run(later())

    return ask


def status(number: int) -> Responds:
    return lambda method, path, body: (number, b"the application's")


@pytest.mark.parametrize("number", [404, 405])
def test_what_the_application_does_not_have_is_the_servers(ask: Any, number: int) -> None:
    made = ask(status(number), "POST", "/register", json=BODY)
    assert made.status_code == 201, made.text
    assert made.json()["client_name"] == "Café"
    token = ask(status(number), "POST", "/token", data={"client_id": "x"})
    assert token.json()["error"] == "invalid_client"
    assert ask(status(number), "GET", "/authorize").status_code == 400


@pytest.mark.parametrize("number", [200, 302, 403, 500])
def test_what_the_application_has_stays_its_own(ask: Any, number: int) -> None:
    seen: list[tuple[str, str, bytes]] = []

    def respond(method: str, path: str, body: bytes) -> Answer:
        seen.append((method, path, body))
        return number, b"own"

    answer = ask(respond, "POST", "/register", content=b"name=ann")
    assert (answer.status_code, answer.text) == (number, "own.")
    assert seen == [("POST", "/register", b"name=ann")]


def test_a_long_body_is_the_applications_alone(ask: Any) -> None:
    lengths: list[int] = []

    def respond(method: str, path: str, body: bytes) -> Answer:
        lengths.append(len(body))
        return 404, b"own"

    answer = ask(respond, "POST", "/register", content=b"x" * 100_000)
    assert (answer.status_code, answer.text) == (404, "own.")
    assert lengths == [100_000]


def test_other_paths_are_asked_once(ask: Any) -> None:
    answer = ask(status(404), "POST", "/token/more", data={"client_id": "x"})
    assert (answer.status_code, answer.text) == (404, "the application's.")


def test_an_issuer_below_the_origin_has_no_endpoints_there(ask: Any) -> None:
    own = server(issuer="https://shop.example/mcp")
    answer = ask(status(404), "POST", "/token", own=own, data={"client_id": "x"})
    assert (answer.status_code, answer.text) == (404, "the application's.")
