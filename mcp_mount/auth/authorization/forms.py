"""Queries and forms of OAuth requests, read strictly."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qsl

from mcp_mount.auth.authorization.errors import OAuthError

MAX_FORM: Final = 64 * 1024
"""The longest query or form that is read, in bytes."""

_MAX_FIELDS: Final = 100


def read_form(data: bytes | str, *, several: Collection[str] = ()) -> dict[str, list[str]]:
    """The parameters of a query or a form.

    Parameters without a value are treated as if they were not there (RFC 6749, section 3.1).

    Args:
        data: As it was sent.
        several: The parameters that may come more than once.

    Raises:
        OAuthError: For a parameter that comes twice, and for what is no form (RFC 6749, sections
            3.1 and 3.2).
    """
    if len(data) > MAX_FORM:
        raise OAuthError("invalid_request", "The parameters are too long")
    try:
        text = data.decode("ascii") if isinstance(data, bytes) else data
        if not text.isascii():
            # A host has read its bytes as Latin-1: a state would not come back as it was.
            raise ValueError
        pairs = parse_qsl(text, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise OAuthError("invalid_request", "The parameters cannot be read") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    for name, values in found.items():
        if len(values) > 1 and name not in several:
            raise OAuthError("invalid_request", f"A parameter comes twice: {printable(name)}")
    return found


def read_form_body(
    kind: str, body: bytes, *, several: Collection[str] = ()
) -> dict[str, list[str]]:
    """The parameters of a form in the body of a request.

    Args:
        kind: The Content-Type header.
        body: The body.
        several: The parameters that may come more than once.

    Raises:
        OAuthError: As `read_form`, and for another media type.
    """
    if kind.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "The body must be application/x-www-form-urlencoded")
    return read_form(body, several=several)


def first(form: dict[str, list[str]], name: str) -> str | None:
    """The value of a parameter; None if it is not there."""
    values = form.get(name)
    return None if values is None else values[0]


def printable(text: str) -> str:
    """A text as an error description may have it (RFC 6749, section 5.2), cut to 80 characters."""
    return "".join(one if " " <= one <= "~" and one not in '"\\' else "?" for one in text[:80])
