"""Policies as the core knows them: what is declared for an entry, and which of it admits calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mcp_mount.calls.call import Call, Policy
from mcp_mount.calls.flows import Flow, Proceed


def admits(policy: Policy) -> bool:
    """Whether a policy only asks if a call may begin: it does nothing after its `Proceed`.

    Those that do say so by an attribute, `admits = True`. They are asked before a call is accepted
    as a task, and not again when it runs.
    """
    return getattr(policy, "admits", False)


def admission(policies: Sequence[Policy], call: Call) -> Flow[None]:
    """Ask policies that admit calls, in their order. Raises what the first one that refuses
    raises."""
    for policy in policies:
        flow = policy.flow(call)
        answer: Any = None
        error: BaseException | None = None
        while True:
            step = flow.send(answer) if error is None else flow.throw(error)
            if step is None or isinstance(step, Proceed):
                flow.close()
                break
            answer = error = None
            try:
                answer = yield step
            except BaseException as raised:
                error = raised


class Policies(Protocol):
    """The policies that are declared for an entry, by itself and by what it is included in."""

    @property
    def chain(self) -> Sequence[Policy]:
        """The policies around a call, the outermost first."""

    @property
    def ignores_extra_arguments(self) -> bool:
        """Whether arguments that a handler does not have are dropped, and not refused."""

    @property
    def environment(self) -> Any:
        """What the server gives its entries, such as a store; None without policies."""

    def nearest(self, name: str, default: Any) -> Any:
        """The value of an option at the innermost level that declares it; `default` if none does.

        Args:
            name: The option, such as "max_body_bytes".
            default: For an option that no level declares.
        """

    def within(self, outer: Policies) -> Policies:
        """These policies, in an entry that is included in what has `outer`."""


class _NoPolicies:
    chain: Sequence[Policy] = ()
    ignores_extra_arguments = False
    environment = None

    def nearest(self, name: str, default: Any) -> Any:
        return default

    def within(self, outer: Policies) -> Policies:
        return outer


NO_POLICIES: Policies = _NoPolicies()
