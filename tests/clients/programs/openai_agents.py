"""Drive a server with the MCP client of the OpenAI Agents SDK: `… URL KEYED KEY`.

No model is asked: the agent's own methods list and call the tools.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"

import reporting
from agents.mcp import MCPServerStreamableHttp, MCPUtil
from reporting import Report

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
URL, KEYED, KEY = sys.argv[1:4]


@asynccontextmanager
async def server(url: str, headers: dict[str, str]) -> AsyncIterator[Any]:
    one = MCPServerStreamableHttp(params={"url": url, "headers": headers})
    await one.connect()
    try:
        yield one
    finally:
        await one.cleanup()


async def once(url: str, headers: dict[str, str]) -> Any:
    async with server(url, headers) as one:
        return reporting.result_of(await one.call_tool("text", {}))


async def main() -> None:
    report = Report()
    try:
        async with server(URL, {}) as one:
            await see(report, one)
    except BaseException as error:
        report.seen["connect"] = {"raised": reporting.words_of(error)}
    await reporting.see_other_ways(report, once, URL, KEYED, KEY)
    report.print()


async def see(report: Report, one: Any) -> None:
    listed = await one.list_tools()
    report.seen["tools"] = reporting.named(listed)
    # An agent with strict schemas takes those that can be made strict.
    report.seen["strict"] = sorted(
        tool.name
        for tool in listed
        if MCPUtil.to_function_tool(tool, one, convert_schemas_to_strict=True).strict_json_schema
    )

    async def call(name: str, arguments: dict[str, Any]) -> Any:
        return reporting.result_of(await one.call_tool(name, arguments))

    await reporting.see_tools(report, call)
    await report.see("progress", lambda: call("report", {}))
    for name in ("ask", "think", "look"):
        await report.see(name, lambda name=name: call(name, {}))
    await reporting.see_lists(report, one)


asyncio.run(main())
