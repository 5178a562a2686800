"""docs/api.md: what it lists is what the packages export."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "api.md").read_text()


def listed() -> Iterator[tuple[str, set[str]]]:
    """The modules of the page, each with the names that it lists for it."""
    for section in PAGE.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        cells = [[cell.strip() for cell in row[1:-1].split("|")] for row in rows(text)]
        if title.startswith("`"):
            yield title.strip("`"), {name for first, _ in cells for name in names(first)}
        else:
            for module, second in cells:
                yield module.strip("`"), set(names(re.sub(r"\([^)]*\)", "", second)))


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| `")]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


@pytest.mark.parametrize("module", [module for module, _ in listed()])
def test_the_page_lists_what_a_module_exports(module: str) -> None:
    assert dict(listed())[module] == set(importlib.import_module(module).__all__)


def test_every_package_is_on_the_page() -> None:
    modules = {module for module, _ in listed()}
    assert {"mcp_mount", "mcp_mount.auth", "mcp_mount.openapi", "mcp_mount.testing"} <= modules
    assert {f"mcp_mount_{host}" for host in ("django", "flask", "fastapi", "starlette")} <= modules
