"""The types of the public interface, as mypy sees them; nothing here runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel
from typing_extensions import assert_type

from mcp_mount import Context, Elicited, MCPServer, SyncContext, ToolsRouter

if TYPE_CHECKING:
    server = MCPServer("typed", secret_key=["new", "old"], allowed_origins=["https://a.example"])
    tools = ToolsRouter(prefix="/x", http=False)

    class Answer(BaseModel):
        sure: bool

    @server.tool
    def bare(a: int) -> str:
        return str(a)

    @tools.tool(title="Named")
    async def named(a: int, ctx: Context) -> str:
        await ctx.report_progress(1, 2)
        assert_type(await ctx.elicit("Sure?", Answer), Elicited[Answer])
        return str(a)

    @tools.tool("by-position")
    def plain(ctx: SyncContext) -> bool:
        ctx.info("text")
        answer = ctx.elicit("Sure?", Answer)
        assert_type(answer.data, Answer | None)
        return answer.data is not None and answer.data.sure

    @server.prompt(title="Prompt")
    def prompt(topic: str) -> str:
        return topic

    assert_type(bare(1), str)
    kept: Callable[[SyncContext], bool] = plain
    assert_type(prompt("x"), str)
