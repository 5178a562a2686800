"""pydantic-ai.

python pydantic_ai_agent.py URL
"""

from __future__ import annotations

import sys
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
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
        answer = await agent(kind, "echo").run("Hello world")
        return [answer.output, answer.usage.total_tokens]

    @report.see(f"{face}stream", kind)
    async def stream(kind: Any) -> Any:
        async with agent(kind, "echo").run_stream("Hello world") as answer:
            return [one async for one in answer.stream_text(delta=True, debounce_by=None)]

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


report.print()
