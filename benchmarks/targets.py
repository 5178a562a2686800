"""What is measured: each target is an application, the web server that runs it, and a request.

To measure something else, add a row.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.messages import Request, echo, plain, with_headers_of_mcp
from benchmarks.peers import Peer


@dataclass(frozen=True)
class Target:
    """A row of the table.

    Attributes:
        name: How it is selected (`ONLY=`).
        title: How it is shown.
        server: The web server, "uvicorn" or "gunicorn" (gthread, eight threads).
        factory: The function that makes the application.
        request: What is sent.
        view: The target with the host's plain view, to compare with.
        peer: The environment of another project's server.
        options: More options of the web server; later ones win.
    """

    name: str
    title: str
    server: str
    factory: str
    request: Request
    view: str | None = None
    peer: Peer | None = None
    options: tuple[str, ...] = ()

    @property
    def is_asgi(self) -> bool:
        return self.server == "uvicorn"


APPLICATIONS = "benchmarks.applications:"
LIMIT, WSGI_LIMIT = "limit", "limit-wsgi"


def _target(
    name: str,
    title: str,
    server: str,
    factory: str,
    request: Request,
    view: str | None = None,
    options: tuple[str, ...] = (),
) -> Target:
    return Target(name, title, server, APPLICATIONS + factory, request, view, options=options)


TARGETS = (
    _target(LIMIT, "hand-written ASGI application (the limit)", "uvicorn", "limit", echo()),
    _target("alone", "mcp-mount alone, `async def`", "uvicorn", "alone", echo()),
    _target("alone-sync", "mcp-mount alone, `def`", "uvicorn", "alone", echo("echo_plain")),
    _target("alone-session", "mcp-mount alone, session", "uvicorn", "alone", echo(in_session=True)),
    _target("fastapi-view", "FastAPI: an endpoint", "uvicorn", "plain_fastapi", plain()),
    _target("fastapi", "mcp-mount in FastAPI", "uvicorn", "in_fastapi", echo(), "fastapi-view"),
    _target("starlette", "mcp-mount in Starlette", "uvicorn", "in_starlette", echo()),
    _target(WSGI_LIMIT, "hand-written WSGI application", "gunicorn", "limit_wsgi", echo()),
    _target("flask-view", "Flask: a JSON view", "gunicorn", "plain_flask", plain()),
    _target(
        "flask-view-mcp",
        "Flask: a JSON view, asked with the headers of MCP",
        "gunicorn",
        "plain_flask",
        with_headers_of_mcp(plain()),
        "flask-view",
    ),
    _target(
        "flask", "mcp-mount in Flask", "gunicorn", "in_flask", echo("echo_plain"), "flask-view"
    ),
    _target(
        "flask-front",
        "mcp-mount in front of Flask",
        "gunicorn",
        "before_flask",
        echo("echo_plain"),
        "flask-view",
    ),
    _target("django-view", "Django: a JSON view", "gunicorn", "plain_django", plain()),
    _target(
        "django-view-mcp",
        "Django: a JSON view, asked with the headers of MCP",
        "gunicorn",
        "plain_django",
        with_headers_of_mcp(plain()),
        "django-view",
    ),
    _target(
        "django", "mcp-mount in Django", "gunicorn", "in_django", echo("echo_plain"), "django-view"
    ),
    _target(
        "django-front",
        "mcp-mount in front of Django",
        "gunicorn",
        "before_django",
        echo("echo_plain"),
        "django-view",
    ),
    _target(
        "django-asgi-view", "Django, ASGI: a JSON view", "uvicorn", "plain_django_asgi", plain()
    ),
    _target(
        "django-asgi",
        "mcp-mount in Django, ASGI",
        "uvicorn",
        "in_django_asgi",
        echo("echo_plain"),
        "django-asgi-view",
    ),
)
"""Ours, and what they are compared with."""

_PLAIN = echo("echo_plain")

CHOICES = (
    _target("usual", "alone: uvloop, httptools", "uvicorn", "alone", echo()),
    _target("asyncio", "asyncio's loop", "uvicorn", "alone", echo(), options=("--loop", "asyncio")),
    _target(
        "h11", "h11 in place of httptools", "uvicorn", "alone", echo(), options=("--http", "h11")
    ),
    _target("frozen", "`gc.freeze()` at the start", "uvicorn", "frozen", echo()),
    _target(
        "flask-1", "in Flask, 1 thread", "gunicorn", "in_flask", _PLAIN, options=("--threads", "1")
    ),
    _target("flask-8", "in Flask, 8 threads", "gunicorn", "in_flask", _PLAIN),
    _target(
        "flask-32",
        "in Flask, 32 threads",
        "gunicorn",
        "in_flask",
        _PLAIN,
        options=("--threads", "32"),
    ),
    _target("flask-async", "in Flask, 8 threads, `async def`", "gunicorn", "in_flask", echo()),
    _target(
        "flask-asgi", "in front of Flask, uvicorn, `def`", "uvicorn", "before_flask_asgi", _PLAIN
    ),
    _target(
        "flask-asgi-async",
        "in front of Flask, uvicorn, `async def`",
        "uvicorn",
        "before_flask_asgi",
        echo(),
    ),
    _target(
        "django-asgi-async", "in Django, uvicorn, `async def`", "uvicorn", "in_django_asgi", echo()
    ),
    _target(
        "django-asgi-front",
        "in front of Django, uvicorn, `async def`",
        "uvicorn",
        "before_django_asgi",
        echo(),
    ),
)
"""What users can choose."""

SDK = Peer("mcp", ("mcp==2.3.0", "uvicorn[standard]==0.54.0"))
FASTMCP = Peer("fastmcp", ("fastmcp==4.2.3", "uvicorn[standard]==0.54.0"))
MCPZ = Peer("django-mcpz", ("django-mcpz==1.2.0", "django==5.2.19", "gunicorn==27.0.1"))
STATELESS = Peer(
    "django-stateless-mcp",
    ("django-stateless-mcp==0.1.11", "django==5.2.19", "gunicorn==27.0.1"),
)

PEERS = (
    Target(
        "sdk",
        "official SDK 2.3, stateless",
        "uvicorn",
        "benchmarks.peers.sdk:stateless",
        echo(),
        peer=SDK,
    ),
    Target(
        "sdk-session",
        "official SDK 2.3, session",
        "uvicorn",
        "benchmarks.peers.sdk:session",
        echo(in_session=True),
        peer=SDK,
    ),
    Target(
        "fastmcp", "FastMCP 4.2", "uvicorn", "benchmarks.peers.fast:stateless", echo(), peer=FASTMCP
    ),
    Target(
        "django-mcpz",
        "django-mcpz 1.2",
        "gunicorn",
        "benchmarks.peers.mcpz:application",
        echo(),
        "django-view",
        MCPZ,
    ),
    Target(
        "django-stateless-mcp",
        "django-stateless-mcp 0.1",
        "gunicorn",
        "benchmarks.peers.stateless_mcp:application",
        echo(),
        "django-view",
        STATELESS,
    ),
)
"""Servers of other projects, measured when they are asked for."""
