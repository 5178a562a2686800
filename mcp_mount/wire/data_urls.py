"""Reading data: URLs (RFC 2397), which have a file in themselves."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes

from mcp_mount.wire.binary import decode_base64

_SCHEME: Final = "data:"


@dataclass(frozen=True, slots=True)
class DataURL:
    """A data: URL.

    Attributes:
        media_type: The media type, such as "image/png"; "" if the URL has none.
        parameters: What follows the media type, such as `name`, by names in lower case.
        is_base64: Whether the data are written in Base64; otherwise they are percent-encoded.
        text: The data as they are written.
    """

    media_type: str
    parameters: Mapping[str, str]
    is_base64: bool
    text: str

    def data(self) -> bytes:
        """The data.

        Raises:
            ValueError: If they are no Base64, and the URL says that they are.
        """
        if self.is_base64:
            return decode_base64(unquote(self.text))
        return self._unquoted()

    def base64(self) -> str:
        """The data in Base64; as they are written, if that is their form."""
        if self.is_base64:
            return unquote(self.text)
        return base64.b64encode(self._unquoted()).decode()

    def _unquoted(self) -> bytes:
        # JSON may have halves of surrogate pairs, which have no form of their own in UTF-8.
        return unquote_to_bytes(self.text.encode("utf-8", "surrogatepass"))


def data_url(value: Any) -> DataURL | None:
    """Read a data: URL.

    Args:
        value: The URL.

    Returns:
        Its parts; None for whatever is no data: URL.

    Raises:
        ValueError: For a data: URL without a comma, which stands before the data.
    """
    if not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        return None
    head, comma, text = value[len(_SCHEME) :].partition(",")
    if not comma:
        raise ValueError("a data: URL has a comma before its data")
    media_type, *marks = head.split(";")
    parameters = {}
    for mark in marks:
        name, _, given = mark.partition("=")
        parameters[name.strip().lower()] = given
    is_base64 = parameters.pop("base64", None) is not None
    return DataURL(media_type.strip(), parameters, is_base64, text)
