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
from mcp_mount_django.paths import path_of
from mcp_mount_django.patterns import url_patterns
from mcp_mount_django.view import ServerView, finished


def page(request: HttpRequest, place: str) -> HttpResponseBase:
    """Respond to a request for the authorization server.

    Args:
        request: Django's request.
        place: The part of its path below the authorization server.
    """
    server, path = signing_in()
    base = path_of(request).removesuffix(place).rstrip("/")
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
            base=request.build_absolute_uri(base),
            render=render,
        )
    )
    return finished(reply)


# Its forms are sealed for their person and browser, so that no other site can send them; the other
# endpoints take no cookie. LoginRequiredMiddleware would redirect clients to a login page.
page.csrf_exempt = True  # type: ignore[attr-defined]
page.login_required = False  # type: ignore[attr-defined]
page.signs_in = True  # type: ignore[attr-defined]
# As with ATOMIC_REQUESTS = False: each operation of the store is atomic by itself. What ends a
# connection must not be rolled back with a request that fails, and SQLite refuses at once, instead
# of waiting, a transaction that has read before it writes.
page._non_atomic_requests = set(connections.settings)  # type: ignore[attr-defined]


def authorization_server(request: HttpRequest, issuer_path: str = "") -> HttpResponseBase:
    """Return the metadata of the authorization server (RFC 8414).

    Args:
        request: Django's request.
        issuer_path: The path of the issuer that is asked for, without the leading slash.
    """
    server, path = signing_in()
    base = request.build_absolute_uri(get_script_prefix() + own_prefix().strip("/"))
    asked = f"/{issuer_path}" if issuer_path else ""
    return finished(server_metadata_reply(server.core, _read(request, path), asked, base=base))


authorization_server.login_required = False  # type: ignore[attr-defined]


def signing_in() -> tuple[Any, str]:
    """Return the server of the project that has a `SignIn`, and its path in the URLs.

    Raises:
        ImproperlyConfigured: If there is none, or more than one.
    """
    return _signing_in(get_urlconf())


@cache
def _signing_in(urlconf: str | None) -> tuple[Any, str]:
    found = [
        (pattern.callback.server, prefix)
        for prefix, pattern in url_patterns()
        if isinstance(pattern.callback, ServerView)
        and pattern.callback.server.core.sign_in is not None
    ]
    if len(found) != 1:
        raise ImproperlyConfigured(
            "mcp_mount_django.signin needs one server with auth=SignIn(…) in the URLs; there "
            f"{'are ' + str(len(found)) if found else 'is none'}."
        )
    return found[0]


def own_prefix() -> str:
    """Return the path of the authorization server in the project's URLs.

    Raises:
        ImproperlyConfigured: If it has none.
    """
    return _own_prefix(get_urlconf())


@cache
def _own_prefix(urlconf: str | None) -> str:
    for prefix, pattern in url_patterns():
        if pattern.callback is page:
            return prefix
    raise ImproperlyConfigured(
        'Add path("assistants/", include("mcp_mount_django.signin")) to the URLs: a server has '
        "auth=SignIn(…)."
    )


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
