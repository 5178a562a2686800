"""The tool by which MCP clients ask the chat models of a server."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

from pydantic import Field

from mcp_mount.context import operations
from mcp_mount.context.context import Context
from mcp_mount.context.operations import perform_async
from mcp_mount.features.content import Audio, Image
from mcp_mount.llm.answers import Delta
from mcp_mount.llm.media import AudioPart, ImagePart
from mcp_mount.llm.requests import chat_request

_REPORT_SECONDS: Final = 0.5


async def chat(
    message: Annotated[str, Field(min_length=1, description="What to say to the model")],
    ctx: Context[Any],
    model: Annotated[str | None, Field(description="Which model; by default the first")] = None,
    instructions: Annotated[str | None, Field(description="How it is to answer")] = None,
    max_tokens: Annotated[int | None, Field(ge=1, description="The longest answer")] = None,
) -> str:
    """Ask a chat model of this server."""
    system = [] if instructions is None else [{"role": "system", "content": instructions}]
    messages = [*system, {"role": "user", "content": message}]
    request = chat_request(messages, model=model, max_tokens=max_tokens, stream=True)
    completion = await perform_async(operations.complete(ctx, request, _Progress(ctx)))
    shown: Any = completion.text or completion.refusal
    media = [_block(one) for one in (*completion.images, completion.audio) if one is not None]
    if media:
        shown = [*([shown] if shown else ()), *media]
    return shown  # type: ignore[no-any-return]


def _block(part: ImagePart | AudioPart) -> Image | Audio | str:
    """A picture or sound as a client gets it; of a picture that is elsewhere, where it is."""
    if isinstance(part, AudioPart):
        return Audio(data=part.data, format=part.media_type)
    file = part.file
    return part.as_text if file is None else Image(data=file.data(), format=file.media_type)


class _Progress:
    """Tells the client how far an answer has come."""

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self._characters = 0
        self._told_at = time.monotonic()

    async def put(self, delta: Delta) -> None:
        self._characters += len(delta.text) + len(delta.reasoning)
        now = time.monotonic()
        if now - self._told_at >= _REPORT_SECONDS:
            self._told_at = now
            await self._context.report_progress(
                self._characters, message=f"{self._characters} characters"
            )

    def put_from_thread(self, delta: Delta) -> None:
        """Say nothing: a plain function keeps its thread until it has ended."""
        self._characters += len(delta.text) + len(delta.reasoning)
