"""Redirects of endpoints: to a login, to another page, to the same path with or without a slash."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from mcp_mount.wire.errors import ToolError

_LOGIN: Final = re.compile(r"(^|[/_-])(log[_-]?in|sign[_-]?in|log[_-]?on|authorize)(\.\w+)?$", re.I)
"""The end of a path at which one logs in."""

_AUTH: Final = re.compile(
    r"(^|[/_-])(log[_-]?in|sign[_-]?in|log[_-]?on"
    r"|auth|authenticate|authorize|oauth2?|oidc|saml2?|sso)([/_.-]|$)",
    re.I,
)
"""Words in the paths of login pages. Other pages have such paths,
too, so that it counts only where the redirect also says where to lead afterwards."""

_BACK: Final = ("next", "return_to", "returnTo", "return_url", "returnUrl", "redirect_uri")
"""Parameters by which a login page, among other pages, knows where to lead afterwards."""

_MAX_SHOWN: Final = 2000
"""How much of a location a client is told, in characters."""


def value_of_redirect(
    status: int, location: str, *, login: Collection[str], redirects: bool, path: str
) -> str:
    """The value of a tool whose endpoint answers with a redirect.

    Args:
        status: 300 to 399.
        location: Where it leads, empty for nowhere.
        login: Paths that unauthenticated callers are redirected to, besides those that look so.
        redirects: Whether the endpoint is meant to answer with a redirect.
        path: The path of the request, decoded.

    Raises:
        ToolError: For a redirect to a login, for one that leads back to the endpoint afterwards,
            for one that is not meant, and for 300 and 304, which lead nowhere.
    """
    if not location:
        raise ToolError(f"The endpoint answers {status}")
    if leads_to_login(location, login):
        raise ToolError("Authentication required")
    shown = _shown(location)
    if redirects and _returns(location, path):
        # To a login in another language, say, or to a page that asks for the password again.
        raise ToolError(
            f"The endpoint redirects to {shown!r} ({status}), which leads back to the endpoint "
            "afterwards, as a login does: nothing is done"
        )
    if not redirects:
        where = f" to {shown!r}" if shown else ""
        raise ToolError(f"The endpoint redirects{where} ({status}): nothing is done")
    return f"Done; see {shown}" if shown else "Done"


def leads_to_login(location: str, login: Collection[str]) -> bool:
    """Whether a redirect leads to where one logs in.

    Args:
        location: Where it leads to.
        login: Paths that are known for that. A prefix of the application may stand before them.
    """
    url = _split(location)
    path = url.path.rstrip("/")
    if any(f"{path}/".endswith(f"/{one.strip('/')}/") for one in login if one.strip("/")):
        return True
    if _LOGIN.search(path):
        return True
    return bool(_AUTH.search(path)) and any(name in _BACK for name, _ in _query(url))


def _returns(location: str, path: str) -> bool:
    """Whether a redirect leads to a page that knows a path as the one to lead to afterwards."""
    # A prefix of the application may stand before it.
    path = path.rstrip("/")
    return bool(path) and any(
        name in _BACK and unquote(_split(value).path).rstrip("/").endswith(path)
        for name, value in _query(_split(location))
    )


def _query(url: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(url.query, keep_blank_values=True)


def _shown(location: str) -> str:
    """What a client is told of where a redirect leads: the path, and the origin where it is named.

    The query and the fragment may hold tokens (RFC 9700, section 4.2.4), and user information is a
    password (RFC 9110, section 4.2.4).
    """
    # Browsers read a backslash as a slash (URL Standard, section 4.4).
    url = _split(location.replace("\\", "/"))
    host = url.netloc.rpartition("@")[2]
    return SplitResult(url.scheme, host, url.path, "", "").geturl()[:_MAX_SHOWN]


def slash_path(method: str, path: str, status: int, location: str) -> str | None:
    """The path to which a redirect leads that only adds or takes the slash at the end of a path.

    Frameworks answer so where a document and their routes do not agree on that slash. Only 307 and
    308 ask for the same method again (RFC 9110, section 15.4): after another redirect of a POST,
    what was to be done is done.
    """
    if status not in ((301, 302, 307, 308) if method == "get" else (307, 308)):
        return None
    other = path[:-1] if path.endswith("/") else f"{path}/"
    found = unquote(_split(location).path)
    # A prefix of the application may stand before it.
    return other if other and found.endswith(other) and not found.endswith(path) else None


def _split(location: str) -> SplitResult:
    try:
        return urlsplit(location)
    except ValueError:
        return SplitResult("", "", "", "", "")
