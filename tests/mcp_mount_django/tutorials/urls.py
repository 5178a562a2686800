from django.contrib.auth.views import LoginView
from django.urls import include, path
from rest_framework.routers import DefaultRouter

from mcp_mount_django import server
from tests.mcp_mount_django.tutorials.snippets import views
from tests.mcp_mount_django.tutorials.snippets.api import api

router = DefaultRouter()
router.register("snippets", views.SnippetViewSet, basename="snippet")
router.register("users", views.UserViewSet, basename="user")

urlpatterns = [
    path("", include(router.urls)),
    path("ninja/", api.urls),
    path("login/", LoginView.as_view(template_name="polls/index.html")),
    path("polls/", include("tests.mcp_mount_django.tutorials.polls.urls")),
    path("mcp", include(server.urls)),
]
