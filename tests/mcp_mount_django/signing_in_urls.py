"""The URLs of a project whose users sign in."""

from __future__ import annotations

from typing import Any

from django.urls import include, path

from mcp_mount.auth.authorization.sign_in import SignIn
from mcp_mount_django import MCPServer
from mcp_mount_django.servers import servers

server = MCPServer("signing in", auth=SignIn(scopes={"orders:read": "See your orders"}))
# Known to the tests that mount it, and to no other.
servers.discard(server)

urlpatterns: list[Any] = [
    path("", include("mcp_mount_django.well_known")),
    path("assistants/", include("mcp_mount_django.signin")),
    path("mcp", include(server.urls)),
]
