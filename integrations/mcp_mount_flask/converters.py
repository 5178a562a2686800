"""JSON Schemas of the converters of rules: what their parts of a path may be."""

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
"""Those of an application inherit from these."""


def schema_of_converter(converter: BaseConverter) -> dict[str, Any]:
    """What a part of a path may be, as JSON Schema."""
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
    """A number within the bounds of its rule, or the text of one where its length is fixed: no
    number has the zeros that stand before it then."""
    bounds = {
        name: value
        for name, value in (("minimum", converter.min), ("maximum", converter.max))
        if value is not None
    }
    digits = converter.fixed_digits
    if not digits:
        return {**schema, **bounds}
    # Werkzeug counts a sign as one of them.
    signed = f"|-[0-9]{{{digits - 1}}}" if converter.signed and digits > 1 else ""
    said = "".join(f", {name} {value}" for name, value in bounds.items())
    return {
        "type": "string",
        "pattern": f"^([0-9]{{{digits}}}{signed})$",
        "description": f"A number as {digits} digits, with zeros before it{said}",
    }


def _lengths(converter: UnicodeConverter) -> dict[str, int]:
    """How long a text may be, which werkzeug keeps in its pattern alone."""
    match = _LENGTHS.fullmatch(converter.regex)
    if match is None:
        return {}
    least = int(match[1])
    greatest = match[3] if match[2] else match[1]
    return {
        # Without "minlength" it is 1, as for all parts of a path.
        **({"minLength": least} if least > 1 else {}),
        **({"maxLength": int(greatest)} if greatest else {}),
    }
