"""The application's accounts, as far as signing in needs them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from mcp_mount.auth.authorization.connections import ConnectionStore
from mcp_mount.auth.authorization.errors import PageError
from mcp_mount.calls.flows import Flow, Run, awaited
from mcp_mount.schemas.functions import is_coroutine_function
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.tokens import AccessToken

logger = own_logger("mcp_mount.signin")

CLIENT_PREFIX: Final = "oauth-client:"
"""What the subject of a token begins with that a client has for itself. Ids of people never do:
callers are told apart by them."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who is logged in to the application.

    Args:
        id: Their id in the application; a primary key, say.
        name: How the pages call them; by default the id.
    """

    id: str
    name: str = ""


FindPerson: TypeAlias = Callable[[Any], Any]
"""Of the host's request: the id of who is logged in, or a `Person`; None for nobody."""

FindStamp: TypeAlias = Callable[[str], Any]
"""Of a person's id: a text that changes when all their connections are to end, as with a new
password, or a list of such texts, the first for new connections and the others still good (while
keys rotate); None for a person who may not come any more."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of an application, which its integration or the user's own functions know.

    Args:
        find: Finds who is logged in, by the host's request. It may be a coroutine function.
        login: The path or URL of the login page, or a function of the path to come back to that
            returns the whole URL. None where only the user can say.
        stamp: What the credentials of a person are at now. It may be a coroutine function.
        next_name: The parameter of the login page for the path to come back to.
        store: Where the host keeps connections; None if it has no place for them.
        find_user: Finds the host's user of an access token.
    """

    find: FindPerson
    login: str | Callable[[str], str] | None
    stamp: FindStamp
    next_name: str = "next"
    store: ConnectionStore | None = None
    find_user: Callable[[AccessToken], Any] | None = None

    def login_url(self, path: str) -> str:
        """The URL of the login page that leads back to a path of this origin.

        Args:
            path: The path.

        Raises:
            PageError: If a function of the application does not say.
        """
        assert self.login is not None, "the user has said it"
        if callable(self.login):
            try:
                return _checked_url(self.login(path))
            except Exception:
                logger.exception("It could not be found out where people log in")
                raise PageError(
                    "It cannot be found out where you log in. Try again later.", status=503
                ) from None
        separator = "&" if "?" in self.login else "?"
        return f"{self.login}{separator}{urlencode({self.next_name: path})}"

    def person(self, request: Any) -> Flow[Person | None]:
        """Who is logged in.

        Args:
            request: The host's request.

        Raises:
            PageError: If that cannot be found out.
        """
        try:
            found = yield from answered(self.find, request)
            return checked_person(found)
        except Exception:
            logger.exception("It could not be found out who is logged in")
            raise PageError(
                "It cannot be found out who you are just now. Try again later.", status=503
            ) from None

    def stamps_of(self, user: str) -> Flow[Sequence[str]]:
        """The digests of the stamps that are good for a person, the newest first; none for one who
        may not come any more."""
        stamp = yield from answered(self.stamp, user)
        if stamp is None or stamp is False:
            return ()
        # Codes, which clients can read, and stores hold them: a stamp may be the hash of a session,
        # or the key of one (Flask-Login's alternative tokens).
        return [_digest(one) for one in (stamp if isinstance(stamp, list | tuple) else [stamp])]


def of_request(function: Callable[..., Any]) -> FindPerson:
    """A function of the host's request; in Flask it may take no argument, since the request is at
    hand everywhere."""
    try:
        takes_none = not inspect.signature(function).parameters
    except (TypeError, ValueError):
        takes_none = False
    if not takes_none:
        return function
    if is_coroutine_function(function):

        async def awaits(request: Any) -> Any:
            return await function()

        return awaits
    return lambda request: function()


def checked_person(found: Any) -> Person | None:
    """The person that a user's function has found.

    Raises:
        TypeError: If it is neither an id nor a person.
        ValueError: If it is an id that clients have, or that nothing can keep.
    """
    if found is None or found is False or found == "":
        return None
    if isinstance(found, Person) and isinstance(found.id, str):
        if found.id.startswith(CLIENT_PREFIX):
            raise ValueError(f"the id of a person begins with {CLIENT_PREFIX!r}, as of a client")
        # Half of a character (a lone surrogate) raises UnicodeEncodeError, which is a ValueError.
        found.id.encode()
        return found if found.id else None
    if isinstance(found, Person):
        # A number, most likely: stores have texts, and would give another id back.
        id = checked_person(found.id)
        return None if id is None else replace(id, name=found.name or id.name)
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise TypeError(
            "user= of SignIn returns the id of who is logged in (a str or an int), a Person, "
            f"or None, not {type(found).__name__}"
        )
    return checked_person(Person(str(found), str(found)))


def _checked_url(url: Any) -> str:
    """The URL that a function of the application has returned.

    Raises:
        TypeError: If it is none. None, or a response that redirects, would be sent as a header.
    """
    if not isinstance(url, str) or not url:
        raise TypeError(f"login= of SignIn returns the URL of the login page, not {url!r}")
    return url


def _digest(stamp: Any) -> str:
    return sha256(str(stamp).encode("utf-8", "surrogatepass")).hexdigest()


def answered(function: Callable[[Any], Any], argument: Any) -> Flow[Any]:
    """What a user's function answers, be it plain or a coroutine function."""
    answer = yield Run(partial(function, argument), is_coroutine_function(function))
    if inspect.isawaitable(answer):
        # Of a plain function that calls a coroutine function.
        waiting: Awaitable[Any] = answer
        answer = yield Run(partial(awaited, waiting), True)
    return answer
