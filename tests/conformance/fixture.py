"""The server under test: what the official conformance suite expects to find, by the public API."""

from __future__ import annotations

import asyncio
import base64
import struct
import time
import zlib
from typing import Annotated, Any, Literal

from mcp_types import (
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

from mcp_mount import (
    Audio,
    Completion,
    CompletionsRouter,
    Context,
    Elicited,
    Image,
    MCPRouter,
    Message,
    SyncContext,
    ToolError,
    ToolsRouter,
)


def red_pixel() -> bytes:
    """A PNG of one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def silence() -> bytes:
    """A WAV file of one silent sample."""
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data\x01\x00\x00\x00\x80\x00"
    return b"RIFF" + struct.pack("<I", len(body)) + body


def embedded(uri: str, text: str, media_type: str = "text/plain") -> EmbeddedResource:
    resource = TextResourceContents(uri=uri, mime_type=media_type, text=text)
    return EmbeddedResource(type="resource", resource=resource)


class Contact(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


def described(answer: Elicited[Any]) -> str:
    content = None if answer.data is None else answer.data.model_dump()
    return f"User response: action={answer.action}, content={content}"


def build_router() -> MCPRouter:
    """All features, as one router to include in any host's server."""
    everything = MCPRouter()
    everything.include_router(build_tools())
    everything.include_router(build_prompts())
    return everything


def build_tools() -> ToolsRouter:
    tools = ToolsRouter()

    @tools.tool
    def test_simple_text() -> str:
        """Return one line of text."""
        return "This is a simple text response for testing."

    @tools.tool
    def test_image_content() -> Image:
        """Return an image."""
        return Image(red_pixel())

    @tools.tool
    async def test_audio_content() -> Audio:
        """Return a sound."""
        return Audio(silence())

    @tools.tool
    def test_embedded_resource() -> EmbeddedResource:
        """Return an embedded resource."""
        return embedded("test://embedded-resource", "This is an embedded resource content.")

    @tools.tool
    def test_multiple_content_types() -> list[TextContent | Image | EmbeddedResource]:
        """Return a text, an image and a resource."""
        return [
            TextContent(type="text", text="Multiple content types test:"),
            Image(red_pixel()),
            embedded(
                "test://mixed-content-resource", '{"test":"data","value":123}', "application/json"
            ),
        ]

    @tools.tool
    def test_error_handling() -> str:
        """Always fail."""
        raise ToolError("This tool intentionally returns an error for testing")

    @tools.tool
    def test_tool_with_progress(ctx: SyncContext) -> str:
        """Report progress three times, from a plain function."""
        for step in (0, 50, 100):
            ctx.report_progress(step, 100)
            time.sleep(0.05)
        return "done"

    @tools.tool
    async def test_tool_with_logging(ctx: Context) -> str:
        """Log three messages, from a coroutine."""
        await ctx.info("Tool execution started")
        await asyncio.sleep(0.05)
        await ctx.info("Tool processing data")
        await asyncio.sleep(0.05)
        await ctx.info("Tool execution completed")
        return "done"

    @tools.tool
    def test_sampling(prompt: str, ctx: SyncContext) -> str:
        """Ask the client's model, from a plain function."""
        answer = ctx.sample(prompt, max_tokens=100)
        return f"LLM response: {answer['content']['text']}"

    @tools.tool
    def test_elicitation(message: str, ctx: SyncContext) -> str:
        """Ask the person, from a plain function."""
        return described(ctx.elicit(message, Contact))

    @tools.tool
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        """Ask with default values."""
        return described(await ctx.elicit("Please review the defaults", Defaults))

    @tools.tool
    async def test_logging_tool(ctx: Context) -> str:
        """Log a message, which nobody hears who did not ask for it."""
        await ctx.info("A message")
        return "done"

    return tools


def build_prompts() -> CompletionsRouter:
    prompts = CompletionsRouter()

    @prompts.prompt
    def test_simple_prompt() -> str:
        """A prompt without arguments."""
        return "This is a simple prompt for testing."

    @prompts.prompt
    def test_prompt_with_arguments(
        arg1: Annotated[str, Field(description="First test argument")],
        arg2: Annotated[str, Field(description="Second test argument")],
    ) -> str:
        """A prompt with two arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @prompts.prompt
    def test_prompt_with_embedded_resource(
        resourceUri: Annotated[str, Field(description="URI of the resource to embed")],
    ) -> list[Any]:
        """A prompt with a resource in it."""
        return [
            Message(embedded(resourceUri, "Embedded resource content for testing.")),
            "Please process the embedded resource above.",
        ]

    @prompts.prompt
    def test_prompt_with_image() -> list[Any]:
        """A prompt with an image in it."""
        data = base64.b64encode(red_pixel()).decode()
        return [
            Message(ImageContent(type="image", data=data, mime_type="image/png")),
            "Please analyze the image above.",
        ]

    @prompts.completion("test_prompt_with_arguments", "arg1")
    def complete_arg1(completion: Completion) -> list[str]:
        values = ("paris", "park", "party")
        return [value for value in values if value.startswith(completion.value)]

    return prompts
