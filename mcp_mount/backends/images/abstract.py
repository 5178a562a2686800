"""An abstract picture made of a prompt's hash: the same prompt gives the same picture."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from mcp_mount.backends.images.canvas import Canvas


def draw(canvas: Canvas, prompt: str) -> None:
    """Draw shapes that depend on a prompt, and the prompt."""
    numbers = _numbers(prompt)
    width, height = canvas.width, canvas.height
    canvas.pen.rectangle((0, 0, width, height), fill=_colour(numbers))
    for _ in range(24):
        x, y = next(numbers) * width // 255, next(numbers) * height // 255
        radius = (next(numbers) + 32) * min(width, height) // 900
        box = (x - radius, y - radius, x + radius, y + radius)
        shape = canvas.pen.ellipse if next(numbers) % 2 else canvas.pen.rectangle
        shape(box, fill=(*_colour(numbers), 150))
    caption(canvas, prompt)


def caption(canvas: Canvas, prompt: str) -> None:
    """Write a prompt at the bottom of a picture."""
    left, top, right, bottom = canvas.inner
    upper = bottom - (bottom - top) / 4
    canvas.pen.rectangle((left, upper, right, bottom), fill=(0, 0, 0, 160))
    canvas.text(prompt, (left + 4, upper, right - 4, bottom), (255, 255, 255, 255), lines=3)


def _numbers(seed: str) -> Iterator[int]:
    """Endless bytes that only depend on the seed."""
    block = seed.encode("utf-8", "surrogatepass")
    while True:
        block = blake2b(block).digest()
        yield from block


def _colour(numbers: Iterator[int]) -> tuple[int, int, int]:
    return next(numbers), next(numbers), next(numbers)
