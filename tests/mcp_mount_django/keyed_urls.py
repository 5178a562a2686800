"""URLs of one server, which a test puts here."""

from __future__ import annotations

from typing import Any

from django.urls import include, path

urlpatterns: list[Any] = []


def put(server: Any) -> None:
    urlpatterns[:] = [path("mcp", include(server.urls))]
