"""The authorization server of the project: people sign in with Django's users.

Add it to the project's urls.py, besides the server and its metadata:

    path("", include("mcp_mount_django.well_known")),
    path("assistants/", include("mcp_mount_django.signin")),
    path("mcp", include(server.urls)),
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured, RequestDataTooBig
from django.db import connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import get_script_prefix, get_urlconf, re_path

from mcp_mount.protocol import Reply
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.routes.signing_in import respond, server_metadata_reply, too_large
from mcp_mount.transports.driving import follow
from mcp_mount.transports.environs import read_headers, server_of
from mcp_mount.wire.resource_metadata import AUTHORIZATION_SERVERS
from mcp_mount_django.patterns import mounted, url_patterns
from mcp_mount_django.view import finished


def page(request: HttpRequest, place: str) -> HttpResponseBase:
    """Respond to a request for the authorization server of the first server that has one.

    Args:
        request: Django's request.
        place: The part of its path below the authorization server.

    Raises:
        ImproperlyConfigured: If no server has one.
    """
    found = signing_in()
    if not found:
        raise ImproperlyConfigured(
            "mcp_mount_django.signin needs a server with auth=SignIn(…) in the URLs."
        )
    server, path = found[0]
    return _page(server, request, path, place.rstrip("/"))


# Its forms are sealed for their person and browser, so that no other site can send them; the other
# endpoints take no cookie. LoginRequiredMiddleware would redirect clients to a login page.
page.csrf_exempt = True  # type: ignore[attr-defined]
page.login_required = False  # type: ignore[attr-defined]
page.signs_in = True  # type: ignore[attr-defined]
# As with ATOMIC_REQUESTS = False: each operation of the store is atomic by itself. What ends a
# connection must not be rolled back with a request that fails, and SQLite refuses at once, instead
# of waiting, a transaction that has read before it writes.
page._non_atomic_requests = set(connections.settings)  # type: ignore[attr-defined]


def answer_below(server: Any, request: HttpRequest, mount: str, rest: str) -> HttpResponseBase:
    """Respond to a request below a server, for its authorization server or the metadata of that.

    Args:
        server: The server.
        request: Django's request.
        mount: The path of the server.
        rest: The part of the path of the request below that.
    """
    path = mount.removeprefix(get_script_prefix().rstrip("/"))
    if f"/{rest}".startswith(AUTHORIZATION_SERVERS):
        return _metadata(server, request, path, f"/{rest}")
    return _page(server, request, path, f"/{rest}".removeprefix(server.core.sign_in.path)[1:])


def metadata(server: Any, request: HttpRequest, place: str) -> HttpResponseBase:
    """Return the metadata of the authorization server of a server (RFC 8414).

    Args:
        server: The server.
        request: Django's request.
        place: Their path, with that of the issuer.
    """
    path = next(path for one, path in signing_in() if one is server)
    return _metadata(server, request, path, place)


def signing_in() -> list[tuple[Any, str]]:
    """Return the servers of the project that have a `SignIn`, and their paths in the URLs."""
    return [(one, path) for path, one in mounted() if one.core.sign_in is not None]


def _page(server: Any, request: HttpRequest, path: str, place: str) -> HttpResponseBase:
    try:
        read = _read(request, path)
    except RequestDataTooBig:
        return finished(too_large())
    reply: Reply = follow(
        respond(
            server.core,
            read,
            f"/{place}".rstrip("/"),
            request.META.get("QUERY_STRING", ""),
            base=_base(server, request, path),
            render=render,
        )
    )
    return finished(reply)


def _metadata(server: Any, request: HttpRequest, path: str, place: str) -> HttpResponseBase:
    base = _base(server, request, path)
    return finished(server_metadata_reply(server.core, _read(request, path), place, base=base))


def _base(server: Any, request: HttpRequest, path: str) -> str:
    """Return the URL of the authorization server of a server: where this module is in the URLs, for
    the first one, and below the server for each other one."""
    own = _own_prefix(get_urlconf())
    if own is None or signing_in()[0][0] is not server:
        own = path.rstrip("/") + server.core.sign_in.path
    return request.build_absolute_uri(get_script_prefix() + own.strip("/"))


@cache
def _own_prefix(urlconf: str | None) -> str | None:
    return next((prefix for prefix, one in url_patterns() if one.callback is page), None)


def render(name: str, values: Mapping[str, Any]) -> str | None:
    """Render a page by the project's template "mcp_mount/NAME", if it has one.

    Args:
        name: The name of the page.
        values: What the template gets.
    """
    own = f"mcp_mount/{name}"
    try:
        template = get_template(own)
    except TemplateDoesNotExist as error:
        if str(error) != own:
            raise
        return None
    return str(template.render(dict(values)))


def _read(request: HttpRequest, path: str) -> ProtocolRequest:
    """Read a request for the authorization server of the MCP endpoint at a path of the URLs."""
    url = request.build_absolute_uri(get_script_prefix() + path.strip("/"))
    headers = read_headers(request.META)
    # Behind a proxy, the host is the one that the project's settings determine.
    headers["host"] = request.get_host()
    return ProtocolRequest(
        request.method or "",
        headers,
        request.body,
        lambda: request,
        url=lambda: url,
        address=request.META.get("REMOTE_ADDR"),
        server=server_of(request.META),
    )


urlpatterns = [re_path(r"^(?P<place>authorize|token|register|revoke|)/?$", page)]
