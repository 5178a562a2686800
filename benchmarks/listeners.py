"""Clients that listen and hear nothing for long; then all of them hear of a change at once."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import dataclass

from benchmarks.client import Connection, WrongAnswer
from benchmarks.messages import call, echo, request
from benchmarks.servers import Server
from benchmarks.working import URI

_AT_ONCE = 50
_IDLE_SECONDS = 2.0
_WANTED = {"notifications": {"resourceSubscriptions": [URI]}}
_ROUNDS = 3


@dataclass(frozen=True)
class Listening:
    """What so many listeners cost.

    Attributes:
        count: How many there are.
        opening: CPU time of the server for each that began, in microseconds.
        memory: Memory for each, in kB.
        idle: Share of a core while nothing happens.
        told: Milliseconds from a call that changes something until all have heard of it.
        telling: CPU time of the server for each that heard, in microseconds.
        call: Milliseconds of a small call while all listen, the median.
    """

    count: int
    opening: float
    memory: float
    idle: float
    told: float
    telling: float
    call: float


def allow(count: int) -> bool:
    """Whether so many connections can be open, after the limit was raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 200
    if soft < wanted <= hard or hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= wanted


async def measure(server: Server, count: int) -> Listening:
    """Open so many streams, wait, tell all of them something."""
    listeners: list[Connection] = []
    caller = await Connection.open(server.port)
    # One stream before: what is made at the first use is not measured.
    (await _listen(server.port)).close()
    try:
        cpu, memory = server.cpu(), server.memory()
        while len(listeners) < count:
            some = min(_AT_ONCE, count - len(listeners))
            listeners += await asyncio.gather(*(_listen(server.port) for _ in range(some)))
        opening, held = server.cpu() - cpu, server.memory() - memory
        cpu = server.cpu()
        await asyncio.sleep(_IDLE_SECONDS)
        idle = (server.cpu() - cpu) / _IDLE_SECONDS
        waited = sorted([await _timed(caller) for _ in range(21)])[10]
        cpu, times = server.cpu(), []
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            hearing = [asyncio.ensure_future(_hear(one)) for one in listeners]
            await caller.request(call("touch").encode())
            await asyncio.gather(*hearing)
            times.append(time.perf_counter() - started)
        telling = (server.cpu() - cpu) / _ROUNDS
    finally:
        caller.close()
        for one in listeners:
            one.close()
    return Listening(
        count,
        opening / count * 1e6,
        held / count * 1e3,
        idle,
        sorted(times)[_ROUNDS // 2] * 1e3,
        telling / count * 1e6,
        waited * 1e3,
    )


async def _listen(port: int) -> Connection:
    connection = await Connection.open(port)
    await connection.begin(request("subscriptions/listen", _WANTED, "").encode())
    await _until(connection, b"subscriptions/acknowledged")
    return connection


async def _hear(listener: Connection) -> None:
    await _until(listener, b"notifications/resources/updated")


async def _until(connection: Connection, wanted: bytes) -> None:
    async for chunk in connection.chunks():
        if wanted in chunk:
            return
    raise WrongAnswer("the stream ended")


async def _timed(caller: Connection) -> float:
    started = time.perf_counter()
    await caller.request(echo().encode())
    return time.perf_counter() - started
