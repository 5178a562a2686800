"""django-stateless-mcp, in the project that mcp-mount is measured in."""

from __future__ import annotations

from typing import Any

from benchmarks import django_project


def application() -> Any:
    django_project.configure("django_stateless_mcp")
    from django.urls import path
    from django_stateless_mcp import mcp_view, request_state_security
    from mcp.server.mcpserver import MCPServer

    server = MCPServer(
        name="benchmark", version="1", request_state_security=request_state_security()
    )

    @server.tool()
    def echo(text: str) -> str:
        """Return the text."""
        return text

    django_project.urlpatterns.append(path("mcp", mcp_view(server)))
    return django_project.wsgi()
