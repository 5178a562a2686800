"""The server that all clients are shown: one tool for each kind of result, and the rest of MCP."""

from __future__ import annotations

from mcp_types import EmbeddedResource, ResourceLink, TextResourceContents
from pydantic import BaseModel

from mcp_mount import Audio, Completion, Context, Image, MCPServer, SyncContext, ToolError
from mcp_mount.auth import APIKeys
from tests.conformance.fixture import red_pixel, silence

KEY = "a-key-of-the-clients"
"""What `/keyed/mcp` asks for, in the header X-API-Key."""


class Person(BaseModel):
    name: str
    age: int


class Choice(BaseModel):
    colour: str


def keys() -> APIKeys:
    return APIKeys({"clients": KEY})


def fill(server: MCPServer) -> MCPServer:
    """Register everything on a server of any host."""
    add_results(server)
    add_failures(server)
    add_conversations(server)

    @server.resource("notes://today", mime_type="text/plain")
    def today() -> str:
        """The note of today."""
        return "Buy bread"

    @server.resource("notes://by-name/{name}")
    def note(name: str) -> str:
        """A note by its name."""
        return f"The note {name}"

    @server.prompt
    def greet(name: str) -> str:
        """Greet somebody."""
        return f"Say hello to {name}."

    @server.completion("greet", "name")
    def names(completion: Completion) -> list[str]:
        return [name for name in ("Ada", "Adam", "Bob") if name.startswith(completion.value)]

    return server


def add_results(server: MCPServer) -> None:
    @server.tool
    def text() -> str:
        """Return text."""
        return "hello"

    @server.tool
    async def number() -> int:
        """Return a number."""
        return 3

    @server.tool
    def person() -> Person:
        """Return a model."""
        return Person(name="Ada", age=36)

    @server.tool
    def people() -> list[Person]:
        """Return a list of models."""
        return [Person(name="Ada", age=36), Person(name="Bob", age=7)]

    @server.tool
    def nobody() -> Person | None:
        """Return no model, where one might be."""
        return None

    @server.tool
    def nothing() -> None:
        """Return nothing at all."""

    @server.tool
    def image() -> Image:
        """Return an image."""
        return Image(red_pixel())

    @server.tool
    def audio() -> Audio:
        """Return a sound."""
        return Audio(silence())

    @server.tool
    def link() -> ResourceLink:
        """Return a link to a resource."""
        return ResourceLink(
            type="resource_link", uri="notes://today", name="today", mime_type="text/plain"
        )

    @server.tool
    def embedded() -> EmbeddedResource:
        """Return a resource itself."""
        contents = TextResourceContents(
            uri="notes://today", mime_type="text/plain", text="Buy bread"
        )
        return EmbeddedResource(type="resource", resource=contents)

    @server.tool
    def data() -> bytes:
        """Return bytes that are no text."""
        return b"\x00\xff"


def add_failures(server: MCPServer) -> None:
    @server.tool
    def refuse() -> str:
        """Refuse, in words for the model."""
        raise ToolError("Not on Sundays.")

    @server.tool
    def fail() -> str:
        """Fail in a way that nobody has thought of."""
        raise RuntimeError("a secret of the server")

    @server.tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b


def add_conversations(server: MCPServer) -> None:
    @server.tool
    def report(ctx: SyncContext) -> str:
        """Report progress, and log."""
        ctx.report_progress(1, 2)
        ctx.info("half way")
        ctx.report_progress(2, 2)
        return "reported"

    @server.tool
    async def ask(ctx: Context) -> str:
        """Ask the person."""
        answer = await ctx.elicit("Which colour?", Choice)
        return answer.data.colour if answer.data else answer.action

    @server.tool
    def think(ctx: SyncContext) -> str:
        """Ask the client's model."""
        answer = ctx.sample("What is the capital of France?", max_tokens=20)
        return str(answer["content"]["text"])

    @server.tool
    async def look(ctx: Context) -> str:
        """Ask for the client's roots."""
        return ", ".join(root["uri"] for root in await ctx.list_roots())
