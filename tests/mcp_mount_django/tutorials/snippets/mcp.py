"""The snippets as tools."""

from mcp_mount_django import server
from tests.mcp_mount_django.tutorials.snippets import views
from tests.mcp_mount_django.tutorials.snippets.api import api

server.add_viewset(views.SnippetViewSet)
server.add_viewset(views.UserViewSet, actions=["list", "retrieve"])
server.add_api_view(views.UserList, name="authors")
server.add_api_view(views.count_snippets, name="snippet_count")
server.add_api_view(views.rare, name="rare")
server.expose(api, tags="authors")
