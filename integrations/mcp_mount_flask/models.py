"""JSON Schemas of the models that views take: pydantic's, marshmallow's and Flask-RESTX's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from mcp_mount.features import DefinitionError
from mcp_mount_flask.marshmallows import is_marshmallow, schema_of_marshmallow

_OF_DOCUMENT: Final = "#/components/schemas/"


class Components:
    """The definitions that schemas refer to, as components of one document.

    Different definitions with the same name get different names.
    """

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}
        self._names: dict[tuple[str, str], str] = {}

    def placed(self, schema: Any, definitions: Mapping[str, Any], prefix: str) -> Any:
        """Return a schema that refers to components instead of definitions.

        Args:
            schema: A schema that refers to definitions.
            definitions: The definitions by name. Those in use become components.
            prefix: The prefix of references to definitions.
        """
        if isinstance(schema, list):
            return [self.placed(one, definitions, prefix) for one in schema]
        if not isinstance(schema, Mapping):
            return schema
        found = {key: self.placed(one, definitions, prefix) for key, one in schema.items()}
        name = _referred(schema, prefix)
        if name in definitions:
            found["$ref"] = _OF_DOCUMENT + self._name(name, definitions, prefix)
        return found

    def _name(self, name: str, definitions: Mapping[str, Any], prefix: str) -> str:
        # Two definitions are equal only if everything that they refer to is equal too.
        whole = {one: definitions[one] for one in _needed(name, definitions, prefix)}
        key = name, json.dumps(whole, sort_keys=True)
        if key not in self._names:
            own, number = name, 1
            while own in self.schemas:
                number += 1
                own = f"{name}_{number}"
            self._names[key], self.schemas[own] = own, {}
            self.schemas[own] = self.placed(definitions[name], definitions, prefix)
        return self._names[key]


def _referred(schema: Mapping[str, Any], prefix: str) -> str:
    """Return the name of the definition that a schema refers to, or ""."""
    reference = schema.get("$ref")
    return reference.removeprefix(prefix) if isinstance(reference, str) else ""


def _needed(name: str, definitions: Mapping[str, Any], prefix: str) -> set[str]:
    """Return the names of a definition and of all that it refers to, directly or not."""
    found, waiting = {name}, [name]
    while waiting:
        for one in _references(definitions[waiting.pop()], prefix):
            if one in definitions and one not in found:
                found.add(one)
                waiting.append(one)
    return found


def _references(schema: Any, prefix: str) -> Iterator[str]:
    if isinstance(schema, Mapping):
        yield _referred(schema, prefix)
    inner = schema.values() if isinstance(schema, Mapping) else schema
    for one in inner if isinstance(schema, Mapping | list) else ():
        yield from _references(one, prefix)


def check_model(model: Any) -> None:
    """Check that something is a model.

    Args:
        model: What a user has given as a model.

    Raises:
        DefinitionError: If it is not a model.
    """
    is_pydantic = isinstance(model, type) and issubclass(model, BaseModel)
    if not (is_pydantic or _is_restx(model) or isinstance(model, Mapping) or is_marshmallow(model)):
        raise DefinitionError(f"{model!r} is not a model: give a pydantic model or a JSON Schema")


def schema_of(model: Any, components: Components) -> dict[str, Any]:
    """Return the JSON Schema of a model.

    Args:
        model: A model of pydantic or Flask-RESTX, a marshmallow schema, or a JSON Schema, which is
            returned unchanged.
        components: Gets the definitions that the schema refers to.

    Raises:
        DefinitionError: If it is not a model, or has no JSON Schema.
    """
    check_model(model)
    prefix = "#/$defs/"
    try:
        if _is_restx(model):
            prefix = "#/definitions/"
            schema, definitions = model.__schema__, _restx_definitions(model)
        else:
            schema = _schema_of(model)
            definitions = schema.get("$defs", {})
        # Through JSON, because libraries put values of other types into schemas.
        plain = json.loads(json.dumps({key: one for key, one in schema.items() if key != "$defs"}))
        if (name := _referred(plain, prefix)) in definitions:
            # A model that is nested in itself: its members are needed one by one.
            plain = definitions[name]
        placed: dict[str, Any] = components.placed(plain, definitions, prefix)
    except Exception as error:
        # Libraries raise various exceptions for models that they cannot describe.
        raise DefinitionError(f"the model {model!r} has no JSON Schema: {error}") from error
    return placed


def _schema_of(model: Any) -> Mapping[str, Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return model.model_json_schema()
    return model if isinstance(model, Mapping) else schema_of_marshmallow(model)


def _is_restx(model: Any) -> bool:
    return hasattr(model, "__schema__") and hasattr(model, "resolved")


def _restx_definitions(model: Any) -> dict[str, Any]:
    """Return the schemas that a model of Flask-RESTX refers to, by their names in its API."""
    found: dict[str, Any] = {}

    def add(inner: Any) -> None:
        if inner.name not in found:
            found[inner.name] = json.loads(json.dumps(inner.__schema__))
            add_fields(inner)

    def add_fields(one: Any) -> None:
        for parent in getattr(one, "__parents__", ()):
            add(parent)
        for field in one.resolved.values():
            inner = getattr(field, "container", field)
            if hasattr(inner, "nested"):
                add(inner.nested)

    add_fields(model)
    return found
