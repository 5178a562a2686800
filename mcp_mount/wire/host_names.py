"""Host names: what a Host header says, and the lists of names that somebody vouches for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{0,5}))?")

_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s*?#]+")


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and its port (RFC 9110, section 7.2).

    Attributes:
        name: In lower case; an IPv6 address without brackets.
        port: None if it is not written.
    """

    name: str
    port: int | None

    @property
    def is_loopback(self) -> bool:
        """Whether it names this machine, whoever reads it."""
        return is_loopback(self.name)


@lru_cache(maxsize=256)
def parse_authority(text: str) -> Authority | None:
    """Read what a Host header may be (RFC 9110, section 7.2); None for anything else.

    There is no user info in it: `api.example.com:1@evil.com` names two hosts, and which of them
    counts depends on who reads it.
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    name, digits = found[1].lower(), found[2]
    port = int(digits) if digits else None
    if port is not None and port > 65535:
        return None
    if name.startswith("["):
        name = name[1:-1]
        if not _is_address(name, 6):
            return None
    return Authority(name, port)


def _is_list_of_texts(value: Any) -> bool:
    is_list = isinstance(value, Collection) and not isinstance(value, str)
    return is_list and all(isinstance(one, str) for one in value)


def check_patterns(option: str, names: Iterable[str]) -> frozenset[str]:
    """Return names for `matches` as a set.

    Raises:
        ValueError: For one that can match no Host header, such as a URL.
    """
    if not _is_list_of_texts(names):
        raise ValueError(f"{option} is a list of host names, not {names!r}")
    known = frozenset(names)
    for name in known:
        if name != "*" and _pattern(name) is None:
            raise ValueError(
                f"{option} has names such as 'api.example.com', '.example.com' or "
                f"'api.example.com:8443', not {name!r}"
            )
    return known


def check_origins(option: str, origins: Iterable[str]) -> frozenset[str]:
    """Return origins of browsers as a set.

    Raises:
        ValueError: For what can match no Origin header (RFC 6454, section 6.1), such as a host
            name, or a URL with a path.
    """
    if not _is_list_of_texts(origins):
        raise ValueError(f"{option} is a list of origins, not {origins!r}")
    known = frozenset(origins)
    for origin in known:
        if origin != "null" and not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{option} has origins such as 'https://app.example.com' or "
                f"'http://localhost:3000', without a path, not {origin!r}"
            )
    return known


def matches(authority: Authority, patterns: Iterable[str]) -> bool:
    """Whether a host is one of `patterns`; one without a port stands for all ports.

    ".example.com" stands for the domain and all below it. A bare "*" names nobody.
    """
    return any(
        one is not None and one.port in (None, authority.port) and _is_named(authority.name, one)
        for one in map(_pattern, patterns)
    )


def vouches(authority: Authority, patterns: Iterable[str], scheme: str) -> bool:
    """Whether `patterns` vouch for a host with its port: one without a port for that of the scheme
    alone, since another port of the same machine may be another service."""
    usual = DEFAULT_PORTS.get(scheme)
    port = authority.port or usual
    return any(
        one is not None and port == (one.port or usual) and _is_named(authority.name, one)
        for one in map(_pattern, patterns)
    )


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """Whether a name or an address is that of this machine for whoever reads it."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_named(name: str, pattern: Authority) -> bool:
    if pattern.name.startswith("."):
        return f".{name}".endswith(pattern.name)
    return pattern.name == name


@lru_cache(maxsize=256)
def _pattern(text: str) -> Authority | None:
    if _is_address(text, 6):
        return Authority(text.lower(), None)
    return parse_authority(text)


def _is_address(text: str, version: int) -> bool:
    try:
        return ip_address(text).version == version
    except ValueError:
        return False
