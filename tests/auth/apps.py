"""The same guarded server alone and in each host, for real web servers.

ISSUER is the authorization server; AUTH=opaque verifies by introspection. Without RESOURCE the
URL of the server is taken from the request, whose host the framework vouches for.
"""

from __future__ import annotations

import os
from typing import Any

from mcp_mount import Context, MCPServer, SyncContext, ToolsRouter
from mcp_mount.auth import JWT, Introspection

ISSUER = os.environ.get("ISSUER", "http://127.0.0.1:9")
OPTIONS: dict[str, Any] = {
    "secret_key": "for-tests-only",
    "scopes": "orders:read",
    "version": "1",
    "log_calls": True,
}


def verifier() -> Any:
    if os.environ.get("AUTH") == "opaque":
        return Introspection(
            f"{ISSUER}/introspect",
            issuer=ISSUER,
            client_id="resource-server",
            client_secret="resource-server-secret",
            ttl=0.2,
        )
    return JWT(ISSUER)


def register(server: Any) -> None:
    @server.tool
    def whoami(ctx: SyncContext) -> str:
        """Tell who calls."""
        token = ctx.access_token
        assert token is not None
        return f"{ctx.caller}: {' '.join(sorted(token.scopes))}"

    @server.tool(scopes="orders:write")
    async def cancel_order(ctx: Context, number: int) -> str:
        """Cancel an order."""
        return f"{ctx.caller} cancelled {number}"

    @server.tool(roles="manager")
    def close_shop() -> str:
        """Close the shop: nobody here may."""
        return "closed"


def standalone() -> MCPServer:
    tools = ToolsRouter()
    register(tools)
    server = MCPServer("orders", auth=verifier(), **OPTIONS)
    server.include_router(tools)
    return server


def starlette() -> Any:
    from starlette.applications import Starlette

    from mcp_mount_starlette import mount

    app = Starlette()
    mount(app, "/api/mcp", standalone())
    return app


def fastapi() -> Any:
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    mount(app, "/api/mcp", standalone())
    return app


def bare() -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/api/mcp", standalone())
    return app


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask(__name__)
    app.config["SECRET_KEY"] = "for-tests-only"
    mcp = MCPMount(app, "/api/mcp", name="orders", auth=verifier(), **OPTIONS)
    register(mcp)
    return app


def flask_beside() -> Any:
    from flask import Flask

    from mcp_mount_flask import mount

    app = Flask(__name__)
    return mount(app, "/api/mcp", standalone())


def django() -> Any:
    """Django under WSGI or ASGI; the users of tokens are the project's."""
    _configure_django()
    if os.environ.get("INTERFACE") == "wsgi":
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def _configure_django() -> None:
    import django
    from django.conf import settings

    settings.configure(
        ROOT_URLCONF="tests.auth.django_urls",
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="for-tests-only",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "mcp_mount_django",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        USE_TZ=True,
    )
    django.setup()


def wsgi() -> Any:
    """A WSGI callable for gunicorn, by the name in APP."""
    return globals()[os.environ["APP"]]()
