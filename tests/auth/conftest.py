"""Fixtures: a real authorization server, and the guarded server in each host as real processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from sample_projects.processes import Together, free_port, running

GUNICORN = ("-m", "gunicorn", "--threads", "4", "--log-level", "error")
UVICORN = ("-m", "uvicorn", "--log-level", "info", "--factory")

HOSTS: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "standalone": ((*UVICORN, "tests.auth.apps:standalone"), {}, "/mcp"),
    "starlette": ((*UVICORN, "tests.auth.apps:starlette"), {}, "/api/mcp"),
    "fastapi": ((*UVICORN, "tests.auth.apps:fastapi"), {}, "/api/mcp"),
    "fastapi-bare-mount": ((*UVICORN, "tests.auth.apps:bare"), {}, "/api/mcp"),
    "flask": ((*GUNICORN, "tests.auth.apps:flask()"), {}, "/api/mcp"),
    "flask-beside": ((*GUNICORN, "tests.auth.apps:flask_beside()"), {}, "/api/mcp"),
    "django-wsgi": (
        (*GUNICORN, "tests.auth.apps:django()"),
        {"INTERFACE": "wsgi"},
        "/api/mcp",
    ),
    "django-asgi": ((*UVICORN, "tests.auth.apps:django"), {"INTERFACE": "asgi"}, "/api/mcp"),
}
"""How each host is started, in which environment, and where its MCP endpoint is."""

Serve = Callable[[str, str], str]


def _bound(words: tuple[str, ...], port: int) -> list[str]:
    if words is GUNICORN or "gunicorn" in words:
        return [sys.executable, *words, "--bind", f"127.0.0.1:{port}"]
    return [sys.executable, *words, "--port", str(port)]


def issuing(stack: Together, kind: str) -> str:
    """The URL of an authorization server that issues JWTs ("jwt") or opaque tokens ("opaque")."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = _bound((*GUNICORN, "tests.auth.authorization_server:app"), port)
    environment = {"ISSUER": url, "ISSUE": kind, "AUTHLIB_INSECURE_TRANSPORT": "1"}
    stack.enter_context(running(words, port, environment=environment))
    return url


def serving(stack: Together, host: str, kind: str, issuer: str) -> str:
    """The URL of the MCP endpoint in a host that takes the tokens of an issuer."""
    words, environment, path = HOSTS[host]
    port = free_port()
    environment = {"ISSUER": issuer, "AUTH": kind, **environment}
    stack.enter_context(running(_bound(words, port), port, environment=environment))
    return f"http://127.0.0.1:{port}{path}"


@pytest.fixture(scope="session")
def issuers() -> Iterator[dict[str, str]]:
    """The URLs of authorization servers that issue JWTs and opaque tokens."""
    with Together() as stack:
        yield {kind: issuing(stack, kind) for kind in ("jwt", "opaque")}


@pytest.fixture(scope="session")
def serve(issuers: dict[str, str]) -> Iterator[Serve]:
    """Return the URL of the MCP endpoint in a host, for a kind of tokens."""
    urls: dict[tuple[str, str], str] = {}
    with Together() as stack:

        def start(host: str, kind: str) -> str:
            if (host, kind) not in urls:
                urls[host, kind] = serving(stack, host, kind, issuers[kind])
            return urls[host, kind]

        yield start


@pytest.fixture(params=list(HOSTS))
def guarded(request: pytest.FixtureRequest, serve: Serve) -> str:
    """The URL of the guarded MCP endpoint in each host in turn."""
    return serve(request.param, "jwt")
