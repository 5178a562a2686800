"""Events on their way to a slow client."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from mcp_mount import Context, MCPServer
from mcp_mount.protocol import Request
from mcp_mount.transports.event_queue import EventQueue
from mcp_mount.transports.wsgi import EventStream
from mcp_mount.wire import sse
from tests.requests import meta, stateless

KIB = 1024


def fill(queue: EventQueue, event: bytes) -> list[int]:
    """Put events in until that has to wait; how many went in."""
    taken = [0]

    async def put() -> None:
        while True:
            await queue.put(event)
            taken[0] += 1

    task = asyncio.ensure_future(put())
    asyncio.get_running_loop().call_later(5, task.cancel)
    return taken


@pytest.mark.parametrize(("size", "fitting"), [(1, 64), (100 * KIB, 2), (1024 * KIB, 1)])
def test_a_queue_is_bounded_in_number_and_in_bytes(size: int, fitting: int) -> None:
    async def test() -> None:
        queue = EventQueue()
        taken = fill(queue, b"x" * size)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert taken == [fitting]
        assert len(await queue.get() or b"") == size
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert taken == [fitting + 1]
        queue.drop()

    asyncio.run(test())


def test_a_silence_gives_a_comment_and_the_end_nothing() -> None:
    async def test() -> None:
        queue = EventQueue()
        assert await queue.get(0.01) is sse.KEEP_ALIVE
        await queue.put(b"x")
        assert await queue.get(0.01) == b"x"
        asyncio.get_running_loop().call_soon(queue.end)
        assert await queue.get() is None
        assert await queue.get(60) is None

    asyncio.run(test())


def test_under_wsgi_a_coroutine_waits_for_a_client_that_does_not_read() -> None:
    server = MCPServer("tests")
    said: list[int] = []

    @server.tool
    async def shout(ctx: Context) -> str:
        for number in range(100):
            await ctx.report_progress(number, message="x" * 100 * KIB)
            said.append(number)
        return "done"

    own = {**meta(), "progressToken": 1}
    headers, body = stateless("tools/call", {"name": "shout", "_meta": own})
    others = set(threading.enumerate())
    answer = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
    assert isinstance(answer, EventStream)
    events = answer.events
    next(events)
    settled = -1
    while settled != len(said):
        settled = len(said)
        time.sleep(0.1)
    # Two bounds, one on the loop and one on the way to the thread.
    assert settled <= 8
    assert b"done" in list(rest(events))[-1]
    assert len(said) == 100
    assert len(set(threading.enumerate()) - others) < 10


def rest(events: Iterator[bytes]) -> Iterator[bytes]:
    yield from events
