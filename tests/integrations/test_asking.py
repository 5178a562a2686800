"""Handlers that ask models, on real web servers: what they get, and what they are told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from sample_projects.processes import Together, free_port, running
from tests.integrations import asking_apps
from tests.requests import stateless
from tests.upstream import Upstream

UVICORN = [sys.executable, "-m", "uvicorn", "--factory", "--log-level", "warning"]
GUNICORN = [
    *(sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "8"),
    *("--log-level", "warning", "--no-control-socket"),
]
APPS = asking_apps.__name__
HOSTS = {
    "alone": UVICORN,
    "fastapi": UVICORN,
    "starlette": UVICORN,
    "django_asgi": UVICORN,
    "flask": GUNICORN,
    "django_wsgi": GUNICORN,
}


@pytest.fixture(scope="module")
def hosts(served_upstream: Upstream) -> Iterator[Callable[[str], str]]:
    """Starts a host when it is first asked for; its URL."""
    known: dict[str, str] = {}
    with Together() as stack:

        def start(name: str) -> str:
            if name not in known:
                port = free_port()
                words = (
                    [*UVICORN, f"{APPS}:{name}", "--port", str(port)]
                    if HOSTS[name] is UVICORN
                    else [*GUNICORN, f"{APPS}:{name}()", "--bind", f"127.0.0.1:{port}"]
                )
                environment = {"ASKING_UPSTREAM": served_upstream.url}
                stack.enter_context(running(words, port, environment=environment))
                known[name] = f"http://127.0.0.1:{port}"
            return known[name]

        yield start


@pytest.fixture(params=list(HOSTS))
def url(request: pytest.FixtureRequest, hosts: Callable[[str], str]) -> str:
    return hosts(request.param)


@pytest.fixture(params=["", "_async"])
def kind(request: pytest.FixtureRequest) -> str:
    """How the names of the tools end: plain functions, and coroutines."""
    kind: str = request.param
    return kind


def call(url: str, tool: str, **arguments: Any) -> dict[str, Any]:
    headers, body = stateless("tools/call", {"name": tool, "arguments": arguments})
    answer = httpx2.post(f"{url}/mcp", content=body, headers=headers, timeout=40)
    assert answer.status_code == 200, answer.text
    assert "secret" not in answer.text
    text = answer.text.partition("data: ")[2] if "data: " in answer.text else answer.text
    result: dict[str, Any] = httpx2.Response(200, content=text).json()["result"]
    return result


def test_handlers_get_answers_of_functions_upstreams_and_routes(url: str, kind: str) -> None:
    for model, text, answerer in (
        (None, "plain hi", None),
        ("plain", "plain hi", None),
        ("coroutine", "coroutine hi", None),
        ("gpt", "hi", "stand-in-ok"),
        ("smart", "hi", "gpt"),
    ):
        told = call(url, f"ask{kind}", model=model)["structuredContent"]
        assert told == {"text": text, "model": answerer}


def test_handlers_get_values_of_a_type(url: str, kind: str) -> None:
    assert call(url, f"find{kind}", model="point")["structuredContent"] == {"x": 1, "y": 2}
    failed = call(url, f"find{kind}", model="plain")
    assert failed["isError"] is True
    assert failed["content"][0]["text"].startswith("The model's answer is no Point: Invalid JSON")


def test_handlers_are_told_why_there_is_no_answer(url: str, kind: str) -> None:
    known = "plain, coroutine, point, broken, late, late_plain, "
    for model, status, message in (
        ("nothing", 404, f"Unknown model 'nothing'; known: {known}"),
        ("hidden", 404, f"Unknown model 'hidden'; known: {known}"),
        ("broken", 500, "The model 'broken' failed"),
        ("late", 504, "late took longer than 0.2 seconds and was cancelled"),
        ("late_plain", 504, "late_plain took longer than 0.2 seconds"),
        ("down", 502, "The upstream model fails (status 500)"),
    ):
        told = call(url, f"ask{kind}", model=model)["structuredContent"]
        # A plain function runs to its end, which is told in further words.
        assert (told["status"], told["message"][: len(message)]) == (status, message)
    assert call(url, f"ask{kind}", model=f"spent{kind}")["structuredContent"]["text"] == "dear"
    told = call(url, f"ask{kind}", model=f"spent{kind}")["structuredContent"]
    assert (told["status"], told["waits"]) == (429, True)
    assert f"spent{kind}" in told["message"]
