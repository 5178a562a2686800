"""Have real clients of models meet a server in each host, and compare what they saw.

    python -m tests.clients.models.run [CLIENT ...] [--hosts HOST ...] [--docs]

It prints a table, client by host, and exits with 1 for a mismatch. --docs writes the table client
by feature to docs/clients.md.
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
from tests.clients.models import page
from tests.clients.models.hosts import HOSTS, command, path_of
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


def differences(client: Client, seen: dict[str, Any]) -> dict[str, str]:
    """What a client has seen otherwise than it should, by the name of what it did."""
    return {
        name: f"saw {seen.get(name)!r}, not {client.seen.get(name)!r}"
        for name in {**client.seen, **seen}
        if seen.get(name) != client.seen.get(name)
    }


def main() -> int:
    names = [client.name for client in CLIENTS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(names)}")
    parser.add_argument("--hosts", nargs="+", choices=HOSTS, default=list(HOSTS))
    parser.add_argument("--docs", action="store_true", help="write the table to docs/clients.md")
    options = parser.parse_args()
    if unknown := set(options.clients) - set(names):
        parser.error(f"no client {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    clients = [client for client in CLIENTS if client.name in (options.clients or names)]
    words = {client.name: prepare(client) for client in clients}
    found: dict[str, dict[str, dict[str, str]]] = {}
    for host in options.hosts:
        port = free_port()
        with running(command(host, port), port):
            for client in clients:
                seen = drive(words[client.name], f"http://127.0.0.1:{port}{path_of(host)}")
                found.setdefault(host, {})[client.name] = differences(client, seen)
    print(f"{'client':<18}" + "".join(f" {host:>12}" for host in options.hosts))
    for client in clients:
        wrong = (found[host][client.name] for host in options.hosts)
        cells = (f"{len(one)} differ" if one else "ok" for one in wrong)
        print(f"{client.name:<18}" + "".join(f" {cell:>12}" for cell in cells))
    rows = [(host, name, wrong) for host, known in found.items() for name, wrong in known.items()]
    for host, name, wrong in rows:
        for what, line in wrong.items():
            print(f"{host}, {name}, {what}: {line}")
    if options.docs:
        page.write(clients, found)
    failed = sum(bool(wrong) for _, _, wrong in rows)
    print(f"clients of models: {len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
