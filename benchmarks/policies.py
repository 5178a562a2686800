"""What each policy costs per call: one small tool, over WSGI and over ASGI, without a network.

The figures are microseconds per call: the fastest of several rounds of the whole way through the
server, and what a policy adds to that of the tool with nothing around. `--json` prints them as
data.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mcp_mount import Audit, Cache, MCPServer
from mcp_mount.auth import APIKeys
from mcp_mount.observability.telemetry import Telemetry

# Short rounds: some of them run without another process in between, also on a busy machine.
ROUNDS, CALLS = 60, 40
KEY = "an-api-key-for-the-benchmark"


def _middleware_generator(call: Any) -> Any:
    return (yield)


async def _middleware_coroutine(call: Any, call_next: Any) -> Any:
    return await call_next()


def _middleware_plain(call: Any, call_next: Any) -> Any:
    return call_next()


def _telemetry() -> Telemetry:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    return Telemetry(tracer_provider=TracerProvider(), meter_provider=MeterProvider())


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "call middleware, generator": ({"call_middleware": _middleware_generator}, {}),
    "call middleware, coroutine": ({"call_middleware": _middleware_coroutine}, {}),
    "call middleware, plain": ({"call_middleware": _middleware_plain}, {}),
    "throttle, in memory": ({"throttle": "1000000/second"}, {}),
    "max_concurrency": ({"max_concurrency": 100}, {}),
    "timeout": ({"timeout": 60}, {}),
    "cache, hit": ({"cache": Cache(3600)}, {}),
    "check": ({"check": lambda a: None}, {}),
    "max_argument_depth": ({"max_argument_depth": 10}, {}),
    "max_result_bytes": ({"max_result_bytes": 10_000}, {}),
    "log_calls": ({}, {"log_calls": True}),
    "audit": ({}, {"audit": Audit(after=lambda record: None)}),
    "telemetry, no SDK": ({}, {"telemetry": Telemetry()}),
    "telemetry, SDK": ({}, {"telemetry": _telemetry}),
    "auth, API key": ({}, {"auth": APIKeys({"ada": KEY})}),
    "rule, when=": ({"when": lambda caller: True}, {}),
}
"""By name: the options of the tool, and of the server."""


def build(tool_options: dict[str, Any], server_options: dict[str, Any]) -> MCPServer:
    made: dict[str, Any] = {
        key: one() if one is _telemetry else one for key, one in server_options.items()
    }
    server = MCPServer("bench", secret_key="bench", open="auth" not in made, **made)

    @server.tool(**tool_options)
    def add(a: int, b: int = 2) -> int:
        return a + b

    @server.tool(**tool_options)
    async def add_async(a: int, b: int = 2) -> int:
        return a + b

    return server


def request(tool: str) -> tuple[dict[str, str], bytes]:
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
        "host": "localhost",
        "x-api-key": KEY,
    }
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": {"a": 1}, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return headers, json.dumps(message).encode()


def over_wsgi(server: MCPServer) -> Callable[[], None]:
    """A call of the plain tool over WSGI."""
    headers, body = request("add")
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/mcp",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": headers.pop("content-type"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        statuses[:] = [status]

    def call() -> None:
        list(server.wsgi({**environ, "wsgi.input": io.BytesIO(body)}, start_response))
        assert statuses == ["200 OK"], statuses

    return call


def over_asgi(server: MCPServer) -> Callable[[], Any]:
    """A call of the coroutine tool over ASGI."""
    headers, body = request("add_async")
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    message = {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message

    async def call() -> None:
        asked = False

        async def receive() -> Any:
            nonlocal asked
            if asked:
                # The client stays.
                await asyncio.Event().wait()
            asked = True
            return message

        await server(dict(scope), receive, send)

    return call


def rounds_wsgi(server: MCPServer) -> list[float]:
    call = over_wsgi(server)
    return [_timed(lambda: [call() for _ in range(CALLS)]) for _ in range(ROUNDS)]


def rounds_asgi(server: MCPServer) -> list[float]:
    call = over_asgi(server)

    async def many() -> None:
        for _ in range(CALLS):
            await call()

    async def all_rounds() -> list[float]:
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            await many()
            times.append((time.perf_counter() - started) / CALLS * 1e6)
        return times

    return asyncio.run(all_rounds())


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / CALLS * 1e6


@contextmanager
def quiet() -> Iterator[None]:
    """Logging that formats its records and writes them nowhere, and no garbage collection."""
    logger = logging.getLogger("mcp_mount.calls")
    handler = logging.StreamHandler(io.StringIO())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        logger.removeHandler(handler)


def measure() -> dict[str, dict[str, float]]:
    """Microseconds per call, by variant and by face."""
    found: dict[str, dict[str, float]] = {}
    with quiet():
        for name, options in VARIANTS.items():
            server = build(*options)
            over_wsgi(server)()
            found[name] = {
                "wsgi": min(rounds_wsgi(server)),
                "asgi": min(rounds_asgi(server)),
            }
            gc.collect()
    return found


def main() -> None:
    found = measure()
    if "--json" in sys.argv:
        print(json.dumps(found, indent=2))
        return
    print(f"{'µs per call':32}{'plain, WSGI':>14}{'':>9}{'coroutine, ASGI':>17}{'':>9}")
    base = found["nothing"]
    for name, times in found.items():
        cells = f"{name:32}"
        for face, width in (("wsgi", 14), ("asgi", 17)):
            added = times[face] - base[face]
            shown = "" if name == "nothing" else f"+{added:.1f}"
            cells += f"{times[face]:>{width}.1f}{shown:>9}"
        print(cells)


if __name__ == "__main__":
    main()
