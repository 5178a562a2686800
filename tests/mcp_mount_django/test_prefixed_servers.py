"""A project below a prefix, on real web servers: every URL that it gives has the prefix, once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest

from sample_projects.processes import PYTHONPATH, free_port, running
from tests.requests import stateless

PROJECT = "tests.mcp_mount_django.prefixed"


@dataclass
class Served:
    """below: what of the path the web server sees."""

    url: str
    below: str

    def post(self, path: str, method: str, name: str = "") -> httpx2.Response:
        headers, body = stateless(method, {"name": name, "arguments": {}} if name else {})
        own = {**headers, "host": "localhost", "x-forwarded-host": "shop.example"}
        return httpx2.post(f"{self.url}{self.below}{path}", headers=own, content=body, timeout=30)


WAYS = {
    "gunicorn, SCRIPT_NAME": ("gunicorn", {"SCRIPT_NAME": "/pre"}, (), "/pre"),
    "gunicorn, FORCE_SCRIPT_NAME": ("gunicorn", {"FORCED": "/pre"}, (), ""),
    "uvicorn, --root-path": ("uvicorn", {}, ("--root-path", "/pre"), ""),
    "uvicorn, FORCE_SCRIPT_NAME": ("uvicorn", {"FORCED": "/pre"}, (), ""),
    "daphne, --root-path": ("daphne", {}, ("--root-path", "/pre"), ""),
    "daphne, FORCE_SCRIPT_NAME": ("daphne", {"FORCED": "/pre"}, (), "/pre"),
}
"""The server, its environment and arguments, and whether a proxy has taken the prefix away."""


@pytest.fixture(scope="module", params=WAYS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    kind, environment, words, below = WAYS[request.param]
    port = free_port()
    own = {
        "gunicorn": [f"{PROJECT}:wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "4"],
        "uvicorn": [f"{PROJECT}:asgi", "--port", str(port), "--log-level", "warning"],
        "daphne": ["-p", str(port), "-v", "0", *words, f"{PROJECT}:asgi"],
    }[kind]
    whole = [sys.executable, "-m", kind, *own, *(words if kind != "daphne" else ())]
    with running(whole, port, environment={"PYTHONPATH": PYTHONPATH, **environment}):
        yield Served(f"http://127.0.0.1:{port}", below)


@pytest.mark.parametrize("tool", ["link", "order"])
def test_links_of_tools_have_the_prefix_once(served: Served, tool: str) -> None:
    found = served.post("/mcp", "tools/call", tool).json()["result"]["structuredContent"]
    assert found["link"] == "http://shop.example/pre/order/7"
    assert found.get("here", "/pre/order") == "/pre/order"


def test_the_metadata_are_below_the_prefix(served: Served) -> None:
    answer = served.post("/guarded", "tools/list")
    assert answer.status_code == 401
    metadata = "http://shop.example/pre/guarded/.well-known/oauth-protected-resource"
    assert f'resource_metadata="{metadata}"' in answer.headers["www-authenticate"]


def test_the_docs_find_their_document_below_the_prefix(served: Served) -> None:
    headers = {"host": "localhost"}
    page = httpx2.get(f"{served.url}{served.below}/mcp/docs", headers=headers, timeout=30)
    assert page.status_code == 200
    assert "/pre/mcp/openapi.json" in page.text
    assert "/pre/pre" not in page.text
