"""The URLs of the default server, for `include("mcp_mount_django.urls")`."""

from mcp_mount_django.servers import default_server

urlpatterns = default_server().urls
