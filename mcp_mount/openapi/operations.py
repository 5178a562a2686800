"""One operation of an OpenAPI document: what it is called, and what it is known by."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from mcp_mount.schemas.values import text

MARK: Final = "x-mcp"
"""The member of an operation that makes it a tool."""

FUNCTION: Final = "x-mcp-function"
"""The member of an operation with the name of its function, if its id does not tell."""

ALIASES: Final = "x-mcp-aliases"
"""The member of an operation with more names that users may know it by."""

ANNOTATIONS: Final = "x-mcp-annotations"
"""The member of an operation with hints of its tool, in place of those that its method gives."""

PATHS: Final = "x-mcp-paths"
"""The member of an operation with more paths of the same endpoint, with fewer parameters."""

METHODS: Final = ("get", "post", "put", "patch", "delete")


def as_mark(name: str | None = None, description: str | None = None) -> dict[str, str]:
    """The value of `MARK`: the name and the description of the tool.

    Raises:
        DefinitionError: For what is no text.
    """
    mark = {"name": name, "description": description}
    return {key: text(f"{key}=", value) for key, value in mark.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of an OpenAPI document.

    Attributes:
        path: Its path in the whole application.
        method: The HTTP method, in lower case.
        described: The operation, as data.
        prefix: Where the application of the document is mounted in the whole one.
        problem: Why it cannot be called, if so.
    """

    path: str
    method: str
    described: Mapping[str, Any]
    prefix: str = ""
    problem: str | None = None

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def id(self) -> str:
        """Its `operationId`; nothing where the document has none."""
        known = self.described.get("operationId")
        return known if isinstance(known, str) else ""

    @property
    def function(self) -> str:
        """The name of the endpoint's function, out of the id that FastAPI makes of it."""
        known = self.described.get(FUNCTION)
        if known is not None:
            return str(known)
        made = re.sub(r"\W", "_", self.path.removeprefix(self.prefix)) + "_" + self.method
        return self.id.removesuffix(made) if self.id.endswith(made) else self.id

    @property
    def names(self) -> tuple[str, ...]:
        """What users may call it: its id, its function, and what else the host knows."""
        aliases = _texts(self.described.get(ALIASES))
        return tuple(filter(None, (self.id, self.function, *aliases)))

    @property
    def paths(self) -> tuple[str, ...]:
        """All its paths, the one with the most parameters first."""
        return (self.path, *_texts(self.described.get(PATHS)))

    def parameters_of_path(self) -> frozenset[str]:
        """The names of the parameters in its path."""
        return _parameters(self.path)

    def parameters_of_each_path(self) -> frozenset[str]:
        """The names of the parameters that all its paths have."""
        return frozenset.intersection(*map(_parameters, self.paths))

    def path_for(self, given: Collection[str]) -> str:
        """Its path with the most parameters that are all given.

        Args:
            given: The names of the parameters that are given.
        """
        fit = [path for path in self.paths if _parameters(path) <= set(given)]
        return max(fit, key=lambda path: len(_parameters(path)), default=self.path)

    def unsent(self, given: Collection[str]) -> dict[str, frozenset[str]]:
        """The parameters that are given and that no path takes with the others: for each, those
        that it needs beside them.

        Args:
            given: The names of the parameters that are given.
        """
        taken = _parameters(self.path_for(given))
        paths = [_parameters(path) for path in self.paths]
        return {
            name: min((path - set(given) for path in paths if name in path), key=len)
            for name in given
            if name not in taken
        }

    @property
    def annotations(self) -> Mapping[str, Any]:
        """The hints of its tool: what its method says, unless the application says otherwise."""
        return {**annotations_of(self.method), **(self.described.get(ANNOTATIONS) or {})}

    @property
    def default_name(self) -> str:
        """What its tool is called; nothing where the document does not say."""
        return self.function

    @property
    def name_by_path(self) -> str:
        """Its method and its path as a name: "get_orders_order_id"."""
        return f"{self.method}_{re.sub(r'[^A-Za-z0-9]+', '_', self.path).strip('_')}".strip("_")

    @property
    def mark(self) -> Mapping[str, Any]:
        """What the application itself says of the tool."""
        mark = self.described.get(MARK)
        return mark if isinstance(mark, Mapping) else {}

    def declares(self, status: int) -> bool:
        """Whether its documentation has a response of some status.

        Args:
            status: The HTTP status.
        """
        responses = self.described.get("responses")
        known = {str(one).upper() for one in responses} if isinstance(responses, Mapping) else set()
        return str(status) in known or f"{status // 100}XX" in known

    @property
    def tags(self) -> Sequence[str]:
        """The tags that the document gives it."""
        return _texts(self.described.get("tags"))

    @property
    def description(self) -> str:
        """What the document says of it: the description, or else the summary."""
        said = (self.described.get("description"), self.described.get("summary"))
        return next((one for one in said if isinstance(one, str) and one.strip()), "")

    def is_one_of(self, words: Collection[str]) -> bool:
        """Whether it is named by its id, its function or (a pattern of) its path.

        Args:
            words: Ids, names of functions, and patterns of paths.
        """
        return any(word in self.names or fnmatchcase(self.path, word) for word in words)


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _parameters(path: str) -> frozenset[str]:
    return frozenset(re.findall(r"{([^{}:]+)", path))


def path_shape(path: str) -> str:
    """A path without the names of its parameters, in which a document and routes may differ."""
    return re.sub(r"{[^{}]*}", "{}", path)


def annotations_of(method: str) -> dict[str, bool]:
    """The hints that an HTTP method, in lower case, gives (RFC 9110, section 9.2)."""
    if method in ("get", "head"):
        return {"readOnlyHint": True}
    return {
        "readOnlyHint": False,
        "destructiveHint": method != "post",
        "idempotentHint": method in ("put", "delete"),
    }
