"""Kinds of work besides the small call, at a server that runs alone: each is a row of a table."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from benchmarks import acts, load
from benchmarks.client import Act, open_session, prepare
from benchmarks.load import Measurement
from benchmarks.messages import Request, call, chat, echo, request
from benchmarks.rounds import median
from benchmarks.servers import Server, pinned_beside, serving
from benchmarks.targets import APPLICATIONS
from benchmarks.working import PIECES, REPORTS, URI, chat_body

TEXT = "x" * 200_000


@dataclass(frozen=True)
class Work:
    """A row of the table.

    Attributes:
        title: How it is shown.
        request: What is sent again and again; if there is none, `act` is done.
        act: Makes what is done again and again, for a port.
        factory: The application.
        environment: Environment variables of the server.
        connections: How many there are.
    """

    title: str
    request: Request | None = None
    act: Callable[[int], Awaitable[Act]] | None = None
    factory: str = "work"
    environment: Mapping[str, str] = field(default_factory=dict)
    connections: int = 32


async def _ask_again(port: int) -> Act:
    return acts.ask_again


async def _ask_within(port: int) -> Act:
    return acts.ask_within(await open_session(port, capabilities=acts.CAPABILITIES))


async def _streaming(request: Request, count: int, port: int) -> Act:
    return acts.streaming(request, count)


def _list(count: int) -> Work:
    """A list of so many tools."""
    work = request("tools/list", {}, f"tool_{count - 3}" if count > 2 else "echo")
    title = f"a list of {count:,} tools"
    return Work(title, work, factory="tools", environment={"BENCH_TOOLS": str(count)})


_REPORT = call("report", progress=True)

WORKS = (
    Work("a small call", echo()),
    Work("a result of 1,000 structured rows", call("rows", expect='"item 999"')),
    Work("an argument of 200 kB", call("size", {"text": TEXT}, str(len(TEXT)))),
    _list(3),
    _list(200),
    _list(2_000),
    Work("reading a resource", request("resources/read", {"uri": URI}, "hello")),
    Work(f"a call with {REPORTS} progress reports", act=partial(_streaming, _REPORT, REPORTS)),
    Work("a question to the user, 2026-07-28 (two requests)", act=_ask_again),
    Work("a question to the user, session (a stream and a request)", act=_ask_within),
    Work("256 calls that wait 100 ms, `async def`", call("sleep"), connections=256),
    Work("256 calls that wait 100 ms, `def`", call("sleep_plain"), connections=256),
    Work(f"a chat stream of {PIECES} pieces", act=partial(_streaming, chat(chat_body()), PIECES)),
)


def measure(works: Sequence[Work], rounds: int, seconds: float) -> list[Measurement]:
    """The medians of each row, in rounds in which each has its turn."""
    found: list[list[Measurement]] = [[] for _ in works]
    with pinned_beside(1), ExitStack() as stack:
        servers: dict[tuple[str, str], Server] = {}
        for number in range(rounds):
            for work, some in zip(works, found, strict=True):
                key = (work.factory, str(work.environment))
                if key not in servers:
                    factory = APPLICATIONS + work.factory
                    running = serving("uvicorn", factory, environment=work.environment)
                    servers[key] = stack.enter_context(running)
                some.append(_once(servers[key], work, seconds))
                shown = f"{some[-1].per_second:>9,.0f}/s{some[-1].cpu:>9.0f} µs"
                print(f"round {number + 1}: {work.title:60}{shown}", file=sys.stderr, flush=True)
    return [median(some) for some in found]


def _once(server: Server, work: Work, seconds: float) -> Measurement:
    if work.request is not None:
        return load.measure(server, work.request, seconds=seconds, connections=work.connections)
    assert work.act is not None
    # What a session or a client is asked first is not measured.
    asyncio.run(prepare(server.port, echo()))
    act = asyncio.run(_made(work.act, server.port))
    return load.measure_acts(server, act, seconds=seconds, connections=work.connections)


async def _made(make: Callable[[int], Awaitable[Act]], port: int) -> Act:
    return await make(port)
