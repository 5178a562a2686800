"""What the project's servers answer at the root of the domain: metadata (RFC 9728, RFC 8414), and
the endpoints of an authorization server, where some clients look for those without metadata.

Add `path("", include("mcp_mount_django.well_known"))` to the project's urls.py. The metadata of a
server at /mcp are then at /.well-known/oauth-protected-resource/mcp (RFC 9728, section 3).
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any, Final

from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import (
    Resolver404,
    ResolverMatch,
    URLPattern,
    get_resolver,
    get_script_prefix,
    get_urlconf,
    path,
    resolve,
)
from django.urls.resolvers import RegexPattern, URLResolver

from mcp_mount.wire.resource_metadata import ALIASES, AUTHORIZATION_SERVERS, WELL_KNOWN
from mcp_mount_django.patterns import mounted
from mcp_mount_django.view import ServerView, metadata_response

_SIGNIN: Final = "mcp_mount_django.signin"
"""What serves a SignIn, which few projects have."""

_asking: ContextVar[bool] = ContextVar("asking", default=False)


def metadata(request: HttpRequest, resource: str = "") -> HttpResponseBase:
    """Return the metadata of the server at a path, or of the only one.

    Args:
        request: Django's request.
        resource: The path of the server, without the leading slash.

    Raises:
        Http404: If there is no server.
    """
    if resource:
        return metadata_response(
            _view_at(resource).server, request, f"{get_script_prefix()}{resource}"
        )
    having = [(place, one) for place, one in mounted() if _has_servers(one)]
    if len(having) != 1:
        return _not_found()
    place, server = having[0]
    return metadata_response(server, request, f"{get_script_prefix()}{place.strip('/')}")


# LoginRequiredMiddleware would redirect clients to a login page that they cannot use.
metadata.login_required = False  # type: ignore[attr-defined]


def authorization_server(
    request: HttpRequest, issuer_path: str = "", *, kind: str = AUTHORIZATION_SERVERS[0]
) -> HttpResponseBase:
    """Return the metadata of the project's own authorization server (RFC 8414); 404 in JSON,
    instead of a page, if there are none.

    Args:
        request: Django's request.
        issuer_path: The path of the issuer that is asked for, without the leading slash.
        kind: Which metadata.

    Raises:
        Http404: If there is no server at the path.
    """
    servers = [one for _, one in mounted() if one.core.sign_in is not None]
    if issuer_path:
        servers = [_view_at(issuer_path).server]
    if not servers or servers[0].core.sign_in is None:
        return _not_found()
    place = f"{kind}/{issuer_path}" if issuer_path else kind
    found: HttpResponseBase = import_module(_SIGNIN).metadata(servers[0], request, place)
    return found


authorization_server.login_required = False  # type: ignore[attr-defined]


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


def serves_issuer(path: str) -> bool:
    """Whether the metadata of the server's own authorization server are at the root of the domain:
    it is the first such server, and the project has no such document of its own.

    Args:
        path: The path of the server.
    """
    first = next((place for place, one in mounted() if one.core.sign_in is not None), None)
    if get_script_prefix() != "/" or first != path:
        return False
    try:
        return resolve(AUTHORIZATION_SERVERS[0]).func is authorization_server
    except Resolver404:
        return False


def _view_at(resource: str) -> ServerView:
    """The view of the server at a path, with or without a slash at the end.

    Raises:
        Http404: If there is none.
    """
    try:
        match: Any = resolve(f"/{resource}")
    except Resolver404:
        raise Http404 from None
    if not isinstance(match.func, ServerView) or match.kwargs.get("rest"):
        raise Http404
    return match.func


def _has_servers(server: Any) -> bool:
    resource = server.core.resource_server
    return resource is not None and resource.has_servers


def _not_found() -> JsonResponse:
    return JsonResponse({"detail": "Not Found"}, status=404)


class _RootPattern(URLPattern):
    """A pattern that leaves a path to the project, if that has a view for it and not just one for
    all paths, wherever this stands among its URLs."""

    def resolve(self, path: str) -> ResolverMatch | None:
        found = super().resolve(path)
        if found is None or _asking.get():
            return None
        resolver = get_resolver(get_urlconf())
        return None if _is_taken(resolver, path) else found


class _AliasPattern(_RootPattern):
    """A pattern for the endpoints of the authorization server of the project, if it has one that is
    the origin's."""

    def resolve(self, path: str) -> ResolverMatch | None:
        found = super().resolve(path)
        if found is None:
            return None
        first = next((place for place, one in mounted() if one.core.sign_in is not None), None)
        if first is None or not serves_issuer(first):
            return None
        found.func = import_module(_SIGNIN).page
        return found


@cache
def _is_taken(resolver: URLResolver, path: str) -> bool:
    def view_of(path: str) -> Any:
        try:
            return resolver.resolve(f"/{path}").func
        except Resolver404:
            return None

    token = _asking.set(True)
    try:
        own = view_of(path)
        return own is not None and own is not view_of(f"{path}-of-nobody")
    finally:
        _asking.reset(token)


def _pattern(path: str, view: Any, of: type[URLPattern] = _RootPattern, **given: Any) -> URLPattern:
    return of(RegexPattern(f"^{path}$", None, is_endpoint=True), view, given)


urlpatterns: list[Any] = [
    path(f"{WELL_KNOWN[1:]}/<path:resource>", metadata),
    _pattern(rf"\{WELL_KNOWN[1:]}", metadata),
    *(
        pattern
        for one in AUTHORIZATION_SERVERS
        for pattern in (
            _pattern(rf"\{one[1:]}", authorization_server, kind=one),
            path(f"{one[1:]}/<path:issuer_path>", authorization_server, {"kind": one}),
        )
    ),
    _pattern(f"(?P<place>{'|'.join(one[1:] for one in ALIASES)})", metadata, _AliasPattern),
]
