"""The references of an OpenAPI document, and schemas that stand alone.

`referencing`, the resolver of `jsonschema`, follows the same pointers, but comes with the `schema`
extra only, and following them is a few lines here: the rest is to collect what a schema refers to,
which neither it nor jsonschema-path does; prance and openapi-core fetch files, and bring six and
more packages. Nothing is ever fetched here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from mcp_mount.openapi.schemas import translated
from mcp_mount.schemas.functions import DefinitionError

_OWN: Final = ("#/$defs/", "#/definitions/")
"""References into the schema that they stand in, as pydantic writes them by itself: `Model
.model_json_schema()` in the `openapi_extra` of FastAPI's own documentation."""


class Needs(set[tuple[str, int]]):
    """What a schema refers to: references, with the id of the schema that those are within."""


@dataclass(slots=True)
class _Moved:
    """A schema that others refer to, as it stands in `$defs`.

    Attributes:
        root: The schema that it stands in, kept since its id is a part of the key.
        needs: What it refers to itself.
    """

    name: str
    root: Any
    schema: Any = None
    needs: Needs = field(default_factory=Needs)


class References:
    """Follows the references of a document.

    A component is translated once for all operations that refer to it.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._moved: dict[bool, dict[tuple[str, int], _Moved]] = {True: {}, False: {}}
        self._names: dict[str, tuple[str, int]] = {}

    def resolved(self, value: Any) -> Any:
        """The value at a place, or the one that it refers to.

        Members beside a reference take precedence: 3.1 has that for descriptions and for members of
        path items, and documents of 3.0 do the same.

        Raises:
            DefinitionError: For a reference that leads nowhere, in a circle, or out of the
                document.
        """
        seen: set[str] = set()
        beside: dict[str, Any] = {}
        while isinstance(value, Mapping) and isinstance(value.get("$ref"), str):
            reference: str = value["$ref"]
            if reference in seen:
                raise DefinitionError(f"the $ref {reference!r} leads back to itself")
            seen.add(reference)
            if len(value) > 1:
                beside = {**value, **beside}
            value = lookup(self._document, reference)
        if not beside or not isinstance(value, Mapping):
            return value
        del beside["$ref"]
        return {**value, **beside}

    def alone(self, schema: Any, *, is_sent: bool) -> dict[str, Any]:
        """A schema as JSON Schema 2020-12, with all that it refers to in its `$defs`.

        Args:
            schema: Of the document.
            is_sent: Whether it is that of a request, without what only answers have, or that of an
                answer.

        Raises:
            DefinitionError: For a reference that leads nowhere, or out of the document.
        """
        needs = Needs()
        whole = self.part(schema, needs, is_sent=is_sent)
        return self.whole(whole if isinstance(whole, dict) else {}, needs, is_sent=is_sent)

    def part(self, schema: Any, needs: Needs, *, is_sent: bool, root: Any = None) -> Any:
        """A schema that becomes a part of one by `whole`.

        Args:
            schema: Of the document.
            needs: Gets what it refers to.
            is_sent: As with `alone`.
            root: The schema that it stands in, if not in itself.

        Raises:
            DefinitionError: For a reference that leads nowhere, or out of the document.
        """
        return self._translated(schema, schema if root is None else root, needs, is_sent=is_sent)

    def whole(self, schema: Mapping[str, Any], needs: Needs, *, is_sent: bool) -> dict[str, Any]:
        """A schema with all that its parts refer to in its `$defs`."""
        known = self._moved[is_sent]
        definitions: dict[str, Any] = {}
        waiting, seen = sorted(needs), set(needs)
        while waiting:
            moved = known[waiting.pop(0)]
            definitions[moved.name] = moved.schema
            further = sorted(moved.needs - seen)
            seen.update(further)
            waiting += further
        return {**schema, "$defs": definitions} if definitions else dict(schema)

    def _translated(self, schema: Any, root: Any, needs: Needs, *, is_sent: bool) -> Any:
        """A schema with references to `$defs`.

        Args:
            schema: The schema.
            root: The schema that it stands in.
            needs: Collects what it refers to.
            is_sent: Whether it describes what a client sends.
        """

        def reference_to(reference: str) -> str:
            key, found, inner = self._found(reference, root)
            needs.add(key)
            moved = self._moved[is_sent].get(key)
            if moved is None:
                moved = self._moved[is_sent][key] = _Moved(self._name(reference, key), inner)
                try:
                    moved.schema = self._translated(found, inner, moved.needs, is_sent=is_sent)
                except DefinitionError:
                    # Others that refer to it hear of it, too.
                    del self._moved[is_sent][key]
                    raise
            return f"#/$defs/{moved.name}"

        return translated(schema, reference_to, "readOnly" if is_sent else "writeOnly")

    def _found(self, reference: str, root: Any) -> tuple[tuple[str, int], Any, Any]:
        """What a reference refers to: its key, itself, and the schema that it stands in."""
        try:
            found = lookup(self._document, reference)
        except DefinitionError:
            if not reference.startswith(_OWN):
                raise
            return (reference, id(root)), lookup(root, reference), root
        if not isinstance(found, Mapping | bool):
            raise DefinitionError(f"the $ref {reference!r} leads to what is no schema")
        return (reference, 0), found, found

    def _name(self, reference: str, key: tuple[str, int]) -> str:
        """The name of a definition: letters that need no escapes in a reference, each once."""
        last = unquote(reference).rpartition("/")[2].replace("~1", "_").replace("~0", "_")
        name = start = re.sub(r"[^A-Za-z0-9_.-]+", "_", last).strip("_") or "schema"
        number = 1
        while self._names.setdefault(name, key) != key:
            number += 1
            name = f"{start}_{number}"
        return name


def lookup(document: Any, reference: str) -> Any:
    """What a reference refers to within a document.

    Raises:
        DefinitionError: If that is nothing, or outside of it.
    """
    if not reference.startswith("#"):
        raise DefinitionError(
            f"the $ref {reference!r} leads out of the document, and nothing is fetched: bundle the "
            "document into one"
        )
    found: Any = document
    steps = reference.split("/")[1:]
    for step in steps:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            found = None
            break
    if found is None or not steps:
        raise DefinitionError(f"the $ref {reference!r} leads nowhere")
    return found


def without_required(schema: Any) -> Any:
    """A schema of which any member may be missing."""
    if isinstance(schema, Mapping):
        return {
            key: without_required(value)
            for key, value in schema.items()
            if key != "required" or not isinstance(value, list)
        }
    return [without_required(one) for one in schema] if isinstance(schema, list) else schema
