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


urlpatterns = [
    path(f"{WELL_KNOWN[1:]}/<path:resource>", metadata),
    *(
        path(f"{place[1:]}/<path:resource>", no_authorization_server)
        for place in AUTHORIZATION_SERVERS
    ),
]
