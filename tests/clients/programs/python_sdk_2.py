"""Drive a server with the official Python SDK, 2.x: `python python_sdk_2.py URL KEYED KEY MODE`."""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import Any

import httpx2
import reporting
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client
from reporting import Report

warnings.simplefilter("ignore")
URL, KEYED, KEY, MODE = sys.argv[1:5]
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


async def once(url: str, headers: dict[str, str]) -> Any:
    http = httpx2.AsyncClient(headers=headers)
    transport = streamable_http_client(url, http_client=http)
    async with http, Client(transport, mode=MODE) as client:
        return reporting.result_of(await client.call_tool("text", {}))


async def main() -> None:
    report = Report()
    try:
        async with Client(
            URL,
            mode=MODE,
            logging_callback=hear,
            log_level="info",
            sampling_callback=think,
            list_roots_callback=look,
            elicitation_callback=ask,
        ) as client:
            report.seen["revision"] = client.protocol_version
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

        if MODE == "legacy":
            await client.set_logging_level("info")
        await client.call_tool("report", {}, progress_callback=on_progress)
        return heard

    await report.see("tools", tools)
    await reporting.see_tools(report, call)
    await report.see("progress", progress)
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
