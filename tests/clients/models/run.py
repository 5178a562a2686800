"""Have real clients of models meet a server in each host, and compare what they saw.

    python -m tests.clients.models.run [CLIENT ...] [--hosts HOST ...]

It prints a table, client by host, and exits with 1 for a mismatch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sample_projects.processes import free_port, running
from tests.clients.environments import python_of, variables
from tests.clients.models.hosts import HOSTS, command
from tests.clients.models.table import CLIENTS, Client
from tests.node import install

HERE = Path(__file__).parent
SECONDS = 300
"""How long a client may take for everything."""


def prepare(client: Client) -> list[str]:
    """The command line of a client, whose environment is made first."""
    program = str(HERE / "programs" / client.program)
    if client.package is None:
        install(HERE)
        return ["node", program, client.mode]
    return [str(python_of(client.package, HERE / "locks")), program]


def drive(words: Sequence[str], url: str) -> dict[str, Any]:
    """Run the program of a client against one host; what it saw."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [*words, url],
            cwd=home,
            env=variables(Path(home)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    try:
        seen: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"run": f"printed no report:\n{done.stdout}{done.stderr}"}
    return seen


def differences(client: Client, seen: dict[str, Any]) -> list[str]:
    """What a client has seen otherwise than it should."""
    return [
        f"{name}: saw {seen.get(name)!r}, not {client.seen.get(name)!r}"
        for name in {**client.seen, **seen}
        if seen.get(name) != client.seen.get(name)
    ]


def main() -> int:
    names = [client.name for client in CLIENTS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(names)}")
    parser.add_argument("--hosts", nargs="+", choices=HOSTS, default=list(HOSTS))
    options = parser.parse_args()
    if unknown := set(options.clients) - set(names):
        parser.error(f"no client {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    clients = [client for client in CLIENTS if client.name in (options.clients or names)]
    words = {client.name: prepare(client) for client in clients}
    problems: dict[tuple[str, str], list[str]] = {}
    for host in options.hosts:
        port = free_port()
        with running(command(host, port), port):
            for client in clients:
                seen = drive(words[client.name], f"http://127.0.0.1:{port}/mcp/v1")
                problems[host, client.name] = differences(client, seen)
    print(f"{'client':<18}" + "".join(f" {host:>12}" for host in options.hosts))
    for client in clients:
        found = (problems[host, client.name] for host in options.hosts)
        cells = (f"{len(one)} differ" if one else "ok" for one in found)
        print(f"{client.name:<18}" + "".join(f" {cell:>12}" for cell in cells))
    for (host, name), lines in problems.items():
        for line in lines:
            print(f"{host}, {name}, {line}")
    failed = sum(map(bool, problems.values()))
    print(f"clients of models: {len(problems) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
