"""What a part of a run is given, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.targets import Target


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line.

    Attributes:
        targets: The targets to measure.
        rounds: How many rounds.
        seconds: How long one measurement takes.
    """

    targets: Sequence[Target]
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Page:
    """What a part has measured.

    Attributes:
        text: Markdown.
        charts: SVG, by the name of the file without its ending.
    """

    text: str
    charts: Mapping[str, str] = field(default_factory=dict)
