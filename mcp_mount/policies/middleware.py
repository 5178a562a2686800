"""Call middleware: users' own functions around handlers.

Three forms, which may stand around any handler, plain or coroutine:

    async def timed(call, call_next):       def timed(call, call_next):       def timed(call):
        result = await call_next()              result = call_next()              result = yield
        return result                           return result                     return result

The last one, a generator, runs where the call is and costs no thread: it must not block.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, TypeAlias

from mcp_mount.calls.call import Call, Policy
from mcp_mount.calls.flows import Enter, Flow
from mcp_mount.calls.results import Result
from mcp_mount.policies.kinds import PolicyKind
from mcp_mount.policies.values import several
from mcp_mount.schemas.functions import (
    DefinitionError,
    describe,
    is_coroutine_function,
    routine_of,
    unwrap,
)

CallNext: TypeAlias = Callable[[], Awaitable[Result]]
"""The second parameter of call middleware that is a coroutine function: runs the rest."""

SyncCallNext: TypeAlias = Callable[[], Result]
"""The second parameter of call middleware that is a plain function: runs the rest."""

CallMiddleware: TypeAlias = Callable[..., Any]
"""A function of one of the three forms above."""


def policy_of(function: Callable[..., Any]) -> Policy:
    """The policy of a user's function in one of the three forms.

    Args:
        function: The function.

    Raises:
        DefinitionError: If it has none of these forms.
    """
    if not callable(function):
        raise DefinitionError(f"call middleware is a function, not {function!r}")
    if inspect.isgeneratorfunction(routine_of(unwrap(function))):
        _check_parameters(function, "call")
        return _Generated(function)
    if inspect.isasyncgenfunction(routine_of(unwrap(function))):
        raise DefinitionError(
            f"{describe(function)} is an asynchronous generator: write a coroutine that returns "
            "await call_next(), or a generator without async"
        )
    _check_parameters(function, "call, call_next")
    return _Entered(function)


def _check_parameters(function: Callable[..., Any], wanted: str) -> None:
    try:
        inspect.signature(function).bind(*wanted.split(", "))
    except TypeError:
        raise DefinitionError(f"{describe(function)}: its parameters must be ({wanted})") from None


class _Entered:
    """A function that calls `call_next` itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._step = Enter(function, is_coroutine_function(function))

    def flow(self, call: Call) -> Flow[Result]:
        return _result(self._function, (yield self._step))


class _Generated:
    """A generator that yields where the rest is to run, with nothing."""

    def __init__(self, function: Callable[[Call], Generator[None, Result, Result]]) -> None:
        self._function = function

    def flow(self, call: Call) -> Flow[Result]:
        return _result(self._function, (yield from self._function(call)))


def _result(function: Callable[..., Any], value: Any) -> Result:
    if not isinstance(value, Result):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError(
            f"{describe(function)} returned {value!r}: call middleware returns {_what(function)}, "
            "or call.encode(value)"
        )
    return value


def _what(function: Callable[..., Any]) -> str:
    """How a function of one of the three forms gets the result that it returns."""
    if inspect.isgeneratorfunction(routine_of(unwrap(function))):
        return "what its yield gave (result = yield; return result)"
    if is_coroutine_function(function):
        return "what await call_next() gave"
    return "what call_next() gave"


KIND: Final = PolicyKind(
    lambda levels: levels.all_of("call_middleware"),
    {"call_middleware": lambda key, value: [policy_of(one) for one in several(value)]},
)
