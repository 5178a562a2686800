"""The URLs of a Django project with a guarded server."""

from django.urls import include, path

from mcp_mount_django import MCPServer
from tests.auth.apps import OPTIONS, register, verifier

server = MCPServer("orders", auth=verifier(), **OPTIONS)
register(server)

urlpatterns = [
    path("", include("mcp_mount_django.well_known")),
    path("api/mcp", include(server.urls)),
]
