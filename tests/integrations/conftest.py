"""Fixtures: each way to mount under each web server, as real processes that this folder shares."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sample_projects.processes import PYTHONPATH, ROOT, Together, free_port, running

SERVERS: dict[str, Callable[[str, int], list[str]]] = {
    "uvicorn": lambda app, port: [
        *("uvicorn", "--factory", f"tests.integrations.apps:{app}", "--port", str(port)),
        *("--log-level", "warning"),
    ],
    "uvicorn-h11": lambda app, port: [*SERVERS["uvicorn"](app, port), "--http", "h11"],
    "uvicorn-prefix": lambda app, port: [*SERVERS["uvicorn"](app, port), "--root-path", "/prefix"],
    "hypercorn": lambda app, port: [
        *("hypercorn", f"tests.integrations.apps:{app}()", "--bind", f"127.0.0.1:{port}"),
    ],
    "daphne": lambda app, port: [
        *("daphne", "-p", str(port), f"tests.integrations.daphne_apps:{app}"),
    ],
    "gthread": lambda app, port: [
        *("gunicorn", f"tests.integrations.apps:{app}()", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "gthread", "--threads", "8", "--no-control-socket"),
        *("--log-level", "warning"),
    ],
    "sync": lambda app, port: [
        *("gunicorn", f"tests.integrations.apps:{app}()", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "sync", "--no-control-socket", "--log-level", "warning"),
    ],
}

Serve = Callable[..., str]


@pytest.fixture(scope="package")
def database(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the Django project, its database migrated."""
    path = tmp_path_factory.mktemp("django") / "db.sqlite3"
    environment = {"TEST_DATABASE": str(path), "PYTHONPATH": PYTHONPATH}
    words = [sys.executable, "-m", "tests.integrations.django_project"]
    subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True)
    return environment


@pytest.fixture(scope="package")
def serve(database: dict[str, str]) -> Iterator[Serve]:
    """Return the base URL of an application under a server; started when first asked for."""
    urls: dict[Any, str] = {}
    with Together() as stack:

        def start(server: str, app: str, **environment: str) -> str:
            key = (server, app, *environment.items())
            if key not in urls:
                port = free_port()
                words = [sys.executable, "-m", *SERVERS[server](app, port)]
                variables = {**database, **environment}
                stack.enter_context(running(words, port, environment=variables))
                urls[key] = f"http://127.0.0.1:{port}"
            return urls[key]

        yield start
