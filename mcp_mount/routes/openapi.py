"""The OpenAPI operations of tools on the HTTP side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from mcp_mount.features import Registry, Tool

_SCHEMAS: Final = "#/components/schemas/"

_CONTENT_SCHEMA = {
    "type": "object",
    "properties": {"content": {"type": "array", "items": {"type": "object"}}},
    "required": ["content"],
}


def describe_tools(
    document: Mapping[str, Any],
    faces: Mapping[str, Sequence[Registry]],
    hidden: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return a copy of an OpenAPI document with `POST {face}/{name}` for every tool.

    Args:
        document: What FastAPI makes of the other routes.
        faces: The registries whose tools are at a path.
        hidden: The names of tools that are left out.
    """
    paths = dict(document.get("paths", {}))
    components = dict(document.get("components", {}))
    schemas = dict(components.get("schemas", {}))
    for face, registries in faces.items():
        for registry in registries:
            for tool in registry.tools.values():
                if tool.name in hidden:
                    continue
                paths.setdefault(f"{face}/{tool.name}", {"post": _operation(tool, face, schemas)})
    if schemas:
        components["schemas"] = schemas
    described = {**document, "paths": paths}
    if components:
        described["components"] = components
    return described


def without_paths(document: Mapping[str, Any], paths: Collection[str]) -> Mapping[str, Any]:
    """Return an OpenAPI document without some paths, and without the schemas that they alone need.

    Args:
        document: The document.
        paths: Those to leave out.
    """
    kept = {path: item for path, item in document.get("paths", {}).items() if path not in paths}
    if len(kept) == len(document.get("paths", {})):
        return document
    schemas = document.get("components", {}).get("schemas", {})
    needed: set[str] = set()
    waiting = [kept]
    while waiting:
        for name in _schemas_in(waiting.pop()) - needed:
            needed.add(name)
            waiting.append(schemas.get(name, {}))
    components = {
        **document.get("components", {}),
        "schemas": {name: schema for name, schema in schemas.items() if name in needed},
    }
    return {**document, "paths": kept, "components": components}


def _schemas_in(value: Any) -> set[str]:
    """The schemas of the document that a part of it refers to."""
    if isinstance(value, Mapping):
        found = set().union(*map(_schemas_in, value.values()))
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith(_SCHEMAS):
            found.add(reference.removeprefix(_SCHEMAS))
        return found
    if isinstance(value, list):
        return set().union(*map(_schemas_in, value))
    return set()


def _operation(tool: Tool, face: str, schemas: dict[str, Any]) -> dict[str, Any]:
    output = tool.output.schema
    body = {"schema": _lift(tool.input_schema, f"{tool.name}-input-", schemas)}
    result = _CONTENT_SCHEMA if output is None else _lift(output, f"{tool.name}-output-", schemas)
    operation = {
        "tags": ["tools"],
        "summary": tool.members.get("title", tool.name),
        "operationId": f"{face.strip('/').replace('/', '_')}_{tool.name}",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": {
                "description": "What the tool returned",
                "content": {"application/json": {"schema": result}},
            },
            "400": {"description": "The tool says why it failed"},
            "422": {"description": "Arguments that do not fit"},
        },
    }
    if "description" in tool.members:
        operation["description"] = tool.members["description"]
    return operation


def _lift(schema: Mapping[str, Any], prefix: str, schemas: dict[str, Any]) -> Any:
    """A JSON Schema for use inside an OpenAPI document: its $defs become named components."""
    for name, definition in schema.get("$defs", {}).items():
        schemas[prefix + name] = _point(definition, prefix)
    return _point({key: value for key, value in schema.items() if key != "$defs"}, prefix)


def _point(value: Any, prefix: str) -> Any:
    if isinstance(value, dict):
        return {
            key: f"#/components/schemas/{prefix}{item[len('#/$defs/') :]}"
            if key == "$ref" and isinstance(item, str) and item.startswith("#/$defs/")
            else _point(item, prefix)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_point(item, prefix) for item in value]
    return value
