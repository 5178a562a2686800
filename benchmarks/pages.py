"""Writes what was measured into docs/performance.md, between marks, and its charts beside it."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.parts import Page

DOCS = Path(__file__).parents[1] / "docs"
FILE = DOCS / "performance.md"
CHARTS = DOCS / "performance"


def marks(name: str) -> tuple[str, str]:
    """What is before a part of the page and what is after it."""
    return f"<!-- begin {name} -->\n", f"<!-- end {name} -->"


def write(name: str, page: Page, about: str) -> None:
    """Replace a part of the page."""
    CHARTS.mkdir(exist_ok=True)
    for chart, drawn in page.charts.items():
        (CHARTS / f"{chart}.svg").write_text(drawn)
    images = "".join(f"\n![{chart}](performance/{chart}.svg)\n" for chart in page.charts)
    begin, end = map(re.escape, marks(name))
    pattern = re.compile(f"(?<={begin}).*(?={end})", re.DOTALL)
    new = f"\n{page.text}{images}\n{about}\n"
    text, count = pattern.subn(lambda match: new, FILE.read_text())
    assert count == 1, f"{FILE} has no part {name}"
    FILE.write_text(text)
