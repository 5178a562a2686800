"""Permissions: who may see and use an entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from mcp_mount.features.functions import DefinitionError, describe, is_coroutine_function
from mcp_mount.protocol.messages import Rule

Permission: TypeAlias = Rule | Sequence[Rule] | None
"""One rule, or several that must all hold."""


def rules_of(permission: Permission) -> tuple[Rule, ...]:
    """The rules in an argument `permission=`. Raises DefinitionError for what is none."""
    if permission is None:
        return ()
    if isinstance(permission, str) or callable(permission):
        return (_checked(permission),)
    if isinstance(permission, Sequence):
        return tuple(_checked(rule) for rule in permission)
    raise _no_rule(permission)


def _checked(rule: Any) -> Rule:
    if isinstance(rule, str) and rule:
        return rule
    if not callable(rule):
        raise _no_rule(rule)
    if is_coroutine_function(rule):
        raise DefinitionError(f"{describe(rule)}: a permission is a plain function, no coroutine")
    function: Callable[[Any], bool] = rule
    return function


def _no_rule(value: Any) -> DefinitionError:
    return DefinitionError(
        f"a permission is a name, or a function of the host's request, not {value!r}"
    )
