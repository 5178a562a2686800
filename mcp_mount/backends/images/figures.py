"""Cards, charts and diagrams that the embedded backend draws, from structured parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mcp_mount.backends.images.canvas import COLOURS, INK, PALE, PAPER, Box, Canvas

Short = Annotated[str, Field(max_length=200)]


class Card(BaseModel):
    """A card with a title and a text."""

    model_config = ConfigDict(extra="forbid")

    title: Short = ""
    text: str = Field("", max_length=5000)
    footer: Short = ""

    def draw(self, canvas: Canvas) -> None:
        left, top, right, bottom = canvas.inner
        canvas.pen.rectangle(canvas.inner, outline=PALE, width=2)
        height = bottom - top
        upper = top + height / 4 if self.title else top
        lower = bottom - height / 8 if self.footer else bottom
        canvas.text(self.title, (left + 8, top, right - 8, upper), COLOURS[0], lines=2)
        canvas.text(self.text, (left + 8, upper, right - 8, lower), lines=20)
        canvas.text(self.footer, (left + 8, lower, right - 8, bottom), COLOURS[5])

    def described(self) -> str:
        """What it shows, in words."""
        return f"a card, {self.title or self.text[:80]!r}"


class Chart(BaseModel):
    """A chart of numbers."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["bar", "line", "pie"] = "bar"
    title: Short = ""
    labels: list[Short] = Field(default_factory=list, max_length=100)
    values: list[Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]] = Field(
        min_length=1, max_length=100
    )

    @model_validator(mode="after")
    def _fits(self) -> Chart:
        if self.labels and len(self.labels) != len(self.values):
            raise ValueError("a chart has as many labels as values, or none")
        if self.type == "pie" and (min(self.values) < 0 or not sum(self.values)):
            raise ValueError("a pie has values from 0 on, and one above it")
        return self

    def draw(self, canvas: Canvas) -> None:
        left, top, right, bottom = canvas.inner
        height = bottom - top
        if self.title:
            canvas.text(self.title, (left, top, right, top + height / 7))
            top += height / 6
        if self.type == "pie":
            self._pie(canvas, (left, top, right, bottom))
        else:
            self._axes(canvas, (left, top, right, bottom))

    def described(self) -> str:
        """What it shows, in words."""
        labels = self.labels or [str(number + 1) for number in range(len(self.values))]
        shown = ", ".join(
            f"{label} {value:g}"
            for label, value in list(zip(labels, self.values, strict=True))[:20]
        )
        return f"a {self.type} chart, {self.title!r}: {shown}"

    def _axes(self, canvas: Canvas, box: Box) -> None:
        left, top, right, bottom = box
        foot = (bottom - top) / 8 if self.labels else 0
        lower = bottom - foot
        low, high = min(0.0, *self.values), max(0.0, *self.values)
        # Of numbers that are next to nothing, the quotient would be infinite.
        scale = (lower - top) / max(high - low, 1e-9)
        zero = lower + low * scale
        step = (right - left) / len(self.values)
        places = [
            (left + (number + 0.5) * step, zero - value * scale)
            for number, value in enumerate(self.values)
        ]
        if self.type == "line":
            if len(places) > 1:
                canvas.pen.line(places, fill=COLOURS[0], width=max(1, int(step / 20)))
            for x, y in places:
                canvas.pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=COLOURS[1])
        else:
            for number, (x, y) in enumerate(places):
                bar = (x - step * 0.35, min(y, zero), x + step * 0.35, max(y, zero))
                canvas.pen.rectangle(bar, fill=COLOURS[number % len(COLOURS)])
        canvas.pen.line((left, zero, right, zero), fill=INK)
        for (x, _), label in zip(places, self.labels, strict=False):
            canvas.text(label, (x - step / 2 + 1, lower, x + step / 2 - 1, bottom))
        for (x, y), value in zip(places, self.values, strict=True):
            canvas.text(f"{value:g}", (x - step / 2, max(top, y - 16), x + step / 2, y))

    def _pie(self, canvas: Canvas, box: Box) -> None:
        left, top, right, bottom = box
        side = min(right - left, bottom - top)
        x, y = (left + right) / 2, (top + bottom) / 2
        angle, total = -90.0, sum(self.values)
        for number, value in enumerate(self.values):
            end = angle + 360.0 * value / total
            if end > angle:
                around = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
                colour = COLOURS[number % len(COLOURS)]
                canvas.pen.pieslice(around, angle, end, fill=colour, outline=PAPER)
                middle = math.radians((angle + end) / 2)
                at = (x + math.cos(middle) * side * 0.33, y + math.sin(middle) * side * 0.33)
                label = self.labels[number] if self.labels else f"{value:g}"
                wide = side / 6
                place = (at[0] - wide, at[1] - wide / 3, at[0] + wide, at[1] + wide / 3)
                canvas.text(label, place, PAPER)
            angle = end


class Diagram(BaseModel):
    """Boxes and arrows between them."""

    model_config = ConfigDict(extra="forbid")

    title: Short = ""
    nodes: list[Short] = Field(min_length=1, max_length=50)
    edges: list[tuple[Short, Short]] = Field(default_factory=list, max_length=200)

    @model_validator(mode="after")
    def _fits(self) -> Diagram:
        unknown = {name for edge in self.edges for name in edge} - set(self.nodes)
        if unknown:
            raise ValueError(f"an edge names a node that there is not: {min(unknown)!r}")
        if len(set(self.nodes)) != len(self.nodes):
            raise ValueError("each node has a name of its own")
        return self

    def draw(self, canvas: Canvas) -> None:
        left, top, right, bottom = canvas.inner
        if self.title:
            canvas.text(self.title, (left, top, right, top + (bottom - top) / 7))
            top += (bottom - top) / 6
        boxes = self._boxes((left, top, right, bottom))
        for start, end in self.edges:
            _arrow(canvas, boxes[start], boxes[end])
        for number, (name, box) in enumerate(boxes.items()):
            canvas.pen.rectangle(box, fill=PAPER, outline=COLOURS[number % len(COLOURS)], width=2)
            canvas.text(name, (box[0] + 3, box[1] + 2, box[2] - 3, box[3] - 2), lines=3)

    def described(self) -> str:
        """What it shows, in words."""
        arrows = ", ".join(f"{start} → {end}" for start, end in self.edges[:20])
        return f"a diagram, {self.title!r}: {arrows or ', '.join(self.nodes[:20])}"

    def _boxes(self, box: Box) -> dict[str, Box]:
        """Where the nodes stand: each below those whose arrows lead to it."""
        rows = self._rows()
        left, top, right, bottom = box
        height = (bottom - top) / len(rows)
        boxes = {}
        for number, row in enumerate(rows):
            width = (right - left) / len(row)
            for place, name in enumerate(row):
                x, y = left + place * width, top + number * height
                boxes[name] = (
                    x + width * 0.1,
                    y + height * 0.2,
                    x + width * 0.9,
                    y + height * 0.8,
                )
        return boxes

    def _rows(self) -> Sequence[Sequence[str]]:
        depth = dict.fromkeys(self.nodes, 0)
        forward = self._forward()
        for _ in self.nodes:
            for start, end in forward:
                depth[end] = max(depth[end], depth[start] + 1)
        used = sorted(set(depth.values()))
        return [[name for name in self.nodes if depth[name] == one] for one in used]

    def _forward(self) -> list[tuple[str, str]]:
        """The arrows without those that close a circle."""
        after: dict[str, list[str]] = {name: [] for name in self.nodes}
        for start, end in self.edges:
            after[start].append(end)
        found: list[tuple[str, str]] = []
        done: set[str] = set()

        def follow(name: str, way: tuple[str, ...]) -> None:
            if name in done:
                return
            for other in after[name]:
                if other not in (*way, name):
                    found.append((name, other))
                    follow(other, (*way, name))
            done.add(name)

        for name in self.nodes:
            follow(name, ())
        return found


def _arrow(canvas: Canvas, start: Box, end: Box) -> None:
    if start is end:
        return
    x1, x2 = (start[0] + start[2]) / 2, (end[0] + end[2]) / 2
    y1, y2 = (start[3], end[1]) if start[1] < end[1] else (start[1], end[3])
    canvas.pen.line((x1, y1, x2, y2), fill=INK, width=2)
    angle = math.atan2(y2 - y1, x2 - x1)
    tips = [
        (x2 - 9 * math.cos(angle + turn), y2 - 9 * math.sin(angle + turn)) for turn in (0.4, -0.4)
    ]
    canvas.pen.polygon([(x2, y2), *tips], fill=INK)


FIGURES: dict[str, type[Card] | type[Chart] | type[Diagram]] = {
    "card": Card,
    "chart": Chart,
    "diagram": Diagram,
}
"""The figures by the names of their parameters."""
