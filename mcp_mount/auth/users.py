"""The user behind a verified credential, whom a function of the server's owner finds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import isasyncgen, isawaitable, isgenerator
from typing import Any, Final

from mcp_mount.calls.flows import Flow, Run, awaited
from mcp_mount.schemas.functions import is_coroutine_function
from mcp_mount.wire.answers import answer_of
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError, invalid_token
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.tokens import AccessToken

logger = own_logger("mcp_mount")

_OF_NOBODY: Final = "The access token is of nobody here"


def is_active(user: Any) -> bool:
    """Whether a user may log in; those of a kind that knows nothing else may.

    Args:
        user: The user, of whatever class.

    Raises:
        TypeError: If `is_active` says nothing at once, as a coroutine function does.
    """
    return is_true(user, "is_active", default=True)


def is_true(user: Any, name: str, *, default: bool) -> bool:
    """Whether an attribute of a user is true, or the method of that name says so.

    Args:
        user: The user.
        name: Of the attribute. As a value, a method is true for everybody: it is called.
        default: For users without the attribute.

    Raises:
        TypeError: For what is no answer, such as a coroutine.
    """
    value = getattr(user, name, default)
    if not callable(value):
        return bool(value)
    return bool(answer_of(value, value()))


def _never(error: Exception) -> bool:
    return False


def user_of(
    token: AccessToken,
    find: Callable[[AccessToken], Any],
    *,
    may_come: Callable[[Any], bool] = is_active,
    is_unknown: Callable[[Exception], bool] = _never,
) -> Flow[Any]:
    """The user whom `find_user=` finds for a token.

    Args:
        token: The verified token.
        find: The function of the server's owner.
        may_come: Whether a user may come in. It raises an exception for what is no user of the
            host.
        is_unknown: Whether an exception of `find` says that there is no such user.

    Returns:
        The user: never None, nor another value that is false, which no user is.

    Raises:
        ProtocolError: 401 for a token of nobody here and of a user who is not active, 503 where
            that cannot be found out: nobody is let in because a function failed.
    """
    is_found = False
    try:
        user = yield Run(partial(find, token), is_coroutine_function(find))
        if isawaitable(user):
            # Of a plain function that calls a coroutine function, `lambda token: find(token)`.
            user = yield Run(partial(awaited, user), True)
        if isgenerator(user) or isasyncgen(user):
            raise TypeError("find_user= returned a generator, which is no user: return, not yield")
        is_found = True
        is_known = bool(user) and may_come(user)
    except (Exception, SystemExit) as error:
        # SystemExit would end a worker, and with that the server, for one client's request.
        if not is_found and isinstance(error, Exception) and is_unknown(error):
            raise invalid_token(_OF_NOBODY) from None
        logger.exception("The user of an access token could not be found")
        raise ProtocolError(
            INTERNAL_ERROR, "The user of the access token could not be found", status=503
        ) from None
    if not is_known:
        raise invalid_token(_OF_NOBODY)
    return user
