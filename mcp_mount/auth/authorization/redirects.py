"""Redirect URIs: which ones a client may register, and when a request's is one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from mcp_mount.schemas.functions import DefinitionError

MAX_REDIRECT_URI: Final = 2048

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
"""RFC 8252, section 7.3 has the addresses; clients in the wild (Cursor, Claude Code, VS Code)
register the name as well."""

_PRIVATE_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{1,62}")

_DENIED: Final = re.compile(
    "about|android-app|blob|callto|chrome|chrome-extension|cid|content|data|dav|dns|facetime|"
    "feed|file|filesystem|ftp|ftps|geo|git|gopher|imap|intent|ios-app|irc|jar|java|javascript|"
    "ldap|ldaps|livescript|magnet|mailto|market|mid|mocha|moz-extension|ms-appinstaller|ms-excel|"
    "ms-msdt|ms-officecmd|ms-powerpoint|ms-settings|ms-word|news|nfs|nntp|pop|resource|rtsp|"
    "search-ms|sftp|shell|sip|sips|skype|smb|sms|snmp|ssh|steam|svn|tel|telnet|tftp|urn|vbscript|"
    "view-source|wais|webcal|ws|wss|x-apple.systempreferences|xmpp"
)
"""Schemes that run something, or that belong to a program which is no OAuth client."""


class RedirectRefused(ValueError):
    """A redirect URI that no client may have. The message says why, in one sentence."""


def check_redirect_uri(uri: str) -> SplitResult:
    """Check a redirect URI that a client wants to have.

    Args:
        uri: The redirect URI.

    Returns:
        Its parts.

    Raises:
        RedirectRefused: If codes must not be sent there: RFC 6749, section 3.1.2 (absolute, no
            fragment); RFC 8252, sections 7 and 8.4; OAuth 2.1, section 2.3 (https, or http on this
            computer, or a private scheme).
    """
    if not 0 < len(uri) <= MAX_REDIRECT_URI:
        raise RedirectRefused("A redirect URI has between 1 and 2048 characters")
    if not all("!" <= one <= "~" for one in uri) or any(one in uri for one in '\\"<>^`{|}*'):
        # A browser reads a backslash as a slash, and drops tabs and line ends.
        raise RedirectRefused("A redirect URI has only the characters of RFC 3986")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise RedirectRefused("A redirect URI is a URL") from None
    scheme, colon, _ = uri.partition(":")
    if "#" in uri:
        raise RedirectRefused("A redirect URI has no fragment")
    if not colon or scheme != scheme.lower() or not _PRIVATE_SCHEME.fullmatch(scheme):
        raise RedirectRefused("A redirect URI begins with a scheme in lower case")
    if "@" in parts.netloc:
        raise RedirectRefused("A redirect URI has no user name")
    if scheme in ("http", "https"):
        if not parts.hostname or not uri.startswith(f"{scheme}://") or port == 0:
            raise RedirectRefused("A redirect URI names a host")
        if scheme == "http" and not is_loopback(parts):
            raise RedirectRefused("A redirect URI is https, unless it is on the person's computer")
    elif _DENIED.fullmatch(scheme):
        raise RedirectRefused(f"A redirect URI cannot have the scheme {scheme}")
    elif uri == f"{scheme}:" or uri == f"{scheme}://":
        raise RedirectRefused("A redirect URI names a place of its scheme")
    return parts


def is_loopback(parts: SplitResult) -> bool:
    """Whether a redirect URI is for a program on the person's computer."""
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def admitting(redirects: Sequence[str] | None) -> Callable[[str], bool]:
    """Read `redirects=` of a SignIn: where codes may be sent.

    Args:
        redirects: Host names, "localhost" for programs on the person's computer, and private
            schemes with a colon; None for anywhere.

    Returns:
        A function that says whether codes may be sent to a redirect URI.

    Raises:
        DefinitionError: For what names no place.
    """
    if redirects is None:
        return lambda uri: True
    if isinstance(redirects, str) or not redirects:
        raise DefinitionError('redirects is a list, such as ["claude.ai", "localhost", "cursor:"]')
    hosts: set[str] = set()
    schemes: set[str] = set()
    for one in redirects:
        if not isinstance(one, str) or "/" in one or not one:
            raise DefinitionError(f'redirects has host names and "scheme:", not {one!r}')
        (schemes if one.endswith(":") else hosts).add(one.rstrip(":").lower())

    def admits(uri: str) -> bool:
        try:
            parts = check_redirect_uri(uri)
        except RedirectRefused:
            return False
        if parts.scheme not in ("http", "https"):
            return parts.scheme in schemes
        host = parts.hostname or ""
        is_local = host in _LOOPBACK
        return ("localhost" if is_local else host) in hosts

    return admits


def is_registered(uri: str, registered: Sequence[str]) -> bool:
    """Whether a request's redirect URI is one that its client has.

    They are compared as strings (OAuth 2.1, section 2.3.3), but for the port of a loopback URI,
    which a program on a computer chooses each time (RFC 8252, section 7.3).

    Args:
        uri: That of the request.
        registered: Those of the client.
    """
    if uri in registered:
        return True
    try:
        parts = check_redirect_uri(uri)
    except RedirectRefused:
        return False
    if not is_loopback(parts):
        return False
    return any(
        _without_port(parts) == _without_port(known)
        for known in map(urlsplit, registered)
        if is_loopback(known)
    )


def _without_port(parts: SplitResult) -> tuple[str | None, str, str]:
    return parts.hostname, parts.path or "/", parts.query


def where(uri: str) -> str:
    """Where a redirect URI leads, for a person: a host, an app on the computer, or a scheme."""
    parts = urlsplit(uri)
    if is_loopback(parts):
        return f"an app on this computer ({parts.netloc})"
    if parts.scheme == "https":
        return parts.netloc
    return f"the app that opens {parts.scheme}: links"


def with_parameters(uri: str, parameters: Sequence[tuple[str, str]]) -> str:
    """A redirect URI with parameters added to its query (RFC 6749, section 4.1.2)."""
    base, _, query = uri.partition("?")
    # A space is %20: not everybody reads a plus as one (VS Code, clients in Swift).
    added = urlencode(parameters, quote_via=quote)
    return f"{base}?{'&'.join(filter(None, (query, added)))}"
