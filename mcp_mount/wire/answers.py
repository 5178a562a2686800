"""What functions of users answer when they are asked something: a value, at once.

A coroutine that nobody awaits, a generator that nobody runs and a function that nobody calls are
all true to Python. A rule that gives one has said nothing, so it must never count as a yes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from mcp_mount.wire.logs import own_logger

T = TypeVar("T")

logger = own_logger("mcp_mount")


def answer_of(function: Callable[..., Any], value: T) -> T:
    """What a function has answered.

    Args:
        function: Who has answered; it is named by the error.
        value: What it returned.

    Returns:
        That value.

    Raises:
        TypeError: If it is no answer: a coroutine or another awaitable, a generator, a function.
            It is closed, so that Python does not warn that nobody has awaited it.
    """
    if not (
        inspect.isawaitable(value)
        or inspect.isgenerator(value)
        or inspect.isasyncgen(value)
        or callable(value)
    ):
        return value
    if inspect.iscoroutine(value) or inspect.isgenerator(value):
        value.close()
    name = getattr(function, "__qualname__", None) or repr(function)
    raise TypeError(
        f"{name} returned {type(value).__name__}, which is no answer: it must return a value at "
        "once, and can neither be awaited nor called again"
    )


def is_yes(function: Callable[..., Any], value: Any) -> bool:
    """Whether a function has answered yes. What is no answer is a no, and the log says so."""
    if value is True or value is False or value is None:
        return value is True
    try:
        return bool(answer_of(function, value))
    except TypeError as error:
        logger.error("A rule refuses its caller: %s", error)
        return False
