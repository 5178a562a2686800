"""Reads from the code of a view's methods what nothing else declares about an action."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any, Final

from rest_framework.serializers import BaseSerializer

_BODIES: Final = frozenset(["data", "POST", "FILES", "body", "stream"])
"""The attributes of a request that read its body."""

_OF_VIEW: Final = frozenset(["get_serializer", "get_serializer_class", "serializer_class"])
"""The attributes by which a view gets its serializer."""

_ANSWERING: Final = frozenset(["list", "retrieve", "paginate_queryset", "get_paginated_response"])
"""Methods that an action calls to respond."""

_MAX_DEPTH: Final = 3


def reads_body(function: Any, kind: type[Any]) -> bool:
    """Whether a method, or a method of the view that it calls, reads the body of its request.

    Args:
        function: The method.
        kind: The class of the view.
    """
    return any(_reads_body(code) for code in _codes(function, kind, _MAX_DEPTH))


def reads_by_view(function: Any, kind: type[Any]) -> bool:
    """Whether it does so with the serializer of the view.

    Args:
        function: The method.
        kind: The class of the view.
    """
    return any(
        _passes_data(code) and not _OF_VIEW.isdisjoint(code.co_names)
        for code in _codes(function, kind, _MAX_DEPTH)
    )


def only_serializer(function: Any) -> type[BaseSerializer[Any]] | None:
    """Return the class of the serializer with which a method reads a body, if there is only one in
    its code.
    """
    code = _code(function)
    if code is None or not _passes_data(code):
        return None
    known = inspect.unwrap(function).__globals__
    found = {
        id(one): one
        for one in (known.get(name) for name in code.co_names)
        if isinstance(one, type) and issubclass(one, BaseSerializer)
    }
    return found.popitem()[1] if len(found) == 1 else None


def takes_several(function: Any) -> bool:
    """Whether the code of a method makes a serializer for a list in the body:
    `get_serializer(data=request.data, many=True)`.
    """
    code = _code(function)
    return code is not None and any({"data", "many"} <= names for names in _keywords(code))


def mentions(function: Any, name: str) -> bool:
    """Whether the code of a method mentions a name itself.

    Args:
        function: The method.
        name: The name of an attribute or a global.
    """
    code = _code(function)
    return code is not None and name in code.co_names


def _reads_body(code: CodeType) -> bool:
    """Whether the code contains `request.data` or similar. The `data` of a serializer is its
    output.
    """
    # The name `request` directly before the attribute: another object's `data` is something else.
    before = False
    for one in dis.get_instructions(code):
        if one.opname in ("LOAD_ATTR", "LOAD_METHOD") and one.argval in _BODIES and before:
            return True
        # Since Python 3.13, one instruction may load two variables.
        loaded = one.argval[-1] if isinstance(one.argval, tuple) and one.argval else one.argval
        before = loaded == "request"
    return False


def _passes_data(code: CodeType) -> bool:
    return any("data" in names for names in _keywords(code))


def _keywords(code: CodeType) -> Iterator[set[Any]]:
    """Yield the names of keyword arguments of each call, and other tuples of constants."""
    # CPython keeps the keyword names of a call as a tuple among the constants.
    for one in code.co_consts:
        if isinstance(one, tuple):
            yield {name for name in one if isinstance(name, str)}


def _codes(function: Any, kind: type[Any], depth: int) -> Iterator[CodeType]:
    code = _code(function)
    if code is None or depth == 0:
        return
    yield code
    for name in code.co_names:
        inner = getattr(kind, name, None)
        if name not in _ANSWERING and inspect.isfunction(inner):
            yield from _codes(inner, kind, depth - 1)


def _code(function: Any) -> CodeType | None:
    inner = inspect.unwrap(function) if callable(function) else None
    code = getattr(inner, "__code__", None)
    return code if isinstance(code, CodeType) else None
