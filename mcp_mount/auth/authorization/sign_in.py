"""`auth=SignIn(…)`: people sign in with the application's own accounts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from threading import RLock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mcp_mount.auth.authorization.accounts import Accounts, FindPerson, FindStamp, of_request
from mcp_mount.auth.authorization.configured_clients import Client, clients_by_id
from mcp_mount.auth.authorization.connections import (
    Connection,
    ConnectionStore,
    MemoryConnections,
)
from mcp_mount.auth.authorization.enterprise import IDJAG, providers_of
from mcp_mount.auth.authorization.events import Events, Listener, SignInEvent
from mcp_mount.auth.authorization.grants import Lifetimes, canonical, event_of
from mcp_mount.auth.authorization.issued_tokens import IssuedTokens
from mcp_mount.auth.authorization.limits import AddressLimits
from mcp_mount.auth.authorization.options import ScopeTool, SignInOptions
from mcp_mount.auth.authorization.purging import purge_ended
from mcp_mount.auth.authorization.redirects import admitting
from mcp_mount.auth.authorization.sealed import Seals
from mcp_mount.auth.authorization.server import AuthorizationServer
from mcp_mount.auth.authorization.stores import store_of
from mcp_mount.auth.authorization.web import Render
from mcp_mount.auth.verifiers import bearer_of, secure_url
from mcp_mount.calls.flows import Flow
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import naming_options
from mcp_mount.schemas.values import flag, function, seconds, text
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.sealing import Keys
from mcp_mount.wire.tokens import AccessToken

if TYPE_CHECKING:
    from limits.strategies import RateLimiter

logger = own_logger("mcp_mount.signin")

_USUAL: Final = Lifetimes()


@dataclass(frozen=True, slots=True)
class Site:
    """What a SignIn needs to know of the server that it is for.

    Attributes:
        keys: The secret keys, oldest first.
        name: Returns the name of the server.
        title: Returns what people call it.
        accounts: Returns the accounts that the host knows by itself; None if it knows none.
        tools: Returns the tools that a scope opens; those without a scope, for None.
        tell: Tells the host of what happens.
        limiter: Returns what counts, in the server's store.
        has_origin: Whether the metadata of the authorization server are at the root of the domain,
            for the path of an MCP endpoint.
    """

    keys: Keys
    name: Callable[[], str]
    title: Callable[[], str]
    accounts: Callable[[], Accounts | None]
    tools: Callable[[str | None], Sequence[ScopeTool]]
    tell: Listener
    limiter: Callable[[], RateLimiter]
    has_origin: Callable[[str], bool]


class SignIn:
    """An OAuth 2.1 authorization server for assistants, with the application's own accounts.

    Give it to a server as `auth=`. People log in on the application's own login page, see what an
    assistant asks for, and consent. Django's users, and Flask-Login's, are found; elsewhere `user=`
    and `login=` say who is logged in, and where people log in. Needs the extra `signin`.

    Args:
        scopes: What assistants may ask for: names, with words for the people who consent. Tools
            declare the names by `scopes=`. Without any, an assistant may do all that the person
            may.
        user: Of the host's request: the id of who is logged in, or a `Person`; None for nobody. It
            may be a coroutine function. In Flask it may take no argument.
        login: The path or URL of the login page, which comes back to the path in its parameter
            `next`; or a function of that path that returns the whole URL.
        still_valid: Of a person's id: a text that changes when all connections of the person are to
            end, as with a new password (or a list of such texts, the newest first, while keys
            rotate); None for a person who may not come any more. By default, Django's session
            hash, Flask-Login's id of the user, and elsewhere nothing ends them.
        store: Where connections are kept: "redis://…", a `ConnectionStore`, or a function that
            opens a DB-API connection (SQLite, PostgreSQL). By default Django's database, and
            elsewhere the memory of this process, which forgets them.
        issuer: The issuer, an https URL. By default the origin of the MCP endpoint.
        path: Where its pages are, below the mount point; in Django the URLconf says so.
        clients: The clients that you configure, each a `Client`: programs that act for themselves,
            and assistants with a secret or keys of their own.
        enterprise: The identity providers that let people in without their consent, each an
            `IDJAG`.
        client_keys: Whether clients may authenticate by the keys that their metadata documents name
            (`private_key_jwt`), as ChatGPT does then. Needs the extra `auth`. By default, where
            that is installed.
        cimd: Whether clients may publish their metadata (Client ID Metadata Documents).
        registration: Whether clients may register themselves (RFC 7591).
        redirects: Where codes may be sent: host names ("claude.ai"), "localhost", and private
            schemes ("cursor:"). By default anywhere that RFC 8252 admits.
        render: Makes pages of the application's own templates: a plain function of the name
            ("consent.html", "redirect.html", "connected.html", "error.html") and of what a template
            gets, which returns the HTML, or None for the built-in page. By default, Django and
            Flask look for templates of these names in "mcp_mount/".
        on_event: Is told of each `SignInEvent`; a plain function that does not block for long.
        access: How long an access token is good, in seconds.
        refresh: How long a refresh token is good that is not used, in seconds.
        lifetime: How long a connection is good at most, in seconds.
        grace: How long a refresh token that was replaced is still taken, in seconds. 0 takes each
            once, and ends connections of clients that refresh in two windows at once.

    Raises:
        DefinitionError: For an option that does not exist or cannot have its value.
        MissingExtra: If the extra is not installed.
        ValueError: For an issuer that is no https URL.
    """

    authorization_servers: Sequence[str] = ()
    name = "signin"
    needs_resource = True

    @naming_options
    def __init__(
        self,
        *,
        scopes: Mapping[str, str] | None = None,
        user: FindPerson | None = None,
        login: str | Callable[[str], str] | None = None,
        still_valid: FindStamp | None = None,
        store: str | ConnectionStore | Callable[[], Any] | None = None,
        issuer: str | None = None,
        path: str = "/assistants",
        clients: Sequence[Client] = (),
        enterprise: IDJAG | Sequence[IDJAG] | None = None,
        client_keys: bool | None = None,
        cimd: bool = True,
        registration: bool = True,
        redirects: Sequence[str] | None = None,
        render: Render | None = None,
        on_event: Listener | None = None,
        access: float = _USUAL.access,
        refresh: float = _USUAL.refresh,
        lifetime: float = _USUAL.connection,
        grace: float = _USUAL.grace,
    ) -> None:
        with requires("signin", "auth=SignIn(…)"):
            import_module("limits")
        self.scopes = _scopes(scopes or {})
        self._user = None if user is None else of_request(function("user", user))
        self._login = _login(login)
        self._still_valid = None if still_valid is None else function("still_valid", still_valid)
        self._store = None if store is None else store_of(store)
        self.issuer = None if issuer is None else _issuer(issuer)
        if not text("path", path).startswith("/") or path.rstrip("/") == "":
            raise DefinitionError(f"path must start with '/' and name something, not {path!r}")
        self.path = path.rstrip("/")
        self.render = None if render is None else function("render", render, is_plain=True)
        self._listener = None if on_event is None else function("on_event", on_event, is_plain=True)
        self._lifetimes = Lifetimes(
            seconds("access", access),
            seconds("refresh", refresh),
            seconds("lifetime", lifetime),
            grace if grace == 0 else seconds("grace", grace),
        )
        self._options = SignInOptions(
            scopes=self.scopes,
            lifetimes=self._lifetimes,
            clients=clients_by_id(clients, self.scopes),
            registers=flag("registration", registration),
            reads_documents=flag("cimd", cimd),
            verifies_keys=_verifying(client_keys) and cimd,
            enterprise=providers_of(enterprise),
            admits=admitting(redirects),
        )
        self._tokens = self._own_tokens()
        self.events = self._own_events()
        self._site: Site | None = None
        self._seals: Seals | None = None
        self._server: AuthorizationServer | None = None
        self._warned = False
        # First requests come on several threads at once. To make the server asks for the store.
        self._making = RLock()

    def serving(self, site: Site) -> SignIn:
        """Return what serves an MCP server: this object for the first one, and a copy with the same
        options for each other one, as where settings name a SignIn for all servers.

        Args:
            site: What is needed of the server.
        """
        # Methods of one object are equal: the same server asks again when it is configured anew.
        if self._site is None or self._site.keys == site.keys:
            self._site = site
            self._seals = self._server = None
            return self
        other = copy(self)
        other._tokens = other._own_tokens()
        other.events = other._own_events()
        other._site = None
        return other.serving(site)

    def _own_tokens(self) -> IssuedTokens:
        return IssuedTokens(
            self._options,
            self.issuer,
            seals=lambda: self.seals,
            store=lambda: self.store,
            accounts=lambda: self.accounts,
        )

    def _own_events(self) -> Events:
        events = Events(self._listener)
        events.listeners.insert(0, self._tokens.forget_ended)
        events.listeners.append(self._tell_host)
        return events

    @property
    def store(self) -> ConnectionStore:
        """Where connections are kept."""
        # Two stores in memory would be: one that is written, and one that is asked.
        with self._making:
            if self._store is None:
                accounts = None if self._site is None else self._site.accounts()
                own = None if accounts is None else accounts.store
                self._store = own or MemoryConnections()
        if not self._store.is_shared and not self._warned:
            self._warned = True
            logger.warning(
                "SignIn keeps connections in the memory of this process: they end with it, and "
                "other workers do not know them. Give it a store=, such as 'redis://…' or a "
                "function that opens a database connection."
            )
        return self._store

    @property
    def server(self) -> AuthorizationServer:
        """The authorization server.

        It is made at the first use, when the host has its configuration.
        """
        with self._making:
            if self._server is None:
                assert self._site is not None, "a server has this as its auth="
                self._server = AuthorizationServer(
                    replace(self._options, server_name=self._site.title, tools=self._site.tools),
                    self.seals,
                    self.store,
                    self.events,
                    AddressLimits(self._site.limiter, self._site.name),
                )
            return self._server

    @property
    def seals(self) -> Seals:
        """Seals and opens its tokens."""
        if self._seals is None:
            assert self._site is not None, "a server has this as its auth="
            self._seals = Seals(self._site.keys, self._site.name)
        return self._seals

    @property
    def knows_people(self) -> bool:
        """Whether the user has said how to know who is logged in, so that no host has to."""
        return self._user is not None

    @property
    def asks_people(self) -> bool:
        """Whether people sign in; otherwise all clients act for themselves, or by an identity
        provider."""
        return self._options.asks_people

    @property
    def accounts(self) -> Accounts:
        """The accounts of the application.

        Raises:
            DefinitionError: If neither the host knows any, nor the user has said.
        """
        own = None if self._site is None else self._site.accounts()
        find = self._user or (None if own is None else own.find)
        login = self._login or (None if own is None else own.login)
        if (find is None or login is None) and not self._options.asks_people:
            # Only an identity provider says who people are, if there are any.
            find, login = _nobody, None
        if find is None or (login is None and self._options.asks_people):
            raise DefinitionError(
                "SignIn must know who is logged in, and where people log in: give it user= (a "
                "function of the request that returns an id, or None) and login= (such as "
                "'/login')"
            )
        stamp: FindStamp = self._still_valid or _nothing_ends
        if self._still_valid is None and own is not None and self._user is None:
            stamp = own.stamp
        next_name = "next" if own is None else own.next_name
        return Accounts(find, login, stamp, next_name)

    def check_client(self, client: Client) -> None:
        """Check that a client could be configured besides those that are.

        Args:
            client: The client.

        Raises:
            DefinitionError: If there is one with its id, or it names scopes that there are not.
        """
        clients_by_id([*self._options.clients.values(), client], self.scopes)

    def revoke(self, connection: Connection, *, by: str = "a command") -> bool:
        """Revoke a connection for the application's owner.

        Args:
            connection: The connection.
            by: What the owner does so by, for the event.

        Returns:
            Whether it was there and not revoked before.
        """
        done = self.store.revoke(connection.id, time.time())
        if done:
            self.events.tell(event_of("connection revoked", connection, None, f"by {by}"))
        return done

    def purge(self) -> int:
        """Delete the connections that cannot be used any more.

        Returns:
            How many there were.
        """
        return purge_ended(self.store, self._lifetimes, time.time())

    def issuer_at(self, url: str) -> str:
        """The issuer for the MCP endpoint at a URL (RFC 8414, section 2): its origin, where the
        host serves the metadata there, and else the endpoint's own URL.

        Args:
            url: The URL of the endpoint.
        """
        if self.issuer is not None:
            return self.issuer
        parts = urlsplit(url)
        # Clients compare it as a string, some after they have made it canonical.
        origin = canonical(f"{parts.scheme}://{parts.netloc}")
        assert self._site is not None, "a server has this as its auth="
        if self._site.has_origin(parts.path.rstrip("/")):
            return origin
        return origin + parts.path.rstrip("/")

    @property
    def find_user(self) -> Callable[[AccessToken], Any] | None:
        """Finds the host's user of one of its tokens; None if the host has no way to."""
        own = None if self._site is None or self._user is not None else self._site.accounts()
        return None if own is None else own.find_user

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer_of(headers)

    def verify(self, credential: str, resource: str | None) -> Flow[AccessToken]:
        return (yield from self._tokens.verify(credential, resource))

    def _tell_host(self, event: SignInEvent) -> None:
        if self._site is not None:
            self._site.tell(event)


def _verifying(client_keys: bool | None) -> bool:
    """Whether keys of clients are verified: if the user says so, or has installed what that needs.

    Raises:
        MissingExtra: If the user says so, and has not.
    """
    if client_keys is None:
        return all(find_spec(one) is not None for one in ("jwt", "cryptography", "httpx2"))
    if flag("client_keys", client_keys):
        with requires("auth", "SignIn(client_keys=True)"):
            for one in ("jwt", "cryptography", "httpx2"):
                import_module(one)
    return client_keys


def _issuer(url: str) -> str:
    """A checked issuer (RFC 8414, section 2), in the one form that all documents have.

    Raises:
        ValueError: For what is none.
    """
    if "?" in secure_url(text("issuer", url), "issuer") or "#" in url:
        raise ValueError(f"issuer has neither a query nor a fragment: {url!r}")
    return canonical(url)


def _nobody(request: Any) -> None:
    return None


def _nothing_ends(user: str) -> str:
    return ""


def _login(login: Any) -> str | Callable[[str], str] | None:
    """The login page, as the user has named it.

    Raises:
        DefinitionError: If it is neither a path or URL, nor a function.
    """
    if login is None or callable(login):
        return None if login is None else function("login", login, is_plain=True)
    if not isinstance(login, str) or not login:
        raise DefinitionError(f"login is the path or URL of a page, or a function, not {login!r}")
    return login


def _scopes(scopes: Mapping[str, str]) -> dict[str, str]:
    """Checked scopes (RFC 6749, section 3.3).

    Raises:
        DefinitionError: For a name that cannot be one.
    """
    if not isinstance(scopes, Mapping):
        raise DefinitionError('scopes is a mapping of names to words: {"orders:read": "See …"}')
    for name, words in scopes.items():
        if not isinstance(name, str) or not name:
            raise DefinitionError(f"scopes has names of strings, not {name!r}")
        if not all("!" <= one <= "~" and one not in '"\\' for one in name):
            raise DefinitionError(
                f"a name in scopes has no spaces, quotation marks or backslashes: {name!r}"
            )
        if not isinstance(words, str):
            raise DefinitionError(f"scopes[{name!r}] is a text for people, not {words!r}")
    return dict(scopes)
