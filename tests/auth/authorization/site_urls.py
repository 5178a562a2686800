"""The URLs of the Django project of `sites.py`."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth import login as log_in
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from mcp_mount import SyncContext
from mcp_mount_django import MCPServer
from tests.auth.authorization.sites import PAGE, sign_in, told


def key_of(name: str) -> str:
    return str(User.objects.get(username=name).pk)


server = MCPServer("shop", auth=sign_in(key_of), version="1")


@server.tool(scopes="orders:read")
def orders(ctx: SyncContext) -> str:
    """Show orders."""
    user: Any = ctx.request.user
    return f"orders of {user.get_username()}"


@server.tool
def whoami(ctx: SyncContext) -> str:
    """Tell who calls."""
    user: Any = ctx.request.user
    return told(ctx, user.get_username() or "nobody")


@csrf_exempt
def login(request: HttpRequest) -> HttpResponse:
    if request.method == "GET":
        return HttpResponse(PAGE)
    log_in(request, User.objects.get(username=request.POST["username"]))
    return HttpResponseRedirect(request.GET["next"])


@csrf_exempt
def people(request: HttpRequest) -> HttpResponse:
    user = User.objects.get(username=request.POST["name"])
    if "active" in request.POST:
        user.is_active = request.POST["active"] == "1"
    else:
        user.set_password("another")
    user.save()
    return HttpResponse()


def process(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(os.getpid()))


urlpatterns = [
    path("login/", login),
    path("people", people),
    path("process", process),
    path("", include("mcp_mount_django.well_known")),
    path("mcp/assistants/", include("mcp_mount_django.signin")),
    path("mcp", include(server.urls)),
]
