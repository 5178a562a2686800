"""`/v1/responses`: the interface of OpenAI's newer clients, answered by chat models.

Nothing is stored: a client sends the whole conversation, as it does for chat completions.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from fastapi import Request, Response

from mcp_mount.features import Registry
from mcp_mount.llm.answers import ChatCompletion, Delta, ToolDelta, ToolProgress, Usage
from mcp_mount.routes.errors import unfit
from mcp_mount.routes.openai.chat_answers import answer
from mcp_mount.routes.openai.response_input import ResponseRequest
from mcp_mount.routes.openai.response_output import (
    CALLED,
    SPOKEN,
    CallItem,
    Event,
    ImageItem,
    OutputItem,
    ReasoningItem,
    ServerCallItem,
)
from mcp_mount.routes.openai.text_only import MediaAsText
from mcp_mount.wire.encoding import NotFinite, encode

_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is incomplete, by the reason why its answer ends."""


class ResponsesEndpoint:
    """Responses.

    Args:
        registry: That of the router.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def answer(self, wanted: ResponseRequest, request: Request) -> Response:
        """Respond to a conversation, within all that is declared around the model."""
        try:
            question = wanted.question()
            # The response repeats it: before a model is asked, and paid.
            encode(wanted.shown())
        except NotFinite as error:
            raise unfit("JSON", str(error)) from None
        return await answer(request, self._registry, [question], partial(_ResponseWriter, wanted))


class _ResponseWriter:
    """Writes one response: whole, or as events that are numbered through."""

    def __init__(self, wanted: ResponseRequest, model: str) -> None:
        self._model = model
        self._shown = wanted.shown()
        self._named = wanted.tool_calls()
        self._wants_details = wanted.wants_details
        self._id = f"resp_{secrets.token_hex(24)}"
        self._created = int(time.time())
        self._number = 0
        self._items: list[OutputItem] = []
        self._calls: dict[int, CallItem] = {}
        self._tools: dict[str, ServerCallItem] = {}
        self._media = MediaAsText(lambda image: image.file is not None)
        self._finish: str | None = None
        self._usage: Usage | None = None

    def whole(self, completions: Sequence[ChatCompletion]) -> bytes:
        """The response in one piece."""
        [completion] = completions
        self._model = completion.model or self._model
        for delta in completion.deltas():
            for _ in self._steps(delta):
                pass
        for _ in self._close():
            pass
        return encode(self._response(self._status()))

    def events(self, deltas: Sequence[Delta]) -> bytes:
        """Pieces of the answer, as events."""
        if not self._number and deltas:
            # The first piece names the model.
            self._model = deltas[0].model or self._model
        steps = (step for delta in deltas for step in self._steps(delta))
        return self._begun() + b"".join(map(self._event, steps))

    def end(self) -> bytes:
        """The events that end the response."""
        ending = b"".join(map(self._event, self._close()))
        status = self._status()
        last = {"type": f"response.{status}", "response": self._response(status)}
        return self._begun() + ending + self._event(last)

    def failure(self, error: dict[str, Any]) -> bytes:
        """The event that ends a response that has failed on its way."""
        told = {"code": error["error"]["code"], "message": error["error"]["message"]}
        response = {**self._response("failed"), "error": told}
        return self._event({"type": "response.failed", "response": response})

    def _begun(self) -> bytes:
        if self._number:
            return b""
        response = self._response("in_progress")
        kinds = ("response.created", "response.in_progress")
        return b"".join(self._event({"type": kind, "response": response}) for kind in kinds)

    def _event(self, event: Event) -> bytes:
        event["sequence_number"] = self._number
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), encode(event))

    def _status(self) -> str:
        return "incomplete" if self._finish in _INCOMPLETE else "completed"

    def _response(self, status: str) -> dict[str, Any]:
        reason = _INCOMPLETE.get(self._finish or "") if status == "incomplete" else None
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None if reason is None else {"reason": reason},
            "model": self._model,
            "output": [item.whole() for item in self._items if item.is_done],
            **self._shown,
            "usage": None if status == "in_progress" else _usage(self._usage),
        }

    def _steps(self, delta: Delta) -> Iterator[Event]:
        """The events of a piece. Only the first answer counts: a response has one."""
        if delta.usage is not None:
            self._usage = delta.usage
        self._model = delta.model or self._model
        if delta.choice:
            return
        delta = self._media.of(delta)
        if delta.progress is not None:
            yield from self._progress(delta.progress)
        for member, kind in SPOKEN.items():
            text = getattr(delta, member)
            if text:
                item = self._items[-1] if self._items else None
                if type(item) is not kind or item.is_done:
                    item = kind(len(self._items))
                    yield from self._open(item)
                yield from item.add(text, delta.logprobs)
        if delta.image is not None:
            drawn = ImageItem(len(self._items), delta.image)
            yield from self._open(drawn)
            yield from drawn.end()
        if delta.reasoning_details and self._wants_details:
            item = self._items[-1] if self._items else None
            if not isinstance(item, ReasoningItem) or item.is_done:
                item = ReasoningItem(len(self._items))
                yield from self._open(item)
            item.keep(delta.reasoning_details)
        if delta.tool is not None:
            call = self._calls.get(delta.tool.index)
            if call is None:
                call = self._call(delta.tool)
                yield from self._open(call)
                self._calls[delta.tool.index] = call
            call.keep(delta.tool.extra)
            if delta.tool.arguments:
                yield from call.add(delta.tool.arguments)
        self._finish = delta.finish or self._finish

    def _progress(self, told: ToolProgress) -> Iterator[Event]:
        """The events of a tool that the model itself uses."""
        item = self._tools.get(told.id)
        # Some models use an id again in their next round.
        if item is None or (item.has_returned and told.status == "in_progress"):
            item = self._tools[told.id] = ServerCallItem(len(self._items), told.name)
            yield from self._open(item)
        if not item.is_done:
            yield from item.tell(told)

    def _call(self, first: ToolDelta) -> CallItem:
        named = dict(self._named.get(first.name, {"name": first.name}))
        kind = CALLED.get(named.pop("type", ""), CallItem)
        return kind(len(self._items), first, named)

    def _open(self, item: OutputItem) -> Iterator[Event]:
        for other in self._items:
            if not (other.is_done or item.goes_with(other)):
                yield from other.end()
        self._items.append(item)
        yield from item.begin()

    def _close(self) -> Iterator[Event]:
        for item in self._items:
            if not item.is_done:
                yield from item.end()


def _usage(usage: Usage | None) -> dict[str, Any]:
    known = usage or Usage()
    return {
        "input_tokens": known.input_tokens,
        "input_tokens_details": {"cached_tokens": known.cached_tokens},
        "output_tokens": known.output_tokens,
        "output_tokens_details": {"reasoning_tokens": known.reasoning_tokens},
        "total_tokens": known.input_tokens + known.output_tokens,
    }
