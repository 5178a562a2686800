"""Types by which values are validated and encoded: with what JSON does not have in mind."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import SchemaSerializer
from pydantic_core.core_schema import CoreConfig

from mcp_mount.wire.binary import NO_SCHEMAS, validator_of, with_base64

_CONFIGURED: Final = frozenset({"model", "dataclass", "typed-dict"})
"""The core schemas that have a configuration of their own."""

_CONSTANTS: Final[CoreConfig] = {"ser_json_inf_nan": "constants"}


def adapter_of(annotation: Any, *, reads_json: bool) -> TypeAdapter[Any]:
    """Return an adapter for a type.

    Bytes are Base64 in JSON, and NaN and infinities are encoded as they are, and not as null, so
    that whoever sends the text can tell.

    Args:
        annotation: The type.
        reads_json: Whether the values that it validates come from JSON. Otherwise they are those of
            Python, where a string is no Base64.

    Raises:
        PydanticUserError: For a type that pydantic does not know.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    schema = with_base64(adapter.core_schema, reads_json=reads_json)
    rewritten = schema is not adapter.core_schema
    if rewritten:
        adapter.core_schema = schema
        adapter.validator = validator_of(schema, is_rewritten=True)
    if rewritten or _has_floats(schema):
        # Models have serialisers of their own, which know nothing of this.
        adapter.serializer = SchemaSerializer(
            _with_constants(schema), _CONSTANTS, _use_prebuilt=False
        )
    return adapter


def _has_floats(schema: Any) -> bool:
    """Whether a float, or anything, may be in values of a core schema."""
    if isinstance(schema, dict):
        return schema.get("type") in ("float", "any") or any(
            _has_floats(member) for key, member in schema.items() if key not in NO_SCHEMAS
        )
    return isinstance(schema, list | tuple) and any(map(_has_floats, schema))


def _with_constants(schema: Any) -> Any:
    """A core schema by which NaN and infinities are encoded as such, unless a model wants texts."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_with_constants, schema))
    if not isinstance(schema, dict):
        return schema
    whole = {
        key: member if key in NO_SCHEMAS else _with_constants(member)
        for key, member in schema.items()
    }
    if schema.get("type") in _CONFIGURED:
        config = schema.get("config", {})
        if config.get("ser_json_inf_nan") != "strings":
            whole["config"] = {**config, **_CONSTANTS}
    return whole
