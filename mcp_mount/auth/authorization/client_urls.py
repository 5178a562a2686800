"""Which URL may name a client whose metadata is a document at it.

Sections are those of draft-ietf-oauth-client-id-metadata-document-02.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

MAX_URL: Final = 2048
"""How many characters a client's URL may have."""

_MAX_NAME: Final = 253

_URL: Final = re.compile(
    r"""
    (?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://
    (?P<authority>[^/?\#]*)
    (?P<path>[^?\#]*)
    (?P<query>\?[^\#]*)?
    (?P<fragment>\#.*)?
    """,
    re.VERBOSE | re.DOTALL,
)
"""A URL in parts (RFC 3986, appendix B), which are looked at one by one."""

_PATH_AND_QUERY: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
"""What may stand there (RFC 3986, sections 3.3 and 3.4)."""

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LAST_LABEL: Final = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{0,58}[a-z0-9]")

_NOT_PUBLIC: Final = frozenset({"arpa", "internal", "local", "localhost", "onion"})
"""Names below these are no public ones (RFC 6761, 6762, 7686, 8375), whatever they stand for."""


class DocumentRefused(Exception):
    """A client's URL or document that is not accepted; the message may be shown to anybody."""


def check_document_url(url: str) -> SplitResult:
    """Check that a URL may name a client, and that its document may be fetched.

    Args:
        url: The `client_id` of a request.

    Returns:
        Its parts. Clients are compared by the whole URL as it is written (section 4).

    Raises:
        DocumentRefused: If it may not.
    """
    if len(url) > MAX_URL:
        raise DocumentRefused(f"The client's URL is longer than {MAX_URL} characters")
    if not url.isascii():
        raise DocumentRefused("The client's URL has characters that are not ASCII")
    found = _URL.fullmatch(url)
    # "MUST have an "https" scheme" (section 3).
    if found is None or found["scheme"].lower() != "https":
        raise DocumentRefused("The client's URL does not begin with https://")
    # "MUST NOT contain a fragment component" (section 3). An empty one is one.
    if found["fragment"] is not None:
        raise DocumentRefused("The client's URL has a fragment")
    # "MUST contain a path component" (section 3). That of an origin would make clients of all.
    if found["path"] in ("", "/"):
        raise DocumentRefused("The client's URL has no path")
    if not _PATH_AND_QUERY.fullmatch(found["path"] + (found["query"] or "")):
        raise DocumentRefused("The client's URL has characters that no URL has")
    # "MUST NOT contain single-dot or double-dot path segments" (section 3). Browsers and many
    # servers read %2e as a dot.
    segments = re.sub("%2e", ".", found["path"], flags=re.IGNORECASE).split("/")
    if "." in segments or ".." in segments:
        raise DocumentRefused("The client's URL has dot segments")
    authority = found["authority"]
    # "MUST NOT contain a username or password" (section 3). Empty ones are such.
    if "@" in authority:
        raise DocumentRefused("The client's URL has a user name")
    host, colon, port = authority.partition(":")
    # "does not resolve to special-use IP addresses" (section 8.6). Certificates and people know
    # names; an address would be a client without a domain to trust.
    _check_name(host.lower())
    # "MAY contain a port" (section 3): ours is the usual one, or strangers could have this server
    # speak to whatever listens on the others.
    if colon and port != "443":
        raise DocumentRefused("The client's URL has a port other than 443")
    return urlsplit(url)


def _check_name(host: str) -> None:
    """Check that a host is a DNS name with a domain.

    The last label of an address is a number in every notation that resolvers know, and that of a
    name never is (RFC 3696, section 2).
    """
    *labels, last = host.split(".")
    if (
        len(host) > _MAX_NAME
        or not labels
        or not all(_LABEL.fullmatch(label) for label in labels)
        or not _LAST_LABEL.fullmatch(last)
        or any(label[2:4] == "--" and not _is_international(label) for label in (*labels, last))
    ):
        raise DocumentRefused("The host in the client's URL is not a domain name")
    if last in _NOT_PUBLIC:
        raise DocumentRefused("The host in the client's URL is not a public one")


def _is_international(label: str) -> bool:
    """Whether a label is a name in other letters (RFC 5890, section 2.3.2.1)."""
    if not label.startswith("xn--"):
        return False
    try:
        return not label[4:].encode().decode("punycode").isascii()
    except UnicodeError:
        return False
