"""The accounts of applications whose `AuthenticationMiddleware` knows who is logged in."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from mcp_mount.auth.authorization.accounts import Accounts, Person


def accounts() -> Accounts:
    """The users of Starlette's AuthenticationMiddleware, in Starlette and FastAPI, and alone."""
    return Accounts(_person, None, lambda id: "")


def _person(request: Any) -> Person | None:
    """Who is logged in.

    Raises:
        RuntimeError: If nothing knows.
    """
    if not isinstance(request, Request) or "user" not in request.scope:
        raise RuntimeError(
            "SignIn does not know who is logged in: give it user= (a function of the request that "
            "returns an id, or None), or add AuthenticationMiddleware around the server"
        )
    user = request.user
    if not user.is_authenticated:
        return None
    name: str = user.display_name
    try:
        id = user.identity
    except (AttributeError, NotImplementedError):
        # Not every kind of user has one: Starlette's SimpleUser has a name alone.
        id = name
    return Person(str(id), name or str(id))
