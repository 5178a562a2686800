"""What a context does in several steps, written once for coroutines and for plain functions.

An operation is a generator, as the flows of policies are. It calls a method of its channel and
yields what that returns: for a coroutine's channel an awaitable, whose outcome is sent in, or whose
exception is thrown in; for a plain function's channel the outcome itself, which is sent back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from mcp_mount.calls.incoming import IncomingRequest, ProgressListener
from mcp_mount.calls.questions import InputRequest, PendingInput, PendingQuestions
from mcp_mount.context.nested import (
    call_of,
    image_call_of,
    model_call_of,
    named,
    result_of,
    value_of,
    wraps,
)
from mcp_mount.llm.answers import ChatCompletion
from mcp_mount.llm.errors import ModelError, ModelRefused
from mcp_mount.llm.images import NO_IMAGE_PIECES, ImagePieces, ImageRequest, Picture
from mcp_mount.llm.models import NO_PIECES, Model, Pieces, ReaderLeft
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import CallRejected, ClientError, ToolError
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

T = TypeVar("T")

Operation: TypeAlias = Generator[Any, Any, T]

_OUT_OF_TIME: Final = 504


class OperationContext(Protocol):
    """What operations need of a context; users do not see it."""

    _incoming: IncomingRequest
    _channel: Any
    _is_async: bool

    def _question_key(self, key: str | None, kind: str) -> str:
        """The key of a question: stable from one run of the handler to the next."""

    def _next_call(self) -> int:
        """The number of the next handler that is called."""

    def _before_questions(self, questions: Sequence[PendingInput]) -> None:
        """Called before questions are put to the client."""

    def _after_questions(self) -> None:
        """Called when they are answered, or their time is over."""


def perform(operation: Operation[T]) -> T:
    """Do an operation on the thread of its function."""
    outcome: Any = None
    try:
        while True:
            outcome = operation.send(outcome)
    except StopIteration as end:
        value: T = end.value
        return value


async def perform_async(operation: Operation[T]) -> T:
    """Do an operation on the event loop of its coroutine."""
    outcome: Any = None
    error: BaseException | None = None
    try:
        while True:
            awaitable = operation.send(outcome) if error is None else operation.throw(error)
            outcome = error = None
            try:
                outcome = await awaitable
            except BaseException as raised:
                error = raised
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        # An exception's traceback holds this frame: the frame must not hold the exception. Where it
        # fails the call, the call and the traceback hold one another until the garbage collector
        # comes.
        del error


def ask(
    context: OperationContext, input_requests: Mapping[str, InputRequest[Any]]
) -> Operation[dict[str, Any]]:
    """Put several input requests to the client at once; the answers, by their keys."""
    if context._incoming.dialogue is None:
        raise ClientError("Over plain HTTP there is no client to ask")
    for input_request in input_requests.values():
        # In 2026-07-28 they are encoded once the handler has ended, too late to fail there.
        encode(input_request.params)
    context._incoming.asked = True
    pending = PendingQuestions(context._incoming.dialogue, input_requests)
    while pending.unanswered:
        with pending.ask_live() as questions:
            context._before_questions(questions)
            yield context._channel.ask(questions)
            context._after_questions()
    return pending.answers


def ask_one(
    context: OperationContext, key: str | None, kind: str, input_request: InputRequest[T]
) -> Operation[T]:
    """Put one input request to the client; its answer.

    Args:
        context: The context.
        key: The name of the question on the wire; by default its kind and number.
        kind: "elicitation", "sampling" or "roots".
        input_request: The request.
    """
    name = context._question_key(key, kind)
    answers = yield from ask(context, {name: input_request})
    answer: T = answers[name]
    return answer


def call_tool(
    context: OperationContext, tool: Any, arguments: Mapping[str, Any] | None, returns: Any
) -> Operation[Any]:
    """Call another tool; its value, of the type `returns` or of its function's annotation."""
    name, known = named(context._incoming, tool)
    params = {"name": name, "arguments": dict(arguments or {})}
    body = yield from call(context, "tools/call", name, params)
    return value_of(body, returns or known, is_wrapped=wraps(context._incoming, name))


def complete(
    context: OperationContext,
    request: ChatRequest,
    pieces: Pieces = NO_PIECES,
    model: Model | None = None,
) -> Operation[ChatCompletion]:
    """Ask a chat model; its whole answer.

    Args:
        context: The context of the handler that asks.
        request: What the model is asked.
        pieces: Takes the pieces of the answer, if `request.stream`.
        model: A model that has no name; by default the one that the request names.
    """
    number = context._next_call()
    make = partial(model_call_of, context._incoming, number, request, pieces, model)
    inner = yield from _run(context, make)
    completion: ChatCompletion = _answer_of(inner, inner.answer)
    return completion


def draw(
    context: OperationContext, request: ImageRequest, pieces: ImagePieces = NO_IMAGE_PIECES
) -> Operation[Picture]:
    """Ask an image backend; its picture.

    Args:
        context: The context of the handler that asks.
        request: What the backend is asked.
        pieces: Takes pictures on their way, if `request.stream`.
    """
    make = partial(image_call_of, context._incoming, context._next_call(), request, pieces)
    inner = yield from _run(context, make)
    picture: Picture = _answer_of(inner, inner.answer)
    return picture


def _answer_of(inner: Any, answer: Callable[[], T]) -> T:
    """The answer of a model whose call has ended; a ModelError, if it has none."""
    try:
        return answer()
    except (ModelError, ClientError, ReaderLeft):
        raise
    except CallRejected as error:
        # One whose time is over was asked, and has not answered.
        kind = ModelError if error.status == _OUT_OF_TIME else ModelRefused
        raise kind(str(error), status=error.status, retry_after=error.retry_after) from None
    except ToolError as error:
        # Its words are for the caller, as over HTTP; another model may still answer.
        raise ModelError(str(error), status=400, again=True) from None
    except Exception as error:
        logger.error("The model %r failed", inner.model.name, exc_info=error)
        message = f"The model {inner.model.name!r} failed"
        raise ModelError(message, status=500, again=True) from None


def tools_of(context: OperationContext) -> Operation[list[dict[str, Any]]]:
    """The definitions of the tools of the server that the caller may use and models may see."""
    handlers = context._incoming.handlers
    if handlers is None:
        return []
    definitions: list[dict[str, Any]] = yield from _made(
        context, partial(handlers.tools_for, context._incoming)
    )
    return definitions


def call(
    context: OperationContext,
    method: str,
    name: str,
    params: Mapping[str, Any],
    listener: ProgressListener | None = None,
) -> Operation[dict[str, Any]]:
    """Call another handler; its result, decoded.

    Args:
        context: The context of the handler that calls it.
        method: The method of the protocol, such as "tools/call".
        name: The name of the handler.
        params: The parameters of the method.
        listener: Hears what the handler reports of its progress.
    """
    number = context._next_call()
    make = partial(call_of, context._incoming, number, method, name, params, listener)
    return result_of((yield from _run(context, make)))


def _run(context: OperationContext, make: Callable[[], Any]) -> Operation[Any]:
    """Make another call and run it within this one; the call, which has ended."""
    incoming, channel = context._incoming, context._channel
    inner = yield from _made(context, make)
    if inner.wants_context:
        inner.bind(channel if inner.is_async is context._is_async else channel.other())
    if inner.result is None:
        yield channel.run(inner)
    incoming.asked |= inner.incoming.asked
    return inner


def _made(context: OperationContext, make: Callable[[], Any]) -> Operation[Any]:
    """What a function makes by asking rules, which may block: off the event loop then."""
    if not context._is_async:
        return make()
    return (yield context._channel.open(make, may_block=context._incoming.request.may_block))
