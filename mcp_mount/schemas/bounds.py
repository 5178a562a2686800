"""Bounds of what the validation of a client's values may cost.

pydantic tries every choice of a union that has no discriminator. Where several of them lead back to
the same union, the work doubles with each level of a value, whether that is valid or not: a request
of 200 bytes would take hours. And every problem that it finds has a copy of the path that leads to
it, in which a client chooses the names of dictionaries and the depth of recursive types: 4 MB would
become terabytes. So the schemas of such types count, and such values are measured before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from mcp_mount.wire.binary import NO_SCHEMAS

_MAX_PATHS: Final = 128 * 1024 * 1024
"""How long the paths of all values may be together, in characters."""

_MAX_TRIES: Final = 20_000
"""How often a union may be tried for a small value; twice more for each value in a large one."""

_STEP: Final = 40
"""What a step of a path takes beside its name."""

_SCALARS: Final = frozenset({"any", "bool", "float", "int", "none", "str"})


class TooCostly(Exception):
    """A value that would take too long to validate. The message tells a model what to change.

    No ValueError, which pydantic would take for one problem among others.
    """


class _Tries:
    """How often unions may still be tried for one value."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


_tries: ContextVar[_Tries | None] = ContextVar("mcp_mount_tries", default=None)


class Bounds:
    """What the validation of one type's values may cost.

    Attributes:
        schema: The core schema to validate by; the very same object if nothing is to be counted.
        is_ambiguous: Whether tries of unions are counted.
        is_measured: Whether `validate` does more than the validator.
    """

    def __init__(self, schema: Any) -> None:
        """Look at a type.

        Args:
            schema: Its core schema.
        """
        recursive = _recursive(schema)
        self.schema = _counting(schema, recursive) if recursive else schema
        self.is_ambiguous = self.schema is not schema
        self.is_measured = bool(recursive) or _has_free_names(schema)

    def validate(self, validator: Any, value: Any) -> Any:
        """Validate a value.

        Args:
            validator: The validator made of `schema`.
            value: What a client sent.

        Raises:
            TooCostly: If that would take too long, or too much memory.
            ValidationError: If it does not fit.
        """
        if not self.is_measured:
            return validator.validate_python(value)
        with counted(value):
            return validator.validate_python(value)


@contextmanager
def counted(value: Any) -> Iterator[None]:
    """Count the tries that the validation of a value takes, within the block.

    Args:
        value: What a client sent.

    Raises:
        TooCostly: At once if its paths are too long, or when there are too many tries.
    """
    number, longest = _measured(value)
    most = min(_MAX_TRIES + 2 * number, _MAX_PATHS // (longest + 1))
    token = _tries.set(_Tries(most))
    try:
        yield
    finally:
        _tries.reset(token)


def count() -> None:
    """Count a try, where they are counted.

    Raises:
        TooCostly: If there were too many.
    """
    tries = _tries.get()
    if tries is None:
        return
    tries.left -= 1
    if tries.left < 0:
        raise TooCostly("They can be read in too many ways to try them all: nest them less deep")


def _measured(value: Any) -> tuple[int, int]:
    """How many values a value has within, and how long the longest path to one is.

    Raises:
        TooCostly: If the paths are too long together.
    """
    number = longest = whole = 0
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        one, length = waiting.pop()
        number += 1
        whole += length
        if whole > _MAX_PATHS:
            raise TooCostly(
                "They have too many values within names that long, or that deep: send less, or "
                "shorter names"
            )
        longest = max(longest, length)
        if isinstance(one, Mapping):
            waiting += [(inner, length + _STEP + len(name)) for name, inner in one.items()]
        elif isinstance(one, list):
            length += _STEP
            waiting += [(inner, length) for inner in one]
    return number, longest


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """The core schemas in a core schema, itself among them, but for what references refer to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema
        for key, member in schema.items():
            if key not in NO_SCHEMAS and key != "definitions":
                yield from _parts(member)
    elif isinstance(schema, list | tuple):
        for item in schema:
            yield from _parts(item)


def _referred(schema: Any) -> set[str]:
    return {one["schema_ref"] for one in _parts(schema) if one["type"] == "definition-ref"}


def _recursive(schema: Any) -> dict[str, frozenset[str]]:
    """What the recursive definitions in a core schema refer to, over however many steps."""
    definitions = schema.get("definitions", ()) if isinstance(schema, dict) else ()
    steps = {one["ref"]: _referred(one) for one in definitions}
    found: dict[str, frozenset[str]] = {}
    for name in steps:
        reached: set[str] = set()
        waiting = list(steps[name])
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting += steps.get(one, ())
        if name in reached:
            found[name] = frozenset(reached)
    return found


def _counting(schema: Any, recursive: Mapping[str, frozenset[str]]) -> Any:
    """A core schema in which unions count that more than one way leads back to."""
    if isinstance(schema, list | tuple):
        items = [_counting(item, recursive) for item in schema]
        changed = any(new is not old for new, old in zip(items, schema, strict=True))
        return type(schema)(items) if changed else schema
    if not isinstance(schema, dict):
        return schema
    members = {
        key: member if key in NO_SCHEMAS else _counting(member, recursive)
        for key, member in schema.items()
    }
    changed = any(members[key] is not schema[key] for key in schema)
    whole = members if changed else schema
    if schema.get("type") != "union":
        return whole
    ways = sum(any(one in recursive for one in _referred(way)) for way in schema["choices"])
    if ways < 2:
        return whole
    inner = {key: member for key, member in whole.items() if key not in ("ref", "serialization")}
    kept = {key: whole[key] for key in ("ref", "serialization", "metadata") if key in whole}
    inner.pop("metadata", None)
    return {
        "type": "function-before",
        "function": {"type": "no-info", "function": _counted},
        "schema": inner,
        **kept,
    }


def _counted(value: Any) -> Any:
    count()
    return value


def _has_free_names(schema: Any) -> bool:
    """Whether a client chooses names within which there may be several problems."""
    for one in _parts(schema):
        values = one.get("extras_schema")
        if one["type"] == "dict":
            values = one.get("values_schema")
        if values is not None and values.get("type") not in _SCALARS:
            return True
    return False
