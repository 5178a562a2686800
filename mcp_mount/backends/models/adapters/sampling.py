"""The model of the connected MCP client (2026-07-28, client/sampling) as a model of a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mcp_mount.llm.answers import ChatCompletion, ToolCall
from mcp_mount.llm.errors import ModelError, ModelRefused
from mcp_mount.llm.media import AudioPart, ImagePart, audio_format, joined_audio
from mcp_mount.llm.models import Invocation
from mcp_mount.llm.requests import ChatMessage, ChatRequest, arguments_of, file_in
from mcp_mount.schemas.values import whole
from mcp_mount.wire.binary import decode_base64
from mcp_mount.wire.errors import ClientError

_FINISHES: Final[Mapping[str, str]] = {"maxTokens": "length", "toolUse": "tool_calls"}
_CHOICES: Final = ("auto", "required", "none")


class Sampling:
    """Asks the model of the MCP client that calls.

    Its user sees and may change what is asked. Clients offer it up to 2025-11-25; the revision
    2026-07-28 has it still, as deprecated. Over plain HTTP, and where a client has none, it fails
    with a `ModelError`, after which a `Route` asks its next member.

    Args:
        max_tokens: The limit of an answer, in tokens, for requests that give none.

    Raises:
        DefinitionError: For another limit.
    """

    is_async = True
    wants_context = True

    def __init__(self, *, max_tokens: int = 1024) -> None:
        self._max_tokens: int = whole(1)("max_tokens", max_tokens)

    async def answer(self, invocation: Invocation) -> ChatCompletion:
        """Ask the client.

        Args:
            invocation: The request, and what takes the pieces of the answer.

        Raises:
            ModelError: If it has no model, or does not answer.
        """
        request = invocation.request
        options = _options(request)
        messages = [message for one in request.messages for message in _messages(one)]
        try:
            answer = await invocation.context.sample(
                messages, max_tokens=request.max_tokens or self._max_tokens, **options
            )
        except ClientError as error:
            message = f"The MCP client answers for no model: {error}"
            # Not a failure of this model: other callers' clients may have one.
            raise ModelRefused(message, status=400, code="no_client_model", again=True) from None
        completion = _completion(answer)
        if request.stream:
            for delta in completion.deltas():
                await invocation.pieces.put(delta)
        return completion


def _options(request: ChatRequest) -> dict[str, Any]:
    if request.n != 1:
        raise _refused("The client's model gives one answer", "n")
    options: dict[str, Any] = {}
    if request.instructions:
        options["system"] = request.instructions
    if request.temperature is not None:
        options["temperature"] = request.temperature
    if request.stop:
        options["stop"] = request.stop
    if request.tools:
        options["tools"] = [_tool(one) for one in request.tools]
        if isinstance(request.tool_choice, Mapping):
            raise _refused("The client's model knows auto, required and none", "tool_choice")
        if request.tool_choice in _CHOICES:
            options["tool_choice"] = request.tool_choice
    return options


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise _refused("The client's model knows tools with a function only", "tools")
    translated = {
        "name": function["name"],
        "inputSchema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if isinstance(function.get("description"), str):
        translated["description"] = function["description"]
    return translated


def _messages(one: ChatMessage) -> list[dict[str, Any]]:
    """A message in the form of MCP; each content is one of its own, which all revisions have, but
    for tools."""
    if one.role in ("system", "developer"):
        return []
    if one.role == "tool":
        content = [{"type": "text", "text": one.text}]
        result = {"type": "tool_result", "toolUseId": one.tool_call_id or "", "content": content}
        return [{"role": "user", "content": result}]
    role = "assistant" if one.role == "assistant" else "user"
    parts = one.content if isinstance(one.content, list) else [{"type": "text", "text": one.text}]
    contents = [_content(part) for part in parts if part.get("text") != ""]
    for call in one.tool_calls or ():
        function = call.get("function")
        if isinstance(function, Mapping) and not isinstance(function.get("arguments"), Mapping):
            arguments = arguments_of({"function": {"arguments": str(function.get("arguments"))}})
            use = {"type": "tool_use", "id": str(call.get("id")), "name": str(function.get("name"))}
            given = arguments if isinstance(arguments, dict) else {"arguments": arguments}
            contents.append({**use, "input": given})
    return [{"role": role, "content": content} for content in contents]


def _content(part: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    picture, sound = part.get("image_url"), part.get("input_audio")
    file = file_in(picture.get("url") if isinstance(picture, Mapping) else picture)
    if file is not None:
        return {"type": "image", "data": file.base64(), "mimeType": file.media_type}
    if isinstance(sound, Mapping) and isinstance(sound.get("data"), str):
        media_type = f"audio/{sound.get('format', 'wav')}"
        return {"type": "audio", "data": sound["data"], "mimeType": media_type}
    raise _refused("The client's model takes texts, and pictures as data URLs", "messages")


def _completion(answer: Mapping[str, Any]) -> ChatCompletion:
    content = answer.get("content")
    blocks = content if isinstance(content, list) else [content]
    known = [one for one in blocks if isinstance(one, dict)]
    texts = [one["text"] for one in known if isinstance(one.get("text"), str)]
    calls = [
        ToolCall(str(one.get("name")), one["input"], str(one.get("id")))
        for one in known
        if one.get("type") == "tool_use" and isinstance(one.get("input"), dict)
    ]
    media = [block for one in known if (block := _media(one)) is not None]
    reason, model = answer.get("stopReason"), answer.get("model")
    return ChatCompletion(
        "".join(texts),
        calls,
        images=[one for one in media if isinstance(one, ImagePart)],
        audio=joined_audio([one for one in media if isinstance(one, AudioPart)]),
        finish_reason=_FINISHES.get(reason) if isinstance(reason, str) else None,
        model=model if isinstance(model, str) else None,
    )


def _media(block: Mapping[str, Any]) -> ImagePart | AudioPart | None:
    """The picture or sound in a content block; None for any other, and for what is broken."""
    data, media_type = block.get("data"), block.get("mimeType")
    if not isinstance(data, str) or not isinstance(media_type, str):
        return None
    try:
        if block.get("type") == "image":
            return ImagePart(f"data:{media_type};base64,{data}")
        return AudioPart(decode_base64(data), audio_format(media_type))
    except ValueError:
        return None


def _refused(message: str, param: str) -> ModelError:
    return ModelError(message, status=400, code="unsupported", param=param)
