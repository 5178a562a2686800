"""The rooms and the arrows of the design: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "mcp_mount"
FRAMEWORKS = {"fastapi", "starlette", "django", "flask", "werkzeug", "a2wsgi", "uvicorn", "mcp"}


def imports(file: Path) -> set[str]:
    """The modules that a file imports, for types only or for real."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{file}: relative imports hide the arrows"
            found.add(node.module)
    return found


def files(room: str) -> list[Path]:
    found = sorted((LIBRARY / room).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize(
    "room", ["protocol", "features", "policies", "auth", "backplane", "openapi"]
)
def test_the_core_imports_no_web_framework(room: str) -> None:
    for file in files(room):
        roots = {module.partition(".")[0] for module in imports(file)}
        assert not roots & FRAMEWORKS, file


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("protocol", {"protocol"}),
        ("backplane", {"backplane", "protocol"}),
        ("features", {"features", "context", "elsewhere", "protocol"}),
        ("transports", {"transports", "protocol"}),
        ("tasks", {"tasks", "protocol", "transports"}),
        ("llm", {"llm", "features", "protocol"}),
        ("policies", {"policies", "features", "protocol"}),
        ("openapi", {"openapi", "policies", "features", "protocol"}),
        ("auth", {"auth", "policies", "features", "protocol"}),
        (
            "routes",
            {
                "routes",
                "context",
                "elsewhere",
                "features",
                "llm",
                "policies",
                "protocol",
                "transports",
            },
        ),
    ],
)
def test_arrows_point_one_way(room: str, allowed: set[str]) -> None:
    for file in files(room):
        for module in imports(file):
            words = module.split(".")
            if words[0] == "mcp_mount":
                assert words[1] in allowed, f"{file} imports {module}"


def test_no_library_file_imports_an_integration() -> None:
    for file in LIBRARY.rglob("*.py"):
        assert not any(module.startswith("mcp_mount_") for module in imports(file)), file


def test_importing_the_library_leaves_optional_parts_alone() -> None:
    import subprocess
    import sys

    script = (
        "import sys, mcp_mount; "
        "print([m for m in ('mcp_types', 'PIL', 'django', 'flask', 'docstring_parser', 'mcp',"
        " 'limits', 'redis', 'jwt')"
        " if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def test_importing_the_django_package_needs_no_settings() -> None:
    """wsgi.py and asgi.py may import it before they name them."""
    import subprocess
    import sys

    script = "import mcp_mount_django; from mcp_mount_django import MCPServer, mount"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
