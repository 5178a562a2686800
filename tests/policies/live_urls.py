"""The URLs of a Django project with the tools of live_apps."""

from django.urls import include, path

from mcp_mount_django import MCPServer
from tests.policies.live_apps import OPTIONS, register

server = MCPServer("live", **OPTIONS)
register(server)

urlpatterns = [path("mcp", include(server.urls))]
