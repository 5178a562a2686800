"""The URLs of a Django project with the tools of asking_apps."""

from django.urls import include, path

from mcp_mount_django import MCPServer
from tests.integrations.asking_apps import OPTIONS, register

server = MCPServer("asking", **OPTIONS)
register(server)

urlpatterns = [path("mcp", include(server.urls))]
