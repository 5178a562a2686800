"""What handlers ask chat models: the request of it, and the value in the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from pydantic import TypeAdapter, ValidationError

from mcp_mount.llm.answers import ChatCompletion
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.requests import ChatMessage, ChatRequest, chat_request, schema_format
from mcp_mount.wire.adapters import adapter_of

Question = str | ChatRequest | Sequence[ChatMessage | Mapping[str, Any]]
"""What a model is asked: a text, a conversation, or a whole request."""


class CompleteOptions(TypedDict, total=False):
    """How a model is to answer, as in `ChatRequest`."""

    model: str | None
    """The name of the model; by default the first one that the caller may ask."""
    temperature: float | None
    """How random the answer is."""
    max_tokens: int | None
    """The longest answer, in tokens."""
    stop: str | Sequence[str] | None
    """Texts at which the answer ends."""
    seed: int | None
    """Asks for the same answer to the same request."""
    tools: Sequence[Mapping[str, Any]] | None
    """Tools that the model may call, in OpenAI's form; the answer has its calls."""
    tool_choice: str | Mapping[str, Any] | None
    """Which of them the model may or must call."""
    reasoning_effort: str | None
    """How much the model is to reason."""


def request_of(question: Question, returns: Any, options: CompleteOptions) -> ChatRequest:
    """The request for a question.

    Args:
        question: The question.
        returns: The type of the value that is wanted; None for the whole answer, str for its text.
        options: How the model is to answer.

    Raises:
        ValidationError: If they are no request.
    """
    given: dict[str, Any] = dict(options)
    if returns is not None and returns is not str:
        name = getattr(returns, "__name__", "answer")
        given["response_format"] = schema_format(name, _adapter(returns).json_schema())
    return chat_request(question, **given)


def value_in(completion: ChatCompletion, returns: Any) -> Any:
    """The value in an answer.

    Args:
        completion: The answer.
        returns: As in `request_of`.

    Raises:
        ModelError: If the answer has none of this type.
    """
    if returns is None:
        return completion
    if completion.refusal:
        raise ModelError(f"The model refuses: {completion.refusal}", status=502, again=False)
    if returns is str:
        return completion.text
    text = completion.text.strip()
    if text.startswith("```"):
        # Models that know no `response_format` write JSON as a block of code.
        text = text.strip("`").removeprefix("json").strip()
    try:
        return _adapter(returns).validate_json(text)
    except ValidationError as error:
        problems = "; ".join(one["msg"] for one in error.errors(include_url=False)[:3])
        message = f"The model's answer is no {getattr(returns, '__name__', returns)}: {problems}"
        raise ModelError(message, status=502) from None


def _adapter(returns: Any) -> TypeAdapter[Any]:
    return adapter_of(returns, reads_json=True)
