"""A Django project of one module, with the servers of the clients in its URLs."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

import django
from django.conf import settings
from django.urls import include, path

from tests.clients.server import fill, keys

if not settings.configured:
    settings.configure(
        SECRET_KEY="for-tests-only",
        ALLOWED_HOSTS=["localhost", "127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["mcp_mount_django"],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
    )
    django.setup()

from mcp_mount_django import MCPServer

backplane = os.environ.get("BACKPLANE")
server = MCPServer("clients", task_context=nullcontext, open=True, backplane=backplane)
keyed = MCPServer("clients-keyed", task_context=nullcontext, auth=keys(), backplane=backplane)

fill(server)
fill(keyed)

urlpatterns = [
    path("mcp", include(server.urls)),
    path("keyed/mcp", include(keyed.urls)),
]


def asgi_application() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def wsgi_application() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()
