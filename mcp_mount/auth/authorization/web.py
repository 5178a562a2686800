"""Requests to the authorization server, as hosts read them."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from mcp_mount.auth.authorization.accounts import Accounts

Render: TypeAlias = Callable[[str, Mapping[str, Any]], str | None]
"""Makes a page of the name of its template ("consent.html") and of what the template gets; None for
the built-in page."""


@dataclass(frozen=True, slots=True)
class WebRequest:
    """An HTTP request to the authorization server.

    Attributes:
        method: The HTTP method.
        place: The part of its path below the authorization server: "/token".
        query: Its query.
        headers: By names in lower case.
        body: Its body.
        base: The URL of the authorization server, as the client wrote it, without a slash at the
            end. Somebody vouches for its host name.
        resource: The URL of the MCP endpoint, likewise.
        issuer: The issuer that the metadata at this host name have.
        accounts: The application's accounts.
        host_request: The host's own request, for `accounts`.
        address: The address of the client.
        render: Makes pages of the application's own templates.
    """

    method: str
    place: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    base: str
    resource: str
    issuer: str
    accounts: Accounts
    host_request: Any = None
    address: str | None = None
    render: Render = lambda name, values: None

    @property
    def is_secure(self) -> bool:
        """Whether it came by https."""
        return self.base.startswith("https://")

    @property
    def path(self) -> str:
        """The path of the authorization server."""
        return urlsplit(self.base).path

    @property
    def cookie_name(self) -> str:
        """The name of the cookie that ties a form to its browser."""
        # The prefix lets nothing without TLS set it (RFC 6265bis, 4.1.3.1). __Host- would keep it
        # from other hosts of the domain, too, but wants the path to be /; a form names its person.
        return "__Secure-mcp_signin" if self.is_secure else "mcp_signin"

    def cookie(self) -> str | None:
        """The value of that cookie; None if the browser has none."""
        # Not by http.cookies, which stops at the first cookie that it cannot read.
        for part in self.headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie_name and _is_token(value):
                return value
        return None


def new_browser() -> str:
    """A value for that cookie."""
    return token_urlsafe(32)


def browser_digest(cookie: str) -> str:
    """What forms have of the cookie of their browser: pages may be read by others, cookies not."""
    return sha256(cookie.encode()).hexdigest()


def is_browser(cookie: str | None, digest: str) -> bool:
    """Whether a form was made for the browser with a cookie."""
    return cookie is not None and hmac.compare_digest(browser_digest(cookie), digest)


def _is_token(value: str) -> bool:
    return (
        20 <= len(value) <= 100
        and value.isascii()
        and all(one.isalnum() or one in "-_" for one in value)
    )
