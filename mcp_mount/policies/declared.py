"""What is declared around an entry, level by level, and the chain of policies that it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp_mount.backends.stores import MemoryStore, Store
from mcp_mount.calls.call import Policy
from mcp_mount.calls.callers import Callers, accepted_languages
from mcp_mount.calls.policies import Policies
from mcp_mount.observability.records import Redaction
from mcp_mount.policies.cache import Cache, Cached, Kept
from mcp_mount.policies.checks import CheckedBefore
from mcp_mount.policies.concurrency import MaxConcurrency
from mcp_mount.policies.sizes import RequestLimits, ResultLimit
from mcp_mount.policies.throttle import Throttle, Throttled
from mcp_mount.policies.timeout import Timeout
from mcp_mount.wire.messages import Request


@dataclass(eq=False, slots=True)
class PolicyEnvironment:
    """What a server gives the policies of its entries.

    name: the server's. store: keeps counts and results. callers: tells callers apart. varies: what
    of its host a result depends on, such as the language. observers: make what sees all calls, with
    what is to be left out of the arguments that they tell.
    """

    name: Callable[[], str] = lambda: "mcp-mount"
    store: Store = field(default_factory=MemoryStore)
    callers: Callers = field(default_factory=Callers)
    varies: Callable[[Request], str] = accepted_languages
    observers: list[Callable[[Redaction], Policy]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class PolicyLevel:
    """What is declared at a tool, a router or a server. name: where that is.

    nearest: what counts for all that is within, unless something nearer declares it: None there
    lifts it. surroundings: those of a server. dependencies: solves those of the function. checks:
    whether its arguments are checked. is_fixed: whether a call has been made already, so that
    nothing may be added.
    """

    name: str
    middleware: list[Policy] = field(default_factory=list)
    throttles: list[Throttle] = field(default_factory=list)
    concurrency: MaxConcurrency | None = None
    nearest: dict[str, Any] = field(default_factory=dict)
    redact: list[str] = field(default_factory=list)
    surroundings: PolicyEnvironment | None = None
    dependencies: Policy | None = None
    checks: bool = False
    is_fixed: bool = False

    def add_middleware(self, policy: Policy) -> None:
        """Add call middleware, within that which is there. Raises RuntimeError after a call."""
        if self.is_fixed:
            raise RuntimeError("call middleware is added before the first call")
        self.middleware.append(policy)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is declared at this level."""
        return not (
            self.middleware
            or self.throttles
            or self.concurrency
            or self.nearest
            or self.redact
            or self.surroundings
            or self.dependencies
        )


class PolicyChain:
    """The levels around an entry, the outermost first."""

    def __init__(self, levels: Sequence[PolicyLevel]) -> None:
        self.levels = tuple(levels)
        self._chain: Sequence[Policy] | None = None
        self._ignores_extra_arguments = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolicyChain) and self._effective_scopes == other._effective_scopes

    def __hash__(self) -> int:
        return hash(self._effective_scopes)

    @property
    def _effective_scopes(self) -> tuple[PolicyLevel, ...]:
        return tuple(one for one in self.levels if not one.is_empty)

    @property
    def chain(self) -> Sequence[Policy]:
        """The policies around a call, the outermost first; made when the first call comes."""
        if self._chain is None:
            self._ignores_extra_arguments = self.ignores_extra_arguments
            self._chain = _chain(self.levels)
        return self._chain

    def nearest(self, name: str, default: Any) -> Any:
        """What the nearest level declares that has such a policy, such as "max_result_bytes"."""
        for level in reversed(self.levels):
            if name in level.nearest:
                return level.nearest[name]
        return default

    @property
    def ignores_extra_arguments(self) -> bool:
        """Whether arguments that a handler does not have are dropped, and not refused."""
        if self._chain is not None:
            return self._ignores_extra_arguments
        return bool(self.nearest("extra_arguments", "forbid") == "ignore")

    def within(self, outer: Policies) -> Policies:
        """These policies, in an entry that is included in what has `outer`."""
        assert isinstance(outer, PolicyChain), "policies are declared in one way"
        return PolicyChain((*outer.levels, *self.levels))


def _chain(levels: Sequence[PolicyLevel]) -> Sequence[Policy]:
    """From outside inwards: what observes, middleware, limits, throttles, dependencies, checks, the
    cache, concurrency, the time limit, the limit of the result.

    Whatever may refuse stands before the cache: what guards is asked before what is kept is given.
    """
    around = next((one.surroundings for one in levels if one.surroundings), PolicyEnvironment())
    redact = Redaction([name for one in levels for name in one.redact])
    nearest: dict[str, Any] = {}
    for level in levels:
        nearest |= level.nearest
        level.is_fixed = True
    chain: list[Policy] = [make(redact) for make in around.observers]
    chain += [policy for level in levels for policy in level.middleware]
    limits = [nearest.get(name) for name in ("max_body_bytes", "max_argument_depth")]
    if any(limits):
        chain.append(RequestLimits(*limits))
    chain += [
        Throttled(throttle, f"{around.name()}/{level.name}/{number}", around.store, around.callers)
        for level in levels
        for number, throttle in enumerate(level.throttles)
    ]
    cache: Cache | None = nearest.get("cache")
    timeout: Timeout | None = nearest.get("timeout")
    dependencies = [level.dependencies for level in levels if level.dependencies is not None]
    chain += dependencies
    if cache is not None:
        if any(level.checks for level in levels):
            # Otherwise they are asked where the handler runs, within its transaction.
            chain.append(CheckedBefore())
        seconds = None if timeout is None else timeout.seconds
        kept = Kept(around.name, around.callers, around.varies)
        chain.append(
            Cached(cache, kept, around.store, seconds, has_dependencies=bool(dependencies))
        )
    chain += [level.concurrency for level in levels if level.concurrency is not None]
    if timeout is not None:
        chain.append(timeout)
    if nearest.get("max_result_bytes") is not None:
        chain.append(ResultLimit(nearest["max_result_bytes"]))
    return tuple(chain)
