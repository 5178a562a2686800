"""What handlers give back besides text, `Image` and `Audio`, in the answers of chat models."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from mcp_mount.features.content import block, is_content
from mcp_mount.llm.answers import Delta, Gathering, deltas_of
from mcp_mount.llm.media import AudioPart, ImagePart, audio_format


def said_deltas(piece: Any, gathering: Gathering) -> Iterator[Delta]:
    """A piece that a function has returned or yielded, as pieces of an answer: a list is one after
    the other.

    Args:
        piece: The piece.
        gathering: Has those before it.

    Raises:
        TypeError: If it is none that a model may say.
        ValueError: If it is content that cannot be in an answer.
    """
    if isinstance(piece, list | tuple):
        for one in piece:
            yield from said_deltas(one, gathering)
    elif is_content(piece):
        said = _content(from_json(block(piece)), piece)
        if isinstance(said, AudioPart) and gathering.has_audio:
            raise ValueError("An answer has one sound: yield pieces of it as AudioPart")
        yield from deltas_of(said, gathering)
    else:
        yield from deltas_of(piece, gathering)


def _content(content: dict[str, Any], given: Any) -> str | ImagePart | AudioPart:
    """What a content block of MCP is in an answer."""
    kind = content.get("type")
    if kind == "text":
        return str(content["text"])
    if kind not in ("image", "audio"):
        raise TypeError(f"{type(given).__name__} cannot be in the answer of a chat model")
    data, media_type = base64.b64decode(content["data"]), content["mimeType"]
    if kind == "image":
        return ImagePart.of(data, media_type)
    return AudioPart(data, audio_format(media_type))
