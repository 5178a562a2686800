"""How the values are read that users give for the options of policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mcp_mount.schemas.functions import DefinitionError

T = TypeVar("T")


def several(value: Any) -> Sequence[Any]:
    """The values of an option that may be given alone or in a list."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def guarding(key: str, value: Any) -> Sequence[Any]:
    """The values of an option that restricts calls, given alone or in a list.

    Args:
        key: The name of the option.
        value: What the user gave.

    Raises:
        DefinitionError: For an empty list: one that has come out empty by mistake would restrict
            nothing, in silence.
    """
    found = several(value)
    if value is not None and not found:
        raise DefinitionError(f"{key}={value!r} names nothing: leave it out, or write None")
    return found


def instance_of(kind: Callable[[Any], T]) -> Callable[[str, Any], T | None]:
    """A reader of an option whose value is an object of a class, or the class's first argument.

    Args:
        kind: The class. `timeout=5` means `timeout=Timeout(5)`.
    """

    def read(key: str, value: Any) -> T | None:
        if value is None or (isinstance(kind, type) and isinstance(value, kind)):
            return value  # type: ignore[return-value]
        return kind(value)

    return read


def positive(key: str, value: Any) -> int | None:
    """The value of an option that is a number from 1 on, or None.

    Raises:
        DefinitionError: For anything else.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise DefinitionError(f"{key} is a number from 1 on, not {value!r}")
