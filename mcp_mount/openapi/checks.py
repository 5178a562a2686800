"""Checks of arguments and values, for tools whose function takes all arguments as one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from mcp_mount.openapi.operations import Operation
from mcp_mount.schemas.functions import DefinitionError, describe, is_coroutine_function
from mcp_mount.schemas.names import refuse_unknown

_OWN: Final = ("arguments", "request")
"""What the functions of these tools take, so that a check may take it, too."""


def by_argument(
    check: Any, schema: Mapping[str, Any], operation: Operation, *, takes_value: bool
) -> Any:
    """A check that takes arguments by their names, as one of a tool whose function takes them.

    Args:
        check: What the user gave: it takes arguments by their names, `arguments` for all of them,
            or `request`.
        schema: Of the tool's arguments.
        operation: What the tool calls.
        takes_value: Whether it takes the value of the tool first.

    Returns:
        A check that takes `arguments` and `request`. It gives None for an argument that is missing.

    Raises:
        DefinitionError: If it wants an argument that the tool does not have.
    """
    if not callable(check):
        raise DefinitionError(f"a check is a function, not {check!r}")
    parameters = list(inspect.signature(check).parameters)
    names = parameters[1:] if takes_value else parameters
    if not set(names) - set(_OWN):
        return check
    known = [*schema.get("properties", ()), *_OWN]
    refuse_unknown(f"{describe(check)}, a check of {operation}, wants the argument", names, known)

    def given(arguments: Mapping[str, Any], request: Any) -> dict[str, Any]:
        own = {"arguments": arguments, "request": request}
        return {name: own[name] if name in own else arguments.get(name) for name in names}

    # The core looks at the signature for what a check takes.
    if takes_value:

        def of_value(value: Any, arguments: Mapping[str, Any], request: Any) -> Any:
            return check(value, **given(arguments, request))

        async def of_value_async(value: Any, arguments: Mapping[str, Any], request: Any) -> Any:
            return await check(value, **given(arguments, request))

        return _as(check, of_value_async if is_coroutine_function(check) else of_value)

    def of_arguments(arguments: Mapping[str, Any], request: Any) -> Any:
        return check(**given(arguments, request))

    async def of_arguments_async(arguments: Mapping[str, Any], request: Any) -> Any:
        return await check(**given(arguments, request))

    return _as(check, of_arguments_async if is_coroutine_function(check) else of_arguments)


def _as(check: Callable[..., Any], adapted: Any) -> Any:
    """A check under the name of another one, with its own signature."""
    signature = inspect.signature(adapted)
    whole: Any = wraps(check)(adapted)
    whole.__signature__ = signature
    return whole
