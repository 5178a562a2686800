"""URLs of the sample shop. MCP is one line."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path
from shop import views

from mcp_mount_django import server

urlpatterns = [
    path("", views.catalogue, name="catalogue"),
    path("login/", auth_views.LoginView.as_view(template_name="shop/login.html"), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("mcp", include(server.urls)),
]
