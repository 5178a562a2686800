"""Checks of a tool beyond its types: of the arguments before it runs, of its value afterwards."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from mcp_mount.features.functions import (
    DefinitionError,
    describe,
    is_coroutine_function,
    signature_of,
)
from mcp_mount.protocol.errors import ToolError


def with_checks(
    function: Callable[..., Any],
    before: Sequence[Callable[..., Any]],
    after: Sequence[Callable[..., Any]],
) -> Callable[..., Any]:
    """A function with checks before and after it; itself if there are none.

    A check before takes arguments of the function by their names, as many as it needs; one after
    takes the value first. A ValueError or ToolError that it raises is told to the model. The checks
    of a coroutine function may be coroutine functions. Raises DefinitionError for a check that
    wants what the function does not have.
    """
    if not before and not after:
        return function
    signature, is_async = signature_of(function), is_coroutine_function(function)
    first = [_Check(one, function, signature, is_async=is_async) for one in before]
    last = [_Check(one, function, signature, is_async=is_async, value=True) for one in after]

    def bound(args: Any, kwargs: Any) -> Mapping[str, Any]:
        arguments = signature.bind(*args, **kwargs)
        arguments.apply_defaults()
        return arguments.arguments

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        arguments = bound(args, kwargs)
        for check in first:
            check.run(arguments)
        value = function(*args, **kwargs)
        for check in last:
            check.run(arguments, value)
        return value

    @wraps(function)
    async def checked_async(*args: Any, **kwargs: Any) -> Any:
        arguments = bound(args, kwargs)
        for check in first:
            await check.run_async(arguments)
        value = await function(*args, **kwargs)
        for check in last:
            await check.run_async(arguments, value)
        return value

    whole: Any = checked_async if is_async else checked
    whole.__signature__ = signature
    checking: Callable[..., Any] = whole
    return checking


class _Check:
    """One check of a function."""

    def __init__(
        self,
        check: Callable[..., Any],
        function: Callable[..., Any],
        signature: inspect.Signature,
        *,
        is_async: bool,
        value: bool = False,
    ) -> None:
        if not callable(check):
            raise DefinitionError(f"{describe(function)}: a check is a function, not {check!r}")
        self._function = check
        self._is_async = is_coroutine_function(check)
        if self._is_async and not is_async:
            raise DefinitionError(
                f"{describe(check)} is a coroutine function: the checks of a plain function are "
                "plain functions"
            )
        parameters = list(inspect.signature(check).parameters)
        if value and not parameters:
            raise DefinitionError(f"{describe(check)} must take the value that it checks")
        self._names = parameters[1:] if value else parameters
        missing = [name for name in self._names if name not in signature.parameters]
        if missing:
            raise DefinitionError(
                f"{describe(check)} wants {', '.join(missing)}, which {describe(function)} does "
                "not take"
            )

    def run(self, arguments: Mapping[str, Any], *value: Any) -> None:
        try:
            self._function(*value, **{name: arguments[name] for name in self._names})
        except ValueError as error:
            raise ToolError(str(error)) from error

    async def run_async(self, arguments: Mapping[str, Any], *value: Any) -> None:
        try:
            given = self._function(*value, **{name: arguments[name] for name in self._names})
            if self._is_async:
                await given
        except ValueError as error:
            raise ToolError(str(error)) from error
