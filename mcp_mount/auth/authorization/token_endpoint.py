"""The token endpoint and the revocation endpoint: which client asks, and for what (OAuth 2.1,
section 3.2; RFC 7009)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from mcp_mount.auth.authorization.client_authentication import (
    ClientAuthentication,
    Credentials,
)
from mcp_mount.auth.authorization.client_lookup import ClientLookup
from mcp_mount.auth.authorization.clients import GRANTS, digest_of
from mcp_mount.auth.authorization.configured_clients import JWT_BEARER
from mcp_mount.auth.authorization.connections import ConnectionStore
from mcp_mount.auth.authorization.enterprise import EnterpriseGrants
from mcp_mount.auth.authorization.errors import ANYWHERE, NOT_KEPT, OAuthError
from mcp_mount.auth.authorization.events import Events
from mcp_mount.auth.authorization.forms import first, read_form_body
from mcp_mount.auth.authorization.grants import Grants
from mcp_mount.auth.authorization.limits import AddressLimits
from mcp_mount.auth.authorization.machines import CLIENT_CREDENTIALS, ClientTokens
from mcp_mount.auth.authorization.metadata import grants_of
from mcp_mount.auth.authorization.options import SignInOptions
from mcp_mount.auth.authorization.sealed import Seals
from mcp_mount.auth.authorization.token_requests import KnownClient, TokenRequest
from mcp_mount.auth.authorization.web import WebRequest
from mcp_mount.calls.flows import Flow
from mcp_mount.wire.messages import JSON, Reply


class TokenEndpoint:
    """Issues tokens to clients, and revokes them.

    Args:
        options: What the application's owner has chosen.
        seals: Seals and opens tokens.
        clients: Knows clients by their ids.
        store: Keeps the connections.
        events: Is told.
        limits: How often addresses may fail.
        clock: The time, in seconds since the epoch.
    """

    def __init__(
        self,
        options: SignInOptions,
        seals: Seals,
        clients: ClientLookup,
        store: ConnectionStore,
        events: Events,
        limits: AddressLimits,
        clock: Callable[[], float],
    ) -> None:
        self._supported = grants_of(options)
        self._limits = limits
        self._clients = ClientAuthentication(clients, store, events, clock)
        self.grants = Grants(seals, store, options.lifetimes, events, clock)
        self._machines = ClientTokens(
            seals, store, options.scopes, options.lifetimes.access, events, clock
        )
        self._enterprise = EnterpriseGrants(
            options.enterprise,
            options.scopes,
            self.grants,
            store,
            events,
            options.lifetimes.connection,
            clock,
        )

    def issue(self, request: WebRequest) -> Flow[Reply]:
        """Answer a request for tokens.

        Raises:
            OAuthError: For a request that is not accepted.
        """
        form = _form_of(request)
        sent, who = yield from self._sender(form, request)
        try:
            grant = first(form, "grant_type")
            token = first(form, "code") or first(form, "refresh_token") or ""
            client = yield from self._known(sent, request, token)
            response = yield from self._granted(grant, form, client, request)
        except OAuthError as error:
            if error.status in (400, 401):
                yield from self._limits.count("failures", who)
            raise
        return Reply(200, to_json(response), [("content-type", JSON), *NOT_KEPT, *ANYWHERE])

    def revoke(self, request: WebRequest) -> Flow[Reply]:
        """Answer a request to revoke a token.

        Raises:
            OAuthError: For a request that is not accepted.
        """
        form = _form_of(request)
        sent, _ = yield from self._sender(form, request)
        token = first(form, "token")
        client = yield from self._known(sent, request, token or "")
        if token is None:
            raise OAuthError("invalid_request", "The token is missing")
        yield from self._machines.revoke(token, client, request.address)
        yield from self.grants.revoke(token, client, request.address)
        return Reply(200, b"", [*NOT_KEPT, *ANYWHERE])

    def _sender(
        self, form: dict[str, list[str]], request: WebRequest
    ) -> Flow[tuple[Credentials, str]]:
        """What a client sends to say who it is, and by what its failures are counted.

        Raises:
            OAuthError: 429, if it has failed too often.
        """
        try:
            sent = self._clients.read(form, request.headers)
        except OAuthError:
            # Of nobody in particular.
            who = f"{request.address} {digest_of(first(form, 'client_id') or '')}"
            yield from self._limits.refuse_often("failures", who)
            yield from self._limits.count("failures", who)
            raise
        # One client's failures do not stop the others of a hosted assistant at its address.
        who = f"{request.address} {digest_of(sent.client_id)}"
        yield from self._limits.refuse_often("failures", who)
        return sent, who

    def _known(self, sent: Credentials, request: WebRequest, token: str) -> Flow[KnownClient]:
        """The client that sends a request.

        Raises:
            OAuthError: If it is not known or cannot prove who it is, and 429 if clients at its
                address have failed to do so too often, whatever their names are.
        """
        proves = bool(sent.secrets or sent.assertion)
        if proves:
            yield from self._limits.refuse_often("guesses", request.address)
        try:
            return (
                yield from self._clients.authenticate(
                    sent, request, lambda: self.grants.client_of(token)
                )
            )
        except OAuthError as error:
            if proves and error.status == 401:
                yield from self._limits.count("guesses", request.address)
            raise

    def _granted(
        self,
        grant: str | None,
        form: dict[str, list[str]],
        client: KnownClient,
        request: WebRequest,
    ) -> Flow[dict[str, Any]]:
        """The token response."""
        if grant is None:
            raise OAuthError("invalid_request", "The grant_type is missing")
        if grant not in self._supported:
            raise OAuthError(
                "unsupported_grant_type", f"grant_type is one of {', '.join(self._supported)}"
            )
        own = client.own
        if grant not in (GRANTS if own is None else own.grants):
            # RFC 6749, section 4.4: never for who registers by itself.
            raise OAuthError("unauthorized_client", "The client may not use this grant")
        scopes = [one for one in (first(form, "scope") or "").split() if one != "offline_access"]
        asked = TokenRequest(client, form.get("resource", []), scopes, request)
        if grant == CLIENT_CREDENTIALS:
            return self._machines.issue(asked)
        if grant == JWT_BEARER:
            return (yield from self._enterprise.exchange(_given(form, "assertion"), asked))
        if grant == "refresh_token":
            return (yield from self.grants.refresh(_given(form, "refresh_token"), asked))
        return (
            yield from self.grants.redeem(
                _given(form, "code"),
                asked,
                verifier=first(form, "code_verifier"),
                redirect_uri=first(form, "redirect_uri"),
            )
        )


def _given(form: dict[str, list[str]], name: str) -> str:
    """The value of a parameter.

    Raises:
        OAuthError: If it is not there.
    """
    value = first(form, name)
    if value is None:
        raise OAuthError("invalid_request", f"The {name} is missing")
    return value


def _form_of(request: WebRequest) -> dict[str, list[str]]:
    kind = request.headers.get("content-type", "")
    return read_form_body(kind, request.body, several=("resource",))
