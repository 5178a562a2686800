"""Agents of pydantic-ai as models. The package is not imported here, unless it is already."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from mcp_mount.backends.models.adapters.clients import client_failures
from mcp_mount.backends.models.adapters.refusals import refuse_several
from mcp_mount.llm.answers import ChatCompletion, Delta, Usage
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import Invocation, ModelTraits
from mcp_mount.llm.requests import ChatMessage, ChatRequest, file_in
from mcp_mount.wire.encoding import encode

_SETTINGS: Final = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop_sequences",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logit_bias": "logit_bias",
}
"""Options of requests, and how pydantic-ai calls them."""


class AgentModel(ModelTraits):
    """An agent of pydantic-ai as a model.

    It gets the conversation, and the settings that it knows; it calls its own tools, and those of
    the request are not offered to it. What it returns is text, or JSON if it is something else. As
    pydantic-ai has it, `system_prompt=` counts in the first turn only: write `instructions=`.

    Args:
        agent: The agent: it has `run` and `run_stream`.
    """

    is_async = True
    wants_context = False

    def __init__(self, agent: Any) -> None:
        self.function = agent

    async def answer(self, invocation: Invocation) -> ChatCompletion:
        """Run the agent.

        Raises:
            ModelError: If the model behind it does not answer.
        """
        request = invocation.request
        refuse_several(request)
        arguments = self._arguments(request)
        if request.stream and getattr(self.function, "output_type", str) is str:
            with client_failures():
                return await self._stream(invocation, arguments)
        with client_failures():
            run = await self.function.run(**arguments)
        output = run.output
        text = output if isinstance(output, str) else encode(output).decode()
        completion = ChatCompletion(text, usage=_usage(run), model=_model(run))
        if request.stream:
            for delta in completion.deltas():
                await invocation.pieces.put(delta)
        return completion

    async def _stream(self, invocation: Invocation, arguments: dict[str, Any]) -> ChatCompletion:
        texts: list[str] = []
        async with self.function.run_stream(**arguments) as run:
            async for text in run.stream_text(delta=True):
                texts.append(text)
                await invocation.pieces.put(Delta(text=text))
            usage, model = _usage(run), _model(run)
        await invocation.pieces.put(Delta(finish="stop"))
        await invocation.pieces.put(Delta(usage=usage))
        return ChatCompletion("".join(texts), usage=usage, model=model)

    def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        options = request.options()
        settings = {own: options[name] for name, own in _SETTINGS.items() if name in options}
        *earlier, last = [one for one in map(_message, request.messages) if one] or [{}]
        if last.get("kind") != "request":
            raise ModelError(
                "The last message is the user's", status=400, param="messages", again=False
            )
        # The types of its messages; whoever has an agent has imported them.
        read = sys.modules["pydantic_ai.messages"].ModelMessagesTypeAdapter.validate_python
        *history, prompt = read([*earlier, last])
        return {
            "user_prompt": prompt.parts[-1].content,
            "message_history": history,
            "model_settings": settings,
        }


def _message(one: ChatMessage) -> dict[str, Any] | None:
    """A message in pydantic-ai's form; None for those of tools, which the agent has of its own."""
    if one.role in ("system", "developer"):
        return {"kind": "request", "parts": [{"part_kind": "system-prompt", "content": one.text}]}
    if one.role == "user":
        parts = one.content if isinstance(one.content, list) else None
        content: Any = one.text if parts is None else [_part(part) for part in parts]
        return {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": content}]}
    if one.role == "assistant" and one.text:
        return {"kind": "response", "parts": [{"part_kind": "text", "content": one.text}]}
    return None


def _part(part: Mapping[str, Any]) -> Any:
    if part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"]
    picture = part.get("image_url")
    url = picture.get("url") if isinstance(picture, Mapping) else picture
    file = file_in(url)
    if file is not None:
        return {"kind": "binary", "data": file.base64(), "media_type": file.media_type}
    if isinstance(url, str) and url.startswith("https://"):
        return {"kind": "image-url", "url": url}
    raise ModelError(
        "The model takes texts and pictures", status=400, param="messages", again=False
    )


def _usage(run: Any) -> Usage:
    # A method in the first version of pydantic-ai.
    usage = run.usage if hasattr(run.usage, "input_tokens") else run.usage()
    return Usage(
        usage.input_tokens, usage.output_tokens, getattr(usage, "cache_read_tokens", 0) or 0
    )


def _model(run: Any) -> str | None:
    """The name of the model behind the agent."""
    return getattr(getattr(run, "response", None), "model_name", None)
