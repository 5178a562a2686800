"""What a server keeps in memory for clients that ask for much: real servers, one scenario each.

Resident memory before and after, and the objects that are left. The server runs in a process of its
own on a loopback port. Each scenario has a bound in count and in time; `make bench` gives it less
of that. By itself, `--checkout PATH` measures another checkout, and words in the names of scenarios
select some:

    python -m benchmarks.memory [WORD ...]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MAX_SECONDS = 240.0
COUNTED = ("EventLog", "Task", "RunningTask", "Session", "Call")
STATELESS = "2026-07-28"
META = "io.modelcontextprotocol/"
HEADS = ("scenario", "server", "MB before", "MB after", "MB peak", "what came of it", "kept")
ADA, BOB = "key-of-ada-for-the-benchmark", "key-of-bob-for-the-benchmark"


# What the server process runs.


def build() -> Any:
    from mcp_mount import Context, MCPServer, TaskPolicy
    from mcp_mount.auth import APIKeys
    from mcp_mount.protocol.listener import Changes

    server = MCPServer(
        "memory",
        secret_key="for-the-benchmark",
        auth=APIKeys({"ada": ADA, "bob": BOB}),
        auth_required=False,
        open=True,
    )

    @server.tool(task=TaskPolicy())
    async def soon() -> str:
        return "done"

    @server.tool(task=TaskPolicy())
    async def large(size: int) -> str:
        return "x" * size

    @server.tool
    async def shout(ctx: Context, messages: int, size: int) -> str:
        for _ in range(messages):
            await ctx.info("x" * size)
        return "done"

    @server.resource("memory://item/{id}")
    def item(id: str) -> str:
        return id

    @server.tool
    def vitals() -> dict[str, int]:
        gc.collect()
        kinds = Counter(
            type(one).__name__
            for one in gc.get_objects()
            if str(type(one).__module__).startswith("mcp_mount")
        )
        listeners = sum(one.listeners() for one in gc.get_objects() if isinstance(one, Changes))
        return {"listeners": listeners, **{name: kinds[name] for name in COUNTED}}

    return server


def asgi() -> Any:
    return build()


def wsgi() -> Any:
    return build().wsgi


# What measures it.


class Peer:
    """One connection to the server under measurement."""

    def __init__(self, port: int, key: str | None = None) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        }
        if key is not None:
            self.headers["x-api-key"] = key

    def close(self) -> None:
        self._connection.close()

    def send(self, method: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
        self._connection.request(method, "/mcp", body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        self.session = response.headers.get("mcp-session-id")
        return response.status, answer

    def open_session(self) -> dict[str, str]:
        info = {"name": "memory", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
        status, answer = self.send("POST", self.headers, message("initialize", params))
        assert status == 200, answer
        return {**self.headers, "mcp-session-id": str(self.session)}

    def stateless(self, method: str, **params: Any) -> tuple[int, Any]:
        status, answer = self.send("POST", *stateless(method, params, self.headers))
        return status, json.loads(answer)


def message(method: str, params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def stateless(method: str, params: Any, headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
    extensions: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    own = {f"{META}protocolVersion": STATELESS, f"{META}clientCapabilities": extensions}
    if method == "tools/call":
        own |= {f"{META}logLevel": "debug"}
    headers = {**headers, "mcp-protocol-version": STATELESS, "mcp-method": method}
    if "name" in params:
        headers["mcp-name"] = params["name"]
    return headers, message(method, {**params, "_meta": own})


class Measured:
    """A running server, its memory and what it says of itself."""

    def __init__(self, port: int, pid: int, *, threads: bool) -> None:
        self.port = port
        self.threads = threads
        self._pid = pid
        self.deadline = time.monotonic() + MAX_SECONDS

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def megabytes(self, field: str = "VmRSS") -> int:
        """Resident memory of the process that serves; a field of /proc/PID/status."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        status = Path(f"/proc/{children[0] if children else self._pid}/status").read_text()
        line = next(one for one in status.splitlines() if one.startswith(field))
        return int(line.split()[1]) // 1024

    def vitals(self) -> dict[str, int]:
        with closing(Peer(self.port)) as peer:
            result = peer.stateless("tools/call", name="vitals", arguments={})[1]["result"]
        counts: dict[str, int] = result["structuredContent"]
        return counts


def polled_gets(server: Measured, counts: Counter[str]) -> None:
    with closing(Peer(server.port)) as peer:
        headers = {**peer.open_session(), "accept": "text/event-stream"}
        for _ in range(50_000):
            if server.is_late:
                break
            counts[f"HTTP {peer.send('GET', headers)[0]}"] += 1


def sessions(server: Measured, counts: Counter[str]) -> None:
    with closing(Peer(server.port)) as peer:
        for _ in range(100_000):
            if server.is_late:
                break
            headers = peer.open_session()
            status, _ = peer.send("POST", headers, message("logging/setLevel", {"level": "error"}))
            counts[f"HTTP {status}"] += 1


def tasks(server: Measured, counts: Counter[str]) -> None:
    with closing(Peer(server.port, ADA)) as ada, closing(Peer(server.port, BOB)) as bob:
        for _ in range(10_000):
            if server.is_late:
                break
            counts["ada " + outcome(ada.stateless("tools/call", name="soon", arguments={}))] += 1
        counts["bob " + outcome(bob.stateless("tools/call", name="soon", arguments={}))] += 1


def large_results(server: Measured, counts: Counter[str]) -> None:
    arguments = {"size": 2_000_000}
    with closing(Peer(server.port, ADA)) as ada:
        for _ in range(200):
            answer = ada.stateless("tools/call", name="large", arguments=arguments)
            counts[outcome(answer)] += 1
            time.sleep(0.01)


def silent_readers(server: Measured, counts: Counter[str], *, in_session: bool) -> Iterator[None]:
    """60 clients (12 where each holds a thread) that ask for 100 messages and read none."""
    params = {"name": "shout", "arguments": {"messages": 100, "size": 100_000}}
    clients = 12 if server.threads else 60
    with closing(Peer(server.port)) as peer:
        if in_session:
            headers = {**peer.open_session(), "mcp-protocol-version": "2025-11-25"}
            body = message("tools/call", params)
        else:
            headers, body = stateless("tools/call", params, peer.headers)
    lines = [f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
    with ExitStack() as stack:
        for _ in range(clients):
            raw = stack.enter_context(socket.socket())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", server.port))
            raw.sendall("".join([*lines, "\r\n"]).encode() + body)
            counts["clients"] += 1
        time.sleep(8)
        yield


def subscriptions(server: Measured, counts: Counter[str]) -> None:
    with closing(Peer(server.port)) as peer:
        for _ in range(20):
            headers = peer.open_session()
            for number in range(1_000):
                params = {"uri": f"memory://item/{number:0>200}"}
                status, answer = peer.send("POST", headers, message("resources/subscribe", params))
                counts[outcome((status, json.loads(answer)))] += 1


def long_subscriptions(server: Measured, counts: Counter[str]) -> None:
    with closing(Peer(server.port)) as peer:
        headers = peer.open_session()
        for number in range(74):
            params = {"uri": f"memory://item/{number}" + "x" * 3_900_000}
            status, answer = peer.send("POST", headers, message("resources/subscribe", params))
            counts[outcome((status, json.loads(answer)))] += 1


def outcome(answer: tuple[int, Any]) -> str:
    """What became of a request, in a word or two."""
    status, body = answer
    if "error" in body:
        return f"refused ({body['error']['code']})"
    refused = status != 200 or body["result"].get("isError")
    return "refused (result)" if refused else "accepted"


SCENARIOS: dict[str, tuple[str, Callable[..., Any]]] = {
    "50,000 polled GETs of one session": ("wsgi", polled_gets),
    "100,000 sessions that set a log level": ("asgi", sessions),
    "10,000 tasks of one caller": ("asgi", tasks),
    "200 results of 2 MB as tasks": ("asgi", large_results),
    "60 silent readers, 100 KB messages, session": (
        "asgi",
        lambda server, counts: silent_readers(server, counts, in_session=True),
    ),
    "60 silent readers, 100 KB messages, 2026-07-28": (
        "asgi",
        lambda server, counts: silent_readers(server, counts, in_session=False),
    ),
    "12 silent readers, 100 KB messages, session, WSGI": (
        "wsgi",
        lambda server, counts: silent_readers(server, counts, in_session=True),
    ),
    "12 silent readers, 100 KB messages, 2026-07-28, WSGI": (
        "wsgi",
        lambda server, counts: silent_readers(server, counts, in_session=False),
    ),
    "20 sessions with 1,000 subscriptions": ("asgi", subscriptions),
    "74 subscriptions with URIs of 3.9 MB": ("asgi", long_subscriptions),
}


@contextmanager
def serving(kind: str, checkout: Path) -> Iterator[Measured]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if kind == "wsgi":
        words = ["gunicorn", "memory:wsgi()", "--bind", f"127.0.0.1:{port}", "--threads", "16"]
        words += ["--worker-class", "gthread", "--log-level", "warning", "--no-control-socket"]
        words += ["--keep-alive", "60"]
    else:
        words = ["uvicorn", "--factory", "memory:asgi", "--port", str(port)]
        words += ["--log-level", "warning", "--no-access-log"]
    path = os.pathsep.join([str(checkout), str(checkout / "integrations")])
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen([sys.executable, "-m", *words], cwd=HERE, env=environment)
    try:
        for _ in range(200):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield Measured(port, process.pid, threads=kind == "wsgi")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure(
    words: Sequence[str] = (), seconds: float = MAX_SECONDS, checkout: Path = HERE.parent
) -> Iterator[tuple[str, ...]]:
    """Run scenarios one after another.

    Args:
        words: Words in the names of those to run; by default all.
        seconds: How long one may take.
        checkout: The checkout whose server is measured.
    """
    for name, (kind, run) in SCENARIOS.items():
        if words and not any(word in name for word in words):
            continue
        with serving(kind, checkout) as server:
            server.vitals()
            before, counts = server.megabytes(), Counter[str]()
            server.deadline = time.monotonic() + seconds
            holding = run(server, counts)
            if holding is not None:
                next(holding)
            kept = server.vitals()
            after, peak = server.megabytes(), server.megabytes("VmHWM")
            if holding is not None:
                holding.close()
        came = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))
        left = ", ".join(f"{count:,} {what}" for what, count in kept.items() if count)
        yield name, kind, str(before), str(after), str(peak), came, left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="words in the names of the scenarios to run")
    parser.add_argument("--checkout", type=Path, default=HERE.parent)
    options = parser.parse_args()
    print(f"| {' | '.join(HEADS)} |")
    print("|---" * len(HEADS) + "|", flush=True)
    for row in measure(options.only, checkout=options.checkout.resolve()):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
