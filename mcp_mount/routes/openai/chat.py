"""`/v1/chat/completions`: a conversation, and its answer whole or as events."""

from __future__ import annotations

import base64
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from fastapi import Request, Response

from mcp_mount.features import Registry
from mcp_mount.llm.answers import ChatCompletion, Delta, ToolCall, ToolDelta, ToolProgress, Usage
from mcp_mount.llm.media import AudioPart, ImagePart
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.routes.openai.chat_answers import answer
from mcp_mount.wire.encoding import encode

DONE: Final = b"data: [DONE]\n\n"

_WHOLE: Final = (
    b'{"id":"%b","object":"chat.completion","created":%d,"model":%b,"choices":[{"index":0,'
    b'"message":{"role":"assistant","content":%b,"refusal":null},"logprobs":null,'
    b'"finish_reason":%b}],"usage":%b}'
)
"""A whole answer of nothing but text, which takes 2 µs in place of 12."""

_TEXT: Final = b'%b"choices":[{"index":%d,"delta":{"content":%b},"finish_reason":null}]}\n\n'
"""A chunk of nothing but text."""


class ChatEndpoint:
    """Chat completions.

    Args:
        registry: That of the router.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def answer(self, wanted: ChatRequest, request: Request) -> Response:
        """Answer a conversation, within all that is declared around the model."""
        writer = partial(ChatWriter, with_usage=wanted.wants_usage)
        return await answer(request, self._registry, [wanted], writer)


class ChatWriter:
    """Writes one answer: its id and its time stand on every piece of it.

    Args:
        model: The name of the model.
        with_usage: Whether a stream ends with the usage.

    Attributes:
        id: The id of the answer.
    """

    def __init__(self, model: str, *, with_usage: bool = False) -> None:
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._model = model
        self._with_usage = with_usage
        self._usage: Usage | None = None
        self._begun: set[int] = set()
        self._images: Counter[int] = Counter()
        self._sounding: set[int] = set()
        self._head = b""

    def whole(self, completions: Sequence[ChatCompletion]) -> bytes:
        """The answer in one piece."""
        [completion] = completions
        if completion.is_text:
            # Nearly all answers.
            return _WHOLE % (
                self.id.encode(),
                self._created,
                encode(completion.model or self._model),
                encode(completion.text),
                encode(completion.finish),
                _usage(completion.usage),
            )
        return encode(
            {
                "id": self.id,
                "object": "chat.completion",
                "created": self._created,
                "model": completion.model or self._model,
                "choices": [
                    {
                        "index": number,
                        "message": _message(one),
                        "logprobs": one.logprobs,
                        "finish_reason": one.finish,
                    }
                    for number, one in enumerate(completion.choices)
                ],
                "usage": usage_of(completion.usage),
            }
        )

    def events(self, deltas: Sequence[Delta]) -> bytes:
        """Pieces of a streamed answer, as events."""
        if not self._head:
            self._head = self._head_of(self._model)
        return b"".join([event for delta in deltas for event in self._events(delta)])

    def end(self) -> bytes:
        """The events that end a streamed answer."""
        usage = b""
        if self._with_usage:
            usage = b'%b"choices":[],"usage":%b}\n\n' % (self._head, encode(usage_of(self._usage)))
        return usage + DONE

    def failure(self, error: dict[str, Any]) -> bytes:
        """The events that end a streamed answer that has failed on its way."""
        return b"data: %b\n\n" % encode(error) + DONE

    def _events(self, delta: Delta) -> Iterable[bytes]:
        if delta.choice in self._begun and delta.is_text:
            # Nearly all pieces.
            text = encode(delta.text)
            return (_TEXT % (self._head, delta.choice, text),)
        return self._other_events(delta)

    def _other_events(self, delta: Delta) -> Iterator[bytes]:
        if delta.usage is not None:
            self._usage = delta.usage
        if delta.model is not None:
            self._head = self._head_of(delta.model)
        shown = _delta(delta)
        if delta.image is not None:
            shown["images"] = [_image(delta.image, self._images[delta.choice])]
            self._images[delta.choice] += 1
        if delta.audio is not None and delta.choice not in self._sounding:
            self._sounding.add(delta.choice)
            shown["audio"].setdefault("id", f"audio_{secrets.token_hex(12)}")
        if delta.choice not in self._begun and (shown or delta.finish or delta.progress):
            self._begun.add(delta.choice)
            yield self._event(delta.choice, {"role": "assistant", "content": ""})
        if shown:
            yield self._event(delta.choice, shown, logprobs=delta.logprobs)
        if delta.progress is not None:
            yield self._progress(delta.choice, delta.progress)
        if delta.finish is not None:
            yield self._event(delta.choice, {}, finish=delta.finish)

    def _progress(self, choice: int, progress: ToolProgress) -> bytes:
        """A chunk that says nothing, with a member that clients may know: some read the choice of
        every chunk, so there is one."""
        nothing: dict[str, Any] = {"index": choice, "delta": {}, "finish_reason": None}
        told = {key: one for key, one in asdict(progress).items() if one is not None}
        return b'%b"choices":[%b],"tool_progress":%b}\n\n' % (
            self._head,
            encode(nothing),
            encode(told),
        )

    def _head_of(self, model: str) -> bytes:
        """The beginning of each event."""
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self._created}
        return b"data: %b," % encode({**head, "model": model})[:-1]

    def _event(
        self,
        choice: int,
        delta: dict[str, Any],
        finish: str | None = None,
        logprobs: Any = None,
    ) -> bytes:
        whole: dict[str, Any] = {"index": choice, "delta": delta, "finish_reason": finish}
        if logprobs is not None:
            whole["logprobs"] = logprobs
        return b'%b"choices":[%b]}\n\n' % (self._head, encode(whole))


def _usage(usage: Usage | None) -> bytes:
    return _NO_USAGE if usage is None else encode(usage_of(usage))


def usage_of(usage: Usage | None) -> dict[str, Any]:
    """The usage as OpenAI has it; 0 where the model does not say."""
    known = usage or Usage()
    return {
        "prompt_tokens": known.input_tokens,
        "completion_tokens": known.output_tokens,
        "total_tokens": known.input_tokens + known.output_tokens,
        "prompt_tokens_details": {"cached_tokens": known.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": known.reasoning_tokens},
    }


_NO_USAGE: Final = encode(usage_of(None))


def _message(one: ChatCompletion) -> dict[str, Any]:
    has_text = bool(one.text) or not (one.tool_calls or one.refusal or one.audio)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": one.text if has_text else None,
        "refusal": one.refusal or None,
    }
    if one.reasoning:
        # Both names are in use.
        message["reasoning_content"] = message["reasoning"] = one.reasoning
    if one.reasoning_details:
        message["reasoning_details"] = one.reasoning_details
    if one.images:
        message["images"] = [_image(image, place) for place, image in enumerate(one.images)]
    if one.audio is not None:
        message["audio"] = _audio(one.audio)
    if one.tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in one.tool_calls]
    return message


def _image(image: ImagePart, place: int) -> dict[str, Any]:
    """A picture in the form of OpenRouter, LiteLLM and others: OpenAI has none."""
    return {"type": "image_url", "image_url": {"url": image.url}, "index": place}


def _audio(audio: AudioPart) -> dict[str, Any]:
    """Sound in OpenAI's form, and its format, which OpenAI's clients have asked for."""
    whole: dict[str, Any] = {
        "id": audio.id or f"audio_{secrets.token_hex(12)}",
        "data": base64.b64encode(audio.data).decode(),
        "transcript": audio.transcript,
        "expires_at": audio.expires_at or int(time.time()),
    }
    return {**whole, "format": audio.format} if audio.format else whole


def _audio_delta(audio: AudioPart) -> dict[str, Any]:
    data = base64.b64encode(audio.data).decode()
    members: dict[str, Any] = {"id": audio.id, "data": data, "transcript": audio.transcript}
    members |= {"expires_at": audio.expires_at, "format": audio.format}
    return {name: one for name, one in members.items() if one}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments_text}
    return {"id": call.id, "type": "function", "function": function}


def _delta(delta: Delta) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if delta.text:
        shown["content"] = delta.text
    if delta.reasoning:
        shown["reasoning_content"] = shown["reasoning"] = delta.reasoning
    if delta.reasoning_details:
        shown["reasoning_details"] = delta.reasoning_details
    if delta.refusal:
        shown["refusal"] = delta.refusal
    if delta.audio is not None:
        shown["audio"] = _audio_delta(delta.audio)
    if delta.tool is not None:
        shown["tool_calls"] = [_tool_delta(delta.tool)]
    return shown


def _tool_delta(tool: ToolDelta) -> dict[str, Any]:
    shown: dict[str, Any] = {"index": tool.index}
    function: dict[str, Any] = {"arguments": tool.arguments}
    if tool.id or tool.name:
        shown |= {"id": tool.id, "type": "function"}
        function["name"] = tool.name
    return {**shown, "function": function}
