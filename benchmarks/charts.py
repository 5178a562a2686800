"""Charts as SVG, without a plotting library: bars for targets, lines for curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_COLOURS = ("#2a6f97", "#e07a2f", "#5b8c3e", "#a23b72", "#6c6c6c", "#c9a227", "#3d3d8f")
_GREYS = ("#9a9a9a", "#c4c4c4")
_STYLE = (
    "<style>text{font:13px sans-serif;fill:#333}.t{font-size:15px;font-weight:bold}"
    ".s{font-size:11px;fill:#666}line{stroke:#ddd}</style>"
)


def bars(
    title: str,
    rows: Sequence[tuple[str, Sequence[float]]],
    series: Sequence[str],
    unit: str,
    ours: str = "",
) -> str:
    """A chart of horizontal bars.

    Args:
        title: What is shown.
        rows: The label of each row, and one value for each of the series.
        series: What the values are; with one only, there is no legend.
        unit: The unit of all values.
        ours: With what the labels of rows begin; the bars of the others are grey.
    """
    thick = 16
    row_height = thick * len(series) + 10
    left, width, right, top = 290, 460, 70, 58
    height = top + row_height * len(rows) + 10
    most = max((value for _, values in rows for value in values), default=1) or 1
    parts = [_text(10, 24, f"{title} ({unit})", "t")]
    if len(series) > 1:
        parts += _legend(series, left, 44)
    for row, (label, values) in enumerate(rows):
        y = top + row * row_height
        parts.append(_text(left - 8, y + (row_height - 10) / 2 + 5, label, anchor="end"))
        for number, value in enumerate(values):
            long = width * value / most
            at = y + number * thick
            colour = _COLOURS[number] if label.startswith(ours) else _GREYS[number]
            parts.append(
                f'<rect x="{left}" y="{at}" width="{long:.1f}" height="{thick - 2}" '
                f'fill="{colour}"/>'
            )
            parts.append(_text(left + long + 5, at + 12, _short(value), "s"))
    return _svg(left + width + right, height, parts)


def lines(
    title: str, curves: Mapping[str, Sequence[tuple[float, float]]], x_unit: str, y_unit: str
) -> str:
    """A chart of curves; both axes are logarithmic.

    Args:
        title: What is shown.
        curves: By name, the points, all above zero.
        x_unit: What the horizontal axis is.
        y_unit: What the vertical axis is.
    """
    left, top, width, height = 70, 62, 560, 300
    points = [point for curve in curves.values() for point in curve if min(point) > 0]
    xs, ys = _Axis([x for x, _ in points], left, width), _Axis([y for _, y in points], 0, height)
    parts = [_text(10, 24, f"{title} ({y_unit})", "t"), *_legend(list(curves), left, 46)]
    for x in xs.marks():
        at = xs.place(x)
        parts.append(f'<line x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{top + height}"/>')
        parts.append(_text(at, top + height + 18, _short(x), "s", anchor="middle"))
    for y in ys.marks():
        at = top + height - ys.place(y)
        parts.append(f'<line x1="{left}" y1="{at:.1f}" x2="{left + width}" y2="{at:.1f}"/>')
        parts.append(_text(left - 6, at + 4, _short(y), "s", anchor="end"))
    for number, curve in enumerate(curves.values()):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [
            (xs.place(x), top + height - ys.place(y)) for x, y in sorted(curve) if min(x, y) > 0
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
    parts.append(_text(left + width / 2, top + height + 38, x_unit, anchor="middle"))
    return _svg(left + width + 30, top + height + 50, parts)


class _Axis:
    """A logarithmic axis: which values it has, and where they are."""

    def __init__(self, values: Sequence[float], start: float, length: float) -> None:
        self._values = values or [1.0]
        self._low = math.log10(min(self._values))
        self._high = math.log10(max(self._values))
        if self._high - self._low < 0.3:
            self._low, self._high = self._low - 0.15, self._high + 0.15
        margin = (self._high - self._low) * 0.04
        self._low, self._high = self._low - margin, self._high + margin
        self._start, self._length = start, length

    def place(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._start + share * self._length

    def marks(self) -> list[float]:
        """Powers of ten, and more between them where there are few."""
        steps = (1,) if self._high - self._low > 3 else (1, 2, 5)
        found = [
            step * 10.0**power
            for power in range(math.floor(self._low), math.ceil(self._high) + 1)
            for step in steps
        ]
        return [mark for mark in found if self._low <= math.log10(mark) <= self._high]


def _legend(names: Sequence[str], x: float, y: float) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(f'<rect x="{x:.0f}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 17, y, name, "s"))
        x += 34 + 6.2 * len(name)
    return parts


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    chosen = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{chosen}>{escape(text)}</text>'


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M" if value % 1e5 == 0 else f"{value / 1e6:.1f}M"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">'
    )
    ground = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head, _STYLE, ground, *parts, "</svg>"]) + "\n"
