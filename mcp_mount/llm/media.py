"""Pictures and sound in the answers of models."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import Base64Bytes

from mcp_mount.wire.binary import decode_base64
from mcp_mount.wire.data_urls import DataURL, data_url

_LINKS: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture in an answer.

    Attributes:
        url: A data: URL that has the picture, or the http: or https: URL where it is.

    Raises:
        ValueError: For another URL, or for data that are no Base64.
    """

    url: str

    def __post_init__(self) -> None:
        if not isinstance(self.url, str):
            raise ValueError(f"the URL of a picture is text, not {type(self.url).__name__}")
        if self.url.startswith(_LINKS):
            return
        if (file := self.file) is None:
            raise ValueError("a picture has a data: URL with its type, or an https: URL")
        file.data()

    @classmethod
    def of(cls, data: bytes, media_type: str) -> ImagePart:
        """The picture of its bytes.

        Args:
            data: The encoded picture.
            media_type: Such as "image/png".
        """
        return cls(f"data:{media_type};base64,{base64.b64encode(data).decode()}")

    @property
    def file(self) -> DataURL | None:
        """What the URL has in itself; None if it says where the picture is."""
        found = data_url(self.url)
        return found if found is not None and found.media_type else None

    @property
    def as_text(self) -> str:
        """What stands for it where an answer is nothing but text."""
        file = self.file
        if file is None:
            return f"![image]({self.url})"
        return _left_out(file.media_type, len(file.data()))


@dataclass(frozen=True, slots=True)
class AudioPart:
    """Sound in an answer, or a piece of it: the data of several are one after the other.

    Attributes:
        data: The sound. Caches and other processes get it in Base64.
        format: Such as "wav", "mp3" or "pcm16".
        transcript: What is said in it.
        id: The name that a provider has for it.
        expires_at: When the provider forgets that name, in seconds since 1970.
    """

    data: Base64Bytes = b""
    format: str = ""
    transcript: str = ""
    id: str = ""
    expires_at: int | None = None

    @property
    def media_type(self) -> str:
        """Such as "audio/wav"."""
        return f"audio/{_SUBTYPES.get(self.format, self.format or 'wav')}"

    @property
    def as_text(self) -> str:
        """What stands for it where an answer is nothing but text."""
        return self.transcript or _left_out(self.media_type, len(self.data))


_SUBTYPES: Final = {"mp3": "mpeg", "pcm16": "L16"}
"""Of media types, where OpenAI's name for a format is another one."""

_FORMATS: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "L16": "pcm16"}


def audio_format(media_type: str) -> str:
    """OpenAI's name for a type of sound: "mp3" for "audio/mpeg".

    Args:
        media_type: The media type.
    """
    subtype = media_type.partition("/")[2] or media_type
    return _FORMATS.get(subtype, subtype)


def joined_audio(pieces: Sequence[AudioPart]) -> AudioPart | None:
    """The sound of which these are the pieces; None if there are none."""
    if len(pieces) < 2:
        return pieces[0] if pieces else None
    whole = AudioPart()
    for one in pieces:
        whole = replace(
            whole,
            format=whole.format or one.format,
            id=whole.id or one.id,
            expires_at=one.expires_at if whole.expires_at is None else whole.expires_at,
        )
    return replace(
        whole,
        data=b"".join(one.data for one in pieces),
        transcript="".join(one.transcript for one in pieces),
    )


def media_in(part: Mapping[str, Any]) -> ImagePart | AudioPart | None:
    """The picture or the sound that a content part in OpenAI's form has; None for another part.

    Args:
        part: The part, such as `{"type": "image_url", "image_url": {"url": "data:…"}}`.

    Raises:
        ValueError: If it has none that can be.
    """
    kind = part.get("type")
    if kind in ("image_url", "input_image"):
        given = part.get("image_url")
        return ImagePart(given.get("url", "") if isinstance(given, Mapping) else given or "")
    if kind != "input_audio":
        return None
    sound = part.get("input_audio")
    if not isinstance(sound, Mapping) or not isinstance(sound.get("data"), str):
        raise ValueError("a part with sound has its data in Base64")
    return AudioPart(decode_base64(sound["data"]), str(sound.get("format") or "wav"))


def _left_out(media_type: str, size: int) -> str:
    return f"[{media_type}, {size} bytes: only text can be shown here]"
