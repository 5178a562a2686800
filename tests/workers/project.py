"""A Django project of one module that serves the shop; its cache is in the Redis that the backplane
uses."""

from __future__ import annotations

import os
from contextlib import nullcontext

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

from tests.workers.shop import fill

if not settings.configured:
    settings.configure(
        SECRET_KEY="for-tests-only",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["mcp_mount_django"],
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": os.environ["BACKPLANE"],
            }
        },
        MCP_MOUNT={"OPEN": True, "POLL_SECONDS": 0.05, "WAITING_THREADS": 12},
    )
    django.setup()

from mcp_mount_django import MCPServer

server = MCPServer("shop", task_context=nullcontext)
fill(server)

urlpatterns = [path("mcp", include(server.urls))]


def asgi() -> object:
    return get_asgi_application()


wsgi = get_wsgi_application()
