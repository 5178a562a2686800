"""A server called in each way: over WSGI and ASGI, with and without sessions, as plain HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from starlette.testclient import TestClient

from mcp_mount import MCPServer
from mcp_mount.testing import Client

FACES = ("wsgi", "asgi", "wsgi-session", "asgi-session")


@dataclass
class Answer:
    """What a tool answered, on whatever face."""

    text: str
    failed: bool
    status: int = 200


Connect = Callable[..., Client]


def asgi_only(server: MCPServer) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await server(scope, receive, send)

    return app


def connect_to(face: str, server: MCPServer, **options: Any) -> Client:
    kind, _, session = face.partition("-")
    app = server if kind == "wsgi" else asgi_only(server)
    revision = "2025-11-25" if session else "2026-07-28"
    return Client(app, path="/mcp", revision=revision, **options)


def _connect(server: MCPServer, *, face: str, **options: Any) -> Client:
    return connect_to(face, server, **options)


@pytest.fixture(params=FACES)
def connect(request: pytest.FixtureRequest) -> Connect:
    """Connects a client to a server, on each face in turn."""
    return partial(_connect, face=request.param)


@pytest.fixture(params=["wsgi", "asgi"])
def connect_stateless(request: pytest.FixtureRequest) -> Connect:
    """Connects a client of the newest revision, over WSGI and over ASGI."""
    return lambda server, **options: connect_to(request.param, server, **options)


@pytest.fixture
def over_http() -> Callable[..., Any]:
    """Calls a tool as plain HTTP."""

    def call(server: MCPServer, tool: str, arguments: Any = None, **headers: str) -> Any:
        return TestClient(server).post(f"/tools/{tool}", json=arguments or {}, headers=headers)

    return call
