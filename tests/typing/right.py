"""A user's program, as type checkers see it; nothing here runs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from pydantic import BaseModel
from typing_extensions import assert_type

from mcp_mount import (
    Cache,
    Call,
    CallNext,
    Context,
    Elicited,
    MCPServer,
    PolicyOptions,
    PrometheusRouter,
    Result,
    SyncCallNext,
    SyncContext,
    Telemetry,
    Throttle,
    ToolsRouter,
)
from mcp_mount_fastapi import mount

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

    def known(sku: str) -> None:
        if not sku:
            raise ValueError("sku is empty")

    async def watched(call: Call, call_next: CallNext) -> Result:
        return await call_next()

    def counted(call: Call, call_next: SyncCallNext) -> Result:
        return call_next()

    policies: PolicyOptions = {"throttle": "10/minute", "call_middleware": counted}

    @tools.tool(**policies)
    def limited(sku: str) -> str:
        return sku

    @tools.tool(
        scopes=["read"],
        roles="clerk",
        when=lambda caller: caller.id is not None,
        throttle=["10/minute", Throttle("1000/day", key=lambda call: call.caller)],
        max_concurrency=4,
        timeout=1.5,
        cache=Cache(60, per="everyone", tags=["prices"]),
        check=known,
        redact="card",
    )
    async def price(sku: str) -> int:
        return len(sku)

    @tools.tool(call_middleware=watched)
    async def chained(ctx: Context) -> int:
        assert_type(await ctx.call_tool(price, {"sku": "x"}), int)
        assert_type(await ctx.call_tool(bare, {"a": 1}), str)
        assert_type(await ctx.call_tool("price", {"sku": "x"}, returns=Answer), Answer)
        [content] = await ctx.read_resource("text://x")
        assert_type(content.content, str | bytes)
        return 1

    @tools.tool(timeout=None)
    def chained_plain(ctx: SyncContext) -> int:
        assert_type(ctx.call_tool(price, {"sku": "x"}), int)
        assert_type(ctx.call_tool(bare, {"a": 1}), str)
        return 1

    @tools.tool
    def with_lifespan(ctx: SyncContext[Answer]) -> str:
        assert_type(ctx.lifespan, Answer)
        return ""

    @tools.tool
    async def with_any_lifespan(ctx: Context) -> str:
        assert_type(ctx.lifespan, Any)
        return ""

    @server.call_middleware
    async def around(call: Call, call_next: CallNext) -> Result:
        return await call_next()

    @tools.call_middleware
    def generated(call: Call) -> Generator[None, Result, Result]:
        result = yield
        return result

    server.pipeline("both", price, (bare, lambda value: {"a": value}))
    assert_type(bare(1), str)
    kept: Callable[[SyncContext], bool] = plain
    assert_type(prompt("x"), str)

    metrics = PrometheusRouter(tags=["metrics"])
    server.include_router(metrics, prefix="/internal")
    watching = MCPServer(
        "watching", telemetry=Telemetry(meter_provider=metrics.meter_provider), docs_url=None
    )
    watching.configure(name="renamed", timeout=None)
    mounted: FastAPI = mount(FastAPI(), "/mcp", watching)
