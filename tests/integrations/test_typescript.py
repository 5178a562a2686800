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


def drive(generation: str, mode: str, url: str) -> Any:
    words = ["node", "drive.mjs", generation, mode, f"{url}/mcp"]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("host", ["asgi", "django-asgi", "django-wsgi", "flask-wsgi"])
@pytest.mark.parametrize(
    ("generation", "mode"), [("v1", "legacy"), ("v2", "legacy"), ("v2", "auto")]
)
def test_a_typescript_client_finds_everything(
    serve_host: Callable[[str], str], host: str, generation: str, mode: str
) -> None:
    heard = drive(generation, mode, serve_host(host))
    assert heard == {
        "tools": True,
        "simple": "This is a simple text response for testing.",
        "headers": "für alle 7",
        "failed": True,
        "test_tool_with_progress": 3,
        "slow_talk": 20,
        # In 2026-07-28 a client hears no log messages unless it asks for a level.
        "logs": 0 if mode == "auto" else 3,
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
