"""The arguments by which users say who may see and use an entry."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from mcp_mount.calls.callers import CallerKey
from mcp_mount.schemas.functions import (
    DefinitionError,
    describe,
    refuse_what_answers_later,
    unwrap,
)
from mcp_mount.wire.messages import Rule
from mcp_mount.wire.rules import Caller, HasPermission, HasRole, HasScopes, RequestPredicate, When

PermissionRule: TypeAlias = str | Callable[[Any], bool]
"""A permission by its name, as the host knows it, or a function of the host's own request."""

Permission: TypeAlias = PermissionRule | Sequence[PermissionRule] | None
"""One, or several that must all hold."""

Names: TypeAlias = str | Sequence[str]
"""One name, or several."""

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""A scope-token of RFC 6749, section 3.3."""

Condition: TypeAlias = Callable[[Caller], bool]


def rules_of(
    permission: Permission = None,
    *,
    scopes: Names | None = None,
    roles: Names | None = None,
    when: Condition | Sequence[Condition] | None = None,
) -> tuple[Rule, ...]:
    """The rules in the options of these names, which must all hold.

    Args:
        permission: Permissions, by name or as functions of the host's request.
        scopes: The scopes that are needed, all of them.
        roles: The roles of which one is needed.
        when: Functions of the `Caller`.

    Raises:
        DefinitionError: If a value is not one of these, or names nothing: a list that is empty by
            mistake must not let everybody in.
    """
    rules: list[Rule] = []
    if scopes is not None:
        names = _names("scopes", scopes)
        for name in names:
            if not _SCOPE.fullmatch(name):
                raise DefinitionError(
                    f"No access token has the scope {name!r}: a scope is of printable ASCII "
                    "without spaces, quotes and backslashes"
                )
        rules.append(HasScopes(names))
    if roles is not None:
        rules.append(HasRole(_names("roles", roles)))
    for one in _several("permission", permission, str):
        if isinstance(one, str) and one:
            rules.append(HasPermission(one))
        else:
            rules.append(RequestPredicate(_function("a permission", one, "the host's request")))
    rules += [When(_function("when=", one, "the Caller")) for one in _several("when", when)]
    return tuple(rules)


def caller_key(function: Any) -> CallerKey | None:
    """The function of the option `caller=`.

    Args:
        function: What the user gave.

    Raises:
        DefinitionError: If it is not a function of one parameter.
    """
    return None if function is None else _function("caller=", function, "the host's request")


def _several(key: str, value: Any, single: type | tuple[()] = ()) -> Sequence[Any]:
    if value is None:
        return ()
    if callable(value) or isinstance(value, single) or not isinstance(value, Sequence):
        return (value,)
    if not value:
        raise _names_nothing(key, value)
    return value


def _names_nothing(key: str, value: Any) -> DefinitionError:
    return DefinitionError(
        f"{key}={value!r} names nothing, so that nobody is let in or everybody: leave it out, or "
        "write None, where nothing is to be asked"
    )


def _names(key: str, value: Names) -> tuple[str, ...]:
    what = f"a {key.removesuffix('s')}"
    if not isinstance(value, str | Iterable):
        raise DefinitionError(f"{what} is a name, not {value!r}")
    names = tuple(value.split() if isinstance(value, str) else value)
    if not names:
        raise _names_nothing(key, value)
    if not all(isinstance(one, str) and one for one in names):
        raise DefinitionError(f"{what} is a name, not {value!r}")
    return names


def _function(what: str, value: Any, of: str) -> Callable[[Any], Any]:
    if not callable(value):
        name = "a name, or " if what == "a permission" else ""
        raise DefinitionError(f"{what} is {name}a function of {of}, not {value!r}")
    refuse_what_answers_later(what, value)
    if inspect.isclass(unwrap(value)):
        raise DefinitionError(
            f"{describe(value)}: {what} is a class, whose objects are always true. Write a "
            f"function of {of}"
        )
    if not takes_one(value):
        raise DefinitionError(f"{describe(value)}: {what} is a function with one parameter, {of}")
    function: Callable[[Any], Any] = value
    return function


def takes_one(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with one argument, as far as can be seen."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(None)
    except TypeError:
        return False
    return True
