"""What models cost on top of their own work: a whole chat beside a call of a tool on each host, and
a piece of a streamed answer. In process, one request at a time, in CPU time of all threads.

    python -m benchmarks.models
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tests.performance.hosts import HOSTS
from tests.performance.instructions import WITH_CHATS
from tests.performance.pieces import KINDS, Kind

ROUNDS, CALLS = 41, 40
SHORT, LONG, PIECE_ROUNDS = 50, 550, 9


@dataclass(frozen=True)
class Models:
    """What was measured, in microseconds.

    Attributes:
        chats: By host: a call of a tool, a chat, and the ratio of both in the same round.
        pieces: By kind of generator: a piece, and how much of it is waiting itself, which costs the
            same without a server.
    """

    chats: dict[str, tuple[float, float, float]]
    pieces: dict[str, tuple[float, float]]


def measure() -> Models:
    """Measure in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.models", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Models(**json.loads(done.stdout))


def _measure_here() -> Models:
    logging.disable(logging.CRITICAL)
    chats = {host: _chat(host) for host in WITH_CHATS}
    pieces = {name: _piece(kind) for name, kind in KINDS.items()}
    return Models(chats, pieces)


def _chat(host: str) -> tuple[float, float, float]:
    """The medians of rounds in which both have their turn."""
    sends = [HOSTS[name].make() for name in (host, f"{host}, chat")]
    for send in sends:
        send(200)
    gc.collect()
    found: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for send, some in zip(sends, found, strict=True):
            some.append(_cpu(send, CALLS) / CALLS)
    # The load of the machine changes from round to round.
    ratios = [chat / call for call, chat in zip(*found, strict=True)]
    call, chat, ratio = map(statistics.median, (*found, ratios))
    return call, chat, ratio


def _piece(kind: Kind) -> tuple[float, float]:
    sends = [kind.sending(pieces) for pieces in (SHORT, LONG)]
    for send in sends:
        send(3)
    gc.collect()
    whole, bare = [], []
    for _ in range(PIECE_ROUNDS):
        short, long = (_cpu(send, 1) for send in sends)
        whole.append((long - short) / (LONG - SHORT))
        short, long = (_cpu(_bare, kind, pieces) for pieces in (SHORT, LONG))
        bare.append((long - short) / (LONG - SHORT))
    return statistics.median(whole), statistics.median(bare)


def _bare(kind: Kind, pieces: int) -> None:
    """The generator alone; one that waits on a thread wakes an event loop up for each piece."""
    spoken = kind.speak(pieces)
    if hasattr(spoken, "__aiter__"):

        async def read() -> None:
            async for _ in spoken:
                pass

        asyncio.run(read())
    elif kind is KINDS["sync, each waits"]:

        async def hear() -> None:
            loop = asyncio.get_running_loop()

            def speak() -> None:
                for _ in spoken:
                    loop.call_soon_threadsafe(int)

            await loop.run_in_executor(None, speak)

        asyncio.run(hear())
    else:
        for _ in spoken:
            pass


def _cpu(function: Callable[..., Any], *given: Any) -> float:
    begun = time.process_time()
    function(*given)
    return (time.process_time() - begun) * 1e6


def main() -> None:
    found = _measure_here()
    if sys.argv[1:] == ["--json"]:
        print(json.dumps(asdict(found)))
        return
    for host, (call, chat, ratio) in found.chats.items():
        print(f"{host:24}{call:>8.1f}{chat:>8.1f}{ratio:>7.2f}")
    for name, (whole, bare) in found.pieces.items():
        print(f"{name:24}{whole:>8.1f}{bare:>8.1f}")


if __name__ == "__main__":
    main()
