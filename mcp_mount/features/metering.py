"""How many tokens a call of a model takes: at most, before; and by what has come, after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mcp_mount.llm.answers import ChatCompletion, Delta, Usage
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import Pieces
from mcp_mount.llm.requests import ChatRequest, is_text
from mcp_mount.wire.encoding import NotFinite, encode

_BYTES_OF_TOKEN: Final = 3
"""Few tokens of a model have less, in most languages."""

_TOKENS_OF_PART: Final = 2000
"""Of a picture, however large its data are; and of a file, besides its data."""

_PICTURES: Final = ("image_url", "input_image", "image")

_TOKENS_OF_MESSAGE: Final = 5


def input_estimate(request: ChatRequest) -> int:
    """About how many tokens a request has; rather too many."""
    size, tokens = 0, 0
    for message in request.messages:
        tokens += _TOKENS_OF_MESSAGE
        size += len(message.text.encode("utf-8", "surrogatepass"))
        for part in message.content if isinstance(message.content, list) else ():
            if not is_text(part):
                is_picture = part.get("type") in _PICTURES
                tokens += _TOKENS_OF_PART
                size += 0 if is_picture else _size(part)
        if message.tool_calls:
            size += _size(message.tool_calls)
        if message.reasoning_details:
            size += _size(message.reasoning_details)
    for further in (request.tools, request.response_format):
        if further:
            size += _size(further)
    return tokens + -(-size // _BYTES_OF_TOKEN)


def tokens_of_texts(texts: Sequence[Any]) -> int:
    """About how many tokens texts have; a text may be a list of tokens."""
    return sum(
        -(-len(one.encode("utf-8", "surrogatepass")) // _BYTES_OF_TOKEN)
        if isinstance(one, str)
        else len(one)
        for one in texts
    )


def tokens_of_pictures(number: int) -> int:
    """About how many tokens pictures have that a model is given."""
    return number * _TOKENS_OF_PART


def output_estimate(completion: ChatCompletion) -> int:
    """About how many tokens an answer has; rather too many."""
    size, tokens = 0, 0
    for one in completion.choices:
        texts = (one.text, one.reasoning, one.refusal, *(c.arguments_text for c in one.tool_calls))
        size += sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        tokens += _TOKENS_OF_PART * (len(one.images) + (one.audio is not None))
    return tokens + -(-size // _BYTES_OF_TOKEN)


class Meter:
    """Counts the pieces of an answer on their way, for an answer that does not come to its end.

    Args:
        pieces: Where they go.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._usage: Usage | None = None
        self._size = 0

    async def put(self, delta: Delta) -> None:
        """Count a piece, and pass it on."""
        self._count(delta)
        await self._pieces.put(delta)

    def put_from_thread(self, delta: Delta) -> None:
        """Count a piece, and pass it on."""
        self._count(delta)
        self._pieces.put_from_thread(delta)

    def usage(
        self, request: ChatRequest, completion: ChatCompletion | None, *, is_cut: bool = False
    ) -> Usage | None:
        """What an answer has taken; None if there was none.

        Args:
            request: What the model was asked.
            completion: The whole answer, if there is one.
            is_cut: Whether the model was still answering, and nobody waits for it any more: it has
                read the request then.
        """
        told = self._usage if completion is None else completion.usage
        written = -(-self._size // _BYTES_OF_TOKEN)
        if completion is not None:
            return told or Usage(input_estimate(request), output_estimate(completion))
        if told is None:
            return Usage(input_estimate(request), written) if written or is_cut else None
        # Some tell it at first, before they have written.
        return Usage(told.input_tokens, max(told.output_tokens, written), told.cached_tokens)

    def _count(self, delta: Delta) -> None:
        if delta.usage is not None:
            self._usage = delta.usage
        text = delta.text or delta.reasoning or delta.refusal
        if delta.tool is not None:
            text += delta.tool.arguments
        if delta.image is not None:
            self._size += _TOKENS_OF_PART * _BYTES_OF_TOKEN
        self._size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _size(value: Any) -> int:
    try:
        return len(encode(value))
    except NotFinite as error:
        # Numbers such as 1e999.
        raise ModelError(str(error), status=400, again=False) from None
