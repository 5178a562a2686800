"""System checks for servers that people sign in to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve

from mcp_mount.schemas.functions import DefinitionError
from mcp_mount_django.patterns import url_patterns
from mcp_mount_django.servers import MCPServer


def check_signing_in(routes: Mapping[str, MCPServer]) -> Iterator[CheckMessage]:
    """Check that people reach the pages on which they sign in, and can consent to what is needed.

    Args:
        routes: The servers of the project, by their paths in the URLs.
    """
    signing = [(one, path) for path, one in routes.items() if one.core.sign_in is not None]
    if not signing:
        return
    # Without URLs of their own, the pages are below the server.
    has_pages = any(getattr(pattern.callback, "signs_in", False) for _, pattern in url_patterns())
    server, path = signing[0]
    if path.endswith("/") and not has_pages:
        yield Error(
            f"The server {server.title!r} has a SignIn, whose pages have no URL.",
            hint='Add path("assistants/", include("mcp_mount_django.signin")) to the URLs, or '
            f"write the prefix of the server without the slash: {path.strip('/')!r}.",
            id="mcp_mount.E019",
        )
    for server, _ in signing:
        yield from _check_scopes(server)
    asking = [one for one, _ in signing if one.core.sign_in and one.core.sign_in.asks_people]
    if asking:
        yield from _check_people()
    for server in asking:
        yield from _check_login(server)


def _check_people() -> Iterator[CheckMessage]:
    """Check that there are users, and that a popup survives their login."""
    if not apps.is_installed("django.contrib.auth"):
        yield Error(
            "A server has a SignIn, and the project has no users.",
            hint='Add "django.contrib.auth" to INSTALLED_APPS.',
            id="mcp_mount.E017",
        )
    opener = getattr(settings, "SECURE_CROSS_ORIGIN_OPENER_POLICY", None)
    guards = "django.middleware.security.SecurityMiddleware" in settings.MIDDLEWARE
    if guards and opener == "same-origin":
        yield Info(
            "Assistants that open the login page in a popup lose it: the project's pages have the "
            "header Cross-Origin-Opener-Policy: same-origin.",
            hint="Set that header to unsafe-none in the response of the login view.",
            id="mcp_mount.I020",
        )


def _check_scopes(server: MCPServer) -> Iterator[CheckMessage]:
    """Check for scopes that nobody can have who signs in."""
    for scope, names in server.core.unknown_scopes().items():
        yield Warning(
            f"Nobody who signs in to the server {server.title!r} may use "
            f"{', '.join(names[:5])}{', …' if names[5:] else ''}: the scope {scope!r} is not among "
            "the scopes= of its SignIn.",
            hint=f'Write SignIn(scopes={{"{scope}": "…"}}), with words for the people who consent.',
            id="mcp_mount.W021",
        )


def _check_login(server: MCPServer) -> Iterator[CheckMessage]:
    """Check that the login page of the project is there. A function of the user's may need a
    request to say where that is."""
    from mcp_mount_django.accounts import login_url

    sign_in = server.core.sign_in
    try:
        login = None if sign_in is None else sign_in.accounts.login
    except DefinitionError:
        # No users, or nobody has said who is logged in.
        return
    if login is login_url:
        where, given = settings.LOGIN_URL, f"LOGIN_URL ({settings.LOGIN_URL!r})"
    elif isinstance(login, str):
        where, given = login, f"its login= ({login!r})"
    else:
        return
    try:
        url = urlsplit(resolve_url(where))
        if not url.netloc:
            resolve(f"/{url.path.removeprefix(get_script_prefix())}")
    except (NoReverseMatch, Resolver404):
        yield Warning(
            f"Nobody can sign in to the server {server.title!r}: the project has no page at "
            f"{given}.",
            hint="Set LOGIN_URL to the path or the name of your login page. If there is none yet, "
            'add path("accounts/", include("django.contrib.auth.urls")) to the URLs and a template '
            'registration/login.html; to try it, LOGIN_URL = "admin:login" will do.',
            id="mcp_mount.W022",
        )
