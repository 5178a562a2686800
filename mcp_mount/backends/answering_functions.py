"""What functions that are chat models have in common with those that are image backends."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from mcp_mount.context.context import Context, SyncContext
from mcp_mount.llm.models import ModelTraits
from mcp_mount.schemas.functions import (
    DefinitionError,
    describe,
    is_coroutine_function,
    routine_of,
    unwrap,
)


class AnsweringFunction(ModelTraits):
    """A function that answers: plain, a coroutine function, or a generator of either kind.

    Args:
        function: The function.

    Attributes:
        is_async: Whether it needs an event loop.
        context_class: The kind of context that it may take.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_async = is_coroutine_function(function) or inspect.isasyncgenfunction(
            routine_of(unwrap(function))
        )
        self.context_class: type = Context if self.is_async else SyncContext

    def takes_context(self, parameter: inspect.Parameter) -> bool:
        """Whether a parameter gets the context.

        Args:
            parameter: One of the function.

        Raises:
            DefinitionError: If it is for the other kind of context.
        """
        if _is(parameter.annotation, self.context_class):
            return True
        if not (_is(parameter.annotation, Context) or _is(parameter.annotation, SyncContext)):
            return False
        raise DefinitionError(
            f"{describe(self.function)}: write {parameter.name}: {self.context_class.__name__}, "
            f"{'in an async def' if self.is_async else 'in a def'}"
        )

    def refuse_awaitable(self, value: Any) -> None:
        """Refuse what a plain function may not return.

        Args:
            value: What it has returned.

        Raises:
            TypeError: If an event loop is needed for it.
        """
        if isinstance(value, AsyncIterator) or inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise TypeError(
                f"{describe(self.function)} is a plain function and returned what an event loop "
                "is needed for: write it with async def"
            )


def close(steps: Iterator[Any]) -> None:
    """Close an iterator, if it is a generator or the like.

    Args:
        steps: The iterator.
    """
    end = getattr(steps, "close", None)
    if end is not None:
        end()


async def close_async(steps: AsyncIterator[Any]) -> None:
    """Close an asynchronous iterator at once, and here: the garbage collector would close it in a
    task of its own.

    Args:
        steps: The iterator.
    """
    end = getattr(steps, "aclose", None)
    if end is not None:
        await end()


def _is(annotation: Any, kind: type) -> bool:
    origin = getattr(annotation, "__origin__", annotation)
    return isinstance(origin, type) and issubclass(origin, kind)
