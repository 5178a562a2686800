"""Reading answers in OpenAI's form, whole and in pieces, as its many upstreams write them."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from mcp_mount.backends.models.upstreams.failures import bad_answer, broken_off
from mcp_mount.backends.models.upstreams.json_members import (
    count_in,
    object_in,
    objects_in,
    text_in,
)
from mcp_mount.backends.models.upstreams.openai_reasoning import OwnReasoning
from mcp_mount.llm.answers import Delta, Embeddings, ToolDelta, Usage
from mcp_mount.llm.media import AudioPart, ImagePart, media_in
from mcp_mount.wire.binary import decode_base64
from mcp_mount.wire.encoding import encode

_MAX_CHOICES: Final = 128

_FINISHES: Final[Mapping[str, str]] = {
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
    "safety": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
}
"""What upstreams of other kinds say in place of OpenAI's words."""

_OWN_FINISHES: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})


class OpenAIAnswerReader:
    """Makes pieces of an answer, which comes whole or in chunks.

    Attributes:
        model: The name of the model that answers, as it says itself.
        is_done: Whether the upstream has said that its answer is at its end.
    """

    def __init__(self) -> None:
        self.model: str | None = None
        self._usage: Usage | None = None
        self._choices: dict[int, _Calls] = {}
        self.is_done = False

    def read(self, chunk: Any) -> Iterator[Delta]:
        """The pieces in a chunk, or in the whole.

        Raises:
            ModelError: If it is no part of an answer.
        """
        if not isinstance(chunk, dict):
            raise bad_answer("is no JSON object")
        if chunk.get("error"):
            raise broken_off(chunk["error"])
        self.model = text_in(chunk, "model") or self.model
        if isinstance(chunk.get("usage"), dict):
            # Some upstreams send it with each chunk: the last one counts.
            self._usage = usage_in(chunk["usage"])
        for place, choice in enumerate(objects_in(chunk, "choices")):
            yield from self._read_choice(choice, place)

    def end(self) -> Iterator[Delta]:
        """The last pieces, once nothing more comes.

        Raises:
            ModelError: If the answer is not at its end.
        """
        if not self._choices:
            raise bad_answer("is empty")
        if not self.is_done and not all(one.is_finished for one in self._choices.values()):
            raise bad_answer("ends in the middle")
        if self._usage is not None:
            yield Delta(usage=self._usage)

    def _read_choice(self, choice: dict[str, Any], place: int) -> Iterator[Delta]:
        number = choice.get("index", place)
        if not isinstance(number, int) or not 0 <= number < _MAX_CHOICES:
            raise bad_answer("has a choice without a number")
        calls = self._choices.setdefault(number, _Calls())
        said = object_in(choice, "delta") or object_in(choice, "message")
        logprobs = choice.get("logprobs")
        text, thought = _content(said.get("content"))
        reasoning = text_in(said, "reasoning_content") or text_in(said, "reasoning") + thought
        refusal = text_in(said, "refusal")
        details = objects_in(said, "reasoning_details")
        calls.reasoned.note(said, details)
        if reasoning or details:
            yield Delta(reasoning=reasoning, reasoning_details=details, choice=number)
        if refusal:
            yield Delta(refusal=refusal, choice=number)
        if text or logprobs is not None:
            yield Delta(text=text, choice=number, logprobs=logprobs)
        for image in objects_in(said, "images"):
            yield Delta(image=_image(image), choice=number)
        if sound := object_in(said, "audio"):
            yield Delta(audio=_audio(sound), choice=number)
        for place, call in enumerate(objects_in(said, "tool_calls")):
            if own := calls.reasoned.take():
                yield Delta(reasoning_details=[own], choice=number)
            yield Delta(tool=calls.read(call, place), choice=number)
        reason = text_in(choice, "finish_reason")
        if reason == "error":
            raise broken_off(choice.get("error"))
        if reason:
            calls.is_finished = True
            yield Delta(finish=_finish(reason), choice=number)


class _Calls:
    """The calls of tools of one choice, by the numbers that the upstream gives them.

    Some upstreams give none, or the same one to each call, and the whole call at once.
    """

    def __init__(self) -> None:
        self.is_finished = False
        self.reasoned = OwnReasoning()
        self._own: dict[int, int] = {}
        self._ids: list[str] = []

    def read(self, call: dict[str, Any], place: int) -> ToolDelta:
        given = call.get("index", place)
        number = given if isinstance(given, int) else place
        identity = text_in(call, "id")
        own = self._own.get(number)
        if own is None or (identity and self._ids[own] and identity != self._ids[own]):
            own = self._own[number] = len(self._ids)
            self._ids.append(identity)
        function = object_in(call, "function")
        arguments = text_in(function, "arguments")
        if isinstance(function.get("arguments"), dict):
            arguments = encode(function["arguments"]).decode()
        return ToolDelta(own, identity, text_in(function, "name"), arguments)


def usage_in(usage: dict[str, Any]) -> Usage:
    """The usage, out of OpenAI's form."""
    read = object_in(usage, "prompt_tokens_details")
    return Usage(
        count_in(usage, "prompt_tokens"),
        count_in(usage, "completion_tokens"),
        # The second one is DeepSeek's.
        count_in(read, "cached_tokens") or count_in(usage, "prompt_cache_hit_tokens"),
        count_in(object_in(usage, "completion_tokens_details"), "reasoning_tokens"),
    )


_vectors: Final[TypeAdapter[list[list[float]]]] = TypeAdapter(list[list[FiniteFloat]])
_indexes: Final[TypeAdapter[list[int]]] = TypeAdapter(list[Annotated[int, Field(ge=0)]])


def embeddings_in(answer: Any, number: int) -> Embeddings:
    """The vectors in an answer.

    Args:
        answer: The answer, in JSON form.
        number: How many there must be.

    Raises:
        ModelError: If it has others.
    """
    if isinstance(answer, dict) and answer.get("error"):
        raise broken_off(answer["error"])
    try:
        data = answer["data"]
        indexes = _indexes.validate_python([one.get("index", at) for at, one in enumerate(data)])
        vectors = _vectors.validate_python([_vector(one["embedding"]) for one in data])
    except (ValidationError, TypeError, KeyError, AttributeError, ValueError):
        raise bad_answer("has no vectors") from None
    if sorted(indexes) != list(range(number)):
        raise bad_answer(f"has {len(indexes)} vectors for {number} texts")
    usage = answer.get("usage")
    return Embeddings(
        [vector for _, vector in sorted(zip(indexes, vectors, strict=True))],
        usage_in(usage) if isinstance(usage, dict) else None,
        text_in(answer, "model") or None,
    )


def _vector(value: Any) -> Any:
    if isinstance(value, str):
        return array("f", base64.b64decode(value)).tolist()
    return value


def _content(content: Any) -> tuple[str, str]:
    """The text of a content, and the reasoning in it: some upstreams have parts there."""
    if isinstance(content, str):
        return content, ""
    text = reasoning = ""
    for part in content if isinstance(content, list) else ():
        if text_in(part, "type") == "thinking":
            reasoning += text_in(part, "thinking") or _content(part.get("thinking"))[0]
        else:
            text += text_in(part, "text")
    return text, reasoning


def _image(given: dict[str, Any]) -> ImagePart:
    """A picture as OpenRouter and LiteLLM have it."""
    try:
        found = media_in({"type": "image_url", **given})
    except ValueError:
        found = None
    if not isinstance(found, ImagePart):
        raise bad_answer("has a picture that is none")
    return found


def _audio(given: dict[str, Any]) -> AudioPart:
    """Sound as OpenAI has it: whole, or a piece of it."""
    try:
        data = decode_base64(text_in(given, "data"))
    except ValueError:
        raise bad_answer("has sound that is none") from None
    expires = given.get("expires_at")
    return AudioPart(
        data,
        text_in(given, "format"),
        text_in(given, "transcript"),
        text_in(given, "id"),
        expires if isinstance(expires, int) else None,
    )


def _finish(reason: str) -> str:
    known = reason.lower()
    return known if known in _OWN_FINISHES else _FINISHES.get(known, "stop")
