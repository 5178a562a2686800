"""The official TypeScript clients, of both generations, on ASGI and WSGI hosts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.node import install

FOLDER = Path(__file__).parent.parent / "typescript"


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    install(FOLDER)


KINDS = ("v1-legacy", "v2-legacy", "v2-auto")


@pytest.fixture(scope="module", params=["asgi", "django-asgi", "django-wsgi", "flask-wsgi"])
def heard(request: pytest.FixtureRequest, serve_host: Callable[[str], str]) -> dict[str, Any]:
    """What each kind of client has heard of a host; or how it failed."""
    words = ["node", "drive.mjs", f"{serve_host(request.param)}/mcp", *KINDS]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    by_kind: dict[str, Any] = json.loads(done.stdout)
    return by_kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_typescript_client_finds_everything(heard: dict[str, Any], kind: str) -> None:
    assert heard[kind] == {
        "tools": True,
        "simple": "This is a simple text response for testing.",
        "headers": "für alle 7",
        "failed": True,
        "test_tool_with_progress": 3,
        "slow_talk": 20,
        # In 2026-07-28 a client hears no log messages unless it asks for a level.
        "logs": 0 if kind == "v2-auto" else 3,
        "elicited": "User response: action=accept, content={'name': 'Ada'}",
        "asked": "Hello, Ada!",
        "sampled": "Paris",
        "roots": "file:///here",
        "reconnected": "Reconnected",
        "reconnectedSync": "Reconnected",
        "resources": ["test://static-text", "test://static-binary", "test://watched-resource"],
        "templates": 1,
        "read": '{"id":"7","templateTest":true,"data":"Data for ID: 7"}',
        "blob": "image/png",
        "prompts": True,
        "prompt": "Prompt with arguments: arg1='a', arg2='b'",
        "completed": ["paris"],
        "updated": "test://watched-resource",
        "aborted": "aborted",
        "after": "This is a simple text response for testing.",
    }
