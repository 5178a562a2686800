"""The metadata of the project's servers as protected resources, at the root of the domain.

Add `path("", include("mcp_mount_django.well_known"))` to the project's urls.py. The metadata of a
server at /mcp are then at /.well-known/oauth-protected-resource/mcp (RFC 9728, section 3).
"""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, get_script_prefix, path, resolve

from mcp_mount.wire.resource_metadata import AUTHORIZATION_SERVERS, WELL_KNOWN
from mcp_mount_django.patterns import mounted
from mcp_mount_django.view import ServerView, metadata_response


def metadata(request: HttpRequest, resource: str) -> HttpResponseBase:
    """Return the metadata of the server at a path.

    Args:
        request: Django's request.
        resource: The path of the server, without the leading slash.

    Raises:
        Http404: If there is no server.
    """
    return metadata_response(_view_at(resource).server, request, f"{get_script_prefix()}{resource}")


# LoginRequiredMiddleware would redirect clients to a login page that they cannot use.
metadata.login_required = False  # type: ignore[attr-defined]


def no_authorization_server(request: HttpRequest, resource: str) -> HttpResponseBase:
    """Answer clients that look for an authorization server here: 404 in JSON instead of a page.

    Args:
        request: Django's request.
        resource: The path of the server, without the leading slash.

    Raises:
        Http404: If there is no server.
    """
    _view_at(resource)
    return JsonResponse({"detail": "Not Found"}, status=404)


no_authorization_server.login_required = False  # type: ignore[attr-defined]


def _view_at(resource: str) -> ServerView:
    """The view of the server at a path.

    Raises:
        Http404: If there is none.
    """
    try:
        view: Any = resolve(f"/{resource}").func
    except Resolver404:
        view = None
    if not isinstance(view, ServerView):
        raise Http404
    return view


def serves_metadata(path: str) -> bool:
    """Whether the metadata of a server at `path` are served where RFC 9728 requires."""
    if get_script_prefix() != "/":
        # The root of the domain does not belong to the project.
        return False
    try:
        view: Any = resolve(path).func
        return isinstance(view, ServerView) and resolve(WELL_KNOWN + path).func is metadata
    except Resolver404:
        return False


def authorization_server(request: HttpRequest, issuer_path: str = "") -> HttpResponseBase:
    """Return the metadata of the project's own authorization server (RFC 8414).

    Args:
        request: Django's request.
        issuer_path: The path of the issuer that is asked for, without the leading slash.

    Raises:
        Http404: If no server has a `SignIn`, and there is no server at the path.
    """
    if any(server.core.sign_in is not None for _, server in mounted()):
        from mcp_mount_django.signin import authorization_server

        return authorization_server(request, issuer_path)
    if not issuer_path:
        raise Http404
    return no_authorization_server(request, issuer_path)


authorization_server.login_required = False  # type: ignore[attr-defined]


def serves_issuer(path: str) -> bool:
    """Whether the metadata of the server's own authorization server are at the root of the domain.

    Args:
        path: The path of the server.
    """
    if get_script_prefix() != "/":
        return False
    try:
        return resolve(AUTHORIZATION_SERVERS[0]).func is authorization_server
    except Resolver404:
        return False


urlpatterns = [
    path(f"{WELL_KNOWN[1:]}/<path:resource>", metadata),
    path(AUTHORIZATION_SERVERS[0][1:], authorization_server),
    path(f"{AUTHORIZATION_SERVERS[0][1:]}/<path:issuer_path>", authorization_server),
    path(f"{AUTHORIZATION_SERVERS[1][1:]}/<path:resource>", no_authorization_server),
]
