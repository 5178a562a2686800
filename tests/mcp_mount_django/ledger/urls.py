"""The ledger's URLs: a login and three servers."""

from django.contrib.auth import views
from django.urls import include, path

from mcp_mount_django import server
from tests.mcp_mount_django.ledger.mcp import by_token, staff

urlpatterns = [
    path("login/", views.LoginView.as_view(template_name="ledger/login.html"), name="login"),
    path("mcp", include(server.urls)),
    path("token/mcp", include(by_token.urls)),
    path("staff/mcp", include(staff.urls)),
]
