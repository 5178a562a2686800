"""django-mcpz, in the project that mcp-mount is measured in."""

from __future__ import annotations

from typing import Any

from benchmarks import django_project


def application() -> Any:
    django_project.configure()
    import msgspec
    from django.urls import path
    from django_mcpz.server import MCPServer, public

    server = MCPServer(name="benchmark", version="1", auth=public)

    arguments = msgspec.defstruct("Arguments", [("text", str)])

    def echo(request: Any, params: Any) -> Any:
        return params.text

    echo.__annotations__ = {"params": arguments, "return": str}
    server.tool(description="Return the text.", read_only=True)(echo)
    django_project.urlpatterns.append(path("mcp", server))
    return django_project.wsgi()
