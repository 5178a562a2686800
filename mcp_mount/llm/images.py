"""What image backends are asked, and the pictures that they answer with."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal, Protocol

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

AUTO: Final = "auto"
_DEFAULT_PIXELS: Final = (512, 512)
_SIZE: Final = re.compile(r"[1-9][0-9]{1,3}x[1-9][0-9]{1,3}")
_FILES: Final = ("image", "images", "mask")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, whole or one that a client has sent.

    Attributes:
        data: The encoded picture.
        media_type: Such as "image/png".
        revised_prompt: What the backend has made of the prompt, if it says so.
        description: What the picture is, for those who do not see it.
        usage: What it took, in the backend's words.
    """

    data: bytes
    media_type: str
    revised_prompt: str | None = None
    description: str | None = None
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PartialPicture:
    """A picture on its way.

    Attributes:
        data: The encoded picture.
        media_type: Such as "image/png".
    """

    data: bytes
    media_type: str


class ImageRequest(BaseModel):
    """What an image backend is asked, in OpenAI's form. Null means left out.

    Options that have no attribute here are in `model_extra`.

    Attributes:
        prompt: What to show, or to change.
        model: The name of the backend; None for the first.
        n: How many pictures are wanted. A backend is asked for one at a time.
        size: Width and height in pixels, such as "1024x1024", or "auto".
        quality: Such as "low", "high" or "auto".
        background: Whether what is behind may be seen through.
        output_format: The format of the picture.
        output_compression: How much a JPEG or WebP is compressed, in percent.
        response_format: Whether the answer has the pictures or their URLs.
        stream: Whether the answer is to come in pieces.
        partial_images: How many pictures on their way are wanted.
    """

    model_config = ConfigDict(extra="allow")

    prompt: str = Field(min_length=1, max_length=32_000)
    model: str | None = None
    n: int = Field(1, ge=1, le=10)
    size: str = AUTO
    quality: str | None = Field(None, max_length=64)
    background: Literal["transparent", "opaque", "auto"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    response_format: Literal["b64_json", "url"] = "b64_json"
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=3)

    _images: Sequence[Picture] = PrivateAttr(())
    _mask: Picture | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {key: one for key, one in data.items() if one is not None and key not in _FILES}

    @field_validator("size")
    @classmethod
    def _is_size(cls, size: str) -> str:
        if size != AUTO and not _SIZE.fullmatch(size):
            raise ValueError('a width and a height from 10 to 9999, such as "1024x1024", or "auto"')
        return size

    @property
    def images(self) -> Sequence[Picture]:
        """The pictures to edit; none if a new one is wanted."""
        return self._images

    @property
    def mask(self) -> Picture | None:
        """Where the first of them is to be changed: where this one is transparent."""
        return self._mask

    @property
    def pixels(self) -> tuple[int, int]:
        """The width and the height; 512 each where the backend may choose."""
        if self.size == AUTO:
            return _DEFAULT_PIXELS
        width, _, height = self.size.partition("x")
        return int(width), int(height)

    def with_files(self, images: Sequence[Picture], mask: Picture | None) -> ImageRequest:
        """The request to edit these pictures.

        Args:
            images: The pictures to edit.
            mask: It is transparent where the first of them is to change; None without one.
        """
        request = self.model_copy()
        request._images, request._mask = tuple(images), mask
        return request

    def options(self) -> dict[str, Any]:
        """All that was given, in JSON form, but for the model and how the answer is wanted."""
        left_out = {"model", "n", "response_format", "stream", "partial_images"}
        return self.model_dump(mode="json", exclude_unset=True, exclude=left_out)

    def shown(self) -> dict[str, Any]:
        """All that was given, in JSON form, with pictures by their hashes."""
        data = self.model_dump(mode="json", exclude_unset=True)
        if self._images:
            data["image"] = [_shown(one) for one in self._images]
        if self._mask is not None:
            data["mask"] = _shown(self._mask)
        return data


def _shown(picture: Picture) -> str:
    digest = sha256(picture.data).hexdigest()[:32]
    return f"{picture.media_type}, {len(picture.data)} bytes, sha256 {digest}"


class ImagePieces(Protocol):
    """Takes pictures on their way."""

    async def put(self, delta: PartialPicture) -> None:
        """Take one, on the event loop of the request.

        Args:
            delta: The partial picture.
        """

    def put_from_thread(self, delta: PartialPicture) -> None:
        """Take one from a plain function.

        Args:
            delta: The partial picture.
        """


class _NoImagePieces:
    async def put(self, delta: PartialPicture) -> None: ...

    def put_from_thread(self, delta: PartialPicture) -> None: ...


NO_IMAGE_PIECES: Final[ImagePieces] = _NoImagePieces()
"""For a picture that is wanted as a whole."""


@dataclass(slots=True)
class ImageInvocation:
    """What an image backend is asked.

    Attributes:
        request: The request.
        pieces: Where pictures on their way go, if `request.stream`.
        context: The context of the call; None if the backend does not want one.
    """

    request: ImageRequest
    pieces: ImagePieces = field(default=NO_IMAGE_PIECES)
    context: Any = None


class ImageBackend(Protocol):
    """What draws pictures.

    Attributes:
        is_async: Whether `draw` is a coroutine function. A plain one runs on the thread of the
            request, or on one of a pool.
        wants_context: Whether `ImageInvocation` has the context of the call.
        edits: Whether it edits pictures that a client sends: `request.images`.
    """

    is_async: bool
    wants_context: bool
    edits: bool

    def draw(self, invocation: ImageInvocation) -> Picture | Awaitable[Picture]:
        """Draw one picture.

        Args:
            invocation: The request.

        Returns:
            The picture.

        Raises:
            ModelError: If there is none, for a reason that the caller may know.
        """
