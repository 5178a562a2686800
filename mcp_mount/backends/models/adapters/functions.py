"""Python functions as chat models."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from types import UnionType
from typing import Any, Union, get_args, get_origin

from mcp_mount.backends.answering_functions import AnsweringFunction, close, close_async
from mcp_mount.backends.models.adapters.contents import said_deltas
from mcp_mount.llm.answers import ChatCompletion, Delta, Gathering, deltas_of
from mcp_mount.llm.models import Invocation, Pieces
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.schemas.functions import (
    DefinitionError,
    describe,
    routine_of,
    signature_of,
    unwrap,
)
from mcp_mount.transports.threads import run_in_thread


class FunctionModel(AnsweringFunction):
    """A function that answers, as a chat model.

    It takes a `ChatRequest`, and the context if a parameter is annotated `Context` (in an
    `async def`) or `SyncContext` (in a `def`). It returns what `Piece` lists, `Image` or
    `Audio`, a list of such, or an iterator of them; a generator may yield them.

    Args:
        function: The function: plain, a coroutine function, or a generator of either kind.

    Attributes:
        needs_only_request: Whether it knows nothing of the call but its request. A plain generator
            is told when nobody waits for it any more.

    Raises:
        DefinitionError: If it takes other parameters.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._context = self._context_parameter()
        self.wants_context = self._context is not None
        self.needs_only_request = not self.wants_context and not inspect.isgeneratorfunction(
            routine_of(unwrap(function))
        )

    def answer(self, invocation: Invocation) -> Any:
        """Answer a request; a coroutine, if the function is one."""
        return self._answer_async(invocation) if self.is_async else self._answer_here(invocation)

    async def _answer_async(self, invocation: Invocation) -> ChatCompletion:
        value = self._call(invocation)
        if inspect.isawaitable(value):
            value = await value
        self._refuse_none(value)
        if type(value) is str and not invocation.request.stream:
            return _of_text(value)
        gathering = Gathering()
        if isinstance(value, AsyncIterator):
            try:
                async for piece in value:
                    await _put(piece, gathering, invocation.pieces)
            finally:
                await close_async(value)
        elif isinstance(value, Iterator):
            # Each of its steps may block.
            await run_in_thread(partial(_exhaust, value, gathering, invocation.pieces))
        else:
            await _put(value, gathering, invocation.pieces)
        for delta in gathering.endings():
            gathering.add(delta)
            await invocation.pieces.put(delta)
        return gathering.whole()

    def _answer_here(self, invocation: Invocation) -> ChatCompletion:
        value = self._call(invocation)
        if type(value) is str and not invocation.request.stream:
            return _of_text(value)
        self.refuse_awaitable(value)
        self._refuse_none(value)
        gathering = Gathering()
        steps = value if isinstance(value, Iterator) else iter([value])
        _exhaust(steps, gathering, invocation.pieces)
        for delta in gathering.endings():
            gathering.add(delta)
            invocation.pieces.put_from_thread(delta)
        return gathering.whole()

    def _call(self, invocation: Invocation) -> Any:
        if self._context is None:
            return self.function(invocation.request)
        return self.function(invocation.request, **{self._context: invocation.context})

    def _refuse_none(self, value: Any) -> None:
        """Raise an error for a function that has no `return`: nobody means an empty answer."""
        if value is None:
            raise TypeError(
                f"{describe(self.function)} returned None. A chat model returns or yields text, or "
                'what else it may say; for an empty answer write return ""'
            )

    def _context_parameter(self) -> str | None:
        """The name of the parameter that gets the context."""
        parameters = list(signature_of(self.function).parameters.values())
        if parameters and not _may_be_request(parameters[0].annotation):
            name = parameters[0].name
            raise DefinitionError(
                f"{describe(self.function)}: the first parameter of a chat model is its request: "
                f"write {name}: {ChatRequest.__name__}, and read {name}.text or {name}.messages"
            )
        found = None
        for parameter in parameters[1:]:
            if self.takes_context(parameter):
                found = parameter.name
            elif parameter.default is parameter.empty and parameter.kind not in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            ):
                raise DefinitionError(
                    f"{describe(self.function)}: a chat model takes a {ChatRequest.__name__} and "
                    f"a {self.context_class.__name__}, not {parameter.name!r}"
                )
        if not parameters:
            raise DefinitionError(
                f"{describe(self.function)}: a chat model takes a {ChatRequest.__name__}"
            )
        return found


def _of_text(text: str) -> ChatCompletion:
    """The answer that is a text and is wanted as a whole, as nearly all are that functions return:
    gathered in pieces, it would take 6 µs."""
    return ChatCompletion(text, [], finish_reason="stop", others=[])


async def _put(piece: Any, gathering: Gathering, pieces: Pieces) -> None:
    for delta in _deltas(piece, gathering):
        gathering.add(delta)
        await pieces.put(delta)


def _deltas(piece: Any, gathering: Gathering) -> Iterator[Delta]:
    # Nearly all pieces are text.
    return (deltas_of if type(piece) is str else said_deltas)(piece, gathering)


def _exhaust(steps: Iterator[Any], gathering: Gathering, pieces: Pieces) -> None:
    """Take all steps of an iterator, on a thread, and close it."""
    try:
        for piece in steps:
            for delta in _deltas(piece, gathering):
                gathering.add(delta)
                pieces.put_from_thread(delta)
    finally:
        close(steps)


def _may_be_request(annotation: Any) -> bool:
    """Whether a parameter with an annotation may get a request."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(map(_may_be_request, get_args(annotation)))
    kind = annotation if origin is None else origin
    if kind in (Any, inspect.Parameter.empty) or not isinstance(kind, type):
        return True
    if getattr(kind, "_is_protocol", False):
        return True
    return issubclass(ChatRequest, kind) or issubclass(kind, ChatRequest)
