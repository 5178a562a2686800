"""The arguments by which users declare policies: the same for a tool, a router and a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar

from mcp_mount.policies.cache import Cache
from mcp_mount.policies.concurrency import MaxConcurrency
from mcp_mount.policies.declared import PolicyChain, PolicyLevel
from mcp_mount.policies.middleware import policy_of
from mcp_mount.policies.throttle import Throttle
from mcp_mount.policies.timeout import Timeout
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.permissions import Condition, Names, Permission, rules_of
from mcp_mount.wire.messages import Rule

T = TypeVar("T")


class PolicyOptions(TypedDict, total=False):
    """What may be declared around a tool, a resource, a prompt, a router and a server.

    permission, scopes, roles, when: who may see and use it; all that is declared must hold. A
    permission is a name, as the host knows it, or a function of the host's request; scopes are
    those of the access token, all of them are needed; of roles one is; `when` is a function of the
    `Caller`.

    throttle: how often each caller may call, such as "10/minute", or a `Throttle`.
    max_concurrency: how many calls run at a time in a process, or a `MaxConcurrency`. Those of a
    tool, its routers and the server all hold, each with a count of its own.

    timeout: how long a call may take, in seconds, or a `Timeout`. cache: for how long results are
    kept, in seconds, or a `Cache`. max_body_bytes, max_argument_depth, max_result_bytes: limits of
    what comes and goes. For these the nearest counts: a tool's before its router's before the
    server's; None lifts an outer one.

    extra_arguments: "ignore" drops arguments that a tool or prompt does not have, for clients that
    add their own; "forbid", as by default, refuses them with the names that exist. The nearest
    counts.

    check: functions of arguments, by their names, that refuse a call by raising ValueError;
    check_result: of the value that a tool returned. redact: arguments that no log or audit shows.
    call_middleware: functions around the handler.
    """

    permission: Permission
    scopes: Names | None
    roles: Names | None
    when: Condition | Sequence[Condition] | None
    throttle: str | Throttle | Sequence[str | Throttle] | None
    max_concurrency: int | MaxConcurrency | None
    timeout: float | Timeout | None
    cache: float | Cache | None
    max_body_bytes: int | None
    max_argument_depth: int | None
    max_result_bytes: int | None
    extra_arguments: Literal["forbid", "ignore"] | None
    check: Callable[..., Any] | Sequence[Callable[..., Any]]
    check_result: Callable[..., Any] | Sequence[Callable[..., Any]]
    redact: Names
    call_middleware: Callable[..., Any] | Sequence[Callable[..., Any]]


RULES = ("permission", "scopes", "roles", "when")
CHECKS = ("check", "check_result")


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that declare policies, and all others."""
    known = PolicyOptions.__annotations__
    declared = {key: value for key, value in options.items() if key in known}
    return declared, {key: value for key, value in options.items() if key not in known}


def rules_in(declared: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules among declared options. Raises DefinitionError for what is none."""
    return rules_of(
        declared.get("permission"),
        scopes=declared.get("scopes"),
        roles=declared.get("roles"),
        when=declared.get("when"),
    )


def declare(level: PolicyLevel, declared: Mapping[str, Any]) -> None:
    """Note at a level what is declared there, in place of what was so by the same names.

    Raises DefinitionError for what cannot be declared.
    """
    for key, value in declared.items():
        if key == "throttle":
            level.throttles = [
                one if isinstance(one, Throttle) else Throttle(one) for one in guarding(key, value)
            ]
        elif key == "max_concurrency":
            level.concurrency = _made(MaxConcurrency, value)
        elif key == "redact":
            level.redact = value.split() if isinstance(value, str) else list(value or ())
        elif key == "call_middleware":
            level.middleware = [policy_of(one) for one in several(value)]
        elif key == "timeout":
            level.nearest[key] = _made(Timeout, value)
        elif key == "extra_arguments":
            if value not in (None, "forbid", "ignore"):
                raise DefinitionError(f'{key} is "forbid" or "ignore", not {value!r}')
            level.nearest[key] = value
        elif key == "cache":
            level.nearest[key] = _made(Cache, value)
        elif key not in RULES and key not in CHECKS:
            level.nearest[key] = _limit(key, value)


def stack_of(name: str, declared: Mapping[str, Any]) -> PolicyChain:
    """The policies of what stands alone as yet."""
    level = PolicyLevel(name)
    declare(level, declared)
    return PolicyChain((level,))


def _made(kind: type[T], value: Any) -> T | None:
    """What users give as it is, or by its first argument; None for none."""
    if value is None or isinstance(value, kind):
        return value
    return kind(value)  # type: ignore[call-arg]


def guarding(key: str, value: Any) -> Sequence[Any]:
    """What guards, given alone or in a list.

    Raises:
        DefinitionError: For an empty list: one that has come out empty by mistake would guard
            nothing, in silence.
    """
    found = several(value)
    if value is not None and not found:
        raise DefinitionError(f"{key}={value!r} names nothing: leave it out, or write None")
    return found


def several(value: Any) -> Sequence[Any]:
    """What may be given alone or in a list."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def _limit(name: str, value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise DefinitionError(f"{name} is a number from 1 on, not {value!r}")
