"""Signing in with the application's own accounts: real clients, real servers, every host."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sample_projects.processes import PYTHONPATH, ROOT, free_port, running
from tests.auth.authorization.people import SigningIn
from tests.auth.oauth import connected, run

UVICORN = ("-m", "uvicorn", "--log-level", "warning", "--factory")
GTHREAD = ("-m", "gunicorn", "--threads", "4", "--log-level", "warning", "--no-control-socket")

HOSTS: dict[str, tuple[tuple[str, ...], str]] = {
    "alone": (UVICORN, "/mcp"),
    "starlette": (UVICORN, "/api/mcp"),
    "authenticated": (UVICORN, "/api/mcp"),
    "fastapi": (UVICORN, "/api/mcp"),
    "bare": (UVICORN, "/api/mcp"),
    "flask": (GTHREAD, "/api/mcp"),
    "flask_session": (GTHREAD, "/api/mcp"),
    "flask_beside": (GTHREAD, "/api/mcp"),
    "wsgi_beside": (GTHREAD, "/api/mcp"),
    "django_wsgi": (GTHREAD, "/api/mcp"),
    "django_asgi": (UVICORN, "/api/mcp"),
}
"""Which server serves each application, and where its MCP endpoint is."""

NAMES = {"django_wsgi": "1", "django_asgi": "1"}
"""The caller where it is not the name that people log in by: the primary key of the user."""


@contextmanager
def serving(host: str, folder: Path, *, port: int = 0, **environment: str) -> Iterator[str]:
    """Serve an application; the origin."""
    port = port or free_port()
    words, _ = HOSTS.get(host, (UVICORN, ""))
    if words is GTHREAD:
        command = [
            *words,
            f"tests.integrations.signing_in_apps:{host}()",
            "-b",
            f"127.0.0.1:{port}",
        ]
    else:
        command = [*words, f"tests.integrations.signing_in_apps:{host}", "--port", str(port)]
    variables = {"PYTHONPATH": PYTHONPATH, **environment}
    if host.startswith("django"):
        variables["DATABASE"] = str(folder / "db.sqlite3")
        if not (folder / "db.sqlite3").exists():
            make = [sys.executable, "-m", "tests.integrations.signing_in_project"]
            subprocess.run(make, cwd=ROOT, env=variables, check=True, capture_output=True)
    else:
        variables["STORE"] = str(folder / "connections.sqlite3")
    log = folder / f"{port}.log"
    with running([sys.executable, *command], port, environment=variables, log=log):
        yield f"http://127.0.0.1:{port}"
    problems = [line for line in log.read_text().splitlines() if "Traceback" in line]
    assert not problems, log.read_text()


Serve = Callable[[str], str]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Return the origin of an application, which is started when it is first asked for."""
    origins: dict[str, str] = {}
    with ExitStack() as stack:

        def start(host: str) -> str:
            if host not in origins:
                folder = tmp_path_factory.mktemp(host)
                origins[host] = stack.enter_context(serving(host, folder, KNOWN="0.2"))
            return origins[host]

        yield start


def called(url: str, person: SigningIn, mode: str, tool: str = "whoami", **given: Any) -> str:
    async def session() -> str:
        async with connected(url, person, mode) as client:
            result = await client.call_tool(tool, given)
            return result.content[0].text  # type: ignore[union-attr]

    text: str = run(session)
    return text


@pytest.mark.parametrize("host", HOSTS)
def test_the_official_client_signs_in_and_steps_up(host: str, mode: str, serve: Serve) -> None:
    origin = serve(host)
    url, name = origin + HOSTS[host][1], NAMES.get(host, "ann")
    person = SigningIn("ann", origin)
    assert called(url, person, mode) == f"{name}: orders:read"
    assert person.scopes() == ["orders:read"]
    assert person.answer["iss"] == (url if host == "bare" else origin)
    # The token goes on to serve, without anybody being asked.
    assert called(url, person, mode) == f"{name}: orders:read"
    assert len(person.visited) == 1
    assert called(url, person, mode, "cancel_order", number=7) == f"{name} cancelled 7"
    assert set(person.scopes()[1].split()) == {"orders:read", "orders:write"}
