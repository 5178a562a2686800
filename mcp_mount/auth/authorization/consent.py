"""The authorization endpoint: what a client asks for, who is logged in, and what they decide."""

from __future__ import annotations

import re
from dataclasses import asdict
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import urlsplit

from mcp_mount.auth.authorization.accounts import Person
from mcp_mount.auth.authorization.client_lookup import ClientLookup
from mcp_mount.auth.authorization.clients import OAuthClient
from mcp_mount.auth.authorization.errors import OAuthError, PageError, RedirectedError
from mcp_mount.auth.authorization.events import Events, Kind, SignInEvent
from mcp_mount.auth.authorization.forms import first, read_form, read_form_body
from mcp_mount.auth.authorization.grants import is_resource, stamps_now
from mcp_mount.auth.authorization.options import SignInOptions
from mcp_mount.auth.authorization.pages import page
from mcp_mount.auth.authorization.redirects import (
    is_loopback,
    is_registered,
    where,
    with_parameters,
)
from mcp_mount.auth.authorization.sealed import AuthorizationRequest, Code, ConsentForm, Seals
from mcp_mount.auth.authorization.web import WebRequest, browser_digest, is_browser, new_browser
from mcp_mount.calls.flows import Flow
from mcp_mount.wire.messages import Reply

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""A SHA-256 digest in base64url (RFC 7636, section 4.2)."""

_MAX_STATE: Final = 2048


class Consent:
    """Asks people for their consent.

    Args:
        options: What the application's owner has chosen.
        seals: Seals requests, forms and codes.
        clients: Knows clients by their ids.
        events: Is told.
    """

    def __init__(
        self, options: SignInOptions, seals: Seals, clients: ClientLookup, events: Events
    ) -> None:
        self._options = options
        self._scopes = options.scopes
        self._seals = seals
        self._clients = clients
        self._events = events

    def respond(self, request: WebRequest) -> Flow[Reply]:
        """Respond to a request for the authorization endpoint.

        Raises:
            PageError: For what only the person is told.
        """
        if request.method == "POST":
            return (yield from self._decide(request))
        return (yield from self._ask(request))

    def _ask(self, request: WebRequest) -> Flow[Reply]:
        """Show the consent page, or send the person to the login page first."""
        query = self._read(request)
        person = yield from request.accounts.person(request.host_request)
        try:
            back = f"{request.path}/authorize?request={self._seals.request(query)}"
        except ValueError:
            raise PageError("The assistant's request is too long.") from None
        login = request.accounts.login_url(back)
        client_id = first(query, "client_id")
        if client_id is None:
            raise PageError("The assistant's request names no client_id.")
        if person is None and self._clients.needs_document(client_id):
            # Only who has logged in can let this server ask somewhere.
            return _redirect(login)
        client = yield from self._clients.find(
            client_id, request.address, urlsplit(request.issuer).hostname
        )
        uri = self._redirect_uri(query, client)
        if person is None:
            # Errors are for the client only when somebody has logged in: anybody can register a
            # client, whose errors would make this server redirect anywhere (OAuth 2.1, 7.13.2).
            return _redirect(login)
        try:
            asked = self._request(query, client, uri, request)
        except RedirectedError as error:
            return _refused(error, uri, client, first(query, "state"), request)
        self._tell("consent asked", person, asked, request)
        browser = request.cookie() or new_browser()
        form = ConsentForm(asdict(asked), person.id, browser_digest(browser), token_urlsafe(16))
        values = {
            "server_name": self._options.server_name(),
            "client_name": asked.client_name or "An assistant without a name",
            "client_host": asked.client_host,
            "where": where(asked.redirect_uri),
            "is_local": is_loopback(urlsplit(asked.redirect_uri)),
            "person": person.name or person.id,
            "login_url": login,
            "scopes": [
                {
                    "name": scope,
                    "words": self._scopes[scope],
                    "tools": [asdict(one) for one in self._options.tools(scope)],
                }
                for scope in asked.scopes
                if scope in self._scopes
            ],
            "tools": [asdict(one) for one in self._options.tools(None)],
            "connected_url": f"{request.path}/",
            "action": f"{request.path}/authorize",
            "form": self._seals.form(form),
        }
        return page(request, "consent.html", values, browser=browser)

    def _read(self, request: WebRequest) -> dict[str, list[str]]:
        """The parameters that a browser brings, by itself or back from the login page.

        Raises:
            PageError: If they cannot be read, or the person took too long.
        """
        try:
            query = read_form(request.query, several=("resource",))
        except OAuthError as error:
            raise PageError(f"The assistant's request cannot be read: {error}.") from None
        if (sealed := first(query, "request")) is not None and "client_id" not in query:
            known = self._seals.open_request(sealed)
            if known is None:
                raise PageError("This took too long. Start again in your assistant.")
            return known
        return query

    def _redirect_uri(self, query: dict[str, list[str]], client: OAuthClient) -> str:
        """Where a client is answered.

        Raises:
            PageError: If it has not registered that place.
        """
        uri = first(query, "redirect_uri")
        if uri is None and len(client.redirect_uris) == 1:
            uri = client.redirect_uris[0]
        if (
            uri is None
            or not is_registered(uri, client.redirect_uris)
            or not self._options.admits(uri)
        ):
            raise PageError(
                "The assistant asks to be answered at an address that it has not registered."
            )
        return uri

    def _request(
        self, query: dict[str, list[str]], client: OAuthClient, uri: str, request: WebRequest
    ) -> AuthorizationRequest:
        """The parameters of a request whose client and redirect URI are good.

        Raises:
            RedirectedError: For parameters that are not accepted.
        """
        if (kind := first(query, "response_type")) is None:
            raise RedirectedError("invalid_request", "response_type is missing")
        if kind != "code":
            raise RedirectedError("unsupported_response_type", "response_type must be code")
        if first(query, "response_mode") not in (None, "query"):
            raise RedirectedError("invalid_request", "response_mode must be query")
        for name in ("request", "request_uri"):
            if name in query:
                raise RedirectedError(f"{name}_not_supported", f"{name} is not supported")
        challenge = first(query, "code_challenge")
        if challenge is None:
            raise RedirectedError("invalid_request", "code_challenge is missing: PKCE is required")
        if first(query, "code_challenge_method") != "S256":
            raise RedirectedError("invalid_request", "code_challenge_method must be S256")
        if not _CHALLENGE.fullmatch(challenge):
            raise RedirectedError("invalid_request", "code_challenge is not one of S256")
        if first(query, "prompt") == "none":
            raise RedirectedError("interaction_required", "People are always asked here")
        state = first(query, "state")
        if state is not None and len(state) > _MAX_STATE:
            raise RedirectedError("invalid_request", "state is too long")
        if any(not is_resource(one, request.resource) for one in query.get("resource", [])):
            raise RedirectedError("invalid_target", "The resource is not served here")
        return AuthorizationRequest(
            client=client.digest,
            client_name=client.name,
            client_host=client.host,
            redirect_uri=uri,
            state=state,
            challenge=challenge,
            resource=request.resource,
            scopes=self._wanted(first(query, "scope"), client),
            signs=client.keys is not None,
        )

    def _wanted(self, named: str | None, client: OAuthClient) -> list[str]:
        """The scopes to ask for: those that are named, or all, of those that a client may have.

        Raises:
            RedirectedError: If none of those that are named is there.
        """
        known = [one for one in self._scopes if client.scopes is None or one in client.scopes]
        names = list(dict.fromkeys((named or "").split()))
        # Clients add it where a server says that it knows it, and some always (it asks for refresh
        # tokens, which everybody gets).
        names = [one for one in names if one != "offline_access"]
        if not names:
            return known
        wanted = [one for one in names if one in known]
        if not wanted and self._scopes:
            raise RedirectedError("invalid_scope", "None of these scopes is known here")
        return wanted

    def _decide(self, request: WebRequest) -> Flow[Reply]:
        """Take what a person has decided."""
        try:
            sent = read_form_body(request.headers.get("content-type", ""), request.body)
        except OAuthError as error:
            raise PageError(f"The form cannot be read: {error}.") from None
        form = self._seals.open_form(first(sent, "form") or "")
        if form is None:
            raise PageError("This form has expired. Start again in your assistant.")
        person = yield from request.accounts.person(request.host_request)
        if (
            person is None
            or person.id != form.user
            or not is_browser(request.cookie(), form.browser)
        ):
            raise PageError(
                "This form was made for somebody else, or for another browser. "
                "Start again in your assistant.",
                status=403,
            )
        asked = AuthorizationRequest(**form.request)
        values: dict[str, Any] = {"client_name": asked.client_name or "the assistant"}
        if first(sent, "decision") != "allow":
            self._tell("consent denied", person, asked, request)
            answer = [("error", "access_denied"), ("error_description", "The person said no")]
            # Nobody is sent by itself to a client that nobody vouches for, after a no.
            values |= {"message": "Not connected", "goes_back": asked.client_host is not None}
        else:
            stamps = yield from stamps_now(request.accounts, person.id)
            if not stamps:
                raise PageError("Your account may not connect assistants.", status=403)
            self._tell("consent granted", person, asked, request, form.connection)
            code = Code(
                connection=form.connection,
                user=person.id,
                stamp=stamps[0],
                client=asked.client,
                client_name=asked.client_name,
                client_host=asked.client_host,
                redirect_uri=asked.redirect_uri,
                challenge=_digest(asked.challenge),
                resource=asked.resource,
                scopes=asked.scopes,
                signs=asked.signs,
            )
            answer = [("code", self._seals.code(code))]
            values |= {"message": "Connected", "goes_back": True}
        values["url"] = _answer(asked.redirect_uri, answer, asked.state, request.issuer)
        return page(request, "redirect.html", values)

    def _tell(
        self,
        kind: Kind,
        person: Person,
        asked: AuthorizationRequest,
        request: WebRequest,
        connection: str | None = None,
    ) -> None:
        self._events.tell(
            SignInEvent(
                kind,
                person.id,
                asked.client_name,
                asked.client_host,
                connection,
                tuple(asked.scopes),
                request.address,
            )
        )


def _redirect(url: str) -> Reply:
    return Reply(302, b"", [("location", url), ("cache-control", "no-store")])


def _refused(
    error: RedirectedError, uri: str, client: OAuthClient, state: str | None, request: WebRequest
) -> Reply:
    """The answer to a request that is not accepted, which its client is told."""
    answer = [("error", error.error), ("error_description", error.description)]
    url = _answer(uri, answer, state, request.issuer)
    if client.host is not None or is_loopback(urlsplit(uri)):
        return _redirect(url)
    # Nobody is sent by itself to a place that nobody vouches for (OAuth 2.1, 7.13.2).
    values = {
        "message": "The assistant's request is not accepted",
        "client_name": client.name or "the assistant",
        "url": url,
        "goes_back": False,
    }
    return page(request, "redirect.html", values, status=400)


def _answer(uri: str, answer: list[tuple[str, str]], state: str | None, issuer: str) -> str:
    """The redirect that answers a client (RFC 6749, section 4.1.2; RFC 9207, section 2)."""
    if state is not None:
        answer = [*answer, ("state", state)]
    return with_parameters(uri, [*answer, ("iss", issuer)])


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
