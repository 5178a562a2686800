"""The arguments by which users declare policies: the same for a tool, a router and a server.

A new one goes to the narrowest type that has all who may declare it: `CommonPolicies` for
everything, `ServerPolicies` for tools, routers and servers, `RouterPolicies` for tools and routers,
`PolicyOptions` for tools alone, besides `ResourcePolicies` and `PromptPolicies`. Those of a server
are options of a server, with rows in the tables of the Flask and the Django page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from mcp_mount.policies.budget import Budget
from mcp_mount.policies.cache import Cache
from mcp_mount.policies.concurrency import MaxConcurrency
from mcp_mount.policies.middleware import CallMiddleware
from mcp_mount.policies.throttle import Throttle
from mcp_mount.policies.timeout import Timeout
from mcp_mount.schemas.permissions import Condition, Names, Permission, rules_of
from mcp_mount.wire.messages import Rule

CheckFunction: TypeAlias = Callable[..., Any]
"""A function of arguments, by their names."""


class CommonPolicies(TypedDict, total=False):
    """Policies of tools, resources, prompts, routers and servers."""

    permission: Permission
    """Who may see and use it: a permission by its name, as the host knows it, a function of the
    host's request, or several that must all hold."""
    scopes: Names | None
    """The scopes of the access token that are needed, all of them."""
    roles: Names | None
    """The roles of which the caller needs one."""
    when: Condition | Sequence[Condition] | None
    """A function of the `Caller`, or several that must all hold."""
    throttle: str | Throttle | Sequence[str | Throttle] | None
    """How often each caller may call, such as "10/minute". Those of all levels hold."""
    budget: str | Budget | Sequence[str | Budget] | None
    """How much models may use up for each caller, such as "5 USD/day", "100000 tokens/day" or
    "1000 requests/hour". Those of all levels hold."""
    max_concurrency: int | MaxConcurrency | None
    """How many calls run at a time in a process. Those of all levels hold, each with its count."""
    timeout: float | Timeout | None
    """How long a call may take, in seconds. The nearest level counts; None lifts an outer one."""
    max_argument_depth: int | None
    """How many objects and arrays may stand within one another in the arguments. The nearest level
    counts; None lifts an outer one."""
    max_result_bytes: int | None
    """The largest encoded result. The nearest level counts; None lifts an outer one."""
    redact: Names
    """Arguments that no log, audit or trace shows; "card.number" for a member of one."""
    call_middleware: CallMiddleware | Sequence[CallMiddleware]
    """Functions that wrap the handler."""


class ServerPolicies(CommonPolicies, total=False):
    """Policies that a server declares for all that it offers."""

    cache: float | Cache | None
    """For how long results are kept, in seconds. The nearest level counts; None lifts an outer
    one."""
    extra_arguments: Literal["forbid", "ignore"] | None
    """Whether arguments that a handler does not have are refused ("forbid", the default) or
    dropped ("ignore"), for clients that add their own. The nearest level counts."""


class RouterPolicies(ServerPolicies, total=False):
    """Policies that a router declares for all its entries."""

    max_body_bytes: int | None
    """The largest request body, in bytes. The nearest level counts; None lifts an outer one."""


class PolicyOptions(RouterPolicies, total=False):
    """Policies of a tool: all that there are."""

    check: CheckFunction | Sequence[CheckFunction]
    """Functions of arguments, by their names, that refuse a call by raising ValueError."""
    check_result: CheckFunction | Sequence[CheckFunction]
    """Functions of the value that the tool returned, and of arguments by their names, that refuse
    it by raising ValueError."""


class ResourcePolicies(CommonPolicies, total=False):
    """Policies of a resource."""

    cache: float | Cache | None
    """For how long what was read is kept, in seconds."""
    max_body_bytes: int | None
    """The largest request body, in bytes."""


class PromptPolicies(CommonPolicies, total=False):
    """Policies of a prompt."""

    extra_arguments: Literal["forbid", "ignore"] | None
    """Whether arguments that the prompt does not have are refused or dropped."""
    max_body_bytes: int | None
    """The largest request body, in bytes."""


RULES = ("permission", "scopes", "roles", "when")
CHECKS = ("check", "check_result")


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that declare policies, and all others."""
    known = PolicyOptions.__annotations__
    declared = {key: value for key, value in options.items() if key in known}
    return declared, {key: value for key, value in options.items() if key not in known}


def without_checks(options: Iterable[str]) -> list[str]:
    """The names of options without those of checks.

    What has no checks refuses them in words that say so, but suggests none for a misspelt name.

    Args:
        options: What the user gave.
    """
    return [name for name in options if name not in CHECKS]


def rules_in(declared: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules among declared options.

    Args:
        declared: Options of `PolicyOptions`.

    Raises:
        DefinitionError: For a value that is no rule.
    """
    return rules_of(
        declared.get("permission"),
        scopes=declared.get("scopes"),
        roles=declared.get("roles"),
        when=declared.get("when"),
    )
