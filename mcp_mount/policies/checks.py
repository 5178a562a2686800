"""Checks of a tool beyond its types: of the arguments before it runs, of its value afterwards."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, Final

from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Flow, Run, proceed
from mcp_mount.calls.results import Result
from mcp_mount.calls.serving import serving
from mcp_mount.policies.kinds import Levels, PolicyKind
from mcp_mount.schemas.functions import (
    DefinitionError,
    describe,
    is_coroutine_function,
    name_of,
    refuse_what_answers_later,
    signature_of,
)
from mcp_mount.wire.answers import answer_of
from mcp_mount.wire.errors import ToolError


def with_result_checks(
    function: Callable[..., Any], checks: Sequence[Callable[..., Any]]
) -> Callable[..., Any]:
    """Wrap a function in checks of its value; without any it is returned as it is.

    Args:
        function: The handler.
        checks: Functions of the value, and of arguments of the handler by their names. They refuse
            the value by raising ValueError or ToolError, whose message the model reads. Those of a
            coroutine function may be coroutine functions.

    Raises:
        DefinitionError: If a check wants an argument that the handler does not have.
    """
    if not checks:
        return function
    signature, is_async = signature_of(function), is_coroutine_function(function)
    last = [_Check(one, function, signature, is_async=is_async, value=True) for one in checks]

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        arguments = _bound(signature, args, kwargs)
        for check in last:
            check.run(arguments, value)
        return value

    @wraps(function)
    async def checked_async(*args: Any, **kwargs: Any) -> Any:
        value = await function(*args, **kwargs)
        arguments = _bound(signature, args, kwargs)
        for check in last:
            await check.run_async(arguments, value)
        return value

    whole: Any = checked_async if is_async else checked
    whole.__signature__ = signature
    checking: Callable[..., Any] = whole
    return checking


class ArgumentChecks:
    """The checks of a function's arguments, its dependencies among them, before it runs.

    They are as those of its value, without the value.
    """

    def __init__(self, function: Callable[..., Any], checks: Sequence[Callable[..., Any]]) -> None:
        is_async = is_coroutine_function(function)
        self._signature = signature_of(function)
        self._checks = [_Check(one, function, self._signature, is_async=is_async) for one in checks]

    def run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        arguments = _bound(self._signature, args, kwargs)
        for check in self._checks:
            check.run(arguments)

    async def run_async(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        arguments = _bound(self._signature, args, kwargs)
        for check in self._checks:
            await check.run_async(arguments)


class CheckedBefore:
    """Asks the checks of the arguments before what is further in, such as a cache, answers."""

    def flow(self, call: Call) -> Flow[Result]:
        call.prepare()
        yield Run(call.check_async if call.is_async else call.check, call.is_async)
        try:
            return (yield from proceed())
        finally:
            # Middleware may let the call run again, with other arguments.
            call.forget_arguments()


def _bound(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Mapping[str, Any]:
    if not any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values()):
        # What the function itself does not take, such as a request for its dependencies.
        kwargs = {name: value for name, value in kwargs.items() if name in signature.parameters}
    arguments = signature.bind(*args, **kwargs)
    arguments.apply_defaults()
    return arguments.arguments


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
        if is_coroutine_function(check) and not is_async:
            raise DefinitionError(
                f"{describe(check)} is a coroutine function: the checks of a plain function are "
                "plain functions"
            )
        if not is_coroutine_function(check):
            refuse_what_answers_later("a check", check)
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
            self._heed(self._asked(arguments, value))
        except ValueError as error:
            raise ToolError(str(error)) from error

    async def run_async(self, arguments: Mapping[str, Any], *value: Any) -> None:
        asked = partial(self._asked, arguments, value)
        thread = None if is_coroutine_function(self._function) else serving.get()
        try:
            if thread is None:
                answer = asked()
            else:
                # It may ask what the host has on the thread of the request, such as its database.
                answer = await asyncio.get_running_loop().run_in_executor(thread, asked)
            self._heed(await answer if inspect.isawaitable(answer) else answer)
        except ValueError as error:
            raise ToolError(str(error)) from error

    def _asked(self, arguments: Mapping[str, Any], value: tuple[Any, ...]) -> Any:
        return self._function(*value, **{name: arguments[name] for name in self._names})

    def _heed(self, answer: Any) -> None:
        """A check refuses by an exception; one that has not been run, or says no, refuses too."""
        if answer_of(self._function, answer) is False:
            raise ToolError(f"The check {name_of(self._function)!r} refuses this")


def _checked_before(levels: Levels) -> Sequence[CheckedBefore]:
    # Without a cache they are asked where the handler runs, within its transaction.
    needed = levels.has_checks and levels.nearest("cache") is not None
    return [CheckedBefore()] if needed else ()


KIND: Final = PolicyKind(_checked_before)
