"""Drive a server in each host with real clients, and compare what they saw with what is expected.

    python -m tests.clients.run [CLIENT ...] [--hosts HOST ...] [--docs] [--lock]

It prints a table, client by host, and exits with 1 for a mismatch. --docs writes the table to
docs/clients.md. --lock takes the newest versions of what the named clients need, and keeps them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tests.clients import page
from tests.clients.environments import HERE, PROGRAMS, python_of, variables, write_lock
from tests.clients.expected import differences
from tests.clients.hosts import HOSTS, command
from tests.clients.server import KEY
from tests.clients.table import CLIENTS, Client, Package
from tests.node import install
from tests.workers.serving import serve

SECONDS = 180
"""How long a client may take for everything."""


def prepare(clients: Sequence[Client]) -> dict[str, list[str]]:
    """The command line of each client, whose environment is made first."""
    words: dict[str, list[str]] = {}
    for client in clients:
        program = str(PROGRAMS / client.program)
        if isinstance(client.package, Package):
            words[client.name] = [str(python_of(client.package)), program]
        else:
            install(HERE)
            words[client.name] = ["node", program, client.package.alias]
    return words


def drive(client: Client, words: list[str], base: str) -> dict[str, Any]:
    """Run the program of a client against one host; what it saw."""
    urls = [f"{base}/mcp", f"{base}/keyed/mcp", KEY]
    if isinstance(client.package, Package):
        words = [*words, *urls, *filter(None, [client.mode])]
    else:
        words = [*words, client.mode, *urls]
    with tempfile.TemporaryDirectory() as home:
        try:
            done = subprocess.run(
                words,
                cwd=home,
                env=variables(Path(home)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return {"connect": {"raised": f"has not ended after {SECONDS} seconds"}}
    try:
        seen: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"connect": {"raised": f"printed no report:\n{done.stdout}{done.stderr}"}}
    return seen


def main() -> int:
    names = [client.name for client in CLIENTS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(names)}")
    parser.add_argument("--hosts", nargs="+", choices=HOSTS, default=list(HOSTS))
    parser.add_argument("--docs", action="store_true", help="write the table to docs/clients.md")
    parser.add_argument("--lock", action="store_true", help="take newest versions of what it needs")
    parser.add_argument(
        "--workers", action="store_true", help="four of each host, and a proxy without stickiness"
    )
    parser.add_argument("--show", action="store_true", help="print what each client saw")
    options = parser.parse_args()
    if unknown := set(options.clients) - set(names):
        parser.error(f"no client {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    clients = [client for client in CLIENTS if client.name in (options.clients or names)]
    if options.lock:
        for package in {client.package for client in clients}:
            if isinstance(package, Package):
                write_lock(package)
        return 0
    words = prepare(clients)
    found = {
        host: run_host(host, clients, words, show=options.show, workers=options.workers)
        for host in options.hosts
    }
    print(page.terminal(clients, found))
    problems = [
        f"{host}, {name}, {line}"
        for host, by_client in found.items()
        for name, lines in by_client.items()
        for line in lines
    ]
    for problem in problems:
        print(problem)
    if options.docs:
        page.write(clients, found)
    rows = len(clients) * len(found)
    failed = sum(bool(lines) for by_client in found.values() for lines in by_client.values())
    print(f"clients: {rows - failed} passed, {failed} failed")
    return 1 if problems else 0


def run_host(
    host: str,
    clients: Sequence[Client],
    words: dict[str, list[str]],
    *,
    show: bool,
    workers: bool,
) -> dict[str, list[str]]:
    """Let all clients meet one host; by client, what was not as expected."""

    def meet(client: Client) -> tuple[dict[str, Any], list[str]]:
        seen = drive(client, words[client.name], base)
        return seen, differences(client, seen)

    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        base = f"http://127.0.0.1:{serve(partial(command, host), stack, workers=workers)}"
        outcomes = dict(zip([one.name for one in clients], pool.map(meet, clients), strict=True))
    if show:
        for name, (seen, _) in outcomes.items():
            print(json.dumps({"host": host, "client": name, "seen": seen}, indent=1))
    return {name: lines for name, (_, lines) in outcomes.items()}


if __name__ == "__main__":
    sys.exit(main())
