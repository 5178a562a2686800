"""Beside Django: the server stands before the project, at the WSGI or the ASGI level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured

import mcp_mount
from mcp_mount.wire.messages import Rule
from mcp_mount.wire.rules import HasPermission, HasRole
from mcp_mount.wrapping.arguments import check_mount
from mcp_mount_django.servers import MCPServer


def mount(
    application: Any, path: str, server: MCPServer
) -> mcp_mount.mount_wsgi | mcp_mount.mount_asgi:
    """Serve `server` at `path` beside a Django project, in wsgi.py or asgi.py.

    Django's URLs and middleware do not see the server's requests; its settings, models and
    connections are there, and the server's own authentication.

    Args:
        application: What get_wsgi_application() or get_asgi_application() returns.
        path: Of the server, such as "/mcp".
        server: The server.

    Returns:
        The application for the web server, in place of `application`.

    Raises:
        ImproperlyConfigured: For a server that wants users, and has no way to know any there.
    """
    is_asgi = iscoroutinefunction(type(application).__call__)
    check_mount(application, path, server, 3 if is_asgi else 2, kind=MCPServer)
    if (problem := unguarded(server)) is not None:
        raise ImproperlyConfigured(problem)
    server.is_beside = True
    if is_asgi:
        return mcp_mount.mount_asgi(application, path, server)
    return mcp_mount.mount_wsgi(application, path, server)


def unguarded(server: MCPServer) -> str | None:
    """What a server demands of its callers that nothing beside the project could tell; None if it
    can be told."""
    sign_in = server.core.sign_in
    if sign_in is not None and not sign_in.knows_people:
        return (
            f"The server {server.title!r} is outside the project, where requests have no user, "
            "and its SignIn cannot know who is logged in. Give SignIn user= (a function of the "
            "request that returns the id of who is logged in, or None), login= and "
            "still_valid=, or route the server in the URLs of the project: "
            "path('mcp', include(server.urls))."
        )
    if server.authentication.is_own or server.core.resource_server is not None:
        return None
    wanted = [
        *(["LOGIN_REQUIRED"] if server.authentication.login_required else ()),
        *_of_users("the server", server.core.protocol.settings.rules),
        *(
            demand
            for entries in (
                server.registry.tools,
                server.registry.resources,
                server.registry.prompts,
            )
            for name, entry in entries.items()
            for demand in _of_users(str(name), entry.rules)
        ),
    ]
    if not wanted:
        return None
    return (
        f"The server {server.title!r} is outside the project, where no middleware tells who "
        f"calls, but it asks for users: {', '.join(wanted[:5])}. Give it authentication=[...] or "
        "auth=..., or route it in the URLs of the project: path('mcp', include(server.urls))."
    )


def _of_users(where: str, rules: Iterable[Rule]) -> Iterator[str]:
    """The rules that only users fulfil."""
    for rule in rules:
        if isinstance(rule, HasPermission):
            yield f"permission={rule.name!r} of {where}"
        elif isinstance(rule, HasRole):
            yield f"roles={rule.roles} of {where}"
