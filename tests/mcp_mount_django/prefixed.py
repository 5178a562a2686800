"""A project below a prefix: its web server knows it, or the setting FORCE_SCRIPT_NAME."""

from __future__ import annotations

import os
from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for-tests-only",
    ALLOWED_HOSTS=["localhost", "shop.example"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["mcp_mount_django"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    USE_X_FORWARDED_HOST=True,
    FORCE_SCRIPT_NAME=os.environ.get("FORCED"),
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import include, path, reverse  # noqa: E402

from mcp_mount.auth import JWT  # noqa: E402
from mcp_mount_django import MCPServer  # noqa: E402

server = MCPServer("prefixed", open=True, docs=True)
guarded = MCPServer("guarded", auth=JWT("https://login.example.com"))


def order(request: HttpRequest, number: int = 7) -> JsonResponse:
    """Tell where an order is."""
    link = request.build_absolute_uri(reverse("order", args=[number]))
    return JsonResponse({"link": link, "here": request.path})


@server.tool
def link(request: HttpRequest) -> dict[str, Any]:
    """A link to an order."""
    return {"link": request.build_absolute_uri(reverse("order", args=[7]))}


server.add_view(order)

urlpatterns = [
    path("mcp", include(server.urls)),
    path("guarded", include(guarded.urls)),
    path("order/<int:number>", order, name="order"),
    path("order", order),
]

wsgi = get_wsgi_application()
asgi = get_asgi_application()
