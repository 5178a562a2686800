"""What a kind of policy declares of itself, and what it is given when a chain is made.

A new policy is one module: a class with a `flow`, and a `PolicyKind` that names its options, reads
what users give for them and makes the policies of a chain. It gets its place in `chain.KINDS`, and
its options their types in `options`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias
from weakref import WeakValueDictionary

from mcp_mount.backends.stores import MemoryStore, Store
from mcp_mount.calls.call import Policy
from mcp_mount.calls.callers import Callers, accepted_languages
from mcp_mount.observability.records import Redaction
from mcp_mount.wire.messages import Request

Reader: TypeAlias = Callable[[str, Any], Any]
"""Takes the name of an option and what a user gave for it; returns the value that is kept.

Raises DefinitionError for a value that the option cannot have.
"""

MAKING: Final = threading.Lock()
"""Held while a chain is made and while a level changes: a chain that is made meanwhile, on another
thread, would keep the old values for good."""


@dataclass(eq=False, slots=True)
class PolicyEnvironment:
    """What a server gives the policies of its entries.

    Attributes:
        name: Returns the server's name.
        store: Keeps counts and results.
        callers: Tells callers apart.
        varies: Returns what a result depends on besides its call, such as the language.
        observers: Make the policies that see all calls; each is given what they leave out of the
            arguments that they report.
    """

    name: Callable[[], str] = lambda: "mcp-mount"
    store: Store = field(default_factory=MemoryStore)
    callers: Callers = field(default_factory=Callers)
    varies: Callable[[Request], str] = accepted_languages
    observers: list[Callable[[Redaction], Policy]] = field(default_factory=list)


class MadeOfLevels(Protocol):
    """What is made of levels when the first call comes."""

    def forget(self) -> None:
        """Drop what was made: it is made anew when the next call comes."""


@dataclass(eq=False, slots=True)
class PolicyLevel:
    """The policies that one tool, router or server declares.

    Attributes:
        name: Names the level; counts are kept under it.
        declared: The values of its options, by their names, as `PolicyKind.options` has read them.
        added: What `add` has added to options, by their names; it stays when they are declared
            anew.
        environment: What the server gives, at the level of a server.
        dependencies: Solves the dependencies of the handler, at the level of an entry.
        checks: Whether the handler's arguments are checked.
        is_fixed: Whether a call has been made already, so that nothing may be added.
        chains: What was made of it, by `id`.
    """

    name: str
    declared: dict[str, Any] = field(default_factory=dict)
    added: dict[str, list[Any]] = field(default_factory=dict)
    environment: PolicyEnvironment | None = None
    dependencies: Policy | None = None
    checks: bool = False
    is_fixed: bool = False
    chains: WeakValueDictionary[int, MadeOfLevels] = field(default_factory=WeakValueDictionary)

    def declare(self, values: Mapping[str, Any]) -> None:
        """Declare options in place of what was declared of them before, for all calls to come.

        Args:
            values: As `PolicyKind.options` has read them, by the names of the options.
        """
        with MAKING:
            self.declared |= values
            for chain in self.chains.values():
                chain.forget()

    def add(self, name: str, values: Iterable[Any]) -> None:
        """Add to an option that has several values, after those that are declared.

        Args:
            name: The option, such as "call_middleware".
            values: What is added.

        Raises:
            RuntimeError: After the first call: it would run without them.
        """
        if self.is_fixed:
            raise RuntimeError("call middleware is added before the first call")
        self.added[name] = [*self.added.get(name, ()), *values]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is declared at this level."""
        own = self.environment is not None or self.dependencies is not None
        # None lifts what an outer level declares; an empty list adds nothing.
        values = (*self.declared.values(), *self.added.values())
        return not own and all(value == [] for value in values)


class Levels:
    """The levels around an entry, the outermost first, as the kinds of policies read them."""

    def __init__(self, levels: Sequence[PolicyLevel]) -> None:
        self._levels = levels
        self.environment = next(
            (one.environment for one in levels if one.environment), PolicyEnvironment()
        )
        self.dependencies = [one.dependencies for one in levels if one.dependencies is not None]
        self.has_checks = any(one.checks for one in levels)

    def nearest(self, name: str, default: Any = None) -> Any:
        """The value of an option at the innermost level that declares it; None lifts outer ones.

        Args:
            name: The option, such as "timeout".
            default: For an option that no level declares.
        """
        for level in reversed(self._levels):
            if name in level.declared:
                return level.declared[name]
        return default

    def every(self, name: str) -> list[tuple[str, list[Any]]]:
        """The values of an option that has several, at each level, with the level's name."""
        return [
            (one.name, [*one.declared.get(name, ()), *one.added.get(name, ())])
            for one in self._levels
        ]

    def all_of(self, name: str) -> list[Any]:
        """The values of an option that has several, those of all levels in a row."""
        return [one for _, values in self.every(name) for one in values]


@dataclass(frozen=True, slots=True)
class PolicyKind:
    """A kind of policy: the options that declare it, and what they make.

    Attributes:
        make: Returns the policies of a chain, the outermost first; none where nothing of the kind
            is declared. It decides how levels merge: `Levels.nearest` lets the innermost one count,
            with `Levels.every` all count.
        options: Reads the value of each option, by the option's name.
    """

    make: Callable[[Levels], Iterable[Policy]]
    options: Mapping[str, Reader] = field(default_factory=dict)
