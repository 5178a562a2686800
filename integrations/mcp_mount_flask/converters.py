"""JSON Schemas of the converters of URL rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from werkzeug.routing import (
    AnyConverter,
    BaseConverter,
    FloatConverter,
    IntegerConverter,
    UnicodeConverter,
    UUIDConverter,
)

_LENGTHS: Final = re.compile(r"\[\^/\]\{(\d+)(,(\d*))?\}")

_TYPES: Final[tuple[tuple[type[BaseConverter], dict[str, Any]], ...]] = (
    (IntegerConverter, {"type": "integer"}),
    (FloatConverter, {"type": "number"}),
    (UUIDConverter, {"type": "string", "format": "uuid"}),
)
"""The schemas of Werkzeug's converters. An application's own converters inherit from them."""


def schema_of_converter(converter: BaseConverter) -> dict[str, Any]:
    """Return the JSON Schema of the values that a converter accepts."""
    if isinstance(converter, AnyConverter):
        return {"type": "string", "enum": sorted(converter.items)}
    found = next((one for kind, one in _TYPES if isinstance(converter, kind)), {"type": "string"})
    if isinstance(converter, IntegerConverter | FloatConverter):
        return _number(converter, found)
    if isinstance(converter, UnicodeConverter):
        return {**found, **_lengths(converter)}
    return found


def _number(
    converter: IntegerConverter | FloatConverter, schema: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the schema of a number within the bounds of its rule. If the rule has a fixed number
    of digits, it is a string, because numbers have no leading zeros.
    """
    bounds = {
        name: value
        for name, value in (("minimum", converter.min), ("maximum", converter.max))
        if value is not None
    }
    digits = converter.fixed_digits
    if not digits:
        return {**schema, **bounds}
    # Werkzeug counts the sign as a digit.
    signed = f"|-[0-9]{{{digits - 1}}}" if converter.signed and digits > 1 else ""
    said = "".join(f", {name} {value}" for name, value in bounds.items())
    return {
        "type": "string",
        "pattern": f"^([0-9]{{{digits}}}{signed})$",
        "description": f"A number with {digits} digits, including leading zeros{said}",
    }


def _lengths(converter: UnicodeConverter) -> dict[str, int]:
    """Return the length limits of a string, which Werkzeug keeps only in its pattern."""
    match = _LENGTHS.fullmatch(converter.regex)
    if match is None:
        return {}
    least = int(match[1])
    greatest = match[3] if match[2] else match[1]
    return {
        # The default is 1, as for all parts of a path.
        **({"minLength": least} if least > 1 else {}),
        **({"maxLength": int(greatest)} if greatest else {}),
    }
