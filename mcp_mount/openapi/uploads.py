"""Files in the arguments of a tool, and bodies of multipart/form-data (RFC 7578).

No package that this one depends on writes such bodies: Starlette and python-multipart only read
them.
"""

from __future__ import annotations

import mimetypes
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from mcp_mount.schemas.arguments import InvalidArguments
from mcp_mount.wire.binary import decode_base64
from mcp_mount.wire.data_urls import data_url

MULTIPART: Final = "multipart/form-data"
_OCTETS: Final = "application/octet-stream"
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]")

_MEDIA_TYPE: Final = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
"""RFC 6838, section 4.2."""

FILE: Final[Mapping[str, Any]] = {
    "type": "string",
    "contentEncoding": "base64",
    "description": (
        "A file, as Base64; or as a data: URI that also says its type and its name: "
        "data:image/png;name=photo.png;base64,…"
    ),
}
"""The schema of an argument that is a file."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send."""

    data: bytes
    filename: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a form: a text, or a file."""

    name: str
    value: str | Upload
    content_type: str | None = None


def is_file(schema: Any) -> bool:
    """Whether a schema is that of a file, in one of the ways that OpenAPI 3.0 and 3.1 have."""
    if not isinstance(schema, Mapping):
        return False
    if any(is_file(one) for key in ("anyOf", "oneOf") for one in _several(schema.get(key))):
        # An optional one.
        return True
    kind = schema.get("type", "string")
    is_text = kind == "string" or (isinstance(kind, list) and "string" in kind)
    # With an encoding it is a text: the document says how the client has to encode it.
    is_binary = "contentMediaType" in schema and "contentEncoding" not in schema
    return is_text and (schema.get("format") == "binary" or is_binary)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def file_schema(schema: Any) -> dict[str, Any]:
    """The schema of an argument for a file, with what the document says of it."""
    said = schema.get("description") if isinstance(schema, Mapping) else None
    if not isinstance(said, str) or not said:
        return dict(FILE)
    return {**FILE, "description": f"{said} ({FILE['description']})"}


def upload_of(name: str, value: Any, content_type: str | None = None) -> Upload:
    """The file that an argument holds.

    Args:
        name: The argument's.
        value: What the client sent.
        content_type: Its type, where the document says it.

    Raises:
        InvalidArguments: If it is neither Base64 nor a data: URI, and for what is no media type.
    """
    if not isinstance(value, str):
        raise InvalidArguments(f"{name}: must be a string: a file as Base64, or as a data: URI")
    try:
        url = data_url(value)
    except ValueError:
        raise InvalidArguments(
            f"{name}: is no data: URI, which has a comma before its data"
        ) from None
    known: Mapping[str, str] = {}
    if url is not None:
        known = url.parameters
        if url.media_type and not _MEDIA_TYPE.fullmatch(url.media_type):
            raise InvalidArguments(
                f"{name}: {url.media_type!r} is no media type, such as image/png"
            )
        content_type = url.media_type or content_type
    try:
        data = decode_base64(value) if url is None else url.data()
    except ValueError:
        raise InvalidArguments(
            f"{name}: is no file: send it as Base64, or as data:TYPE;name=NAME;base64,DATA"
        ) from None
    return _upload(name, data, known, content_type)


def _upload(name: str, data: bytes, known: Mapping[str, str], content_type: str | None) -> Upload:
    filename = unquote(known.get("name") or known.get("filename") or "").replace("\\", "/")
    # Control characters are no part of a name: with NUL, no file can be opened. Line breaks are
    # escaped where they are sent.
    filename = _CONTROL.sub("", filename.rpartition("/")[2])
    if filename in (".", ".."):
        filename = ""
    if content_type is None:
        content_type = mimetypes.guess_type(filename)[0] or _OCTETS
    if not filename:
        filename = name + (mimetypes.guess_extension(content_type) or "")
    return Upload(data, filename, content_type)


def multipart(parts: Iterable[Part]) -> tuple[bytes, str]:
    """The body of a form with files, and its media type with the boundary."""
    boundary = secrets.token_hex(16)
    chunks: list[bytes] = []
    for part in parts:
        # HTML, "Multipart form data": quotes and line breaks in names are percent-encoded.
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(part.name)}"'
        kind = part.content_type
        if isinstance(part.value, Upload):
            head += f'; filename="{_escaped(part.value.filename)}"'
            kind, data = part.value.content_type, part.value.data
        else:
            data = part.value.encode(errors="replace")
        if kind is not None:
            head += f"\r\nContent-Type: {kind}"
        chunks += [head.encode(errors="replace"), b"\r\n\r\n", data, b"\r\n"]
    chunks.append(f"--{boundary}--\r\n".encode())
    return b"".join(chunks), f"{MULTIPART}; boundary={boundary}"


def _escaped(text: str) -> str:
    return "".join(quote(one) if one in '"\r\n' else one for one in text)
