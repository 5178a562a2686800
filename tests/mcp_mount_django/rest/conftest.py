"""A server at /rest, beside what a test adds to the project's URLs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.mcp_mount_django.clients import client, client_of

URLS = "urls_of_rest"


@pytest.fixture
def server(database: None) -> Iterator[Any]:
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer
    from mcp_mount_django.servers import servers

    one = MCPServer("rest")
    urls = SimpleNamespace(urlpatterns=[path("rest", include(one.urls))])
    sys.modules[URLS] = urls  # type: ignore[assignment]
    with override_settings(ROOT_URLCONF=URLS):
        yield one
    servers.discard(one)
    del sys.modules[URLS]


@pytest.fixture
def route(server: Any) -> Callable[..., None]:
    """Adds patterns to the project's URLs."""

    def add(*patterns: Any) -> None:
        sys.modules[URLS].urlpatterns.extend(patterns)

    return add


@pytest.fixture
def call(server: Any) -> Callable[..., Any]:
    """Calls a tool, as nobody or as a member."""

    def do(tool: str, member: Any = None, /, **arguments: Any) -> Any:
        opened = client("/rest") if member is None else client_of(member, path="/rest")
        with opened as one:
            return one.call_tool(tool, arguments)

    return do


@pytest.fixture
def arguments_of(server: Any) -> Callable[[str], dict[str, Any]]:
    """The arguments of a tool, as its schema has them."""

    def find(tool: str) -> dict[str, Any]:
        properties: dict[str, Any] = server.registry.tools[tool].input_schema["properties"]
        return properties

    return find
