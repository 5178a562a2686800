"""One parameter of an operation, and how its values are written (OpenAPI, "Style Values")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic_core import to_json

from mcp_mount.schemas.arguments import InvalidArguments
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.messages import JSON

_STYLES: Final[dict[str, tuple[str, ...]]] = {
    "path": ("simple",),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
}
"""The styles of each place, the usual one first."""

_BETWEEN: Final = {"spaceDelimited": " ", "pipeDelimited": "|"}

POINT: Final = "x-mcp-point"
"""The member of a parameter in a path that tells that its numbers are written with a point: "1.0",
and neither "1" nor "1e22"."""

_OF_SCHEMAS: Final = ("type", "format", "enum", "items", "default", "minimum", "maximum", "pattern")
"""What some documents write beside a parameter's schema, in place of one."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Members that are null are left out, as are lists and objects of which nothing is left (RFC 6570,
    sections 2.3 and 3.2.1, which the styles come from).

    Attributes:
        name: As it is sent.
        is_object: Whether its schema allows objects.
        is_json: Whether it is sent as JSON, in its content.
        has_point: Whether its numbers are written with a point in a path.
    """

    name: str
    place: str
    is_object: bool
    is_required: bool
    style: str
    explode: bool
    is_json: bool
    has_point: bool = False

    def pairs(self, value: Any, argument: str) -> Iterator[tuple[str, str]]:
        """A value in the query, as names and texts; None as none.

        Args:
            value: What the client sent.
            argument: Under which name.

        Raises:
            InvalidArguments: For a member that contains the separator of members.
        """
        if value is None:
            return
        if self.is_json:
            yield self.name, to_json(value).decode()
        elif self.style == "deepObject" and isinstance(value, dict):
            yield from _deep(self.name, value)
        elif not self.explode and isinstance(value, list | dict):
            if items := _items(value):
                yield self.name, joined(argument, items, _BETWEEN.get(self.style, ","))
        elif isinstance(value, dict) and self.is_object:
            yield from ((name, text) for name, one in value.items() for text in texts(one))
        else:
            yield from ((self.name, one) for one in texts(value))

    def text(self, value: Any, argument: str) -> str | None:
        """A value in the path, or as a header; None for a list or an object without members.

        Args:
            value: What the client sent, not None.
            argument: Under which name.

        Raises:
            InvalidArguments: For a member that contains the separator of members.
        """
        if self.has_point and isinstance(value, int | float) and not isinstance(value, bool):
            written = f"{Decimal(str(value)):f}"
            return written if "." in written else f"{written}.0"
        if self.is_json or not isinstance(value, list | dict):
            return to_json(value).decode() if self.is_json else text_of(value)
        if isinstance(value, dict) and self.explode:
            items = [f"{name}={text_of(one)}" for name, one in value.items() if one is not None]
        else:
            items = _items(value)
        return joined(argument, items, ",") if items else None


def parameter_of(described: Any, *, is_object: bool = False) -> Parameter:
    """A parameter as the document describes it.

    Args:
        described: With its reference followed.
        is_object: Whether its schema says that its values may be objects.

    Raises:
        DefinitionError: For what is none, or cannot be sent.
    """
    if not isinstance(described, Mapping):
        raise DefinitionError(f"a parameter is an object, not {described!r}")
    name, place = described.get("name"), described.get("in")
    if not isinstance(name, str) or not name:
        raise DefinitionError(f"a parameter in {place!r} has no name")
    if place not in (*_STYLES, "cookie"):
        where = "a member of Swagger 2.0" if place in ("body", "formData") else "no place of 3.x"
        raise DefinitionError(f"the parameter {name!r} is in {place!r}, {where}")
    styles = _STYLES.get(str(place), ("form",))
    style = described.get("style") or styles[0]
    if style not in styles and place != "cookie":
        raise DefinitionError(
            f"the parameter {name!r} has the style {style!r}, which a {place} parameter of a tool "
            "cannot have"
        )
    explode = described.get("explode")
    return Parameter(
        name,
        str(place),
        is_object,
        described.get("required") is True or place == "path",
        str(style),
        style in ("form", "deepObject") if explode is None else bool(explode),
        media_type_of(described) is not None and not described.get("schema"),
        place == "path" and described.get(POINT) is True,
    )


def schema_of(described: Mapping[str, Any]) -> Any:
    """The schema of a parameter's value, as the document has it."""
    schema = described.get("schema")
    if schema is not None:
        return schema
    content = media_type_of(described)
    if content is not None:
        return content.get("schema", {})
    return {key: described[key] for key in _OF_SCHEMAS if key in described}


def media_type_of(described: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The only entry of a parameter's `content`."""
    content = described.get("content")
    if not isinstance(content, Mapping):
        return None
    found = content.get(JSON) or next(iter(content.values()), None)
    return found if isinstance(found, Mapping) else None


def texts(value: Any) -> list[str]:
    """A value as the texts of a query or a form: None as none, a list as several."""
    values = value if isinstance(value, list) else [value]
    return [text_of(one) for one in values if one is not None]


def joined(argument: str, items: Sequence[str], between: str) -> str:
    """The members of a list or an object as one text.

    Raises:
        InvalidArguments: If one contains their separator: an endpoint would read it as two.
    """
    for one in items:
        if between in one:
            raise InvalidArguments(
                f"{argument}: must have no {between!r} within a value, since its values are sent "
                "with that between them"
            )
    return between.join(items)


def text_of(value: Any) -> str:
    """A value as a text; what is no scalar as JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else to_json(value).decode()


def _items(value: Any) -> list[str]:
    if isinstance(value, dict):
        given = ((name, one) for name, one in value.items() if one is not None)
        return [text for name, one in given for text in (name, text_of(one))]
    return texts(value)


def _deep(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """`name[member]=value`, at any depth: the specification has one level, servers have more."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _deep(f"{name}[{key}]", one)
    else:
        yield from ((name, one) for one in texts(value))
