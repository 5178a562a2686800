"""The chain of policies around an entry, made of what its levels declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_mount.calls.call import Policy
from mcp_mount.calls.policies import Policies
from mcp_mount.observability.records import Redaction
from mcp_mount.policies import (
    budget,
    cache,
    checks,
    concurrency,
    middleware,
    sizes,
    throttle,
    timeout,
)
from mcp_mount.policies.kinds import MAKING, Levels, PolicyEnvironment, PolicyKind, PolicyLevel
from mcp_mount.policies.options import CHECKS, RULES
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import several_names


def _observers(levels: Levels) -> Sequence[Policy]:
    redact = Redaction(levels.all_of("redact"))
    return [make(redact) for make in levels.environment.observers]


def _names(key: str, value: Any) -> list[str]:
    return value.split() if isinstance(value, str) else several_names(key, value)


def _extra_arguments(key: str, value: Any) -> Any:
    if value not in (None, "forbid", "ignore"):
        raise DefinitionError(f'{key} is "forbid" or "ignore", not {value!r}')
    return value


def _nothing(levels: Levels) -> Sequence[Policy]:
    return ()


KINDS: Final = (
    PolicyKind(_observers, {"redact": _names}),
    middleware.KIND,
    sizes.REQUEST_KIND,
    throttle.KIND,
    # What may refuse a call comes before the cache: it is asked before anything kept is returned.
    PolicyKind(lambda levels: levels.dependencies),
    checks.KIND,
    cache.KIND,
    # What is kept costs nothing.
    budget.KIND,
    concurrency.KIND,
    timeout.KIND,
    sizes.RESULT_KIND,
    # No policy: `PolicyChain.ignores_extra_arguments` is read where arguments are validated.
    PolicyKind(_nothing, {"extra_arguments": _extra_arguments}),
)
"""The kinds of policies in the order in which they wrap a call, the outermost first."""

READERS: Final = {name: read for kind in KINDS for name, read in kind.options.items()}
"""How the value of each option is read."""


class PolicyChain:
    """The levels around an entry, the outermost first."""

    def __init__(self, levels: Sequence[PolicyLevel]) -> None:
        self.levels = tuple(levels)
        self._chain: Sequence[Policy] | None = None
        self._ignores_extra_arguments = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolicyChain) and self._effective_levels == other._effective_levels

    def __hash__(self) -> int:
        return hash(self._effective_levels)

    @property
    def _effective_levels(self) -> tuple[PolicyLevel, ...]:
        return tuple(one for one in self.levels if not one.is_empty)

    @property
    def chain(self) -> Sequence[Policy]:
        """The policies around a call, the outermost first; made when the first call comes."""
        chain = self._chain
        return self._make() if chain is None else chain

    def _make(self) -> Sequence[Policy]:
        with MAKING:
            if self._chain is not None:
                return self._chain
            for level in self.levels:
                level.is_fixed = True
                level.chains[id(self)] = self
            self._ignores_extra_arguments = self.ignores_extra_arguments
            levels = Levels(self.levels)
            self._chain = tuple(policy for kind in KINDS for policy in kind.make(levels))
            return self._chain

    def forget(self) -> None:
        """Drop the policies, which are made anew when the next call comes."""
        self._chain = None

    def nearest(self, name: str, default: Any) -> Any:
        """The value of an option at the innermost level that declares it.

        Args:
            name: The option, such as "max_result_bytes".
            default: For an option that no level declares.
        """
        return Levels(self.levels).nearest(name, default)

    @property
    def ignores_extra_arguments(self) -> bool:
        """Whether arguments that a handler does not have are dropped instead of refused."""
        if self._chain is not None:
            return self._ignores_extra_arguments
        return bool(self.nearest("extra_arguments", "forbid") == "ignore")

    @property
    def environment(self) -> PolicyEnvironment:
        """What the server gives."""
        return Levels(self.levels).environment

    def within(self, outer: Policies) -> Policies:
        """These policies, in an entry that is included in what has `outer`."""
        assert isinstance(outer, PolicyChain), "policies are declared in one way"
        return PolicyChain((*outer.levels, *self.levels))


def read(declared: Mapping[str, Any]) -> dict[str, Any]:
    """The values of options that declare policies, for `PolicyLevel.declare`.

    Args:
        declared: Options of `PolicyOptions`; those that are rules or checks are left to others.

    Raises:
        DefinitionError: For a value that an option cannot have.
    """
    return {
        name: READERS[name](name, value)
        for name, value in declared.items()
        if name not in RULES and name not in CHECKS
    }


def policies_of(name: str, declared: Mapping[str, Any]) -> PolicyChain:
    """The policies of an entry or a router that is not included anywhere yet.

    Args:
        name: Of its level.
        declared: As in `read`.

    Raises:
        DefinitionError: For a value that an option cannot have.
    """
    return PolicyChain((PolicyLevel(name, read(declared)),))
