"""Drive a server with FastMCP's client: `python fastmcp_client.py URL KEYED KEY [MODE]`.

MODE is for FastMCP 4, whose client knows both eras.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import reporting
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from mcp.types import PromptReference
from reporting import Report

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
URL, KEYED, KEY, *MODE = sys.argv[1:]
OPTIONS: dict[str, Any] = {"mode": MODE[0]} if MODE else {}
logs: list[Any] = []


async def hear(message: Any) -> None:
    data = message.data
    # FastMCP 2 wraps whatever is no object.
    logs.append(data.get("msg", data) if isinstance(data, dict) else data)


async def think(messages: Any, params: Any, context: Any) -> str:
    return "Paris"


async def ask(message: str, response_type: Any, params: Any, context: Any) -> Any:
    return {"colour": "blue"}


def result_of(result: Any) -> dict[str, Any]:
    """What the client makes of a result, with `data`, which it has parsed by the output schema."""
    seen: dict[str, Any] = {"content": [reporting.line_of(block) for block in result.content]}
    if result.structured_content is not None:
        seen["structured"] = result.structured_content
    if result.is_error:
        seen["error"] = True
    seen["data"] = repr(result.data)
    return seen


class Listing:
    """The methods of the official client: those of FastMCP return bare lists."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.get_prompt = client.get_prompt

    async def list_resources(self) -> Any:
        return SimpleNamespace(resources=await self._client.list_resources())

    async def list_resource_templates(self) -> Any:
        templates = await self._client.list_resource_templates()
        return {"resourceTemplates": [reporting.as_dict(one) for one in templates]}

    async def list_prompts(self) -> Any:
        return SimpleNamespace(prompts=await self._client.list_prompts())

    async def read_resource(self, uri: str) -> Any:
        return SimpleNamespace(contents=await self._client.read_resource(uri))


async def once(url: str, headers: dict[str, str]) -> Any:
    async with Client(StreamableHttpTransport(url, headers=headers), **OPTIONS) as client:
        return result_of(await client.call_tool("text", {}))


async def main() -> None:
    report = Report()
    try:
        async with Client(
            StreamableHttpTransport(URL),
            log_handler=hear,
            sampling_handler=think,
            elicitation_handler=ask,
            roots=["file:///here"],
            **OPTIONS,
        ) as client:
            await see(report, client)
    except BaseException as error:
        report.seen["connect"] = {"raised": reporting.words_of(error)}
    await reporting.see_other_ways(report, once, URL, KEYED, KEY)
    report.print()


async def see(report: Report, client: Any) -> None:
    opened = client.initialize_result
    report.seen["revision"] = getattr(client, "protocol_version", None) or opened.protocolVersion

    async def tools() -> Any:
        return reporting.named(await client.list_tools())

    async def call(name: str, arguments: dict[str, Any]) -> Any:
        return result_of(await client.call_tool(name, arguments, raise_on_error=False))

    async def progress() -> Any:
        heard: list[float] = []

        async def on_progress(progress: float, total: float | None, message: Any) -> None:
            heard.append(progress)

        if OPTIONS.get("mode") != "auto":
            await client.set_logging_level("info")
        await client.call_tool("report", {}, progress_handler=on_progress)
        return heard

    await report.see("tools", tools)
    await reporting.see_tools(report, call)
    await report.see("progress", progress)
    report.seen["logs"] = logs
    for name in ("ask", "think", "look"):
        await report.see(name, lambda name=name: call(name, {}))
    await reporting.see_lists(report, Listing(client))

    async def complete() -> Any:
        prompt = PromptReference(type="ref/prompt", name="greet")
        return (await client.complete(prompt, {"name": "name", "value": "Ad"})).values

    await report.see("complete", complete)


asyncio.run(main())
