"""An OpenAPI document: its operations, their arguments and their answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from mcp_mount.openapi.headers import FORWARDED, OF_THE_REQUEST
from mcp_mount.openapi.operations import METHODS, Operation
from mcp_mount.openapi.references import resolved, standing_alone, without_required
from mcp_mount.openapi.requests import OperationArguments
from mcp_mount.protocol.messages import JSON

_PARAMETER: Final = re.compile(r"{(\w+)(?::\w+)?}")


class Document:
    """An OpenAPI document (3.x).

    wide: the paths, as routes have them, with a parameter for several segments: `{name:path}`.
    prefix: where its application is mounted in the whole one; its parameters are arguments, too.
    unshaped: operations, as (path, method), whose answers may lack what their schemas require;
    unnamed: those whose answers have other names than in their schemas. enforces: whether the
    framework sees to it that an answer of one is as its schema says.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        wide: Sequence[str] = (),
        *,
        prefix: str = "",
        unshaped: Collection[tuple[str, str]] = (),
        unnamed: Collection[tuple[str, str]] = (),
        enforces: Callable[[tuple[str, str]], bool] = lambda where: False,
    ) -> None:
        self._document = document
        self._wide = wide
        self._prefix = prefix
        self._unshaped = unshaped
        self._unnamed = unnamed
        self._enforces = enforces
        self.schemas: Mapping[str, Any] = document.get("components", {}).get("schemas", {})

    def operations(self) -> Iterator[Operation]:
        """All its operations."""
        for path, methods in self._document.get("paths", {}).items():
            for method in METHODS:
                if method in methods:
                    described = {**methods[method], "parameters": self._parameters(methods[method])}
                    yield Operation(self._prefix + path, method, described, self._prefix)

    def _parameters(self, described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        own = list(described.get("parameters", ()))
        known = {one.get("name") for one in own}
        return [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in _PARAMETER.findall(self._prefix)
                if name not in known
            ),
            *own,
        ]

    def arguments(self, operation: Operation, forward: Collection[str]) -> OperationArguments:
        """The arguments of an operation; the headers that go along anyway are none.

        Raises DefinitionError for a body that a tool cannot send.
        """
        wide = {
            name
            for path in self._wide
            if operation.path.endswith(path.replace(":path}", "}"))
            for name in re.findall(r"{(\w+):path}", path)
        }
        return OperationArguments(
            operation, self.schemas, wide, {*FORWARDED, *forward, *OF_THE_REQUEST}
        )

    def output(self, operation: Operation, promised: bool | None) -> dict[str, Any] | None:
        """The schema of a successful answer; None where an answer may be something else.

        promised: whether the document is to be believed; None for where the framework enforces it.

        A text is none: it goes as text, as that of a tool of one's own does.
        """
        where = (operation.path.removeprefix(self._prefix), operation.method)
        if not (self._enforces(where) if promised is None else promised):
            return None
        if where in self._unnamed:
            return None
        found: list[Mapping[str, Any]] = []
        for status, response in operation.described.get("responses", {}).items():
            if str(status).startswith("2"):
                schema = response.get("content", {}).get(JSON, {}).get("schema")
                if not schema:
                    return None
                if schema not in found:
                    found.append(schema)
        if not found:
            return None
        whole = dict(resolved(found[0], self.schemas)) if len(found) == 1 else {"anyOf": found}
        if whole.get("type") in ("string", "null") or not whole.keys() - {"title", "description"}:
            return None
        alone = standing_alone(whole, self.schemas)
        return without_required(alone) if where in self._unshaped else alone
