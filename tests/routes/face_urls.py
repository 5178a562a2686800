"""The URLs of a Django project with the models of face_apps."""

from django.urls import include, path

from mcp_mount_django import MCPServer
from tests.routes.face_apps import OPTIONS, register

server = MCPServer("faces", **OPTIONS)
register(server)

urlpatterns = [path("mcp", include(server.urls))]
