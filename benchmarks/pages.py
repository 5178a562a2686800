"""Writes what was measured into docs/performance.md, between marks, and its charts beside it."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.parts import Page

DOCS = Path(__file__).parents[1] / "docs"
FILE = DOCS / "performance.md"
CHARTS = DOCS / "performance"


def write(name: str, page: Page, about: str) -> None:
    """Replace the part of the page between `<!-- begin NAME -->` and `<!-- end NAME -->`."""
    CHARTS.mkdir(exist_ok=True)
    for chart, drawn in page.charts.items():
        (CHARTS / f"{chart}.svg").write_text(drawn)
    images = "".join(f"\n![{chart}](performance/{chart}.svg)\n" for chart in page.charts)
    new = f"\n{page.text}{images}\n{about}\n"
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    pattern = re.compile(f"(?<={re.escape(begin)}).*(?={re.escape(end)})", re.DOTALL)
    text, count = pattern.subn(lambda match: new, FILE.read_text())
    assert count == 1, f"{FILE} has no part {name}"
    FILE.write_text(text)
