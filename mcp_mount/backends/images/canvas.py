"""A picture to draw on, with text that fits. Needs Pillow (the extra `images`)."""

from __future__ import annotations

import textwrap
import unicodedata
from functools import lru_cache
from typing import Any, Final

Box = tuple[float, float, float, float]

INK: Final = (33, 37, 41)
PAPER: Final = (250, 250, 247)
PALE: Final = (206, 212, 218)
COLOURS: Final = (
    (51, 102, 204),
    (220, 110, 40),
    (60, 150, 80),
    (200, 60, 70),
    (130, 90, 180),
    (110, 120, 130),
)

_BANNER: Final = "stand-in, no image model"
_LEAST_TEXT: Final = 6


class Canvas:
    """A picture to draw on.

    Args:
        size: Its width and height, in pixels.
        picture: A PIL image to draw on, in place of a new one.

    Attributes:
        picture: The PIL image.
        pen: Pillow's means to draw.
        inner: Where to draw, above the banner.
    """

    def __init__(self, size: tuple[int, int], picture: Any = None) -> None:
        from PIL import Image, ImageDraw

        self.picture = Image.new("RGB", size, PAPER) if picture is None else picture
        self.pen = ImageDraw.Draw(self.picture, "RGBA")
        self.width, self.height = size
        self._banner = max(min(self.height // 12, 36), min(10, self.height // 3))
        margin = min(self.width, self.height) / 24
        self.inner: Box = (
            margin,
            margin,
            self.width - margin,
            max(self.height - self._banner - margin, margin + 1),
        )

    def finish(self) -> Any:
        """Write on it what it is; the PIL image."""
        top = self.height - self._banner
        self.pen.rectangle((0, top, self.width, self.height), fill=(255, 214, 10, 255))
        self.text(_BANNER, (2, top, self.width - 2, self.height), INK)
        return self.picture

    def text(
        self, text: str, box: Box, colour: Any = INK, *, lines: int = 1, centred: bool = True
    ) -> None:
        """Write a text into a box, as large as it may be there; what does not fit is cut.

        Args:
            text: The text.
            box: Where: left, top, right and bottom.
            colour: Its colour.
            lines: How many lines it may take.
            centred: Whether each line stands in the middle.
        """
        width, height = box[2] - box[0], box[3] - box[1]
        if width < _LEAST_TEXT or height < _LEAST_TEXT or not text.strip():
            return
        size, written = _fitting(text, int(width), int(height), lines)
        font = _font(size)
        top = box[1] + max(0, (height - len(written) * size * 1.25) / 2) if centred else box[1]
        for number, line in enumerate(written):
            wide = font.getlength(line)
            left = box[0] + max(0, (width - wide) / 2) if centred else box[0]
            self.pen.text((left, top + number * size * 1.25), line, fill=colour, font=font)


def _fitting(text: str, width: int, height: int, lines: int) -> tuple[int, list[str]]:
    """The size in which a text fits a box, and its lines."""
    text = _readable(text)
    size = max(_LEAST_TEXT, min(int(height / 1.3), 64))
    while True:
        most = max(1, min(lines, int(height / (size * 1.25))))
        letters = max(1, int(width / max(1.0, _font(size).getlength("abcdefghij") / 10)))
        written = [
            line
            for one in text.splitlines()
            for line in textwrap.wrap(one, letters, break_on_hyphens=False) or [""]
        ]
        fits = len(written) <= most and all(_font(size).getlength(one) <= width for one in written)
        if fits or size <= _LEAST_TEXT:
            return size, written[:most]
        size = max(_LEAST_TEXT, size * 4 // 5)


def _readable(text: str) -> str:
    """A text that the font of Pillow can write: it knows ASCII alone."""
    text = unicodedata.normalize("NFKD", text)
    kept = (one for one in text if not unicodedata.combining(one))
    shown = "".join(one if one.isprintable() or one == "\n" else " " for one in kept)
    return shown.encode("ascii", "replace").decode()


@lru_cache(maxsize=64)
def _font(size: int) -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError, ImportError):
        # Pillow 10.0, or one without FreeType: there is one size.
        return ImageFont.load_default()
