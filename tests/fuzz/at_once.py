"""Many requests of the fuzz at real hosts: `python -m tests.fuzz.at_once --requests 50000`.

The requests are made once, by the strategies of tests/fuzz, and sent in random order by clients
at the same time, which the tests do not do. Whatever the tests take for a fault ends it.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_mount.wire.revisions import SUPPORTED
from tests.auth.issuer import Issuer, issuing
from tests.fuzz import strategies
from tests.fuzz.hosts import SERVERS
from tests.fuzz.peer import Peer, serving
from tests.fuzz.test_fuzz import KEY, fuzz, token

CLIENTS = 8

Send = Callable[[Peer], object]


def message(method: str, headers: Any, body: Any, said: Any = (), path: str = "/mcp") -> Send:
    return lambda peer: peer.message(method, headers, body, said, path=path)


def exchange(raw: Any) -> Send:
    return lambda peer: peer.exchange(raw.parts, ending=raw.ending)


def made(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Different examples of a strategy."""
    found: list[Any] = []

    @settings(fuzz, max_examples=count, derandomize=False)
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


def requests(count: int) -> list[Send]:
    """Requests of each kind, as functions that send them."""
    methods = st.sampled_from(["POST", "POST", "POST", "GET", "DELETE", "PUT"])
    bodies = strategies.messages | st.binary()
    replies = st.lists(strategies.answers, max_size=2)
    right = st.sampled_from(list(strategies.RIGHT)).flatmap(
        lambda case: st.tuples(
            st.sampled_from(SUPPORTED), st.just(case.split()[0]), strategies.RIGHT[case]
        )
    )
    found: list[Send] = []
    for method, headers, body, said in made(
        st.tuples(methods, strategies.headers, bodies, replies), count
    ):
        found.append(message(method, headers, body, said))
    for wanted, said in made(st.tuples(right, replies), count):
        headers, body = strategies.rightly(*wanted)
        found.append(message("POST", headers, body, said))
    for method, path, headers in made(
        st.tuples(methods, strategies.paths, strategies.headers), count
    ):
        found.append(message(method, headers, b"", path=path))
    for raw in made(strategies.raw_requests(), count):
        found.append(exchange(raw))
    return found


def send_all(peers: Sequence[Peer], sends: Sequence[Send], count: int) -> None:
    """Send so many requests, by a client for each of `peers`. Raises the first fault."""
    faults: list[BaseException] = []

    def use(peer: Peer, seed: int) -> None:
        choice = random.Random(seed)
        try:
            for _ in range(count // len(peers)):
                if faults:
                    return
                choice.choice(sends)(peer)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=use, args=(peer, seed)) for seed, peer in enumerate(peers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def measure(host: str, issuer: Issuer | None, sends: Sequence[Send], count: int) -> None:
    """Send requests to a host, and print what came of it."""
    good = {} if issuer is None else {"token:good": f"Bearer {token(issuer, {}, {})}"}
    with tempfile.TemporaryDirectory() as folder:
        url = None if issuer is None else issuer.url
        with serving(host, Path(folder), url, good) as peer:
            peers = [peer.again() for _ in range(CLIENTS)]
            # Pools and caches fill up first.
            send_all(peers, sends, count // 10)
            before = peer.vitals()
            send_all(peers, sends, count)
            peer.check(before)
            after = peer.vitals()
    statuses = sum((Counter(one.statuses) for one in peers), Counter[int]())
    classes = Counter(
        str(status) if status >= 500 else f"{status // 100}xx" for status in statuses.elements()
    )
    shown = " ".join(f"{kind} {classes[kind]}" for kind in sorted(classes))
    print(
        f"{host:<12} {'guarded' if issuer else 'open':<8} {count:>6} sent, {shown},"
        f" slowest {max(one.slowest for one in peers):.2f} s,"
        f" threads {before.threads} -> {after.threads},"
        f" memory {before.memory // 1024} -> {after.memory // 1024} MiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=50_000, help="on all servers together")
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=f"of {', '.join(SERVERS)}")
    arguments = parser.parse_args()
    hosts = arguments.hosts or list(SERVERS)
    sends = requests(600)
    with issuing() as issuer:
        issuer.add("one", KEY)
        for host in hosts:
            for one in (None, issuer):
                measure(host, one, sends, arguments.requests // len(hosts) // 2)


if __name__ == "__main__":
    main()
