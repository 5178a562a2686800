"""Names that people look for in the wrong place: the error says where they are."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import mcp_mount
from mcp_mount import MCPServer
from mcp_mount.testing import Client


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run_async", r"uvicorn module:server.*server.run\(\)"),
        ("run_stdio_async", "python -m mcp_mount stdio module:server"),
        ("streamable_http_app", "the server itself is the application"),
        ("expose", "write expose\\(api, server"),
    ],
)
def test_an_attribute_of_another_library_names_ours(name: str, words: str) -> None:
    server: Any = MCPServer("shop")
    with pytest.raises(AttributeError, match=words):
        getattr(server, name)
    assert not hasattr(server, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mount", "has no 'mount': it is that of your framework: mcp_mount_fastapi"),
        ("FastMCP", "write 'from mcp_mount import MCPServer'"),
        ("APIKeys", "it is in mcp_mount.auth"),
        ("Client", "mcp_mount.testing"),
        ("Depends", "it is FastAPI's"),
    ],
)
def test_an_import_from_the_wrong_place_names_the_right_one(name: str, words: str) -> None:
    with pytest.raises(ImportError, match=words):
        exec(f"from mcp_mount import {name}")


def test_other_names_are_missing_as_anywhere() -> None:
    assert not hasattr(mcp_mount, "nothing_at_all")
    with pytest.raises(AttributeError, match="has no attribute 'nothing_at_all'"):
        _ = MCPServer("shop").nothing_at_all  # type: ignore[attr-defined]


@pytest.mark.parametrize(("package", "name"), [("flask", "Flask"), ("django", "Django")])
def test_an_integration_without_its_framework_says_what_to_install(package: str, name: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; import mcp_mount_{package}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"mcp_mount_{package} needs {name}: pip install 'mcp-mount[{package}]'" in last


def test_a_result_of_the_wrong_type_is_logged_in_the_users_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = MCPServer("shop", open=True)

    @server.tool
    def count() -> dict[str, int]:
        return {"apples": "many"}  # type: ignore[dict-item]

    with Client(server) as client:
        assert client.call_tool("count").is_error
    assert "count (" in caplog.text
    assert f"{__file__}:" in caplog.text
    assert "has returned what is no dict[str, int]" in caplog.text
    assert "apples: Input should be a valid integer" in caplog.text
