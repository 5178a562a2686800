"""The server of `everything` in each kind of host, for real web servers.

ISSUER is the authorization server; without it, everybody may call.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import nullcontext
from functools import partial
from typing import Any

from tests.fuzz.everything import register

AUDIENCE = "fuzz"

SERVERS = {
    "asgi": ("uvicorn", "asgi", ""),
    "flask-wsgi": ("gunicorn", "flask", "/mcp"),
    "django-wsgi": ("gunicorn", "django_wsgi", "/mcp"),
    "django-asgi": ("uvicorn", "django_asgi", "/mcp"),
}
"""Host: its web server, the factory of its application, the prefix of the plain HTTP routes."""

urlpatterns: list[Any] = []
"""Those of Django, once it is set up."""

_OPTIONS: dict[str, Any] = {"secret_key": "for-tests-only", "page_size": 7}


def command(host: str, port: int) -> list[str]:
    """The command line of a host's web server, as a user would write it."""
    server, factory, _ = SERVERS[host]
    target = f"tests.fuzz.hosts:{factory}"
    if server == "uvicorn":
        options = ["--factory", target, "--port", str(port), "--log-level", "warning"]
    else:
        options = [
            *("--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "16"),
            *("--log-level", "warning", "--no-control-socket", f"{target}()"),
        ]
    return [sys.executable, "-m", server, *options]


def guarded() -> dict[str, Any]:
    """The options by which a server asks for access tokens, if it does."""
    from mcp_mount.auth import JWT

    issuer = os.environ.get("ISSUER")
    if issuer is None:
        return {}
    return {"auth": JWT(issuer, audience=AUDIENCE), "scopes": "read"}


def filled(server: Any) -> None:
    """Register all; what waits for clients that do not answer, waits for a short time."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    # Django prints the whole trace of a Host that it refuses.
    logging.getLogger("django.security").setLevel(logging.CRITICAL)
    register(server)
    settings = server.core.protocol.settings
    settings.question_timeout = settings.resume_ttl = 1.0


def asgi() -> Any:
    """Alone, with endpoints of a FastAPI application exposed."""
    from fastapi import FastAPI

    from mcp_mount import MCPServer
    from mcp_mount_fastapi import expose

    api = FastAPI()

    @api.get("/items/{number}")
    def item(number: int, colour: str = "red") -> dict[str, Any]:
        return {"number": number, "colour": colour}

    @api.post("/items/{path:path}")
    async def add_item(path: str, item: dict[str, Any]) -> dict[str, Any]:
        return {path: item}

    server = MCPServer("fuzz", **_OPTIONS, **guarded())
    filled(server)
    expose(api, server, paths=["*"])
    return server


def flask() -> Any:
    """An extension of Flask, with its views exposed."""
    from flask import Flask, jsonify, request

    from mcp_mount_flask import MCPMount, expose

    app = Flask("fuzz")
    mcp = MCPMount(app, "/mcp", name="fuzz", **_OPTIONS, **guarded())

    @app.get("/items/<int:number>")
    def item(number: int) -> Any:
        return jsonify(number=number, colour=request.args.get("colour"))

    @app.post("/items/<path:path>")
    def add_item(path: str) -> Any:
        return jsonify({path: request.get_json()})

    filled(mcp.server)
    expose(app, mcp.server, paths=["/items/*"])
    return app


def django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    _set_up_django()
    return get_wsgi_application()


def django_asgi() -> Any:
    from django.core.asgi import get_asgi_application

    _set_up_django()
    return get_asgi_application()


def _set_up_django() -> None:
    """In the URLs of a Django project, with a view and a model of it."""
    import django
    from django.conf import settings

    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="for-tests-only",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "mcp_mount_django"],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ["DATABASE"],
                "ATOMIC_REQUESTS": True,
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        # The default shows errors to administrators by mail only.
        LOGGING_CONFIG=None,
    )
    django.setup()
    from django.contrib.contenttypes.models import ContentType
    from django.core.management import call_command
    from django.http import HttpRequest, JsonResponse
    from django.urls import include, path
    from pydantic import BaseModel

    from mcp_mount_django import MCPServer, ModelQuery

    class Item(BaseModel):
        number: int
        colour: str = "red"

    def item(request: HttpRequest, number: int) -> JsonResponse:
        """An item by its number."""
        return JsonResponse({"number": number, "colour": request.GET.get("colour")})

    class ContentTypes(ModelQuery):
        model = ContentType
        fields = ("app_label", "model")
        filters = ("app_label", "id__gte")
        search = ("model",)
        ordering = ("model",)
        permission = None

    # Django refuses its database on a thread with an event loop.
    migration = threading.Thread(target=partial(call_command, "migrate", verbosity=0))
    migration.start()
    migration.join()
    server = MCPServer("fuzz", task_context=nullcontext, **_OPTIONS, **guarded())
    filled(server)
    server.add_view(item, Item, url=["number"])
    server.register(ContentTypes)
    urlpatterns[:] = [
        path("", include("mcp_mount_django.well_known")),
        path("mcp", include(server.urls)),
    ]
