"""Bytes as Base64 in JSON, both ways: in arguments and results, and in models within them.

pydantic takes bytes for UTF-8 text in JSON: other bytes fail, and a model that sends Base64, as the
schema has it, would have its text taken for the bytes. So the core schemas of types are rewritten:
bytes are decoded from Base64 (RFC 4648, section 4) and encoded as that, and the JSON Schema says
`contentEncoding`. Left alone is what has a JSON form of its own: a serialiser around the bytes
(pydantic's `Base64Bytes`, for one), or `ser_json_bytes` in the configuration of a model.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from types import NoneType
from typing import Any, ClassVar, Final

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import SchemaValidator

NO_SCHEMAS: Final = frozenset(
    {"cls", "config", "default", "default_factory", "expected", "function", "metadata", "ref"}
)
"""Members of core schemas that hold no schemas."""

_OF_TEXT: Final = frozenset({"format", "minLength", "maxLength", "pattern"})

_ALPHABET: Final = str.maketrans("-_", "+/", "\t\r\n ")
"""The URL-safe alphabet is taken as well, and line breaks as in MIME."""


_PLAIN: Final = (str, int, bool, NoneType)
"""Types whose values are in JSON what they are in Python."""


class SchemaGenerator(GenerateJsonSchema):
    """JSON Schemas in which bytes are Base64, defaults too.

    Every tool makes two or three: what is the same for all of them is worked out once.
    """

    _names_of_methods: ClassVar[Mapping[Any, str] | None] = None

    def build_schema_type_to_method(self) -> Any:
        names = SchemaGenerator._names_of_methods
        if names is None:
            found: dict[Any, Any] = super().build_schema_type_to_method()
            SchemaGenerator._names_of_methods = {
                kind: method.__name__ for kind, method in found.items()
            }
            return found
        return {kind: getattr(self, name) for kind, name in names.items()}

    def encode_default(self, dft: Any) -> Any:
        if type(dft) in _PLAIN:
            # pydantic makes an adapter for each default.
            return dft
        return encode_base64(dft) if isinstance(dft, bytes) else super().encode_default(dft)


def validator_of(schema: Any, *, is_rewritten: bool) -> SchemaValidator:
    """Return the validator of a core schema.

    Args:
        schema: The core schema.
        is_rewritten: Whether `with_base64` has changed it, so that the models in it must not be
            validated by their own validators.
    """
    if not is_rewritten:
        return SchemaValidator(schema)
    return SchemaValidator(schema, None, _use_prebuilt=False)


def with_base64(schema: Any, *, reads_json: bool) -> Any:
    """Return a core schema in which bytes are Base64; the very same object if there are none.

    Args:
        schema: The core schema of a type.
        reads_json: Whether strings are decoded when values are validated.
    """
    if isinstance(schema, list | tuple):
        items = [with_base64(item, reads_json=reads_json) for item in schema]
        changed = any(new is not old for new, old in zip(items, schema, strict=True))
        return type(schema)(items) if changed else schema
    if not isinstance(schema, dict) or _has_own_form(schema):
        return schema
    if schema.get("type") == "bytes":
        return _base64_schema(schema, reads_json=reads_json)
    if schema.get("type") == "union" and any(map(_is_text, schema["choices"])):
        # A string is taken for what it is.
        reads_json = False
    members = {
        key: member if key in NO_SCHEMAS else with_base64(member, reads_json=reads_json)
        for key, member in schema.items()
    }
    return members if any(members[key] is not schema[key] for key in schema) else schema


def _is_text(choice: Any) -> bool:
    schema = choice[0] if isinstance(choice, tuple) else choice
    return isinstance(schema, dict) and schema.get("type") == "str"


def _has_own_form(schema: dict[str, Any]) -> bool:
    """Whether a schema says itself how its values look in JSON."""
    serialization = schema.get("serialization")
    if isinstance(serialization, dict) and serialization.get("type") == "function-plain":
        return True
    config = schema.get("config")
    forms = ("ser_json_bytes", "val_json_bytes")
    return isinstance(config, dict) and any(config.get(one, "base64") != "base64" for one in forms)


def _base64_schema(schema: dict[str, Any], *, reads_json: bool) -> dict[str, Any]:
    inner = {key: member for key, member in schema.items() if key not in ("metadata", "ref")}
    metadata = dict(schema.get("metadata", {}))
    metadata["pydantic_js_functions"] = [
        *metadata.get("pydantic_js_functions", ()),
        _json_schema,
    ]
    whole: dict[str, Any] = {
        "type": "function-before",
        "function": {"type": "no-info", "function": _decoded if reads_json else _as_it_is},
        "schema": inner,
        "serialization": {
            "type": "function-plain",
            "function": encode_base64,
            "when_used": "json",
            "return_schema": {"type": "str"},
        },
        "metadata": metadata,
    }
    if "ref" in schema:
        whole["ref"] = schema["ref"]
    return whole


def _json_schema(core_schema: Any, handler: Any) -> dict[str, Any]:
    """The JSON Schema of bytes. Limits of their length say nothing of that of the text."""
    known = handler(core_schema)
    kept = {key: value for key, value in known.items() if key not in _OF_TEXT}
    return {**kept, "type": "string", "contentEncoding": "base64"}


def encode_base64(value: bytes) -> str:
    """Encode bytes as Base64."""
    return base64.b64encode(value).decode()


def decode_base64(text: str) -> bytes:
    """Decode Base64 of either alphabet, with or without padding and line breaks.

    Args:
        text: The text.

    Raises:
        ValueError: If it is none.
    """
    known = text.translate(_ALPHABET).rstrip("=")
    try:
        return base64.b64decode(known + "=" * (-len(known) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("bytes must be sent as Base64") from None


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return decode_base64(value)


def _as_it_is(value: Any) -> Any:
    return value
