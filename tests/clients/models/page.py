"""The table client by feature, on docs/clients.md."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone

from tests.clients.models.table import Client
from tests.clients.page import write_between

BEGIN = "<!-- table: clients of models, make clients -->"

FEATURES: dict[str, tuple[str, ...]] = {
    "chat": ("chat", "async", "reasoning", "models", "text"),
    "stream": ("stream",),
    "stream helper": ("stream helper",),
    "usage": ("usage",),
    "tools": ("tools", "parallel tools"),
    "parallel tools": ("parallel tools",),
    "JSON schema": ("schema",),
    "embeddings": ("embeddings",),
    "responses": ("responses",),
    "images": ("images", "image stream", "image url"),
    "edits": ("image edits",),
    "errors, retries": ("errors", "retry", "failure"),
    "leaving": ("leaving",),
}
"""Each feature, and what clients do that shows it: the names in `Client.seen`."""

HOST_TITLES = {
    "alone": "a server alone",
    "starlette": "mounted in FastAPI by `app.mount`",
    "fastapi": "in front of FastAPI",
    "django-asgi": "Django with uvicorn",
    "django-wsgi": "Django with gunicorn",
    "flask": "Flask with gunicorn's threads",
    "flask-sync": "with its sync workers",
    "flask-beside": "in front of Flask",
}

Found = Mapping[str, Mapping[str, Collection[str]]]
"""By host and client, what was not as expected."""

KINDS = ("echo", "plain", "endless", "endless-plain")


def features_of(name: str) -> list[str]:
    """The features that something shows that clients do."""
    if name.startswith("responses"):
        return ["responses"]
    words = name.split()
    if words[-1] in KINDS:
        name = " ".join(words[:-1])
    return [feature for feature, names in FEATURES.items() if name in names]


def markdown(clients: Sequence[Client], found: Found) -> str:
    """The table for the documentation."""
    hosts = [HOST_TITLES[host] for host in HOST_TITLES if host in found]
    lines = [
        f"Run on {datetime.now(timezone.utc):%d %B %Y} by `make clients`, on {len(hosts)} hosts: "
        f"{', '.join(hosts)}.",
        "",
        "| client | version | " + " | ".join(FEATURES) + " |",
        "|" + "---|" * (len(FEATURES) + 2),
    ]
    for client in clients:
        cells = [_cell(client, feature, found) for feature in FEATURES]
        lines.append(f"| {client.title} | `{client.version}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(client: Client, feature: str, found: Found) -> str:
    """A mark for what works on each host; a cross with the hosts for what does not."""
    names = {name for name in client.seen if feature in features_of(name)}
    if not names:
        return ""
    failed = [host for host, by_client in found.items() if names & set(by_client[client.name])]
    return f"✗ {', '.join(failed)}" if failed else "✓"


def write(clients: Sequence[Client], found: Found) -> None:
    """Write the table to the page, between its marks."""
    write_between(BEGIN, markdown(clients, found))
