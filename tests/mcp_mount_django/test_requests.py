"""The request of Django as a parameter of handlers."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Cookie, Header
from starlette.requests import Request

from mcp_mount import DefinitionError


def test_a_handler_that_needs_the_request_of_another_framework_is_refused(project: None) -> None:
    from mcp_mount_django import MCPServer

    def starlettes(request: Request) -> str:
        return ""

    def by_header(x_name: Annotated[str, Header()] = "nobody") -> str:
        return x_name

    async def by_cookie(session: Annotated[str, Cookie()] = "") -> str:
        return session

    server = MCPServer("tests")
    for function in (starlettes, by_header, by_cookie):
        with pytest.raises(DefinitionError, match=r"of this host are django\.http\.request"):
            server.tool(function)
    assert not server.registry.tools


def test_a_parameter_that_looks_like_the_request_is_told_how_to_be_written(project: None) -> None:
    from mcp_mount_django import MCPServer

    def order(request, sku: str) -> str:  # type: ignore[no-untyped-def]
        return sku

    with pytest.raises(DefinitionError, match=r"HttpRequest' \(from django\.http import"):
        MCPServer("tests").tool(order)


def test_the_setting_has_extra_arguments_dropped(
    project: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.conf import settings

    from mcp_mount_django import MCPServer

    monkeypatch.setattr(settings, "MCP_MOUNT", {"EXTRA_ARGUMENTS": "ignore"}, raising=False)
    server = MCPServer("tests")

    @server.tool
    def weather(city: str) -> str:
        return city

    [tool] = server.registry.tools.values()
    assert tool.definition()["inputSchema"]["additionalProperties"] is True


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/mcp", {"accept": "text/event-stream"}, 405),
        ("POST", "/mcp", {}, 400),
        ("POST", "/token/mcp", {}, 401),
        ("GET", "/token/mcp/tools", {}, 401),
        ("GET", "/mcp/nothing", {}, 404),
    ],
)
def test_an_ordinary_refusal_of_the_protocol_is_no_warning_in_the_log(
    database: None,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
) -> None:
    from django.test import Client as Browser

    own = {"accept": "application/json, text/event-stream", **headers}
    response = Browser().generic(method, path, b"{", "application/json", headers=own)
    assert response.status_code == status
    assert [one for one in caplog.records if one.name.startswith("django")] == []
