"""A Django project of one module, with django-cors-headers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import django
from django.conf import settings
from django.urls import include, path

from tests.system.documented import add_cors, cors_settings
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


def server_of(options: dict[str, Any]) -> MCPServer:
    server = MCPServer("system", task_context=nullcontext, allowed_origins=[ORIGIN], **options)
    fill_system(server)
    return server


urlpatterns = [path("", include("mcp_mount_django.well_known"))]
for mount_point, options in MOUNTS.items():
    served = server_of(options)
    urlpatterns.append(path(mount_point.removeprefix("/"), include(served.urls)))


def beside() -> Any:
    """Before the project, whose middleware sees nothing of it: the middleware is the server's."""
    from mcp_mount_django import mount

    application = wsgi_application()
    for mount_point, options in MOUNTS.items():
        server = server_of(options)
        add_cors(server, "starlette")
        application = mount(application, mount_point, server)
    return application


def asgi_application() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def wsgi_application() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()
