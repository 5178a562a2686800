"""The page of connected assistants: people see their connections, and end them."""

from __future__ import annotations

import time
from typing import Any

from mcp_mount.auth.authorization.accounts import Person
from mcp_mount.auth.authorization.connections import Connection, ConnectionStore
from mcp_mount.auth.authorization.errors import OAuthError, PageError
from mcp_mount.auth.authorization.forms import first, read_form_body
from mcp_mount.auth.authorization.grants import Grants, ask_store
from mcp_mount.auth.authorization.options import SignInOptions
from mcp_mount.auth.authorization.pages import page
from mcp_mount.auth.authorization.sealed import Seals
from mcp_mount.auth.authorization.web import WebRequest, browser_digest, is_browser, new_browser
from mcp_mount.calls.flows import Flow
from mcp_mount.wire.messages import Reply


class ConnectedPage:
    """Shows people their connections, and ends those that they disconnect.

    Args:
        options: What the application's owner has chosen.
        seals: Seals the forms.
        store: Keeps the connections.
        grants: Ends connections.
    """

    def __init__(
        self, options: SignInOptions, seals: Seals, store: ConnectionStore, grants: Grants
    ) -> None:
        self._options = options
        self._seals = seals
        self._store = store
        self._grants = grants

    def respond(self, request: WebRequest) -> Flow[Reply]:
        """Respond to a request for the page.

        Raises:
            OAuthError: 503, if the store cannot be asked.
            PageError: For what the person is told.
        """
        person = yield from request.accounts.person(request.host_request)
        if person is None:
            return _redirect(302, request.accounts.login_url(f"{request.path}/"))
        if request.method == "POST":
            yield from self._disconnect(request, person)
            # GET, so that going back in the browser sends no form again.
            return _redirect(303, f"{request.path}/")
        browser = request.cookie() or new_browser()
        held = yield from ask_store(self._store.list, person.id)
        values = {
            "server_name": self._options.server_name(),
            "person": person.name or person.id,
            "action": f"{request.path}/",
            "connections": [self._row(one, request, person, browser) for one in held],
        }
        return page(request, "connected.html", values, browser=browser)

    def _disconnect(self, request: WebRequest, person: Person) -> Flow[None]:
        """End the connection whose form was sent.

        Raises:
            OAuthError: 503, if the store cannot be asked.
            PageError: For a form that is not of this person and browser.
        """
        try:
            sent = read_form_body(request.headers.get("content-type", ""), request.body)
        except OAuthError as error:
            raise PageError(f"The form cannot be read: {error}.") from None
        removal = self._seals.open_removal(first(sent, "form") or "")
        if (
            removal is None
            or removal[1] != person.id
            or not is_browser(request.cookie(), removal[2])
        ):
            raise PageError("This form has expired. Open the page again.", status=403)
        held = yield from ask_store(self._store.get, removal[0])
        if held is not None and held.user == person.id:
            yield from self._grants.end(held, request.address)

    def _row(
        self, connection: Connection, request: WebRequest, person: Person, browser: str
    ) -> dict[str, Any]:
        """What the template gets of a connection."""
        here = connection.resource == request.resource
        return {
            "client_name": connection.client_name or "An assistant without a name",
            "client_host": connection.client_host,
            # Servers may have one store.
            "other_server": None if here else connection.resource,
            "created": _day(connection.created),
            "used": _day(connection.used),
            "scopes": [self._options.scopes.get(name, name) for name in connection.scopes],
            "form": self._seals.removal(connection.id, person.id, browser_digest(browser)),
        }


def _redirect(status: int, url: str) -> Reply:
    return Reply(status, b"", [("location", url), ("cache-control", "no-store")])


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
