"""Content blocks: what a tool or a prompt gives back, encoded for the wire.

Besides text and plain data, a handler may return the helpers `Image`, `Audio` and `File`, or the
content types of the `mcp_types` package.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Final, get_origin
from urllib.parse import quote

from pydantic import BaseModel
from pydantic_core import from_json

from mcp_mount.calls.results import ContentBlock
from mcp_mount.wire.encoding import encode, encode_model
from mcp_mount.wire.revisions import ALL_CONTENT, Revision

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
)


class _Media:
    """Binary content from bytes, from a file, or from something that can save itself."""

    kind: ClassVar[str]
    default_type: ClassVar[str]

    def __init__(
        self,
        source: Any = None,
        *,
        path: str | Path | None = None,
        data: bytes | None = None,
        format: str | None = None,
    ) -> None:
        if sum(given is not None for given in (source, path, data)) != 1:
            raise TypeError(f"{type(self).__name__} takes exactly one of source, path and data")
        if isinstance(source, str | Path):
            source, path = None, source
        elif isinstance(source, bytes | bytearray | memoryview):
            source, data = None, bytes(source)
        if source is not None and not callable(getattr(source, "save", None)):
            raise TypeError(
                f"{type(self).__name__} takes bytes, a path or a PIL image, "
                f"not {type(source).__name__}"
            )
        self._path = None if path is None else Path(path)
        self._data = data
        self._picture = source
        self._format = format

    def read(self) -> bytes:
        """Return the content; reads the file, or encodes the picture, at this moment."""
        if self._picture is not None:
            buffer = BytesIO()
            self._picture.save(buffer, format=(self._format or "png").upper())
            return buffer.getvalue()
        if self._path is not None:
            return self._path.read_bytes()
        assert self._data is not None
        return self._data

    def media_type(self, data: bytes) -> str:
        """The media type: as told by `format`, else by the file's name, else by its first bytes.

        Args:
            data: The bytes of the content.
        """
        if self._format is not None:
            return self._format if "/" in self._format else f"{self.kind}/{self._format.lower()}"
        if self._path is not None:
            guessed = mimetypes.guess_type(self._path.name)[0]
            if guessed is not None:
                return guessed
        return sniff(data) or self.default_type

    def block(self) -> bytes:
        """The encoded content block."""
        data = self.read()
        return b'{"type":%b,"data":"%b","mimeType":%b}' % (
            encode(self.kind),
            base64.b64encode(data),
            encode(self.media_type(data)),
        )


class Image(_Media):
    """An image, from bytes, a path, or a PIL image (or anything with PIL's `save`).

    Args:
        source: Bytes, a path, or an image.
        path: A path, in place of `source`.
        data: Bytes, in place of `source`.
        format: "png", "jpeg", … or a whole media type; by default guessed.

    Raises:
        TypeError: Unless exactly one source is given.
    """

    kind = "image"
    default_type = "image/png"


class Audio(_Media):
    """Sound, from bytes or a path.

    Args:
        source: Bytes, or a path.
        path: A path, in place of `source`.
        data: Bytes, in place of `source`.
        format: "wav", "mpeg", … or a whole media type; by default guessed from the path.

    Raises:
        TypeError: Unless exactly one source is given.
    """

    kind = "audio"
    default_type = "audio/wav"


class File:
    """A file in a result, as an embedded resource. Text types are sent as text, others as Base64.

    Attributes:
        path: Where it is, in place of `data`.
        data: Its bytes, in place of `path`.
        name: The name that the client sees; by default the last part of the path.
        format: The media type; by default guessed from the name.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        data: bytes | str | None = None,
        name: str | None = None,
        format: str | None = None,
    ) -> None:
        if (path is None) == (data is None):
            raise TypeError("File takes either a path or data")
        self._path = None if path is None else Path(path)
        self._data = data
        self.name = name or (self._path.name if self._path is not None else "file")
        self._format = format

    def block(self) -> bytes:
        """The encoded content block."""
        data = self._path.read_bytes() if self._path is not None else self._data
        assert data is not None
        media_type = self._format or mimetypes.guess_type(self.name)[0]
        resource = {"uri": f"file:///{quote(self.name)}"}
        if isinstance(data, bytes) and (media_type or "text/").startswith("text/"):
            # Bytes that are no UTF-8 stay bytes, whatever the name promises.
            with suppress(UnicodeDecodeError):
                data = data.decode()
        if isinstance(data, str):
            resource |= {"mimeType": media_type or "text/plain", "text": data}
        else:
            encoded = base64.b64encode(data).decode()
            resource |= {"mimeType": media_type or "application/octet-stream", "blob": encoded}
        return encode({"type": "resource", "resource": resource})


def sniff(data: bytes) -> str | None:
    """The media type that the first bytes of an image or a sound tell, if they do."""
    if data[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp"}.get(data[8:12])
    for signature, media_type in _SIGNATURES:
        if data.startswith(signature):
            return media_type
    return None


def is_content_type(annotation: Any) -> bool:
    """Whether an annotation names content blocks rather than data with a schema."""
    if not isinstance(annotation, type) or get_origin(annotation) is not None:
        return False
    return issubclass(annotation, _Media | File) or _is_wire_type(annotation)


def is_content(value: Any) -> bool:
    """Whether a value is a content block, or a helper for one."""
    return isinstance(value, _Media | File | ContentBlock) or _is_wire_type(type(value))


def _is_wire_type(kind: type) -> bool:
    # By name, so that mcp_types is imported only where a handler imports it.
    return kind.__module__.startswith("mcp_types") and issubclass(kind, BaseModel)


TEXT_BLOCK: Final = b'{"type":"text","text":%b}'
"""A content block around a text in JSON."""


def text_block(text: str) -> bytes:
    return TEXT_BLOCK % encode(text)


def block(value: Any) -> bytes:
    """One value as one encoded content block; data becomes JSON text."""
    if isinstance(value, str):
        return text_block(value)
    if isinstance(value, _Media | File):
        return value.block()
    if _is_wire_type(type(value)):
        return encode_model(value)
    if isinstance(value, ContentBlock):
        return encode(value)
    return text_block(encode(value).decode())


def blocks(value: Any) -> Iterable[bytes]:
    """A handler's value as encoded content blocks.

    Args:
        value: A list that holds any content block gives one for each item; any other value gives
            one.

    Raises:
        PydanticSerializationError: If data has no JSON form.
    """
    if isinstance(value, list | tuple) and any(map(is_content, value)):
        return [block(item) for item in value]
    return [block(value)]


def readable(encoded: Iterable[bytes], revision: Revision) -> Iterable[bytes]:
    """Content blocks as the clients of a revision can read them: of kinds that are newer than it,
    a text stands in for each."""
    known = revision.content_types
    return encoded if known is ALL_CONTENT else [_readable(block, known) for block in encoded]


def _readable(encoded: bytes, known: frozenset[str]) -> bytes:
    one = from_json(encoded)
    if one.get("type") in known:
        return encoded
    if one.get("type") == "resource_link":
        lines = [f"{one.get('title') or one.get('name')}: {one.get('uri')}", one.get("description")]
        return text_block("\n".join(line for line in lines if line))
    data = one.get("data", "")
    kind, size = one.get("mimeType") or one.get("type"), len(data) * 3 // 4 - data.count("=")
    return text_block(f"[{kind}, {size} bytes: the client cannot read content of this kind]")


def join(encoded: Iterable[bytes]) -> bytes:
    """The `content` member of a result."""
    return b'"content":[%b]' % b",".join(encoded)
