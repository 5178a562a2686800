"""Drive a server with the official Python SDK, 1.x: `python python_sdk_1.py URL KEYED KEY`."""

from __future__ import annotations

import asyncio
import inspect
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import reporting
from mcp import ClientSession, types
from mcp.client.streamable_http import streamablehttp_client
from reporting import Report

warnings.simplefilter("ignore")
URL, KEYED, KEY = sys.argv[1:4]
logs: list[Any] = []


async def hear(params: Any) -> None:
    logs.append(params.data)


async def think(context: Any, params: Any) -> Any:
    content = types.TextContent(type="text", text="Paris")
    return types.CreateMessageResult(role="assistant", model="test", content=content)


async def look(context: Any) -> Any:
    return types.ListRootsResult(roots=[types.Root(uri="file:///here")])


async def ask(context: Any, params: Any) -> Any:
    return types.ElicitResult(action="accept", content={"colour": "blue"})


@asynccontextmanager
async def session(url: str, headers: dict[str, str]) -> AsyncIterator[tuple[Any, Any]]:
    options: dict[str, Any] = {"sampling_callback": think, "list_roots_callback": look}
    if "elicitation_callback" in inspect.signature(ClientSession).parameters:
        options["elicitation_callback"] = ask
    async with (
        streamablehttp_client(url, headers) as (read, write, _),
        ClientSession(read, write, logging_callback=hear, **options) as client,
    ):
        yield client, await client.initialize()


async def once(url: str, headers: dict[str, str]) -> Any:
    async with session(url, headers) as (client, _):
        return reporting.result_of(await client.call_tool("text", {}))


async def main() -> None:
    report = Report()
    try:
        async with session(URL, {}) as (client, opened):
            report.seen["revision"] = str(opened.protocolVersion)
            await see(report, client)
    except BaseException as error:
        report.seen["connect"] = {"raised": reporting.words_of(error)}
    await reporting.see_other_ways(report, once, URL, KEYED, KEY)
    report.print()


async def see(report: Report, client: Any) -> None:
    async def tools() -> Any:
        return reporting.named((await client.list_tools()).tools)

    async def call(name: str, arguments: dict[str, Any]) -> Any:
        return reporting.result_of(await client.call_tool(name, arguments))

    async def progress() -> Any:
        heard: list[float] = []

        async def on_progress(progress: float, total: float | None, message: Any) -> None:
            heard.append(progress)

        await client.set_logging_level("info")
        await client.call_tool("report", {}, progress_callback=on_progress)
        return heard

    await report.see("tools", tools)
    await reporting.see_tools(report, call)
    if "progress_callback" in inspect.signature(client.call_tool).parameters:
        await report.see("progress", progress)
    else:
        await report.see("progress", lambda: call("report", {}))
    report.seen["logs"] = logs
    for name in ("ask", "think", "look"):
        await report.see(name, lambda name=name: call(name, {}))
    await reporting.see_lists(report, client)

    async def complete() -> Any:
        prompt = types.PromptReference(type="ref/prompt", name="greet")
        found = await client.complete(prompt, {"name": "name", "value": "Ad"})
        return found.completion.values

    await report.see("complete", complete)


asyncio.run(main())
