"""The embedded image backend: a stand-in for development and tests, without any image model."""

from __future__ import annotations

from typing import Any, Final

from mcp_mount.backends.images.abstract import draw
from mcp_mount.backends.images.pictures import picture_of
from mcp_mount.llm.images import ImageAsking, Picture

NAME: Final = "stand-in-image"


class StandInBackend:
    """Draws without a model; the same request gives the same picture. Needs the extra `images`."""

    is_async = False
    wants_context = False
    edits = True

    def draw(self, asked: ImageAsking) -> Picture:
        """Draw a picture.

        Args:
            asked: The request.
        """
        request = asked.request
        value: Any = draw(request.prompt, request.pixels)
        return picture_of(value, request.output_format)
