"""Policies as a user meets them: real web servers, the official client, both kinds of revision."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client

from sample_projects.processes import free_port, running

HOSTS = {
    "uvicorn": ("uvicorn --factory tests.policies.live_apps:standalone", ""),
    "gunicorn": ("gunicorn tests.policies.live_apps:wsgi()", ""),
    "flask": ("gunicorn tests.policies.live_apps:flask()", ""),
    "django-wsgi": ("gunicorn tests.policies.live_apps:django()", "wsgi"),
    "django-asgi": ("uvicorn --factory tests.policies.live_apps:django", "asgi"),
}


@pytest.fixture(scope="module", params=list(HOSTS))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    words, interface = HOSTS[request.param]
    port = free_port()
    bound = ["--port", str(port)]
    if words.startswith("gunicorn"):
        bound = ["--bind", f"127.0.0.1:{port}", "--threads", "8"]
    command = [sys.executable, "-m", *words.split(), *bound, "--log-level", "error"]
    with ExitStack() as stack:
        stack.enter_context(running(command, port, environment={"INTERFACE": interface}))
        yield f"http://127.0.0.1:{port}/mcp"


def run(url: str, mode: str, use: Any) -> Any:
    async def session() -> Any:
        with anyio.fail_after(60):
            async with Client(url, mode=mode) as client:
                return await use(client)

    return anyio.run(session)


async def said(client: Any, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    return str(result.content[0].text)


FATES = {
    "wait": {" and was cancelled"},
    "spin": {" and is being interrupted", " and was interrupted"},
    "slow": {". It is not stopped: it may still be running", ": its result was dropped"},
}
"""What becomes of a tool whose time is over: at once on an event loop, at its end on a thread."""


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_every_policy_holds(url: str, mode: str) -> None:
    async def use(client: Any) -> None:
        # Both kinds of client are one caller, and their calls one count.
        answers = [await said(client, "limited") for _ in range(3)]
        assert answers[2].startswith("limited was called too often (2 per 1 minute): try again in")
        for tool, fates in FATES.items():
            words = await said(client, tool)
            assert words.removeprefix(f"{tool} took longer than 0.3 seconds") in fates
        first = await said(client, "kept")
        assert await said(client, "kept") == first
        assert await said(client, "checked", number=3) == "xxx"
        assert await said(client, "checked", number=2000) == "That is too many"
        assert "may be sent" in await said(client, "checked", number=500)
        deep = await said(client, "checked", number=3, more=[[[1]]])
        assert deep == "The arguments are nested more than 2 levels deep"
        # Inner calls have the results of the newest revision.
        assert await said(client, "chain") == await said(client, "chain")
        assert await said(client, "chain_plain") == "xxx"
        assert {"limited tool_error", "spin tool_error", "chain ok"} <= set(
            (await client.call_tool("records", {})).structured_content["result"]
        )

    run(url, mode, use)


def test_calls_at_the_same_time_run_one_by_one(url: str) -> None:
    async def use(client: Any) -> list[list[float]]:
        spans: list[list[float]] = []

        async def call() -> None:
            result = (await client.call_tool("one_by_one", {})).structured_content["result"]
            spans.append(result)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
        return spans

    spans = sorted(run(url, "auto", use))
    assert len(spans) == 5
    for (_, ended), (begun, _) in pairwise(spans):
        assert begun >= ended


def test_nothing_that_is_sent_makes_a_500(url: str) -> None:
    from tests.requests import stateless

    values: list[Any] = [
        None,
        "x",
        [],
        {},
        {"number": None},
        {"number": [[[[1]]]]},
        {"x": "\ud800"},
    ]
    for tool in ("limited", "spin", "checked", "kept", "chain", "made-up", "x" * 500, "\x00"):
        for value in values:
            try:
                headers, body = stateless("tools/call", {"name": tool, "arguments": value})
                status = httpx2.post(url, content=body, headers=headers).status_code
            except (UnicodeEncodeError, httpx2.LocalProtocolError):
                # No client can send that.
                continue
            assert status in (200, 400, 404), (tool, value)
