"""A server that offers one of every kind of thing, for tests that send whatever there is."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from mcp_mount import (
    Completion,
    CompletionsRouter,
    Context,
    Image,
    ImageRouter,
    McpHeader,
    SyncContext,
    TaskPolicy,
    ToolsRouter,
)

ON_PURPOSE = "on purpose"
"""What every exception says that these functions raise: others are faults."""


class Trip(BaseModel):
    """What a form asks for."""

    city: str
    days: int = 3


def register(server: Any) -> None:
    """Register all on a server, or on what stands for one in a host."""
    server.include_router(tools())
    server.include_router(chats())
    server.include_router(ImageRouter(lambda prompt, size: Image(data=b"\x89PNG\r\n\x1a\n")))
    add_asking_tools(server)
    add_policies(server)
    add_resources(server)


def tools() -> ToolsRouter:
    """Tools over MCP and over plain HTTP."""
    tools = ToolsRouter()

    @tools.tool
    def echo(text: Any = "") -> Any:
        return text

    @tools.tool
    async def echo_async(text: Any = "") -> Any:
        await asyncio.sleep(0)
        return text

    @tools.tool
    def typed(days: int, trip: Trip | None = None) -> Trip:
        return trip or Trip(city="Oslo", days=days)

    @tools.tool
    def every_type(
        day: date | None = None,
        price: Decimal | None = None,
        key: UUID | None = None,
        length: timedelta | None = None,
        kind: Literal["a", 1] = "a",
        share: float = 0.5,
        names: set[str] = frozenset(),  # type: ignore[assignment]
        pairs: list[tuple[int, str]] = [],  # noqa: B006
        counts: dict[str, int] = {},  # noqa: B006
        few: Annotated[list[int], Field(max_length=3)] = [],  # noqa: B006
    ) -> dict[str, Any]:
        return dict(locals())

    @tools.tool
    def numbers(share: float) -> list[float]:
        return [share, share * 1e308, -share]

    @tools.tool
    def picture() -> list[Any]:
        return ["A point", Image(data=b"\x89PNG\r\n\x1a\n")]

    @tools.tool
    def fail() -> None:
        raise ValueError(ON_PURPOSE)

    @tools.tool
    async def fail_async() -> None:
        raise ValueError(ON_PURPOSE)

    @tools.tool
    def mirrored(region: Annotated[str, McpHeader("Region")], level: int = 1) -> str:
        return f"{region} {level}"

    return tools


def chats() -> CompletionsRouter:
    """Prompts and their completion over MCP, chat models over HTTP."""
    chats = CompletionsRouter()

    @chats.prompt
    def question(topic: str = "") -> str:
        return topic

    @chats.prompt
    async def counted(number: int) -> str:
        return str(number)

    @chats.completion("question", "topic")
    def topics(completion: Completion) -> list[str]:
        return [completion.value]

    @chats.chat
    def parrot(request: Any) -> Any:
        return (message.text for message in request.messages)

    @chats.chat
    async def slow_parrot(request: Any) -> str:
        await asyncio.sleep(0)
        return str(request.messages[-1].text)

    return chats


def add_asking_tools(server: Any) -> None:
    """Tools that speak to their client before they end, and those that run as tasks."""

    @server.tool
    def talk(ctx: SyncContext) -> str:
        ctx.report_progress(1, 2, "half")
        ctx.info({"any": "thing"})
        return str(ctx.elicit("Where?", Trip))

    @server.tool
    async def talk_async(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "half")
        return str(await ctx.elicit("Where?", Trip))

    @server.tool
    def think(ctx: SyncContext) -> Any:
        return [str(ctx.sample("Why?", max_tokens=5)), [str(root) for root in ctx.list_roots()]]

    @server.tool(task=TaskPolicy(ttl=1))
    def later(ctx: SyncContext) -> str:
        return str(ctx.elicit("Where?", Trip))

    @server.tool(task=True)
    def wait(ctx: SyncContext) -> str:
        return str(ctx.elicit("Where?", Trip))

    @server.tool(task="required")
    def background(text: str = "") -> str:
        return text

    @server.tool
    async def chained(ctx: Context, text: str = "") -> Any:
        return await ctx.call_tool("typed", {"days": text})


def add_policies(server: Any) -> None:
    """Tools with something around their calls."""

    @server.tool(throttle="20/second")
    def limited() -> str:
        return "done"

    @server.tool(cache=60)
    async def kept(text: str = "") -> str:
        return text

    @server.tool(max_concurrency=2, timeout=5)
    def narrow() -> str:
        return "done"

    @server.tool(check=_small, max_argument_depth=3, max_result_bytes=400)
    def checked(number: int, more: Any = None) -> str:
        return "x" * number


def _small(number: int) -> None:
    if not 0 <= number < 1000:
        raise ValueError("That is too many")


def add_resources(server: Any) -> None:
    """Resources, their templates, pages and the tool of one."""

    @server.page("ui://view")
    def view() -> str:
        return "<!doctype html><title>View</title>"

    @server.tool(page="ui://view", app_only=True)
    def refresh() -> str:
        return "new"

    @server.resource("file:///{+path}")
    def file(path: str) -> str:
        return path

    @server.resource("item://{number}")
    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    @server.resource("data://bytes")
    def data() -> bytes:
        return b"\xff"
