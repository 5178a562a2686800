"""The examples of CORS in docs/hosts.md, as their readers would paste them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.system.servers import ORIGIN

PAGE = Path(__file__).parent.parent.parent / "docs" / "hosts.md"
EXAMPLE_ORIGIN = "https://app.example.com"

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _example(package: str) -> str:
    """The example that imports a package, with the page's origin."""
    examples = [one for one in _BLOCK.findall(PAGE.read_text()) if f"from {package}" in one]
    assert len(examples) == 1, package
    assert EXAMPLE_ORIGIN in examples[0]
    return str(examples[0]).replace(EXAMPLE_ORIGIN, ORIGIN)


def add_cors(app: Any, package: str) -> None:
    """Run the example for an application."""
    exec(compile(_example(package), package, "exec"), {"app": app})


def cors_settings(**settings: Any) -> dict[str, Any]:
    """The settings of a Django project, after the example."""
    exec(compile(_example("corsheaders"), "corsheaders", "exec"), settings)
    return {name: value for name, value in settings.items() if name.isupper()}
