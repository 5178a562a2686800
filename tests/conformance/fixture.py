"""The server under test: what the official conformance suite expects to find, by the public API."""

from __future__ import annotations

import asyncio
import base64
import struct
import time
import uuid
import zlib
from typing import Annotated, Any, Literal

from mcp_types import (
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field, WithJsonSchema

from mcp_mount import (
    Audio,
    Completion,
    CompletionsRouter,
    Context,
    Elicited,
    HealthRouter,
    Image,
    McpHeader,
    MCPRouter,
    MCPServer,
    Message,
    ProtocolError,
    SyncContext,
    TaskPolicy,
    ToolError,
    ToolsRouter,
    elicitation,
    roots,
    sampling,
)
from mcp_mount.wire.errors import INTERNAL_ERROR


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


class Name(BaseModel):
    name: str


class Color(BaseModel):
    color: str


class Topic(BaseModel):
    context: str


class Confirmation(BaseModel):
    ok: bool


class Consent(BaseModel):
    confirm: bool


TITLES = [{"const": "value1", "title": "First"}, {"const": "value2", "title": "Second"}]

Titled = Annotated[str, WithJsonSchema({"type": "string", "oneOf": TITLES})]
Named = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]}
    ),
]
ManyTitled = Annotated[list[str], WithJsonSchema({"type": "array", "items": {"anyOf": TITLES}})]


class Choices(BaseModel):
    untitledSingle: Literal["option1", "option2", "option3"]
    titledSingle: Titled
    legacyEnum: Named
    untitledMulti: list[Literal["option1", "option2", "option3"]]
    titledMulti: ManyTitled


def described(answer: Elicited[Any]) -> str:
    content = None if answer.data is None else answer.data.model_dump()
    return f"User response: action={answer.action}, content={content}"


def fill(server: MCPServer) -> None:
    """Register all features on any host's server."""
    server.include_router(build_router())
    server.include_router(HealthRouter())

    @server.tool
    def test_trigger_resource_update(uri: str) -> str:
        """Tell that a resource has changed."""
        server.notify.resource_updated(uri)
        return "told"


def build_router() -> MCPRouter:
    """All features that need no server, as one router."""
    everything = MCPRouter()
    everything.include_router(build_tools())
    everything.include_router(build_prompts())
    everything.include_router(build_resources())
    return everything


SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {
        "properties": {"contactMethod": {"const": "phone"}},
        "required": ["contactMethod"],
    },
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


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
    async def test_elicitation_sep1330_enums(ctx: Context) -> str:
        """Ask with each kind of choice."""
        return described(await ctx.elicit("Please choose", Choices))

    @tools.tool
    def test_missing_capability(ctx: SyncContext) -> str:
        """Need the client's model."""
        return str(ctx.sample("Anything"))

    @tools.tool
    async def test_streaming_elicitation(ctx: Context) -> str:
        """Report progress, then ask."""
        await ctx.report_progress(1)
        return described(await ctx.elicit("Who are you?", Name))

    @tools.tool
    async def test_logging_tool(ctx: Context) -> str:
        """Log a message, which nobody hears who did not ask for it."""
        await ctx.info("A message")
        return "done"

    @tools.tool
    def test_trigger_tool_change() -> str:
        """Register one more tool."""
        tools.tool(name=f"changed_{uuid.uuid4().hex[:8]}", description="New")(lambda: "new")
        return "changed"

    @tools.tool
    async def test_trigger_prompt_change() -> str:
        """Register one more prompt."""
        tools.prompt(name=f"changed_{uuid.uuid4().hex[:8]}", description="New")(lambda: "new")
        return "changed"

    @tools.tool(input_schema=SCHEMA_2020_12)
    def json_schema_2020_12_tool(**arguments: Any) -> dict[str, Any]:
        """Take arguments by a hand-written schema."""
        return arguments

    @tools.tool
    def test_custom_headers(
        region: Annotated[str, McpHeader("Region")],
        priority: Annotated[int, McpHeader("Priority")] = 1,
    ) -> str:
        """Take parameters that are mirrored into headers."""
        return f"{region} {priority}"

    @tools.tool
    async def test_reconnection(ctx: Context) -> str:
        """Send the client away before there is a result, from a coroutine."""
        await ctx.close_stream(retry=0.1)
        await asyncio.sleep(0.2)
        return "Reconnected"

    @tools.tool
    def test_sync_reconnection(ctx: SyncContext) -> str:
        """The same, from a plain function."""
        ctx.report_progress(1)
        ctx.close_stream(retry=0.1)
        time.sleep(0.2)
        ctx.report_progress(2)
        return "Reconnected"

    @tools.tool
    async def slow_talk(ctx: Context, pause: float = 0.05) -> str:
        """Report progress twenty times in a second, or after each pause, from a coroutine."""
        for step in range(1, 21):
            await ctx.report_progress(step)
            await asyncio.sleep(pause)
        return "said 20"

    @tools.tool
    def slow_sync_talk(ctx: SyncContext, pause: float = 0.05) -> str:
        """The same, from a plain function."""
        for step in range(1, 21):
            ctx.report_progress(step)
            time.sleep(pause)
        return "said 20"

    add_round_trips(tools)
    add_tasks(tools)
    return tools


def add_round_trips(tools: ToolsRouter) -> None:
    """The tools that need answers of the client, in one round or several."""

    @tools.tool
    def test_input_required_result_elicitation(ctx: SyncContext) -> str:
        """Ask for a name, from a plain function."""
        answer = ctx.elicit("What is your name?", Name, key="user_name")
        return f"Hello, {answer.data.name}!" if answer.data else "Hello!"

    @tools.tool
    async def test_input_required_result_sampling(ctx: Context) -> str:
        """Ask the client's model, from a coroutine."""
        question = "What is the capital of France?"
        answer = await ctx.sample(question, max_tokens=100, key="capital_question")
        return str(answer["content"]["text"])

    @tools.tool
    def test_input_required_result_list_roots(ctx: SyncContext) -> str:
        """Ask for the roots."""
        return ", ".join(root["uri"] for root in ctx.list_roots(key="client_roots"))

    @tools.tool
    def test_input_required_result_request_state(ctx: SyncContext) -> str:
        """Ask for a confirmation."""
        ctx.elicit("Please confirm", Confirmation, key="confirm")
        return "state-ok"

    @tools.tool
    async def test_input_required_result_tampered_state(ctx: Context) -> str:
        """Ask for a confirmation."""
        await ctx.elicit("Please confirm", Confirmation, key="confirm")
        return "state-ok"

    @tools.tool
    async def test_input_required_result_multiple_inputs(ctx: Context) -> str:
        """Ask three things at once."""
        answers = await ctx.ask(
            {
                "user_name": elicitation("What is your name?", Name),
                "greeting": sampling("Generate a greeting", max_tokens=50),
                "client_roots": roots(),
            }
        )
        return f"{answers['greeting']['content']['text']} {described(answers['user_name'])}"

    @tools.tool
    def test_input_required_result_multi_round(ctx: SyncContext) -> str:
        """Ask one thing after another."""
        name = ctx.elicit("Step 1: What is your name?", Name, key="step1")
        colour = ctx.elicit("Step 2: What is your favorite color?", Color, key="step2")
        return f"{described(name)} {described(colour)}"

    @tools.tool
    def test_input_required_result_capabilities(ctx: SyncContext) -> str:
        """Ask what the client can be asked."""
        questions: dict[str, Any] = {
            "elicitation": elicitation("Who are you?", Name),
            "sampling": sampling("Say something"),
            "roots": roots(),
        }
        can = ctx.client_capabilities
        return str(ctx.ask({key: one for key, one in questions.items() if key in can}))


def add_tasks(tools: ToolsRouter) -> None:
    """The tools that run as tasks, and one that does not."""

    @tools.tool
    def greet(name: str) -> str:
        """Greet at once."""
        return f"Hello, {name}!"

    @tools.tool(task=True)
    async def slow_compute(seconds: float, label: str = "") -> str:
        """Take some seconds, as a coroutine."""
        await asyncio.sleep(seconds)
        return f"Computed {label} in {seconds} s"

    @tools.tool(task=True)
    def slow_count(seconds: float, ctx: SyncContext) -> str:
        """Take some seconds, as a plain function that tells how far it is."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not ctx.cancelled:
            ctx.report_progress(seconds - left, seconds)
            time.sleep(0.05)
        return "Counted"

    @tools.tool(task="required")
    def failing_job() -> str:
        """Fail after a second."""
        time.sleep(1)
        raise ToolError("This job always fails")

    @tools.tool(task=True)
    async def protocol_error_job() -> str:
        """End with a JSON-RPC error."""
        raise ProtocolError(INTERNAL_ERROR, "This job breaks the protocol")

    @tools.tool(task=True)
    def confirm_delete(filename: str, ctx: SyncContext) -> str:
        """Ask for a confirmation while it runs, from a plain function."""
        answer = ctx.elicit(f"Delete {filename}?", Consent)
        done = answer.data is not None and answer.data.confirm
        return f"Deleted {filename}" if done else f"Kept {filename}"

    @tools.tool(task=True)
    async def multi_input(ctx: Context) -> str:
        """Ask two things at once while it runs, from a coroutine."""
        answers = await ctx.ask(
            {"first": elicitation("First?", Consent), "second": elicitation("Second?", Consent)}
        )
        return " ".join(map(described, answers.values()))

    @tools.tool(task=TaskPolicy(required=True, deferred=True))
    async def test_tool_with_task(ctx: Context) -> str:
        """Ask for a name first, then go on as a task."""
        answer = await ctx.elicit("What is your name?", Name, key="user_name")
        ctx.start_task()
        await asyncio.sleep(0.1)
        return f"Hello, {answer.data.name}!" if answer.data else "Hello!"


def build_resources() -> MCPRouter:
    router = MCPRouter()

    @router.resource("test://static-text", mime_type="text/plain", ttl_ms=1000)
    def static_text() -> str:
        """A text."""
        return "This is the content of the static text resource."

    @router.resource("test://static-binary", mime_type="image/png")
    async def static_binary() -> bytes:
        """An image."""
        return red_pixel()

    @router.resource("test://watched-resource")
    def watched() -> str:
        """A text that may change."""
        return "Watched"

    @router.resource("test://template/{id}/data")
    def template(id: str) -> dict[str, Any]:
        """Data by its id."""
        return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}

    return router


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

    @prompts.prompt
    def test_input_required_result_prompt(ctx: SyncContext) -> str:
        """A prompt that asks for its context."""
        answer = ctx.elicit("What context should the prompt use?", Topic, key="user_context")
        return described(answer)

    @prompts.completion("test_prompt_with_arguments", "arg1")
    def complete_arg1(completion: Completion) -> list[str]:
        values = ("paris", "park", "party")
        return [value for value in values if value.startswith(completion.value)]

    return prompts
