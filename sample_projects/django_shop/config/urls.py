"""URLs of the sample shop. MCP is one line, signing in are two."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path
from shop import views

from mcp_mount_django import server

urlpatterns = [
    path("", views.catalogue, name="catalogue"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("", include("mcp_mount_django.well_known")),
    path("assistants/", include("mcp_mount_django.signin")),
    path("mcp", include(server.urls)),
]
