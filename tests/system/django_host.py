"""A Django project of one module, with django-cors-headers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import django
from django.conf import settings
from django.urls import include, path

from tests.system.documented import cors_settings
from tests.system.servers import MOUNTS, ORIGIN, fill_system

if not settings.configured:
    settings.configure(
        **cors_settings(
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
    )
    django.setup()

from mcp_mount_django import MCPServer

urlpatterns = [path("", include("mcp_mount_django.well_known"))]
for mount_point, options in MOUNTS.items():
    server = MCPServer("system", task_context=nullcontext, allowed_origins=[ORIGIN], **options)
    fill_system(server)
    urlpatterns.append(path(mount_point.removeprefix("/"), include(server.urls)))


def asgi_application() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def wsgi_application() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()
