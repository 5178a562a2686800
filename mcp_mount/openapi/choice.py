"""Which operations become tools, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from mcp_mount.openapi.operations import MARK, METHODS, Operation
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import refuse_unknown, several_names
from mcp_mount.schemas.permissions import takes_one
from mcp_mount.schemas.values import mapping, or_none, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which operations become tools, and what they are called.

    Attributes:
        tags: Those with one of these tags. Without tags, operations and paths, those that are
            marked.
        operations: Those with these operation ids or function names.
        paths: Those with these paths, such as "/orders/*".
        methods: Only these HTTP methods.
        exclude: Operation ids, function names or paths to leave out.
        names: Names of tools, by operation id or function name.
        descriptions: Descriptions of tools, by operation id or function name.
        prefix: A prefix for all names.
        exclude_tags: Tags to leave out.
        name: Returns the name of the tool of an `Operation`, or None for the default.
    """

    tags: str | Collection[str] = ()
    operations: str | Collection[str] = ()
    paths: str | Collection[str] = ()
    methods: str | Collection[str] = METHODS
    exclude: str | Collection[str] = ()
    names: Mapping[str, str] | None = None
    descriptions: Mapping[str, str] | None = None
    prefix: str = ""
    exclude_tags: str | Collection[str] = ()
    name: Callable[[Operation], str | None] | None = None

    remedy: str = (
        "give this one another name by names=, name= or prefix=, or leave it out by exclude="
    )
    """What to write where a name is taken, in the options that the user's call has."""

    without_tags: ClassVar[str] = "none has a tag; choose by operations= or paths="
    """What to write where no endpoint has a tag."""

    def __post_init__(self) -> None:
        for name in ("tags", "operations", "paths", "exclude", "exclude_tags"):
            object.__setattr__(self, name, several_names(f"{name}=", getattr(self, name)))
        object.__setattr__(self, "methods", methods_in(self.methods))
        for name in ("names", "descriptions"):
            table = or_none(mapping)(f"{name}=", getattr(self, name)) or {}
            for key, value in table.items():
                text(f"{name}[{key!r}]", value)
        text("prefix=", self.prefix)
        if self.name is not None and not (callable(self.name) and takes_one(self.name)):
            raise DefinitionError(
                f"name= is a function of an Operation that returns a name, not {self.name!r}; one "
                "name for one endpoint goes into names="
            )

    def of(self, operations: Sequence[Operation]) -> list[Operation]:
        """Those of an application's operations that are chosen.

        Raises:
            DefinitionError: If there is none, and for a word that matches nothing: one that is
                misspelt would leave out, or let in, what it is not meant to.
        """
        named = [name for one in operations for name in one.names]
        paths = [one.path for one in operations]
        tags = [tag for one in operations for tag in one.tags]
        if self.tags and not tags:
            raise DefinitionError(f"tags= matches no endpoint: {self.without_tags}")
        refuse_unknown("tags= matches no endpoint:", self.tags, tags)
        refuse_unknown("exclude_tags= matches no endpoint:", self.exclude_tags, tags)
        refuse_unknown("operations= matches no endpoint:", self.operations, named)
        for option, known in (("paths", paths), ("exclude", [*named, *paths])):
            wrong = [
                word
                for word in getattr(self, option)
                if not any(fnmatchcase(one, word) for one in paths)
                and (option == "paths" or word not in named)
            ]
            refuse_unknown(f"{option}= matches no endpoint:", wrong, known)
        chosen = [one for one in operations if self.has(one)]
        if not chosen:
            raise DefinitionError(self._nothing_of(operations))
        known_names = [name for one in chosen for name in one.names]
        for option in ("names", "descriptions"):
            table = getattr(self, option) or {}
            refuse_unknown(f"{option}= matches no endpoint that is chosen:", table, known_names)
        return chosen

    def has(self, operation: Operation) -> bool:
        """Whether an operation is chosen.

        Args:
            operation: Of the application.

        Returns:
            True if its method is chosen, and a tag, its id or its path, or by its mark where the
            choice names none of these, and nothing leaves it out.
        """
        return self._selects(operation) and not self._left_out_by(operation)

    def _selects(self, operation: Operation) -> bool:
        """Whether an operation would be chosen if nothing left it out."""
        if not self.tags and not self.operations and not self.paths:
            return operation.described.get(MARK) not in (None, False)
        return (
            bool(set(self.tags) & set(operation.tags))
            or bool(set(self.operations) & set(operation.names))
            or any(fnmatchcase(operation.path, pattern) for pattern in self.paths)
        )

    def _left_out_by(self, operation: Operation) -> list[str]:
        """The options that leave an operation out."""
        leaves_out = {
            "methods=": operation.method not in self.methods,
            "exclude=": operation.is_one_of(self.exclude),
            "exclude_tags=": bool(set(self.exclude_tags) & set(operation.tags)),
        }
        return [option for option, is_so in leaves_out.items() if is_so]

    def _nothing_of(self, operations: Sequence[Operation]) -> str:
        """Why none of an application's operations is chosen, as an error."""
        selected = [one for one in operations if self._selects(one)]
        options = {option for one in selected for option in self._left_out_by(one)}
        if not options:
            return (
                "no endpoint of the application is chosen: name some with operations= or paths=, "
                "or mark them with as_tool"
            )
        is_by_mark = not self.tags and not self.operations and not self.paths
        return (
            "no endpoint of the application is chosen: all that are "
            f"{'marked with as_tool' if is_by_mark else 'selected'} are left out by "
            f"{' and '.join(sorted(options))}"
        )

    def names_by_itself(self, operation: Operation) -> bool:
        """Whether an operation is named, and not only one of a group or a pattern."""
        return bool(set(self.operations) & set(operation.names))

    def name_of(self, operation: Operation) -> str | None:
        """The name that a user gives a tool; None for none."""
        name = _first(self.names, operation.names)
        if name is None and self.name is not None:
            name = self.name(operation)
        if name is None:
            name = operation.mark.get("name")
        return None if name is None else self.prefix + name if isinstance(name, str) else name

    def description(self, operation: Operation) -> str:
        """What the tool is described by."""
        given = _first(self.descriptions, operation.names) or operation.mark.get("description")
        return given or operation.description or str(operation)


def methods_in(value: Any) -> list[str]:
    """The HTTP methods that an option `methods=` names, in lower case.

    Raises:
        DefinitionError: For what is no method that a tool can have, and for none.
    """
    methods = [one.lower() for one in several_names("methods=", value)]
    refuse_unknown("methods= names no method that a tool can have:", methods, METHODS)
    if not methods:
        raise DefinitionError(f"methods={value!r} names no method: leave it out for all")
    return methods


def _first(table: Mapping[str, str] | None, keys: Sequence[str]) -> str | None:
    return next((table[key] for key in keys if key in table), None) if table else None
