"""The bytes of an endpoint's response: content codings and charsets (RFC 9110, section 8)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from email.message import Message
from gzip import BadGzipFile, GzipFile
from io import BytesIO
from typing import Final

from mcp_mount.openapi.bodies import ResponseTooLarge
from mcp_mount.wire.errors import ToolError

_GZIP: Final = b"\x1f\x8b"
"""The beginning of each member of a gzip file (RFC 1952, section 2.3.1)."""


def decoded(body: bytes, content_type: str) -> str:
    """A text by the charset that its media type names; UTF-8 without one that is known."""
    named = Message()
    named["content-type"] = content_type
    try:
        return body.decode(named.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):
        # Names with NUL are no names, and some codecs ("idna", "undefined") know no "replace".
        return body.decode("utf-8", "replace")


def _coding(headers: Mapping[str, str]) -> str:
    """The coding of a body (RFC 9110, section 8.4), empty for none."""
    coding = headers.get("content-encoding", "").strip().lower()
    return "" if coding == "identity" else coding


def uncompressed(headers: Mapping[str, str], body: bytes, limit: int | None) -> bytes:
    """A body without its coding: gzip and deflate. No more is made of it than the limit.

    No request for an endpoint has an Accept-Encoding, but some answer so all the same.

    Args:
        headers: Names in lower case.
        body: As it came.
        limit: The most bytes that it may have; None for any number.

    Raises:
        ToolError: For other codings, and for a body that does not have the one that is named.
        ResponseTooLarge: For more than the limit.
    """
    coding = _coding(headers)
    if not body or not coding:
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ToolError(f"The endpoint answers in the coding {coding[:40]!r}, which is not known")
    most = -1 if limit is None else limit + 1
    try:
        if body.startswith(_GZIP):
            # It may have several members (RFC 1952, section 2.2).
            data = GzipFile(fileobj=BytesIO(body)).read(most)
        else:
            decoder = zlib.decompressobj()
            data = decoder.decompress(body, max(most, 0))
            if not decoder.eof and len(data) != most:
                raise EOFError
    except EOFError:
        raise ToolError("The endpoint's answer is incomplete") from None
    except (zlib.error, BadGzipFile):
        raise ToolError(f"The endpoint's answer is not {coding}, which it says it is") from None
    if limit is not None and len(data) > limit:
        raise ResponseTooLarge(limit)
    return data
