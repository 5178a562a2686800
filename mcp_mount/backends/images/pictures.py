"""Pictures that backends return and clients send: their formats and sizes."""

from __future__ import annotations

from typing import Any, Final

from mcp_mount.features.content import Image, sniff
from mcp_mount.llm.images import Picture

MEDIA_TYPES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
"""The formats of pictures, by their media types."""


def media_type_of(data: bytes) -> str | None:
    """The media type that the content of a picture tells; None for what is none of ours."""
    found = sniff(data)
    return found if found in MEDIA_TYPES else None


def picture_of(value: Any, output_format: str | None = None) -> Picture:
    """What a function has returned, as a picture.

    Args:
        value: A `Picture`, an `Image`, a PIL image, bytes or a path.
        output_format: The format for a PIL image; by default PNG.

    Raises:
        TypeError: If it is none of these.
    """
    if isinstance(value, Picture):
        return value
    if isinstance(value, Image):
        image = value
    elif callable(getattr(value, "save", None)):
        if output_format == "jpeg" and callable(getattr(value, "convert", None)):
            # It knows no transparency.
            value = value.convert("RGB")
        image = Image(value, format=output_format)
    else:
        image = Image(value)
    data = image.read()
    return Picture(data, media_type_of(data) or image.media_type(data))
