"""Rules: who may see and use something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcp_mount.wire.answers import is_yes
from mcp_mount.wire.credentials import ShownHeaders
from mcp_mount.wire.messages import CannotTell, Request, Rule


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, for rules with `when=` and for routes of models.

    Attributes:
        id: The id of the user, as the host or the access token knows it; None for an anonymous
            caller.
        scopes: What the access token may be used for.
        roles: What the caller is.
        claims: The claims of the access token.
        headers: By names in lower case; credentials are shown only if you ask for them by name.
        address: Where the connection comes from.
        request: The host's own request, if there is one.
    """

    id: str | None
    scopes: frozenset[str]
    roles: frozenset[str]
    claims: Mapping[str, Any]
    headers: Mapping[str, str]
    address: str | None
    request: Any


def caller_of(request: Request) -> Caller:
    """Who sends a request."""
    token = request.token
    return Caller(
        request.caller(),
        frozenset() if token is None else token.scopes,
        frozenset() if token is None else token.roles,
        {} if token is None else token.claims,
        ShownHeaders(request.headers),
        request.address,
        request.host_request(),
    )


def no_permission_names(name: str, host: str) -> str:
    """Say that a host cannot know a permission by its name, and what to write instead."""
    return (
        f"permission={name!r}: {host} has no permissions by name here. Write a function of the "
        "request (permission=lambda request: ...), or use roles= or scopes="
    )


@dataclass(frozen=True, slots=True)
class HasPermission:
    """The host knows that the caller has a permission, by its name."""

    name: str

    def is_satisfied(self, request: Request) -> bool:
        if request.has_permission is None:
            raise CannotTell(no_permission_names(self.name, "This host"))
        return is_yes(request.has_permission, request.has_permission(self.name))


@dataclass(frozen=True, slots=True)
class RequestPredicate:
    """A function of the host's own request says so."""

    function: Callable[[Any], bool]

    def is_satisfied(self, request: Request) -> bool:
        return is_yes(self.function, self.function(request.host_request()))


@dataclass(frozen=True, slots=True)
class When:
    """A function of the `Caller` says so."""

    function: Callable[[Caller], bool]

    def is_satisfied(self, request: Request) -> bool:
        return is_yes(self.function, self.function(caller_of(request)))


@dataclass(frozen=True, slots=True)
class HasScopes:
    """The access token is good for all of these scopes.

    A local transport has no access tokens (basic/authorization): whoever starts the process is the
    user, with all that the user may.
    """

    scopes: tuple[str, ...]

    def is_satisfied(self, request: Request) -> bool:
        if request.token is not None:
            return request.token.scopes.issuperset(self.scopes)
        if request.has_scope is not None:
            return all(is_yes(request.has_scope, request.has_scope(one)) for one in self.scopes)
        # Otherwise nobody has authenticated: a token may change that.
        return request.is_trusted_local


@dataclass(frozen=True, slots=True)
class HasRole:
    """The caller has one of these roles: by the access token, or as the host knows them."""

    roles: tuple[str, ...]

    def is_satisfied(self, request: Request) -> bool:
        if request.token is not None and not request.token.roles.isdisjoint(self.roles):
            return True
        if request.has_role is not None:
            return any(is_yes(request.has_role, request.has_role(one)) for one in self.roles)
        return False


def scopes_of(rules: Iterable[Rule]) -> tuple[str, ...]:
    """All scopes that rules ask for, in order."""
    named = [scope for rule in rules if isinstance(rule, HasScopes) for scope in rule.scopes]
    return tuple(dict.fromkeys(named))


def missing_scopes(request: Request, rules: Sequence[Rule]) -> tuple[str, ...]:
    """The scopes that a caller needs who does not fulfil all rules, if more of them are all that is
    missing."""
    return scopes_of(rules) if request.permits(without_scopes(rules)) else ()


def without_scopes(rules: Sequence[Rule]) -> list[Rule]:
    """The rules that another access token would not change."""
    return [rule for rule in rules if not isinstance(rule, HasScopes)]
