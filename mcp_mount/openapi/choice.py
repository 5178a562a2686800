"""Which operations become tools, and what they are called."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mcp_mount.features.functions import DefinitionError
from mcp_mount.features.names import refuse_unknown, several_names
from mcp_mount.openapi.operations import MARK, METHODS, Operation, annotations_of


@dataclass(frozen=True, slots=True)
class Choice:
    """Which operations become tools, and what they are called.

    tags, operations, paths: those with one of these tags, operation ids (or function names), or
    paths ("/orders/*"); without any of them, those that are marked. methods: of HTTP. exclude:
    operation ids, function names or paths that stay out. names, descriptions: others, by operation
    id or function name. prefix: of all names.
    """

    tags: str | Collection[str] = ()
    operations: str | Collection[str] = ()
    paths: str | Collection[str] = ()
    methods: str | Collection[str] = METHODS
    exclude: str | Collection[str] = ()
    names: Mapping[str, str] | None = None
    descriptions: Mapping[str, str] | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        for name in ("tags", "operations", "paths", "exclude"):
            object.__setattr__(self, name, several_names(getattr(self, name)))
        methods = [one.lower() for one in several_names(self.methods)]
        refuse_unknown("methods= names no method that a tool can have:", methods, METHODS)
        object.__setattr__(self, "methods", methods)

    def of(self, operations: Sequence[Operation]) -> list[Operation]:
        """Those of an application's operations that are chosen.

        Raises:
            DefinitionError: If there is none, and for a word that matches nothing: one that is
                misspelt would leave out, or let in, what it is not meant to.
        """
        named = [name for one in operations for name in one.names]
        paths = [one.path for one in operations]
        tags = [tag for one in operations for tag in one.tags]
        refuse_unknown("tags= matches no endpoint:", self.tags, tags)
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
            raise DefinitionError(
                "no endpoint of the application is chosen: name some with operations= or paths=, "
                "or mark them with as_tool"
            )
        known_names = [name for one in chosen for name in one.names]
        for option in ("names", "descriptions"):
            table = getattr(self, option) or {}
            refuse_unknown(f"{option}= matches no endpoint that is chosen:", table, known_names)
        return chosen

    def has(self, operation: Operation) -> bool:
        if operation.method not in self.methods or operation.is_one_of(self.exclude):
            return False
        if not self.tags and not self.operations and not self.paths:
            return MARK in operation.described
        return (
            bool(set(self.tags) & set(operation.tags))
            or bool(set(self.operations) & set(operation.names))
            or any(fnmatchcase(operation.path, pattern) for pattern in self.paths)
        )

    def options(self, operation: Operation) -> dict[str, Any]:
        """The options of the tool that an operation becomes."""
        mark = operation.described.get(MARK) or {}
        name = _first(self.names, operation.names) or mark.get("name") or operation.function
        description = _first(self.descriptions, operation.names) or mark.get("description")
        return {
            "name": self.prefix + name,
            "description": description or operation.description,
            "annotations": annotations_of(operation.method),
        }


def _first(table: Mapping[str, str] | None, keys: Sequence[str]) -> str | None:
    return next((table[key] for key in keys if key in table), None) if table else None
