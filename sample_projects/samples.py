"""The sample projects, and how each is deployed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sample_projects.processes import free_port, running

HERE = Path(__file__).parent

_GTHREAD = ("--worker-class", "gthread", "--threads", "8", "--no-control-socket")


@dataclass(frozen=True)
class Sample:
    """A project: its web server, the command that makes its database, and calls to try.

    database: the environment variable that names its database file.
    upstream: an application that it asks, and the environment variable that has its URL.
    """

    name: str
    server: str
    target: str
    prepare: tuple[tuple[str, ...], ...]
    database: str
    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    upstream: tuple[str, str] | None = None

    def environment(self, folder: Path) -> dict[str, str]:
        return {self.database: str(folder / f"{self.name}.sqlite3")}

    def make_database(self, folder: Path, variables: Mapping[str, str]) -> None:
        for words in self.prepare:
            done = subprocess.run(
                [sys.executable, *words],
                cwd=HERE / self.name,
                env={**variables, **self.environment(folder)},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f"{self.name}: {' '.join(words)} failed\n{done.stderr}")

    @contextmanager
    def serve(self, folder: Path) -> Iterator[str]:
        """Run the project as users deploy it, with its database in `folder`; yield its URL."""
        port = free_port()
        words = [sys.executable, "-m", self.server, self.target]
        if self.server == "gunicorn":
            words += ["--bind", f"127.0.0.1:{port}", *_GTHREAD, "--log-level", "warning"]
        else:
            words += ["--port", str(port), "--log-level", "warning"]
        environment = self.environment(folder)
        with ExitStack() as stack:
            if self.upstream is not None:
                target, variable = self.upstream
                other = free_port()
                beside = [sys.executable, "-m", "uvicorn", target, "--port", str(other)]
                beside += ["--log-level", "warning"]
                stack.enter_context(
                    running(beside, other, cwd=HERE / self.name, environment=environment)
                )
                environment[variable] = f"http://127.0.0.1:{other}/v1"
            stack.enter_context(running(words, port, cwd=HERE / self.name, environment=environment))
            yield f"http://127.0.0.1:{port}/mcp"


SAMPLES = (
    Sample(
        "django_shop",
        "gunicorn",
        "config.wsgi",
        (("manage.py", "migrate", "-v0"), ("manage.py", "seed")),
        "SHOP_DATABASE",
        (
            ("search_products", {"query": "tea"}),
            ("place_order", {"sku": "MUG-01", "customer": "demo"}),
        ),
    ),
    Sample(
        "flask_helpdesk",
        "gunicorn",
        "helpdesk:create_app()",
        (("-m", "flask", "--app", "helpdesk", "init-db"),),
        "HELPDESK_DATABASE",
        (("list_tickets", {"status": "open"}), ("comment", {"ticket": 1, "body": "On my way."})),
    ),
    Sample(
        "fastapi_weather",
        "uvicorn",
        "weather.app:api",
        (("-m", "weather.database"),),
        "WEATHER_DATABASE",
        (("weather", {"station": "OSL"}), ("compare", {"codes": ["OSL", "NBO"]})),
    ),
    Sample(
        "standalone",
        "uvicorn",
        "server:app",
        (("notebook.py",),),
        "NOTEBOOK_DATABASE",
        (
            ("notes", {}),
            ("word_count", {"text": "two words"}),
            ("chat", {"message": "Hello", "model": "smart"}),
        ),
        upstream=("upstream:app", "NOTEBOOK_UPSTREAM"),
    ),
)
