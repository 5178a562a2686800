"""Figures as tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; the first column is text, the others are figures."""
    lines = [heads, ["---", *("---:" for _ in heads[1:])], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def described(environment: Mapping[str, str]) -> str:
    """On what the figures were measured, as one line."""
    return "Measured on: " + "; ".join(f"{name} {at}" for name, at in environment.items()) + ".\n"


def number(value: float) -> str:
    """Three digits that count, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
