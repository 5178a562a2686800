"""Drive a server with langchain-mcp-adapters, as an agent would: `… URL KEYED KEY`.

Each tool is a LangChain tool; what it returns is the message that a model would get.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import warnings
from base64 import b64decode
from typing import Any

os.environ["LANGSMITH_TRACING"] = "false"

import reporting
from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from mcp.types import ElicitResult
from reporting import Report

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
URL, KEYED, KEY = sys.argv[1:4]
logs: list[Any] = []
heard: list[float] = []


async def hear(params: Any, context: Any) -> None:
    logs.append(params.data)


async def on_progress(progress: float, total: Any, message: Any, context: Any) -> None:
    heard.append(progress)


async def ask(mcp_context: Any, params: Any, context: Any) -> Any:
    return ElicitResult(action="accept", content={"colour": "blue"})


def client_of(url: str, headers: dict[str, str]) -> MultiServerMCPClient:
    connection = {"transport": "streamable_http", "url": url, "headers": headers}
    callbacks = Callbacks(on_logging_message=hear, on_progress=on_progress, on_elicitation=ask)
    return MultiServerMCPClient({"clients": connection}, callbacks=callbacks)


def line_of(block: Any) -> str:
    if isinstance(block, str):
        return f"text {block}"
    if block["type"] == "text":
        return f"text {block['text']}"
    if "url" in block:
        return f"{block['type']} {block['url']}"
    return f"{block['type']} {block['mime_type']} {len(b64decode(block['base64']))} bytes"


def message_of(message: Any) -> dict[str, Any]:
    """The message that a model gets."""
    content = message.content
    seen: dict[str, Any] = {
        "content": [
            line_of(block) for block in ([content] if isinstance(content, str) else content)
        ]
    }
    if message.artifact:
        seen["structured"] = message.artifact["structured_content"]
    if message.status == "error":
        seen["error"] = True
    return seen


async def use(tools: dict[str, Any], name: str, arguments: dict[str, Any]) -> Any:
    call = {"type": "tool_call", "id": "1", "name": name, "args": arguments}
    return message_of(await tools[name].ainvoke(call))


async def once(url: str, headers: dict[str, str]) -> Any:
    tools = {tool.name: tool for tool in await client_of(url, headers).get_tools()}
    return await use(tools, "text", {})


async def main() -> None:
    report = Report()
    try:
        await see(report, client_of(URL, {}))
    except BaseException as error:
        report.seen["connect"] = {"raised": reporting.words_of(error)}
    await reporting.see_other_ways(report, once, URL, KEYED, KEY)
    report.print()


async def see(report: Report, client: MultiServerMCPClient) -> None:
    tools = {tool.name: tool for tool in await client.get_tools()}
    report.seen["tools"] = sorted(tools)

    async def call(name: str, arguments: dict[str, Any]) -> Any:
        return await use(tools, name, arguments)

    async def progress() -> Any:
        await call("report", {})
        return heard

    await reporting.see_tools(report, call)
    await report.see("progress", progress)
    report.seen["logs"] = logs
    for name in ("ask", "think", "look"):
        await report.see(name, lambda name=name: call(name, {}))

    async def read() -> Any:
        blobs = await client.get_resources("clients")
        return [f"{blob.metadata['uri']} {blob.as_string()}" for blob in blobs]

    async def prompt() -> Any:
        got = await client.get_prompt("clients", "greet", arguments={"name": "Ada"})
        return [f"{message.type} {message.content}" for message in got]

    await report.see("read", read)
    await report.see("prompt", prompt)


asyncio.run(main())
