"""The embedded image backend: a drawing made of a prompt's hash, for development and tests.

It needs no model and no network; the same prompt gives the same picture. Needs Pillow (the
`images` extra).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any


def draw(prompt: str, size: tuple[int, int]) -> Any:
    """Return a PIL image of `size` (width and height in pixels) for a prompt."""
    from PIL import Image, ImageDraw

    numbers = _numbers(prompt)
    width, height = size
    picture = Image.new("RGB", size, _colour(numbers))
    canvas = ImageDraw.Draw(picture, "RGBA")
    for _ in range(24):
        x, y = next(numbers) * width // 255, next(numbers) * height // 255
        radius = (next(numbers) + 32) * min(size) // 900
        box = (x - radius, y - radius, x + radius, y + radius)
        shape = canvas.ellipse if next(numbers) % 2 else canvas.rectangle
        shape(box, fill=(*_colour(numbers), 150))
    _caption(canvas, prompt, size)
    return picture


def _caption(canvas: Any, prompt: str, size: tuple[int, int]) -> None:
    width, height = size
    lines = textwrap.wrap(prompt, max(8, width // 8))[:3]
    top = height - 14 * len(lines) - 10
    canvas.rectangle((0, top, width, height), fill=(0, 0, 0, 160))
    for number, line in enumerate(lines):
        # Pillow's built-in bitmap font knows Latin-1 only.
        text = line.encode("latin-1", "replace").decode("latin-1")
        canvas.text((8, top + 5 + 14 * number), text, fill=(255, 255, 255, 255))


def _numbers(seed: str) -> Iterator[int]:
    """Endless bytes that only depend on the seed."""
    block = seed.encode()
    while True:
        block = blake2b(block).digest()
        yield from block


def _colour(numbers: Iterator[int]) -> tuple[int, int, int]:
    return next(numbers), next(numbers), next(numbers)
