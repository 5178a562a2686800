"""Clients of the ledger in this process, with credentials of all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_mount_django.testing import Client


def session_headers(member: Any, *, csrf: bool = True) -> dict[str, str]:
    """The headers of a browser in which a member has logged in."""
    from django.conf import settings
    from django.test import Client as Browser

    browser = Browser()
    browser.force_login(member)
    session = browser.cookies[settings.SESSION_COOKIE_NAME].value
    token = "a" * 32
    headers = {"cookie": f"{settings.SESSION_COOKIE_NAME}={session}; csrftoken={token}"}
    if csrf:
        headers["x-csrftoken"] = token
    return headers


def token_headers(member: Any) -> dict[str, str]:
    from rest_framework.authtoken.models import Token

    return {"authorization": f"Token {Token.objects.get_or_create(user=member)[0].key}"}


def client(path: str = "/mcp", headers: dict[str, str] | None = None, **options: Any) -> Client:
    from mcp_mount_django.testing import Client

    return Client(path=path, headers=headers, **options)


def client_of(member: Any, **options: Any) -> Client:
    from mcp_mount_django.testing import Client

    return Client(user=member, **options)
