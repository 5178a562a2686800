"""The tables: on the terminal, and on docs/clients.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from tests.clients.hosts import HOSTS
from tests.clients.table import Client

PAGE = Path(__file__).parent.parent.parent / "docs" / "clients.md"
BEGIN, END = "<!-- table: make clients -->", "<!-- end of table -->"

WORDS = {
    "no key": "rejected credentials",
    "wrong key": "rejected credentials",
    "logs": "log messages",
    "people": "lists of models",
    "link": "links to resources",
    "embedded": "embedded resources",
    "ask": "elicitation",
    "think": "sampling",
    "look": "roots",
    "read template": "templates",
    "read unknown": "unknown resources",
    "prompt": "prompts",
    "complete": "completion of arguments",
    "unknown tool": "unknown tools",
    "revision": "reporting the revision",
}
"""What a client is asked to do, in words for readers."""

Found = Mapping[str, Mapping[str, Sequence[str]]]
"""By host and client, what was not as expected."""

HOST_TITLES = {
    "fastapi": "FastAPI, uvicorn",
    "flask": "Flask, gunicorn",
    "django-wsgi": "Django, gunicorn",
    "django-asgi": "Django, uvicorn",
}


def terminal(clients: Sequence[Client], found: Found) -> str:
    """The table client by host, for a terminal."""
    lines = [f"{'client':<20} {'revision':<11}" + "".join(f" {host:>12}" for host in found)]
    for client in clients:
        cells = "".join(f" {_cell(found[host][client.name]):>12}" for host in found)
        lines.append(f"{client.name:<20} {client.revision:<11}{cells}")
    return "\n".join(lines)


def _cell(problems: Sequence[str]) -> str:
    return f"{len(problems)} differ" if problems else "ok"


def markdown(clients: Sequence[Client], found: Found) -> str:
    """The table for the documentation, with the differences between clients."""
    hosts = [host for host in HOSTS if host in found]
    heads = ["client", "version", "speaks", *(HOST_TITLES[host] for host in hosts)]
    lines = [f"Run on {datetime.now(timezone.utc):%d %B %Y} by `make clients`.", ""]
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for client in clients:
        cells = [_mark(found[host][client.name]) for host in hosts]
        row = [client.title, f"`{client.package.version}`", client.revision, *cells]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "Differences between clients:", ""]
    lines += ["| client | feature | difference |", "|---|---|---|"]
    for title, reasons in _limits(clients).items():
        for reason, names in reasons.items():
            things = dict.fromkeys(WORDS.get(name, name) for name in names)
            lines.append(f"| {title} | {', '.join(things)} | {reason} |")
    return "\n".join(lines)


def _limits(clients: Sequence[Client]) -> dict[str, dict[str, list[str]]]:
    """By title of the client and reason, what it does otherwise."""
    limits: dict[str, dict[str, list[str]]] = {}
    for client in clients:
        title = f"{client.title}, {client.revision}" if client.mode else client.title
        for name, limit in client.limits.items():
            limits.setdefault(title, {}).setdefault(limit.reason, []).append(name)
    return limits


def _mark(problems: Sequence[str]) -> str:
    return f"{len(problems)} differ" if problems else "✓"


def write(clients: Sequence[Client], found: Found) -> None:
    """Write the table to the page, between its marks."""
    write_between(BEGIN, markdown(clients, found))


def write_between(begin: str, table: str) -> None:
    """Put a table in the place of the one that is on the page, behind its mark.

    begin: the mark.
    """
    before, rest = PAGE.read_text().split(begin)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{begin}\n{table}\n{END}{after}")
