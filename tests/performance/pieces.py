"""Counts the calls of functions that one piece of a streamed answer takes.

    python -m tests.performance.pieces             # a table
    python -m tests.performance.pieces "async"     # each function of one kind

A count is that of a long answer less that of a short one, for each piece that it has more.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mcp_mount import ChatRequest, CompletionsRouter, MCPServer
from tests.performance.counting import Calls, Counting
from tests.performance.hosts import CHATS, KEY, PLAIN, Call, over_asgi, over_wsgi

SHORT, LONG = 20, 120
ROUNDS = 5


async def at_once(number: int) -> AsyncIterator[str]:
    for _ in range(number):
        yield "word "


async def waiting(number: int) -> AsyncIterator[str]:
    for _ in range(number):
        # All that is ready has its turn: the reader takes the piece before.
        await asyncio.sleep(0)
        yield "word "


def at_once_plain(number: int) -> Iterator[str]:
    for _ in range(number):
        yield "word "


def waiting_plain(number: int) -> Iterator[str]:
    for _ in range(number):
        time.sleep(0.001)
        yield "word "


@dataclass(frozen=True)
class Kind:
    """A kind of generator, on a kind of host.

    Attributes:
        speak: Gives so many pieces.
        wsgi: Whether the server is one for WSGI.
    """

    speak: Callable[[int], Any]
    wsgi: bool = False

    def sending(self, pieces: int) -> Call:
        """Sends a request whose answer has so many pieces."""
        server = MCPServer("tests", secret_key=KEY, open=True)
        chats = CompletionsRouter()
        if self.speak in (at_once, waiting):

            @chats.chat("speaker")
            async def speaker(request: ChatRequest) -> AsyncIterator[str]:
                async for one in self.speak(pieces):
                    yield one
        else:

            @chats.chat("speaker")
            def speaker(request: ChatRequest) -> Iterator[str]:
                yield from self.speak(pieces)

        server.include_router(chats)
        messages = [{"role": "user", "content": "Hello?"}]
        body = {"model": "speaker", "messages": messages, "stream": True}
        request = PLAIN[0], json.dumps(body).encode()
        if self.wsgi:
            return over_wsgi(server.wsgi, request, CHATS)
        return over_asgi(server, request, CHATS)


KINDS = {
    "async": Kind(at_once),
    "async, each waits": Kind(waiting),
    "sync": Kind(at_once_plain),
    "sync, each waits": Kind(waiting_plain),
    "sync, WSGI": Kind(at_once_plain, wsgi=True),
}


@dataclass(frozen=True)
class PieceCount:
    """The calls of one piece.

    Attributes:
        ours: Of functions of mcp-mount.
        others: Of all other functions.
    """

    ours: float
    others: float


def calls_of(kind: Kind, counting: Counting) -> Mapping[tuple[str, str], float]:
    """The calls of each function for one piece."""
    short, long = (_fewest(kind.sending(pieces), counting) for pieces in (SHORT, LONG))
    return {name: (long[name] - short[name]) / (LONG - SHORT) for name in long}


def _fewest(send: Call, counting: Counting) -> Calls:
    """The calls of a request: the fewest of several counts, since threads may find their work in
    one round or in two."""
    assert b"word" in send(2)
    found: list[Counter[Any]] = [counting.calls_of(lambda: send(1)) for _ in range(ROUNDS)]
    return min(found, key=lambda calls: sum(calls.values()))


def count_all() -> dict[str, PieceCount]:
    """The calls of a piece of each kind."""
    counting = Counting()
    counts = {}
    for name, kind in KINDS.items():
        calls = calls_of(kind, counting)
        ours = sum(one for (module, _), one in calls.items() if module.startswith("mcp_mount"))
        counts[name] = PieceCount(ours, sum(calls.values()) - ours)
    return counts


def main() -> None:
    if sys.argv[1:] == ["--json"]:
        print(json.dumps({name: asdict(count) for name, count in count_all().items()}))
    elif sys.argv[1:]:
        for (module, name), number in sorted(calls_of(KINDS[sys.argv[1]], Counting()).items()):
            if number >= 0.1:
                print(f"{number:>7.2f}  {module}  {name}")
    else:
        print(f"{'':24}{'ours':>8}{'others':>8}")
        for name, count in count_all().items():
            print(f"{name:24}{count.ours:>8.1f}{count.others:>8.1f}")


if __name__ == "__main__":
    main()
