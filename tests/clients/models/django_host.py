"""A Django project of one module, with the server of the models in its URLs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import django
from django.conf import settings
from django.urls import include, path

from tests.clients.models.server import fill

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

server = MCPServer("clients", task_context=nullcontext, open=True)
fill(server)

urlpatterns = [path("mcp", include(server.urls))]


def asgi_application() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def wsgi_application() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()
