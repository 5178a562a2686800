"""The official client of Python in sessions, with four workers and no stickiness: each of its
requests goes to the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import types
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client

from tests.valkey import Valkey
from tests.workers.hosts import workers

SESSIONS = 25
CALLS = 4


@pytest.fixture(params=["uvicorn x 4", "gunicorn -w 4, Flask"], scope="module")
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with Valkey() as server, workers(request.param, server.url) as running:
        yield f"http://127.0.0.1:{running.port}/mcp"


async def sure(context: Any, params: Any) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"sure": True})


async def yes(context: Any, params: Any) -> types.CreateMessageResult:
    said = types.TextContent(type="text", text="yes")
    return types.CreateMessageResult(role="assistant", model="m", content=said)


async def talk(url: str, number: int, most: asyncio.Semaphore) -> list[str]:
    """What the tools say that ask, in a session of its own."""
    async with (
        most,
        streamable_http_client(url) as (read, write, *_),
        ClientSession(read, write, elicitation_callback=sure, sampling_callback=yes) as session,
    ):
        await session.initialize()
        said = []
        for call in range(CALLS):
            tool = ("ask", "ask_async", "sample")[(number + call) % 3]
            result = await session.call_tool(tool, {"word": f"{number}.{call}"})
            content = result.content[0]
            assert isinstance(content, types.TextContent)
            said.append(content.text)
        return said


def test_questions_in_the_middle_of_calls_are_answered_and_none_is_crossed(url: str) -> None:
    async def everybody() -> list[list[str]]:
        most = asyncio.Semaphore(8)
        return await asyncio.gather(*(talk(url, number, most) for number in range(SESSIONS)))

    for number, said in enumerate(asyncio.run(everybody())):
        words = ["yes" if (number + call) % 3 == 2 else "True" for call in range(CALLS)]
        assert said == [f"{number}.{call} {word}" for call, word in enumerate(words)]
