"""URIs in one form, so that those that mean the same are equal (RFC 3986, section 6.2.2).

People write `res://café/á b`, clients send it as it is or percent-encoded, some in lower case.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from mcp_mount.wire.encoding import without_surrogates

_RESERVED: Final = ":/?#[]@!$&'()*+,;="
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NORMAL: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]*")
_PERCENT: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_EXPRESSION: Final = re.compile(r"(\{[^{}]*\})")


def normal_uri(uri: str) -> str:
    """Return a URI with all that must be encoded encoded, and nothing else.

    Args:
        uri: A URI, or an IRI with characters that URIs do not have.

    Returns:
        ASCII: what is no character of URIs in percent-encoded UTF-8, in upper case; letters, digits
        and `-._~` as they are.
    """
    if _NORMAL.fullmatch(uri):
        return uri
    return _PERCENT.sub(_octet, quote(without_surrogates(uri), safe=_RESERVED + "%"))


def normal_template(template: str) -> str:
    """Return a URI template with its literal parts in the form of `normal_uri` (RFC 6570)."""
    if "{" not in template:
        return normal_uri(template)
    parts = _EXPRESSION.split(template)
    parts[::2] = map(normal_uri, parts[::2])
    return "".join(parts)


def _octet(match: re.Match[str]) -> str:
    digits = match[1]
    if digits is None:
        # A percent sign that encodes nothing stands for itself.
        return "%25"
    character = chr(int(digits, 16))
    return character if character in _UNRESERVED else f"%{digits.upper()}"
