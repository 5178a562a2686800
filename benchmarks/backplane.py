"""What a backplane costs: the latency that it adds, and what it keeps in Valkey.

python -m benchmarks backplane --print
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final
from unittest import mock

from benchmarks import applications, in_process
from benchmarks.client import Connection, WrongAnswer, is_right, open_session
from benchmarks.messages import Request, call, echo, opening, request
from benchmarks.parts import Options, Page
from benchmarks.servers import Server, pinned, pinned_beside, serving
from benchmarks.sharing import URI
from benchmarks.tables import number, table
from benchmarks.targets import APPLICATIONS
from mcp_mount import MCPServer

BACKPLANE: Final = "BENCH_BACKPLANE"
IN_MEMORY: Final = "memory://"
BLOCK: Final = 50
"""Requests that are sent one after another before the other server has its turn."""
BLOCKS: Final = 40
"""How often each server has its turn in a round."""

SESSIONS: Final = 10_000
TASKS: Final = 1_000
STREAMS: Final = 5_000
CHANGES: Final = 5_000
PINGS: Final = 50
AT_ONCE: Final = 16
TASK_CAPABILITIES: Final[Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}

PLACES: Final[Mapping[str, str]] = {
    "uvicorn": "echo",
    "gunicorn, in Flask": "echo_plain",
    "in process, ASGI": "echo",
    "in process, WSGI": "echo_plain",
}
"""The tool that is called in each place."""


@dataclass(frozen=True)
class Latency:
    """How long a request takes.

    Attributes:
        alone: The median without a backplane, in microseconds.
        shared: The median with one in Valkey.
        added: The median of the differences between blocks of requests that followed one another.
    """

    alone: float
    shared: float
    added: float


@contextmanager
def valkey() -> Iterator[Any]:
    """A client of a Valkey of its own; its attribute `url` is for servers."""
    import redis

    from tests.valkey import Valkey

    with Valkey() as server, redis.Redis(port=server.port, decode_responses=True) as client:
        client.url = server.url
        yield client


# Latency.

Ask = Callable[[], Awaitable[object]]


async def compare(alone: Ask, shared: Ask, rounds: int) -> Latency:
    """Time two ways of asking in turn: what disturbs the machine for a while disturbs both."""
    times: tuple[list[float], list[float]] = ([], [])
    for ask in (alone, shared):
        await _block(ask)
    for _ in range(rounds * BLOCKS):
        for ask, found in zip((alone, shared), times, strict=True):
            found.append(await _block(ask))
    differences = [late - early for early, late in zip(*times, strict=True)]
    median = statistics.median
    return Latency(median(times[0]), median(times[1]), median(differences))


async def _block(ask: Ask) -> float:
    """The median of some requests one after another, in microseconds."""
    times = []
    for _ in range(BLOCK):
        started = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def requests_of(tool: str) -> dict[str, Request]:
    """What is asked, by its title."""
    return {
        "a call of a 2026-07-28 client": echo(tool),
        "a ping in a session": request("ping", {}, "result", in_session=True),
        "a call in a session": echo(tool, in_session=True),
    }


def latencies(url: str, rounds: int) -> Iterator[tuple[str, str, Latency]]:
    """By place and request, with and without a backplane."""
    for place, tool in PLACES.items():
        if place.startswith("in process"):
            measured = partial(_in_process, url=url, is_asgi=place.endswith("ASGI"))
        else:
            measured = partial(_over_http, place, url=url)
        for title, one in measured(requests_of(tool), rounds=rounds):
            shown = f"{one.alone:>9.1f}{one.shared:>9.1f}{one.added:>+9.1f} µs"
            print(f"{place:22}{title:32}{shown}", file=sys.stderr, flush=True)
            yield place, title, one


def _over_http(
    place: str, requests: Mapping[str, Request], *, url: str, rounds: int
) -> Iterator[tuple[str, Latency]]:
    kind, factory = ("uvicorn", "shared") if place == "uvicorn" else ("gunicorn", "shared_flask")

    async def run(ports: Sequence[int], asked: Request) -> Latency:
        async with AsyncExitStack() as connections:
            asks = [await connections.enter_async_context(_asking(p, asked)) for p in ports]
            return await compare(asks[0], asks[1], rounds)

    with ExitStack() as stack:
        stack.enter_context(pinned_beside(1))
        ports = [
            stack.enter_context(
                serving(kind, APPLICATIONS + factory, environment={BACKPLANE: one})
            ).port
            for one in (IN_MEMORY, url)
        ]
        for title, asked in requests.items():
            yield title, asyncio.run(run(ports, asked))


@asynccontextmanager
async def _asking(port: int, asked: Request) -> AsyncIterator[Ask]:
    """Sends a request again and again, on one connection."""
    if asked.in_session:
        asked = asked.within(await open_session(port, asked.path))
    following = asked.encoder()
    connection = await Connection.open(port)

    async def ask() -> None:
        response = await connection.request(following())
        if not is_right(asked, response):
            raise WrongAnswer(f"{response.status} {response.body[:300]!r}")

    try:
        yield ask
    finally:
        connection.close()


@cache
def _server(backplane: str) -> MCPServer:
    """The only one in this process with this backplane: of two, it would warn."""
    with mock.patch.dict(os.environ, {BACKPLANE: backplane}):
        return applications.shared()


def _in_process(
    requests: Mapping[str, Request], *, url: str, rounds: int, is_asgi: bool
) -> Iterator[tuple[str, Latency]]:
    async def run(asked: Request) -> Latency:
        asks = []
        for backplane in (IN_MEMORY, url):
            server = _server(backplane)
            application = server if is_asgi else server.wsgi
            make = in_process.over_asgi if is_asgi else in_process.over_wsgi
            one = asked
            if asked.in_session:
                heads: dict[str, str] = {}
                await make(application, opening(), heads)()
                one = asked.within(heads["mcp-session-id"])
            ask = make(application, one, {})
            assert one.expect in await ask()
            asks.append(ask)
        return await compare(asks[0], asks[1], rounds)

    with pinned([0]):
        for title, asked in requests.items():
            yield title, asyncio.run(run(asked))


# What is kept.


@dataclass(frozen=True)
class Kept:
    """What so many of a thing leave in Valkey.

    Attributes:
        title: Of the thing.
        count: How many there were.
        memory: Bytes by which the memory of Valkey has grown, for each.
        keys: Keys, for each.
        usage: Bytes of these and their values, for each (MEMORY USAGE).
    """

    title: str
    count: int
    memory: float
    keys: float
    usage: float


async def _session(port: int) -> str:
    return await open_session(port)


async def _level(port: int) -> str:
    session = await open_session(port)
    await _ask(
        port, request("logging/setLevel", {"level": "error"}, "result", in_session=True), session
    )
    return session


async def _subscription(port: int) -> str:
    session = await open_session(port)
    await _ask(
        port, request("resources/subscribe", {"uri": URI}, "result", in_session=True), session
    )
    return session


async def _stream(port: int) -> str:
    session = await open_session(port)
    await _ask(port, call("speak", in_session=True, progress=True), session)
    return session


async def _task(port: int) -> str:
    await _ask(port, call("soon", expect="taskId", capabilities=TASK_CAPABILITIES))
    return ""


async def _ask(port: int, asked: Request, session: str = "") -> None:
    connection = await Connection.open(port)
    try:
        sent = asked.within(session) if asked.in_session else asked
        response = await connection.request(sent.encode())
        if not is_right(sent, response):
            raise WrongAnswer(f"{response.status} {response.body[:300]!r}")
    finally:
        connection.close()


THINGS: Final[Sequence[tuple[str, int, Callable[[int], Awaitable[str]]]]] = (
    ("a session", SESSIONS, _session),
    ("a session with a log level", SESSIONS, _level),
    ("a session with a subscription", SESSIONS, _subscription),
    ("a stream that can be resumed, of two events, and its session", STREAMS, _stream),
    ("a task with a short result", TASKS, _task),
)


def kept(client: Any, share: float = 1.0) -> Iterator[Kept]:
    """What each thing leaves, when the process that served it has ended.

    Args:
        client: Of the Valkey.
        share: Of the counts, for a short run.
    """
    # What Valkey keeps besides, such as scripts, it has after the first of them.
    _left(client, [make for _, _, make in THINGS], 20)
    for title, whole, make in THINGS:
        count = max(1, int(whole * share))
        client.execute_command("FLUSHDB", "SYNC")
        before = _memory(client)
        _left(client, [make], count)
        # The messages to all and to the process itself are as many whatever there is.
        for pattern in ("*}:changes", "*}:n:*"):
            for key in client.scan_iter(pattern):
                client.delete(key)
        grown = _memory(client) - before
        usage = [client.memory_usage(key, samples=0) or 0 for key in client.scan_iter()]
        one = Kept(title, count, grown / count, len(usage) / count, sum(usage) / count)
        print(f"{count:>6,} x {title}: {one.memory:.0f} B", file=sys.stderr, flush=True)
        yield one


def _left(client: Any, makes: Sequence[Callable[[int], Awaitable[str]]], count: int) -> None:
    """Make so many of each at a server, and end that."""
    environment = {BACKPLANE: client.url}
    with serving("uvicorn", APPLICATIONS + "shared", environment=environment) as server:
        for make in makes:
            asyncio.run(_many(server.port, make, count))
    time.sleep(_LEAVING_SECONDS)


_LEAVING_SECONDS: Final = 1.0
"""How long connections may take to be closed."""


def _memory(client: Any) -> int:
    """Bytes that Valkey uses, without those of its connections."""
    # What was deleted is freed on another thread.
    while (found := client.info("memory"))["lazyfree_pending_objects"]:
        time.sleep(0.05)
    used: int = found["used_memory"] - found["mem_clients_normal"]
    return used


async def _many(port: int, make: Callable[[int], Awaitable[str]], count: int) -> None:
    most = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with most:
            await make(port)

    await asyncio.gather(*(one() for _ in range(count)))


# Processes, and what they hear.


@dataclass(frozen=True)
class Processes:
    """What processes cost that share a Valkey.

    Attributes:
        idle: Connections of a process that does nothing.
        busy: Those of one with 64 requests in sessions at a time.
        resting: Share of a core that an idle process uses.
        telling: CPU time of the process that tells of a change, in microseconds.
        hearing: CPU time of another process that hears of it, which nobody listens to.
        valkey: CPU time of Valkey for it.
        asking: CPU time of Valkey for a request in a session.
        size: Bytes of a change in the stream.
    """

    idle: float
    busy: float
    resting: float
    telling: float
    hearing: float
    valkey: float
    asking: float
    size: float


def processes(client: Any, share: float = 1.0) -> Processes:
    """Two processes: one that tells of changes, and one that hears of them."""
    changes = max(10, int(CHANGES * share))
    client.flushdb()
    with ExitStack() as stack:
        telling, hearing = (
            stack.enter_context(
                serving("uvicorn", APPLICATIONS + "shared", environment={BACKPLANE: client.url})
            )
            for _ in range(2)
        )
        own = len(client.client_list())
        # The first request of a session connects a process.
        asyncio.run(_many(telling.port, _level, 1))
        asyncio.run(_many(hearing.port, _level, 1))
        idle = (len(client.client_list()) - own) / 2
        seconds = 10 * share
        started = hearing.cpu()
        time.sleep(seconds)
        resting = (hearing.cpu() - started) / seconds
        before = telling.cpu(), hearing.cpu(), _cpu(client)
        asyncio.run(_changes(telling.port, changes))
        _until_heard(client, hearing, changes)
        after = telling.cpu(), hearing.cpu(), _cpu(client)
        told, heard, valkey_cpu = (
            (late - early) / changes * 1e6 for early, late in zip(before, after, strict=True)
        )
        [stream] = client.scan_iter("*:changes")
        size = client.memory_usage(stream, samples=0) / client.xlen(stream)
        started = _cpu(client)
        pings = asyncio.run(_pings(telling.port, max(1, int(PINGS * share))))
        asking = (_cpu(client) - started) / pings * 1e6
        busy = len(client.client_list()) - own - idle
    return Processes(idle, busy, resting, told, heard, valkey_cpu, asking, size)


async def _changes(port: int, count: int) -> None:
    await _ask(port, call("change", {"times": count}))


def _until_heard(client: Any, hearing: Server, count: int) -> None:
    """Wait until the stream has all changes, and the process has nothing more to do."""
    deadline = time.monotonic() + 60
    while client.xlen(next(client.scan_iter("*:changes"))) < min(count, 9_000):
        assert time.monotonic() < deadline, "the changes were not told"
        time.sleep(0.05)
    used = -1.0
    while (now := hearing.cpu()) > used + 0.02:
        used = now
        time.sleep(0.5)


async def _pings(port: int, times: int) -> int:
    """64 requests in a session at a time, several times; how many."""
    session = await open_session(port)
    ping = request("ping", {}, "result", in_session=True)
    for _ in range(times):
        await asyncio.gather(*(_ask(port, ping, session) for _ in range(64)))
    return 64 * times


def _cpu(client: Any) -> float:
    found = client.info("cpu")
    return float(found["used_cpu_sys"] + found["used_cpu_user"])


def backplane(options: Options) -> Page:
    """Latency, sizes, and what processes cost."""
    with valkey() as client:
        slow = [
            (place, title, number(one.alone), number(one.shared), f"{one.added:+.1f}")
            for place, title, one in latencies(client.url, options.rounds)
        ]
        sizes = [
            (
                one.title,
                f"{one.count:,}",
                number(one.memory),
                f"{one.keys:.0f}",
                number(one.usage),
            )
            for one in kept(client)
        ]
        found = processes(client)
    first = table(("server", "request", "in memory, µs", "in Valkey, µs", "added, µs"), slow)
    second = table(("in Valkey", "measured", "bytes each", "keys", "MEMORY USAGE"), sizes)
    third = table(
        ("a process", "figure"),
        [
            ("connections to Valkey, idle", f"{found.idle:.0f}"),
            ("connections, 64 requests in sessions at a time", f"{found.busy:.0f}"),
            ("CPU while idle, % of a core", f"{found.resting * 100:.2f}"),
            ("CPU to tell of a change, µs", number(found.telling)),
            ("CPU to hear of a change, µs", number(found.hearing)),
            ("CPU of Valkey for a change, two processes, µs", number(found.valkey)),
            ("CPU of Valkey for a request in a session, µs", number(found.asking)),
            ("bytes of a change in Valkey", number(found.size)),
        ],
    )
    return Page(f"{first}\n{second}\n{third}")
