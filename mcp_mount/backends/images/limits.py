"""Limits on what image backends are asked and may return."""

from __future__ import annotations

from typing import Any

from mcp_mount.backends.images.pictures import MEDIA_TYPES, media_type_of
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.images import ImageBackend, ImageInvocation, ImageRequest, Picture
from mcp_mount.llm.models import ModelTraits, given_for, traits_of


class LimitedBackend(ModelTraits):
    """A backend within limits.

    Args:
        backend: The backend.
        max_side: The largest width and height that it may be asked for, in pixels.
        max_bytes: The largest picture that it may return, in bytes.
    """

    def __init__(self, backend: ImageBackend, *, max_side: int, max_bytes: int) -> None:
        self.backend = backend
        self.function = given_for(backend)
        self.is_async = backend.is_async
        self.wants_context = backend.wants_context
        self.edits = backend.edits
        self.spends_key = traits_of(backend).spends_key
        self._max_side = max_side
        self._max_bytes = max_bytes

    def draw(self, invocation: ImageInvocation) -> Any:
        """Draw a picture; a coroutine, if the backend's method is one.

        Raises:
            ModelError: If the request or the picture exceeds a limit.
        """
        return self._draw_async(invocation) if self.is_async else self._draw(invocation)

    def _draw(self, invocation: ImageInvocation) -> Picture:
        self._check_request(invocation.request)
        backend: Any = self.backend
        return self._checked(backend.draw(invocation))

    async def _draw_async(self, invocation: ImageInvocation) -> Picture:
        self._check_request(invocation.request)
        backend: Any = self.backend
        return self._checked(await backend.draw(invocation))

    def _check_request(self, request: ImageRequest) -> None:
        if max(request.pixels) > self._max_side and request.size != "auto":
            raise ModelError(
                f"size must be at most {self._max_side}x{self._max_side}",
                status=400,
                param="size",
                again=False,
            )

    def _checked(self, picture: Picture) -> Picture:
        if not isinstance(picture, Picture):
            raise TypeError(f"An image backend returns a Picture, not {type(picture).__name__}")
        if len(picture.data) > self._max_bytes:
            raise ModelError(
                f"The picture has {len(picture.data)} bytes, more than the {self._max_bytes} that "
                "may be sent",
                again=False,
            )
        if media_type_of(picture.data) is None:
            known = ", ".join(MEDIA_TYPES)
            raise ModelError(f"The backend has returned what is none of {known}", again=False)
        return picture
