"""Reading answers of Anthropic's Messages API, whole and in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic_core import from_json

from mcp_mount.backends.models.upstreams.anthropic_requests import ANSWER_TOOL
from mcp_mount.backends.models.upstreams.anthropic_thinking import detail_of
from mcp_mount.backends.models.upstreams.failures import bad_answer, broken_off
from mcp_mount.backends.models.upstreams.json_members import (
    count_in,
    object_in,
    objects_in,
    text_in,
)
from mcp_mount.llm.answers import Delta, ToolDelta, Usage
from mcp_mount.wire.encoding import encode

_FINISHES: Final[Mapping[str, str]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Why an answer ends, where that is not of itself."""


class AnthropicAnswerReader:
    """Makes pieces of an answer, which comes whole or in events.

    Args:
        is_json: Whether the model answers by the arguments of a tool: they are the text then.
        unwraps: Whether the answer is their member `value`; it comes in one piece then.

    Attributes:
        model: The name of the model that answers, as it says itself.
        is_done: Whether the upstream has said that its answer is at its end.
    """

    def __init__(self, *, is_json: bool = False, unwraps: bool = False) -> None:
        self.model: str | None = None
        self.is_done = False
        self._is_json = is_json
        self._unwraps = unwraps
        self._begun = False
        self._finish: str | None = None
        self._usage: dict[str, Any] = {}
        self._tools = 0
        self._blocks: dict[int, _Block] = {}
        self._thinking: dict[int, dict[str, Any]] = {}

    def read(self, event: Any) -> Iterator[Delta]:
        """The pieces in an event, or in the whole.

        Raises:
            ModelError: If it is no part of an answer.
        """
        if not isinstance(event, dict):
            raise bad_answer("is no JSON object")
        kind = event.get("type")
        if kind == "error" or event.get("error"):
            raise broken_off(event.get("error"))
        if kind == "message":
            self._note(event)
            for index, block in enumerate(objects_in(event, "content")):
                yield from self._start(index, block)
                yield from self._stop(index)
            yield from self._end(event)
        elif kind == "message_start":
            self._note(object_in(event, "message"))
        elif kind == "content_block_start":
            yield from self._start(count_in(event, "index"), object_in(event, "content_block"))
        elif kind == "content_block_delta":
            yield from self._continue(count_in(event, "index"), object_in(event, "delta"))
        elif kind == "content_block_stop":
            yield from self._stop(count_in(event, "index"))
        elif kind == "message_delta":
            self._note(event)
            yield from self._end(object_in(event, "delta"))
        elif kind == "message_stop":
            self.is_done = True

    def end(self) -> Iterator[Delta]:
        """The last pieces, once nothing more comes.

        Raises:
            ModelError: If the answer is not at its end.
        """
        if not self._begun:
            raise bad_answer("is empty")
        if self._finish is None:
            raise bad_answer("ends in the middle")
        yield Delta(usage=self._counts())

    def _note(self, message: dict[str, Any]) -> None:
        """Take what an answer says of itself; later counts replace earlier ones."""
        self._begun = True
        self.model = text_in(message, "model") or self.model
        usage = object_in(message, "usage")
        self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _start(self, index: int, block: dict[str, Any]) -> Iterator[Delta]:
        if block.get("type") != "tool_use":
            if block.get("type") in ("thinking", "redacted_thinking"):
                self._thinking[index] = dict(block)
            yield from _said(block, "text", "thinking")
            return
        name = text_in(block, "name")
        begun = self._blocks[index] = _Block(is_answer=self._is_json and name == ANSWER_TOOL)
        if not begun.is_answer:
            begun.number = self._tools
            self._tools += 1
            yield Delta(tool=ToolDelta(begun.number, text_in(block, "id"), name))
        if block.get("input"):
            yield from self._arguments(begun, encode(block["input"]).decode())

    def _continue(self, index: int, delta: dict[str, Any]) -> Iterator[Delta]:
        yield from _said(delta, "text_delta", "thinking_delta")
        if index in self._thinking:
            thinking = self._thinking[index]
            for name in ("thinking", "signature"):
                thinking[name] = text_in(thinking, name) + text_in(delta, name)
        if delta.get("type") == "input_json_delta" and index in self._blocks:
            yield from self._arguments(self._blocks[index], text_in(delta, "partial_json"))

    def _arguments(self, block: _Block, text: str) -> Iterator[Delta]:
        if not text:
            return
        block.text.append(text)
        if not block.is_answer:
            yield Delta(tool=ToolDelta(block.number, arguments=text))
        elif not self._unwraps:
            yield Delta(text=text)

    def _stop(self, index: int) -> Iterator[Delta]:
        detail = detail_of(self._thinking.pop(index, {}), index)
        if detail is not None:
            yield Delta(reasoning_details=[detail])
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.is_answer and self._unwraps:
            yield Delta(text=_unwrapped("".join(block.text)))
        elif not block.text:
            # A tool without arguments; clients read them as JSON.
            yield from self._arguments(block, "{}")

    def _end(self, ending: dict[str, Any]) -> Iterator[Delta]:
        reason = text_in(ending, "stop_reason")
        if not reason:
            return
        self._finish = _FINISHES.get(reason, "stop")
        if self._finish == "tool_calls" and not self._tools:
            # What it has called is the tool for its answer.
            self._finish = "stop"
        yield Delta(finish=self._finish)

    def _counts(self) -> Usage:
        known = self._usage
        cached = count_in(known, "cache_read_input_tokens")
        fresh = count_in(known, "input_tokens") + count_in(known, "cache_creation_input_tokens")
        thought = count_in(object_in(known, "output_tokens_details"), "thinking_tokens")
        return Usage(fresh + cached, count_in(known, "output_tokens"), cached, thought)


class _Block:
    """A call of a tool in the making."""

    def __init__(self, *, is_answer: bool) -> None:
        self.is_answer = is_answer
        self.number = 0
        self.text: list[str] = []


def _said(block: dict[str, Any], text: str, thinking: str) -> Iterator[Delta]:
    """The text, or the reasoning, in a block or a piece of one, by their types."""
    kind = block.get("type")
    if kind == text and text_in(block, "text"):
        yield Delta(text=text_in(block, "text"))
    elif kind == thinking and text_in(block, "thinking"):
        yield Delta(reasoning=text_in(block, "thinking"))


def _unwrapped(text: str) -> str:
    try:
        return encode(from_json(text)["value"]).decode()
    except (ValueError, KeyError, TypeError):
        return text
