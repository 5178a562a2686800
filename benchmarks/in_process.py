"""What a request costs inside the application: no web server, no network, one request at a time.

Two figures for each target: warm is the fastest of several loops; cold is the median of calls that
each follow a pause of 100 µs, after which caches of the processor hold less of the application, as
on a server between two requests. And counts of the function calls of one request, which noise does
not change: functions in Python, and functions in C that Python code calls.

    python -m benchmarks.in_process [TARGET ...]
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, TypeVar, cast

from benchmarks.messages import Request, opening
from benchmarks.servers import pinned
from benchmarks.targets import TARGETS, Target

LOOPS, COLD, PROFILED = 80, 1_000, 20
# Short loops: some of them run without another process in between, also on a busy machine.
LOOP_SECONDS, PAUSE = 0.005, 100e-6

Call = Callable[[], Awaitable[bytes]]
T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What one request costs.

    Attributes:
        warm: Microseconds in a loop.
        cold: Microseconds after a pause.
        calls: Calls of functions in Python, and starts and resumptions of generators.
        c_calls: Calls of functions in C.
    """

    warm: float
    cold: float
    calls: int
    c_calls: int


def measure(targets: Sequence[Target]) -> dict[str, Cost]:
    """Measure each target in a process of its own, on the core of the servers."""
    found = {}
    for target in targets:
        words = [sys.executable, "-m", "benchmarks.in_process", "--json", target.name]
        with pinned([0]):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{target.name}: {done.stderr[-2000:]}")
        found[target.name] = Cost(**json.loads(done.stdout.splitlines()[-1]))
    return found


def cost(target: Target) -> Cost:
    """Measure a target in this process."""
    logging.disable(logging.CRITICAL)
    module, _, factory = target.factory.partition(":")
    application = getattr(import_module(module), factory)()
    make = over_asgi if target.is_asgi else over_wsgi

    async def run() -> Cost:
        request = target.request
        if request.in_session:
            heads: dict[str, str] = {}
            await make(application, opening(), heads)()
            request = request.within(heads["mcp-session-id"])
        call = make(application, request, {})
        for _ in range(200):
            answer = await call()
        assert request.expect in answer, answer[:500]
        gc.collect()
        warm, cold = await _warm(call), await _cold(call)
        counts = await _count(call)
        return Cost(warm * 1e6, cold * 1e6, counts["call"], counts["c_call"])

    return asyncio.run(run()) if target.is_asgi else _without_loop(run())


def _without_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing: Django refuses synchronous work within a loop."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return cast("T", ended.value)
    raise RuntimeError("it waits")


def over_asgi(application: Any, request: Request, heads: dict[str, str]) -> Call:
    """A function that sends a request; it returns the body of the answer and fills `heads`."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
        "method": "POST",
        "root_path": "",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
    }
    headers = [(name.encode(), value.encode()) for name, value in _headers(request).items()]
    message = {"type": "http.request", "body": request.body, "more_body": False}

    async def call() -> bytes:
        body = b""
        asked = False

        async def receive() -> Any:
            nonlocal asked
            if asked:
                # The client stays.
                await asyncio.Event().wait()
            asked = True
            return message

        async def send(part: Any) -> None:
            nonlocal body
            if part["type"] == "http.response.start":
                assert part["status"] == 200, part
                if not heads:
                    heads.update((name.decode(), at.decode()) for name, at in part["headers"])
            else:
                body += part["body"]

        await application({**scope, "headers": headers, "state": {}}, receive, send)
        return body

    return call


def over_wsgi(application: Any, request: Request, heads: dict[str, str]) -> Call:
    """The same for a WSGI application."""
    names = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in _headers(request).items()
    }
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": names.pop("HTTP_CONTENT_TYPE"),
        "CONTENT_LENGTH": names.pop("HTTP_CONTENT_LENGTH"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **names,
    }

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        assert status.startswith("200"), status
        if not heads:
            heads.update((name.lower(), at) for name, at in headers)

    async def call() -> bytes:
        answer = application({**environ, "wsgi.input": io.BytesIO(request.body)}, start_response)
        body = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        return body

    return call


def _headers(request: Request) -> dict[str, str]:
    own = {"host": "127.0.0.1:8000", "user-agent": "benchmark"}
    return {**own, **request.headers, "content-length": str(len(request.body))}


async def _warm(call: Call) -> float:
    count, best = 5, float("inf")
    for _ in range(LOOPS):
        started = time.perf_counter()
        for _ in range(count):
            await call()
        best = min(best, (time.perf_counter() - started) / count)
        count = max(2, round(LOOP_SECONDS / best))
    return best


async def _cold(call: Call) -> float:
    times = []
    for _ in range(COLD):
        # The thread itself is to sleep, not the coroutine.
        time.sleep(PAUSE)  # noqa: ASYNC251
        started = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


async def _count(call: Call) -> Counter[str]:
    """The median number of events of one request, without those of an empty one.

    Before Python 3.12 no other thread is counted.
    """

    async def nothing() -> bytes:
        return b""

    whole = [await _events(call) for _ in range(PROFILED)]
    around = [await _events(nothing) for _ in range(PROFILED)]
    return Counter(
        {
            kind: statistics.median_low(one[kind] for one in whole)
            - statistics.median_low(one[kind] for one in around)
            for kind in ("call", "c_call")
        }
    )


async def _events(call: Call) -> Counter[str]:
    counts: Counter[str] = Counter()

    def profile(frame: Any, event: str, argument: Any) -> None:
        counts[event] += 1

    if hasattr(threading, "setprofile_all_threads"):
        threading.setprofile_all_threads(profile)
    else:
        sys.setprofile(profile)
    try:
        await call()
    finally:
        if hasattr(threading, "setprofile_all_threads"):
            threading.setprofile_all_threads(None)
        else:
            sys.setprofile(None)
    return counts


def main() -> None:
    names = [name for name in sys.argv[1:] if name != "--json"]
    targets = [target for target in TARGETS if not names or target.name in names]
    if "--json" in sys.argv:
        print(json.dumps(asdict(cost(targets[0]))))
        return
    for name, one in measure(targets).items():
        print(f"{name:20}{one.warm:>8.1f}{one.cold:>8.1f}{one.calls:>6}{one.c_calls:>6}")


if __name__ == "__main__":
    main()
