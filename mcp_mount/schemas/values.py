"""Checks of the values that users give for options: errors at once, not at the first request.

Each takes the name of an option and what a user gave, and returns the form in which it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeAlias

from typing_extensions import get_protocol_members

from mcp_mount.schemas.functions import DefinitionError, is_coroutine_function

Check: TypeAlias = Callable[[str, Any], Any]
"""Takes the name of an option and what a user gave; returns the value that is kept.

Raises DefinitionError or ValueError for a value that the option cannot have.
"""


def or_none(check: Check) -> Check:
    """A check that lets None pass."""

    def checked(name: str, value: Any) -> Any:
        return None if value is None else check(name, value)

    return checked


def text(name: str, value: Any) -> str:
    """Any text.

    Raises:
        DefinitionError: For anything else.
    """
    if not isinstance(value, str):
        raise DefinitionError(f"{name} is a text, not {value!r}")
    return value


def filled(name: str, value: Any) -> str:
    """Any text but an empty one.

    Raises:
        DefinitionError: For anything else.
    """
    given = text(name, value)
    if not given:
        raise DefinitionError(f"{name} is empty")
    return given


def flag(name: str, value: Any) -> bool:
    """True or False, or 1 or 0, as variables of the environment give them.

    Raises:
        DefinitionError: For what is neither: open="no" would open a server, and so would
            auth_required=None.
    """
    if not isinstance(value, int) or value not in (0, 1):
        raise DefinitionError(f"{name} is True or False, not {value!r}")
    return bool(value)


def function(name: str, value: Any, *, is_plain: bool = False) -> Any:
    """A function, or anything else that can be called.

    Args:
        name: What it is for.
        value: The function.
        is_plain: Whether a coroutine function will not do.

    Raises:
        DefinitionError: For anything else.
    """
    if not callable(value):
        raise DefinitionError(f"{name} is a function, not {value!r}")
    if is_plain and is_coroutine_function(value):
        raise DefinitionError(f"{name} is a plain function, not a coroutine function: {value!r}")
    return value


def seconds(name: str, value: Any) -> float:
    """A time above 0.

    Raises:
        DefinitionError: For what is no time: with keep_alive=0 comments would be sent without a
            pause.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or value <= 0:
        raise DefinitionError(f"{name} is a number of seconds above 0, not {value!r}")
    number: float = value
    return number


def whole(least: int) -> Check:
    """A check of whole numbers.

    Args:
        least: The smallest one.
    """

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise DefinitionError(f"{name} is a number from {least} on, not {value!r}")
        return value

    return check


def mapping(name: str, value: Any) -> Mapping[Any, Any]:
    """A dict, or another mapping.

    Raises:
        DefinitionError: For anything else.
    """
    if not isinstance(value, Mapping):
        raise DefinitionError(f"{name} is a dict, not {value!r}")
    return value


def kind_of(value: Any) -> str:
    """What a value is, without showing it: it may be secret."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"an object of {type(value).__name__}"


def unlike(value: Any, protocol: type) -> str | None:
    """What a value is that is no object of a protocol; None for one that is.

    Args:
        value: What the user gave. It is not shown, since it may be secret.
        protocol: Has the members that it must have.
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    members = sorted(get_protocol_members(protocol))
    lacking = [one for one in members if not hasattr(value, one)]
    if not lacking:
        return None
    kind = type(value).__name__
    return kind if len(lacking) == len(members) else f"{kind}, which has no {', '.join(lacking)}"


def like(protocol: type, what: str) -> Check:
    """A check of objects of users' own classes, by the members that they must have.

    Args:
        protocol: Has these members.
        what: What such an object is, for the error.
    """

    def check(name: str, value: Any) -> Any:
        other = unlike(value, protocol)
        if other is not None:
            raise DefinitionError(f"{name} is {what}, not {other}")
        return value

    return check
