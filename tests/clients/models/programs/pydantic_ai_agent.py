"""pydantic-ai.

python pydantic_ai_agent.py URL
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, Embedder, NativeOutput
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from reporting import Report

report = Report()
provider = OpenAIProvider(base_url=sys.argv[1], api_key="none")


class Person(BaseModel):
    name: str
    age: int


def agent(kind: Any, name: str, **options: Any) -> Any:
    return Agent(kind(name, provider=provider), **options)


for face, kind in (("", OpenAIChatModel), ("responses ", OpenAIResponsesModel)):

    @report.see(f"{face}chat", kind)
    async def whole(kind: Any) -> Any:
        return (await agent(kind, "echo").run("Hello world")).output

    @report.see(f"{face}stream", kind)
    async def stream(kind: Any) -> Any:
        async with agent(kind, "echo").run_stream("Hello world") as answer:
            return [one async for one in answer.stream_text(delta=True, debounce_by=None)]

    @report.see(f"{face}stream helper", kind)
    async def events(kind: Any) -> Any:
        async with agent(kind, "echo").run_stream_events("Hello world") as events:
            found = [type(one).__name__ async for one in events]
        return [found[0], found[-1]]

    @report.see(f"{face}usage", kind)
    async def usage(kind: Any) -> Any:
        whole = await agent(kind, "echo").run("Hello world")
        async with agent(kind, "echo").run_stream("Hello world") as streamed:
            await streamed.get_output()
        return [whole.usage.total_tokens, streamed.usage.total_tokens]

    @report.see(f"{face}schema", kind)
    async def schema(kind: Any) -> Any:
        by_tool = await agent(kind, "typed", output_type=Person).run("Who?")
        native = await agent(kind, "typed", output_type=NativeOutput(Person)).run("Who?")
        return [by_tool.output.age, native.output.age]

    @report.see(f"{face}parallel tools", kind)
    async def tools(kind: Any) -> Any:
        own = agent(kind, "caller")

        @own.tool_plain
        def weather(city: str) -> str:
            return f"rain in {city}"

        return (await own.run("Paris Rome")).output


@report.see("embeddings")
async def embeddings() -> Any:
    embedder = Embedder(OpenAIEmbeddingModel("vectors", provider=provider))
    return list((await embedder.embed_documents(["abc", "a"])).embeddings)


@report.see("retry")
async def retried() -> Any:
    return (await agent(OpenAIChatModel, "busy").run(f"{time.time()}")).output


@report.see("errors")
async def errors() -> Any:
    try:
        await agent(OpenAIChatModel, "nobody").run("x")
    except ModelHTTPError as error:
        return error.status_code


@report.see("leaving")
async def leaving() -> Any:
    for name in ("endless", "endless-plain"):
        async with agent(OpenAIChatModel, name).run_stream("x") as answer:
            async for _ in answer.stream_text(delta=True, debounce_by=None):
                break
            await answer.cancel()
    deadline = time.monotonic() + 2
    open_ = ""
    while open_ != "0" and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        open_ = (await agent(OpenAIChatModel, "state").run("open")).output
    return open_


report.print()
