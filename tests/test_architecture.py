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


ROOMS = (
    "wire",
    "calls",
    "llm",
    "protocol",
    "context",
    "transports",
    "schemas",
    "features",
    "observability",
    "backends",
    "policies",
    "auth",
    "openapi",
    "routes",
    "hosting",
    "base",
    "wrapping",
    "cli",
    "testing",
)
"""From the ground up: a room imports itself and those before it, for types as well."""

BESIDE = {
    "elsewhere": "wire",
    "options": "hosting",
    "models": "routes",
    "images": "routes",
    "tasks": "hosting",
}
"""Modules without a room of their own, and the room that they stand in."""

# The transports carry Starlette's applications to WSGI, models are iterated by its thread pool.
WITH_FRAMEWORKS = {"transports", "backends"} | set(ROOMS[ROOMS.index("routes") :])


def files(room: str) -> list[Path]:
    found = sorted((LIBRARY / room).rglob("*.py")) or [LIBRARY / f"{room}.py"]
    assert all(file.exists() for file in found), room
    return found


def modules() -> dict[str, Path]:
    """Every module of the library, by its dotted name."""
    found = {}
    for file in sorted(LIBRARY.rglob("*.py")):
        words = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(words[:-1] if words[-1] == "__init__" else words)] = file
    return found


def room_of(module: str) -> str:
    room = module.split(".")[1]
    return BESIDE.get(room, room)


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in WITH_FRAMEWORKS])
def test_the_core_imports_no_web_framework(room: str) -> None:
    for file in files(room):
        roots = {module.partition(".")[0] for module in imports(file)}
        assert not roots & FRAMEWORKS, file


def test_every_module_has_a_room() -> None:
    for module in modules():
        if module not in ("mcp_mount", "mcp_mount.__main__"):
            assert room_of(module) in ROOMS, module


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_itself_and_those_below_it(room: str) -> None:
    known = ROOMS[: ROOMS.index(room) + 1]
    for file in files(room):
        for module in imports(file):
            if module.startswith("mcp_mount."):
                assert room_of(module) in known, f"{file} imports {module}"


def test_no_modules_import_one_another_in_a_circle() -> None:
    known = modules()
    arrows: dict[str, set[str]] = {}
    for name, file in known.items():
        arrows[name] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                for alias in node.names:
                    one = f"{node.module}.{alias.name}"
                    arrows[name].add(one if one in known else node.module)
            elif isinstance(node, ast.Import):
                arrows[name] |= {alias.name for alias in node.names}
    finished: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way[way.index(name) :], name))
        if name in finished or name not in arrows:
            return
        for other in arrows[name] - {name}:
            follow(other, (*way, name))
        finished.add(name)

    for name in known:
        follow(name, ())


def test_no_library_file_imports_an_integration() -> None:
    for file in LIBRARY.rglob("*.py"):
        assert not any(module.startswith("mcp_mount_") for module in imports(file)), file


def test_importing_the_library_leaves_optional_parts_alone() -> None:
    import subprocess
    import sys

    script = (
        "import sys, mcp_mount; "
        "print([m for m in ('mcp_types', 'PIL', 'django', 'flask', 'docstring_parser', 'mcp',"
        " 'limits', 'redis', 'jwt', 'a2wsgi', 'ctypes', 'difflib', 'html.parser',"
        " 'mcp_mount.openapi', 'mcp_mount.routes.completions', 'mcp_mount.routes.openai',"
        " 'mcp_mount.routes.images', 'mcp_mount.backends.images', 'mcp_mount.transports.wsgi_app',"
        " 'mcp_mount.observability.telemetry', 'mcp_mount.auth.authorization')"
        " if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


@pytest.mark.parametrize("package", ["mcp_mount_starlette", "mcp_mount_fastapi"])
def test_mounting_alone_imports_nothing_for_existing_endpoints(package: str) -> None:
    import subprocess
    import sys

    script = f"import sys; from {package} import mount; print('mcp_mount.openapi' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"


def test_importing_the_django_package_needs_no_settings() -> None:
    """wsgi.py and asgi.py may import it before they name them."""
    import subprocess
    import sys

    script = "import mcp_mount_django; from mcp_mount_django import MCPServer, mount"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


def test_no_class_name_comes_twice() -> None:
    """But for classes of an integration that users import in place of the library's own, clients
    of OAuth, and Django's migrations."""
    public = {"AsyncClient", "Client", "MCPMount", "MCPServer", "Migration", "ToolsRouter"}
    found: list[str] = []
    for base in (LIBRARY, ROOT / "integrations"):
        for file in base.rglob("*.py"):
            tree = ast.parse(file.read_text())
            found += [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert {name for name in found if found.count(name) > 1} <= public
