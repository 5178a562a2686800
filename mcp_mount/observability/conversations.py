"""What was said, in the structured form of OpenTelemetry's conventions: messages with parts.

Data of pictures and files is shown by its digest: what collects spans refuses what is as large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from mcp_mount.llm.answers import ChatCompletion
from mcp_mount.llm.images import Picture
from mcp_mount.llm.requests import arguments_of, is_text, name_of_tool
from mcp_mount.wire.binary import decode_base64
from mcp_mount.wire.data_urls import data_url

_SYSTEM: Final = ("system", "developer")

_FINISHES: Final = {"tool_calls": "tool_call"}
"""The reasons for an end that the conventions name otherwise than OpenAI."""

_LINKS: Final = {"image_url": "image", "input_image": "image", "input_audio": "audio"}

Part = dict[str, Any]


def instructions_in(messages: Sequence[Mapping[str, Any]]) -> list[Part]:
    """What the system says, of messages in OpenAI's form."""
    return [part for one in messages if _is_system(one) for part in _content(one.get("content"))]


def input_messages(
    messages: Sequence[Mapping[str, Any]], *, with_system: bool
) -> list[dict[str, Any]]:
    """The messages of a request.

    Args:
        messages: In OpenAI's form.
        with_system: Whether what the system says is one of them.
    """
    return [_message(one) for one in messages if with_system or not _is_system(one)]


def output_messages(completion: ChatCompletion) -> list[dict[str, Any]]:
    """The answers of a model: one message for each choice."""
    return [
        {
            "role": "assistant",
            "parts": list(_said(one)),
            "finish_reason": _FINISHES.get(one.finish, one.finish),
        }
        for one in completion.choices
    ]


def tool_definitions(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tools of a request.

    Args:
        tools: In OpenAI's form.
    """
    return [_definition(one) for one in tools]


def picture_asked(prompt: Any, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """The message that asks for a picture.

    Args:
        prompt: What it shows.
        pictures: Those that are to be changed.
    """
    shown = [_digest("image", one.media_type, one.data) for one in pictures]
    return [{"role": "user", "parts": [_text(str(prompt)), *shown]}]


def picture_drawn(picture: Picture) -> list[dict[str, Any]]:
    """The message that a picture is."""
    part = _digest("image", picture.media_type, picture.data)
    return [{"role": "assistant", "parts": [part], "finish_reason": "stop"}]


def _is_system(message: Mapping[str, Any]) -> bool:
    return message.get("role") in _SYSTEM


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    parts = list(_content(message.get("content")))
    if message.get("role") == "tool":
        texts = [part.get("content") for part in parts]
        response: Any = texts[0] if len(texts) == 1 else parts
        parts = [_with_id("tool_call_response", message.get("tool_call_id"), response=response)]
    for call in message.get("tool_calls") or ():
        if isinstance(call, Mapping):
            parts.append(_call(call))
    shown: dict[str, Any] = {"role": message.get("role"), "parts": parts}
    if message.get("name") is not None:
        shown["name"] = message["name"]
    return shown


def _content(content: Any) -> Iterator[Part]:
    if isinstance(content, str):
        yield _text(content)
    elif isinstance(content, Sequence):
        for one in content:
            yield _part(one) if isinstance(one, Mapping) else _text(str(one))


def _part(part: Mapping[str, Any]) -> Part:
    """A part of a message; one of an unknown type stays as it is."""
    if is_text(part):
        return _text(part["text"])
    kind = part.get("type")
    if kind in _LINKS:
        modality, told = _LINKS[kind], part.get(kind, part.get("image_url"))
        if isinstance(told, Mapping) and isinstance(told.get("data"), str):
            media_type = f"{modality}/{told['format']}" if "format" in told else None
            return _digest(modality, media_type, _decoded(told["data"]))
        url = told.get("url") if isinstance(told, Mapping) else told
        if isinstance(url, str):
            return _link(modality, url)
    file = part.get("file") if kind == "file" else None
    if isinstance(file, Mapping):
        if isinstance(file.get("file_data"), str):
            return _link("document", file["file_data"])
        if isinstance(file.get("file_id"), str):
            return {"type": "file", "modality": "document", "file_id": file["file_id"]}
    return dict(part)


def _link(modality: str, url: str) -> Part:
    try:
        file = data_url(url)
        if file is None:
            return {"type": "uri", "modality": modality, "uri": url}
        return _digest(modality, file.media_type or None, file.data())
    except ValueError:
        return _digest(modality, None, url.encode("utf-8", "surrogatepass"))


def _decoded(data: str) -> bytes:
    try:
        return decode_base64(data)
    except ValueError:
        return data.encode("utf-8", "surrogatepass")


def _digest(modality: str, media_type: str | None, data: bytes) -> Part:
    return {
        "type": "blob_digest",
        "modality": modality,
        "mime_type": media_type,
        "size": len(data),
        "sha256": sha256(data).hexdigest(),
    }


def _call(call: Mapping[str, Any]) -> Part:
    function = call.get("function")
    if not isinstance(function, Mapping):
        return dict(call)
    return _with_id(
        "tool_call", call.get("id"), name=function.get("name"), arguments=arguments_of(call)
    )


def _said(completion: ChatCompletion) -> Iterator[Part]:
    if completion.reasoning:
        yield {"type": "reasoning", "content": completion.reasoning}
    if completion.refusal:
        yield {"type": "refusal", "content": completion.refusal}
    if completion.text:
        yield _text(completion.text)
    for image in completion.images:
        yield _link("image", image.url)
    if completion.audio is not None:
        yield _digest("audio", completion.audio.media_type, completion.audio.data)
    for one in completion.tool_calls:
        yield _with_id("tool_call", one.id, name=one.name, arguments=one.arguments)


def _definition(tool: Mapping[str, Any]) -> dict[str, Any]:
    name = name_of_tool(tool)
    if not name:
        return {"name": tool.get("type"), **tool}
    function = tool["function"]
    known = {key: function[key] for key in ("description", "parameters") if key in function}
    return {"type": "function", "name": name, **known}


def _text(text: str) -> Part:
    return {"type": "text", "content": text}


def _with_id(kind: str, identity: Any, **members: Any) -> Part:
    known = {} if identity is None else {"id": identity}
    return {"type": kind, **known, **members}
