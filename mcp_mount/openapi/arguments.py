"""The arguments of a tool that an endpoint validates by itself, as parts of a request."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from mcp_mount.schemas.arguments import (
    MAX_TOLD,
    InvalidArguments,
    advice_of,
    unknown_argument,
)
from mcp_mount.schemas.json_strings import read_json_strings

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class NamedArguments:
    """Arguments of which only the names are checked: the endpoint validates the rest.

    Attributes:
        schema: The schema of an object.
        needed: The names without which no request can be made.
        request: The parameter of the function that gets the host's request; `arguments` gets all
            arguments.
    """

    context = None
    request = "request"
    authenticates = True
    """Whether the endpoint finds out who calls, as it does over plain HTTP."""

    def __init__(self, schema: Mapping[str, Any], needed: Collection[str] = ()) -> None:
        self.schema: dict[str, Any] = {"additionalProperties": False, **schema, "type": "object"}
        self._known: Mapping[str, Any] = self.schema.get("properties", {})
        self._needed = needed

    def validate(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Validate arguments: see `HandlerArguments.validate`."""
        problems = [
            unknown_argument(name, self._known)
            for name in islice((one for one in arguments if one not in self._known), MAX_TOLD)
        ]
        problems += [
            f"{name}: missing, but required" for name in self._needed if arguments.get(name) is None
        ]
        if problems:
            raise InvalidArguments(advice_of(problems))
        # Whoever validates them knows nothing of JSON in strings.
        return (), {"arguments": dict(read_json_strings(arguments, self.schema))}


def path_segment(name: str, text: str, *, is_wide: bool = False) -> str:
    """An argument, as a part of a URL's path.

    Args:
        name: The argument's.
        text: Its value.
        is_wide: Whether it may have several segments, as `{name:path}` does.

    Returns:
        The text as it is.

    Raises:
        InvalidArguments: If it would make another path of it: "." and ".." lead elsewhere (RFC
            3986, section 5.2.4), and so do a slash in one segment, and no segment at all.
    """
    if _CONTROL.search(text):
        raise InvalidArguments(f"{name}: must not have control characters")
    if not is_wide and ("/" in text or not text):
        raise InvalidArguments(f"{name}: must be one segment of a path, without '/'")
    if any(one in (".", "..") for one in text.split("/")):
        raise InvalidArguments(f"{name}: must not have '.' or '..' as a segment of a path")
    return text


def in_no_path(unsent: Mapping[str, Sequence[str]]) -> InvalidArguments:
    """The refusal of arguments that the endpoint has no path for, without others: each with those
    that it needs. Without them, the endpoint would be called as if they were not given."""
    problems = [f"{name}: needs {' and '.join(needed)}" for name, needed in unsent.items()]
    return InvalidArguments(advice_of(problems))


def another_endpoint(method: str, path: str) -> InvalidArguments:
    """The refusal of arguments that make the path of another endpoint, which has its own rules,
    and perhaps was left out on purpose: "all" for the id in "/orders/{id}", say."""
    return InvalidArguments(
        f"These arguments lead to another endpoint, {method.upper()} {path}, which is not this "
        "tool's: give other values for the parts of the path"
    )


def header_value(name: str, text: str) -> str:
    """An argument, as the value of a header.

    Raises:
        InvalidArguments: For line breaks and other control characters, with which another header
            could begin (RFC 9110, section 5.5), and for letters that a header cannot carry.
    """
    if _CONTROL.search(text.replace("\t", " ")):
        raise InvalidArguments(f"{name}: must not have line breaks or other control characters")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidArguments(
            f"{name}: is sent as a header, which cannot carry {text[error.start]!r}; only the "
            "letters of Latin-1 can be"
        ) from None
    return text
