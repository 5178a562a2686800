"""The server's own middleware sees what is refused beside a project: CORS answers preflights, which
have no credentials, and lets a page read why it is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.mcp_mount_django.test_guards import ADA, KINDS, beside, guarded
from tests.requests import stateless

pytestmark = pytest.mark.usefixtures("project", "own_servers")

ORIGIN = "https://app.example.com"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type",
}


def with_cors(**options: Any) -> Any:
    from starlette.middleware.cors import CORSMiddleware

    server = guarded(allowed_origins=[ORIGIN], **options)
    server.add_middleware(
        CORSMiddleware,
        allow_origins=[ORIGIN],
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["WWW-Authenticate"],
    )
    return server


def send(kind: str, app: Any, method: str, path: str, **request: Any) -> Any:
    import asyncio

    url = f"http://localhost{path}"
    if kind in ("mount", "mount_wsgi"):
        with httpx2.Client(transport=httpx2.WSGITransport(app)) as client:
            return client.request(method, url, **request)

    async def ask() -> Any:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as client:
            return await client.request(method, url, **request)

    return asyncio.run(ask())


def listing(kind: str, app: Any, headers: dict[str, str]) -> Any:
    own, body = stateless("tools/list")
    return send(
        kind, app, "POST", "/mcp", headers={**own, "origin": ORIGIN, **headers}, content=body
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/tools"])
def test_a_preflight_needs_no_credentials(kind: str, path: str) -> None:
    answer = send(kind, beside(kind, with_cors()), "OPTIONS", path, headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_may_read_why_it_is_refused(kind: str) -> None:
    app = beside(kind, with_cors())
    for wrong in ({}, {"authorization": "Bearer nobody"}):
        answer = listing(kind, app, wrong)
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "error" in answer.json()
    assert listing(kind, app, ADA).status_code == 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_preflight_is_no_way_in_without_middleware(kind: str) -> None:
    answer = send(kind, beside(kind, guarded()), "OPTIONS", "/mcp", headers=PREFLIGHT)
    assert answer.status_code >= 400


@pytest.mark.parametrize("kind", ["mount", "mount-asgi"])
def test_what_middleware_sees_of_a_refusal_starts_nothing(kind: str) -> None:
    started: list[str] = []

    @asynccontextmanager
    async def lifespan(server: Any) -> AsyncIterator[None]:
        started.append("started")
        yield

    app = beside(kind, with_cors(lifespan=lifespan))
    assert send(kind, app, "OPTIONS", "/mcp", headers=PREFLIGHT).status_code == 200
    assert listing(kind, app, {}).status_code == 401
    assert not started


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cors", [True, False])
def test_no_route_of_the_server_is_reached_by_a_preflight_without_credentials(
    kind: str, cors: bool
) -> None:
    reached: list[str] = []

    class Passing:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

    if cors:
        server = with_cors()
    else:
        server = guarded(allowed_origins=[ORIGIN])
        server.add_middleware(Passing)

    @server.options("/own")
    def own() -> None:
        reached.append("own")

    answer = send(kind, beside(kind, server), "OPTIONS", "/mcp/own", headers=PREFLIGHT)
    assert answer.status_code == (200 if cors else 401)
    assert not reached
