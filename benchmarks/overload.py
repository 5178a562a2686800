"""More requests than a server can answer, at a rate that does not wait for its answers.

Clients that wait for an answer before they ask again slow down with the server, and hide how long
others would have waited. Here a request has its time, and its answer is measured from then.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks.client import Connection, is_right
from benchmarks.load import percentiles
from benchmarks.messages import Request

_PATIENCE = 20.0
"""Seconds until a client gives up after the last request was sent."""


@dataclass(frozen=True)
class Overload:
    """What came of the requests.

    Attributes:
        offered: Requests per second.
        answered: Answers per second, while requests came.
        refused: Share of the requests that were refused.
        errors: Requests that failed otherwise.
        p50: Median of the time that an answer took, in milliseconds, without those refused.
        p99: Its 99th percentile.
        refusal: The 99th percentile of the time that a refusal took.
    """

    offered: float
    answered: float
    refused: float
    errors: int
    p50: float
    p99: float
    refusal: float


async def measure(port: int, request: Request, rate: float, seconds: float) -> Overload:
    """Send a request so many times a second, on as many connections as that takes."""
    data = request.encode()
    free: list[Connection] = []
    answered: list[float] = []
    refused: list[float] = []
    errors = in_time = 0
    start = time.perf_counter()

    async def ask(due: float) -> None:
        nonlocal errors, in_time
        try:
            connection = free.pop() if free else await Connection.open(port)
            response = await asyncio.wait_for(connection.request(data), _PATIENCE)
        except (OSError, EOFError, asyncio.TimeoutError):
            errors += 1
            return
        free.append(connection)
        now = time.perf_counter()
        if is_right(request, response):
            answered.append(now - due)
            in_time += now < start + seconds
        elif b"is busy" in response.body:
            refused.append(now - due)
        else:
            errors += 1

    tasks = []
    count = round(rate * seconds)
    for number in range(count):
        due = start + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.ensure_future(ask(due)))
    await asyncio.gather(*tasks)
    for connection in free:
        connection.close()
    p50, p99 = percentiles(answered)
    share = len(refused) / count
    return Overload(rate, in_time / seconds, share, errors, p50, p99, percentiles(refused)[1])
