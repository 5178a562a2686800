"""The authorization server: its endpoints, and what each answers.

It reads requests as hosts have read them (`WebRequest`) and returns replies, by flows: a host
drives them on its request's thread or on its event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mcp_mount.auth.authorization.client_lookup import ClientLookup
from mcp_mount.auth.authorization.connected import ConnectedPage
from mcp_mount.auth.authorization.connections import ConnectionStore
from mcp_mount.auth.authorization.consent import Consent
from mcp_mount.auth.authorization.errors import (
    ANYWHERE,
    OAuthError,
    PageError,
)
from mcp_mount.auth.authorization.events import Events
from mcp_mount.auth.authorization.grants import ask_store
from mcp_mount.auth.authorization.limits import AddressLimits
from mcp_mount.auth.authorization.metadata import server_metadata
from mcp_mount.auth.authorization.options import SignInOptions
from mcp_mount.auth.authorization.pages import page
from mcp_mount.auth.authorization.purging import purge_ended
from mcp_mount.auth.authorization.registration import Registration
from mcp_mount.auth.authorization.sealed import Seals
from mcp_mount.auth.authorization.token_endpoint import TokenEndpoint
from mcp_mount.auth.authorization.web import WebRequest
from mcp_mount.calls.flows import Flow
from mcp_mount.wire.messages import Reply

_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("GET", "HEAD", "POST"),
    "/authorize": ("GET", "HEAD", "POST"),
    "/token": ("POST",),
    "/register": ("POST",),
    "/revoke": ("POST",),
}
"""The endpoints, below the path of the authorization server, and their methods."""

_FROM_SCRIPTS: Final = ("/token", "/register", "/revoke")
"""Endpoints that take no cookie: clients in browsers may call them from any origin."""

_PURGE_SECONDS: Final = 24 * 3600.0


class AuthorizationServer:
    """Answers the requests for one server's authorization server.

    Args:
        options: What the application's owner has chosen.
        seals: Seals ids, forms, codes and tokens.
        store: Keeps the connections.
        events: Is told what happens.
        limits: How often addresses may ask.
        clock: The time, in seconds since the epoch.
    """

    def __init__(
        self,
        options: SignInOptions,
        seals: Seals,
        store: ConnectionStore,
        events: Events,
        limits: AddressLimits,
        clock: Callable[[], float] = lambda: time.time(),
    ) -> None:
        self._options = options
        self._store = store
        self._clock = clock
        self.clients = ClientLookup(
            seals,
            options.clients,
            events,
            reads_documents=options.reads_documents,
            verifies_keys=options.verifies_keys,
        )
        self._consent = Consent(options, seals, self.clients, events)
        self._tokens = TokenEndpoint(options, seals, self.clients, store, events, limits, clock)
        self._connected = ConnectedPage(options, seals, store, self._tokens.grants)
        self._registration = Registration(options, seals, events, limits, clock)
        self._purged = 0.0

    def metadata(self, issuer: str, base: str) -> dict[str, Any]:
        """The metadata document of the authorization server (RFC 8414).

        Args:
            issuer: The issuer.
            base: The URL below which the endpoints are.
        """
        return server_metadata(issuer, base, self._options)

    def respond(self, request: WebRequest) -> Flow[Reply]:
        """Respond to a request below the path of the authorization server."""
        place = request.place.rstrip("/")
        methods = _METHODS.get(place)
        if methods is None or not self._is_served(place, request):
            return Reply.of_json(404, b'{"detail":"Not Found"}')
        if request.method == "OPTIONS" and place in _FROM_SCRIPTS:
            return _preflight(request)
        if request.method == "HEAD" and "GET" in methods:
            # RFC 9110, section 9.3.2.
            reply = yield from self.respond(replace(request, method="GET"))
            return reply.without_body()
        if request.method not in methods:
            reply = Reply.of_json(405, b'{"detail":"Method Not Allowed"}')
            reply.headers.append(("allow", ", ".join(methods)))
            return reply
        try:
            if place == "/token":
                return (yield from self._token(request))
            if place == "/register":
                return (yield from self._registration.respond(request))
            if place == "/revoke":
                return (yield from self._tokens.revoke(request))
            if place == "/authorize":
                return (yield from self._consent.respond(request))
            return (yield from self._connected.respond(request))
        except PageError as error:
            return page(request, "error.html", {"message": error.message}, status=error.status)
        except OAuthError as error:
            if place not in _FROM_SCRIPTS:
                message = "This does not work just now. Try again later."
                reply = page(request, "error.html", {"message": message}, status=error.status)
                reply.headers += error.retry_header()
                return reply
            scheme = request.headers.get("authorization", "").partition(" ")[0]
            return error.reply(by_header=scheme.lower() == "basic")

    def _is_served(self, place: str, request: WebRequest) -> bool:
        """Whether there is an endpoint, by what the application's owner has chosen."""
        if place == "/register":
            return self._options.registers
        if place == "/authorize":
            return self._options.asks_people
        return place != "" or request.accounts.login is not None

    def _token(self, request: WebRequest) -> Flow[Reply]:
        """The token endpoint (OAuth 2.1, section 3.2)."""
        reply = yield from self._tokens.issue(request)
        yield from self._purge()
        return reply

    def _purge(self) -> Flow[None]:
        """Delete the connections that cannot be used any more, once a day."""
        now = self._clock()
        if now - self._purged > _PURGE_SECONDS:
            self._purged = now
            purge = partial(purge_ended, kept=_PURGE_SECONDS)
            # If that fails it is tried again tomorrow; this request has what it wanted.
            with suppress(OAuthError):
                yield from ask_store(purge, self._store, self._options.lifetimes, now)


def _preflight(request: WebRequest) -> Reply:
    return Reply(
        204,
        b"",
        [
            *ANYWHERE,
            ("access-control-allow-methods", "POST, OPTIONS"),
            (
                "access-control-allow-headers",
                "content-type, authorization, mcp-protocol-version",
            ),
            ("access-control-max-age", "3600"),
        ],
    )
