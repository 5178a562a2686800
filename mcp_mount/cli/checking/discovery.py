"""Where the documents of a server are, as clients look for them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from mcp_mount.auth.authorization.grants import canonical
from mcp_mount.cli.checking.asking import Answered, Asker
from mcp_mount.wire.messages import JSON
from mcp_mount.wire.resource_metadata import AUTHORIZATION_SERVERS, WELL_KNOWN

_INITIALIZE: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "mcp-mount check", "version": "1"},
    },
}

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class Discovery:
    """What a server shows to somebody without a token.

    Args:
        url: The URL of the MCP endpoint, as it is given to clients.
        asker: Sends the requests.
        has_sign_in: Whether the server is known to take tokens.
    """

    def __init__(self, url: str, asker: Asker, *, has_sign_in: bool = False) -> None:
        self.url = url
        self.asker = asker
        self.has_sign_in = has_sign_in
        parts = urlsplit(url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.path = parts.path.rstrip("/")

    @property
    def is_loopback(self) -> bool:
        """Whether the server is asked on this computer."""
        return is_loopback(self.url)

    @cached_property
    def challenge(self) -> Answered:
        """The answer to the first message of a client that has no token."""
        headers = {"content-type": JSON, "accept": f"{JSON}, text/event-stream"}
        return self.asker.send("POST", self.url, headers, json.dumps(_INITIALIZE).encode())

    @cached_property
    def is_open(self) -> bool:
        """Whether clients need no token, and there is nowhere to get one."""
        if self.challenge.status != 200 or self.has_sign_in:
            return False
        places = [*self.resource_places().values(), *server_places(self.origin)]
        # Anything else, such as a redirect to a login, may stand where documents should be.
        return all(self.asker.get(place).status == 404 for place in places)

    @property
    def resource_metadata(self) -> str | None:
        """The URL of the metadata that the challenge names."""
        found = re.search(
            r'resource_metadata="([^"]*)"', self.challenge.header("www-authenticate") or ""
        )
        return None if found is None else found[1]

    def resource_places(self) -> Mapping[str, str]:
        """Where clients look for the metadata of the resource (RFC 9728, section 3.1)."""
        root = f"{self.origin}{WELL_KNOWN}"
        return {"path": f"{root}{self.path}", "root": root}

    @cached_property
    def resource(self) -> Mapping[str, Any]:
        """The metadata of the resource, from wherever they are; none if they are nowhere."""
        named = self.resource_metadata
        for place in ([named] if named else []) + [*self.resource_places().values()]:
            document = self.asker.get(place).document
            if document is not None:
                return document
        return {}

    @property
    def issuer(self) -> str:
        """The authorization server that the metadata name; without any, the origin."""
        return issuer_of(self.resource) or self.origin

    @cached_property
    def server(self) -> Mapping[str, Any]:
        """The metadata of the authorization server, likewise."""
        for place in server_places(self.issuer):
            document = self.asker.get(place).document
            if document is not None:
                return document
        return {}

    @property
    def has_own_server(self) -> bool:
        """Whether the authorization server is at the host of the MCP endpoint, as a `SignIn` is:
        others are not asked to refuse anything."""
        return parts_of(self.issuer).hostname == urlsplit(self.url).hostname


def server_places(issuer: str) -> Sequence[str]:
    """Where clients look for the metadata of an authorization server (RFC 8414, section 3.1;
    basic/authorization, "Authorization Server Metadata Discovery")."""
    parts = parts_of(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    places = [f"{origin}{kind}{path}" for kind in AUTHORIZATION_SERVERS]
    return [*places, f"{origin}{path}{AUTHORIZATION_SERVERS[1]}"] if path else places


def issuer_of(resource: Mapping[str, Any]) -> str | None:
    """The first authorization server of the metadata of a resource."""
    servers = resource.get("authorization_servers")
    first = servers[0] if isinstance(servers, list) and servers else None
    return first if isinstance(first, str) and first else None


def is_loopback(url: str) -> bool:
    """Whether a URL is one of this computer."""
    return parts_of(url).hostname in _LOOPBACK


def parts_of(url: str) -> SplitResult:
    """The parts of a URL that a document or a header names; empty ones if it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def is_same(one: Any, other: str) -> bool:
    """Whether two URLs mean the same place, as VS Code compares them."""
    if not isinstance(one, str):
        return False
    # Behind an origin there is always a slash.
    return _with_root(one) == _with_root(other)


def _with_root(url: str) -> str:
    plain = canonical(url)
    slash = url.endswith("/") and parts_of(plain).path != ""
    return f"{plain}/" if slash else plain
