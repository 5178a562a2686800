"""Drive a server with an agent of Pydantic AI, whose model is a function: `… URL KEYED KEY`.

Each call is a run of the agent: the function calls one tool, and what comes back to the model is
what is reported.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from typing import Any

import reporting
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_core import to_jsonable_python
from reporting import Report

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
URL, KEYED, KEY = sys.argv[1:4]
logs: list[Any] = []
heard: list[float] = []


async def hear(message: Any) -> None:
    logs.append(message.data)


async def on_progress(progress: float, total: float | None, message: Any) -> None:
    heard.append(progress)


async def think(messages: Any, params: Any, context: Any) -> str:
    return "Paris"


async def ask(message: str, response_type: Any, params: Any, context: Any) -> Any:
    return {"colour": "blue"}


def toolset_of(url: str, headers: dict[str, str]) -> MCPToolset:
    return MCPToolset(
        url,
        headers=headers,
        log_handler=hear,
        progress_handler=on_progress,
        sampling_handler=think,
        elicitation_handler=ask,
        roots=["file:///here"],
    )


def described(value: Any) -> Any:
    """What a model gets, as JSON."""
    if isinstance(value, BinaryContent):
        return f"{value.media_type} {len(value.data)} bytes"
    if isinstance(value, list):
        return [described(one) for one in value]
    return to_jsonable_python(value, fallback=repr)


async def run(toolset: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Let the model call one tool; what it gets back."""
    got: list[Any] = []

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        for part in messages[-1].parts:
            if isinstance(part, ToolReturnPart):
                content = described(part.content)
                got.append(content if part.outcome == "success" else {"error": content})
        if got:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart(name, arguments)])

    await Agent(FunctionModel(model), toolsets=[toolset]).run("Go on")
    return got[0]


async def once(url: str, headers: dict[str, str]) -> Any:
    return await run(toolset_of(url, headers), "text", {})


async def main() -> None:
    report = Report()
    try:
        async with toolset_of(URL, {}) as toolset:
            await see(report, toolset)
    except BaseException as error:
        report.seen["connect"] = {"raised": reporting.words_of(error)}
    await reporting.see_other_ways(report, once, URL, KEYED, KEY)
    report.print()


async def see(report: Report, toolset: Any) -> None:
    report.seen["revision"] = toolset.client.protocol_version
    report.seen["tools"] = reporting.named(await toolset.list_tools())

    async def call(name: str, arguments: dict[str, Any]) -> Any:
        return await run(toolset, name, arguments)

    async def progress() -> Any:
        await call("report", {})
        return heard

    await reporting.see_tools(report, call)
    await report.see("progress", progress)
    report.seen["logs"] = logs
    for name in ("ask", "think", "look"):
        await report.see(name, lambda name=name: call(name, {}))

    async def read(uri: str) -> Any:
        return described(await toolset.read_resource(uri))

    async def resources() -> Any:
        return [one.uri for one in await toolset.list_resources()]

    async def templates() -> Any:
        return [one.uri_template for one in await toolset.list_resource_templates()]

    await report.see("resources", resources)
    await report.see("templates", templates)
    await report.see("read", lambda: read("notes://today"))
    await report.see("read template", lambda: read("notes://by-name/Ada"))
    await report.see("read unknown", lambda: read("notes://nowhere"))


asyncio.run(main())
