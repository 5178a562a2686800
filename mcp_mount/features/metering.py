"""How many tokens a call of a model takes: at most, before; and by what has come, after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_mount.llm.answers import ChatCompletion, Delta, Usage
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import Pieces
from mcp_mount.llm.requests import IMAGES, ChatRequest, file_in
from mcp_mount.wire.encoding import NotFinite, encode

_BYTES_OF_TOKEN: Final = 3
"""Few tokens of a model have less, in most languages."""

_TOKENS_OF_PART: Final = 2000
"""Of a picture, however large its data are; of a file, besides its data. More than what most
providers count for the largest picture that they take."""

_TOKENS_OF_MESSAGE: Final = 5


def input_estimate(request: ChatRequest) -> int:
    """About how many tokens a request has; rather too many."""
    size, tokens = 0, 0
    for message in request.messages:
        tokens += _TOKENS_OF_MESSAGE
        size += len(message.text.encode("utf-8", "surrogatepass"))
        for part in message.parts_but_text():
            tokens += _TOKENS_OF_PART
            size += _size(_without_picture(part))
        # Such as reasoning, which some providers read again.
        extra = {key: one for key, one in (message.model_extra or {}).items() if key != IMAGES}
        for further in (message.tool_calls, message.reasoning_details, extra):
            if further:
                size += _size(further)
    for further in (request.tools, request.response_format, request.model_extra):
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
        self._sounding: set[int] = set()

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
        if delta.audio is not None and delta.choice not in self._sounding:
            # It comes in pieces, and counts once.
            self._sounding.add(delta.choice)
            self._size += _TOKENS_OF_PART * _BYTES_OF_TOKEN
        self._size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _without_picture(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of a message without the data of its picture, of which the size says little. Whatever
    else stands there is read as text by some, and counts."""
    source: Any = part.get("source")
    picture = part.get("image_url")
    if isinstance(picture, Mapping):
        return {**part, "image_url": {**picture, "url": _unless_picture(picture.get("url"))}}
    if picture is not None:
        return {**part, "image_url": _unless_picture(picture)}
    if _has_data(source, "media_type"):
        return {**part, "source": {**source, "data": ""}}
    if _has_data(part, "mimeType"):
        return {**part, "data": ""}
    return part


def _unless_picture(url: Any) -> Any:
    file = file_in(url)
    is_hidden = file is not None and file.is_base64 and _is_picture(file.media_type)
    return "" if is_hidden else url


def _has_data(value: Any, type_name: str) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("data"), str)
        and _is_picture(value.get(type_name))
    )


def _is_picture(media_type: Any) -> bool:
    """Whether a media type is that of a picture made of pixels: others are text."""
    kind = media_type.lower() if isinstance(media_type, str) else ""
    return kind.startswith("image/") and not kind.startswith("image/svg")


def _size(value: Any) -> int:
    try:
        return len(encode(value))
    except NotFinite as error:
        # Numbers such as 1e999.
        raise ModelError(str(error), status=400, again=False) from None
