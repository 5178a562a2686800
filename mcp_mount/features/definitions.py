"""What the definitions of tools, resources and prompts have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypedDict

from pydantic import BaseModel
from pydantic_core import from_json

from mcp_mount.schemas.functions import DefinitionError, Documentation, describe
from mcp_mount.schemas.values import Check, mapping, or_none, text
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.messages import plain


class Definition(TypedDict, total=False):
    """What users may say of any entry (2026-07-28, basic/index, "General fields" and "icons")."""

    title: str | None
    """The name that people see."""
    description: str | None
    """What it is for, in words for the model; by default the docstring."""
    icons: Sequence[Any] | None
    """URLs, `mcp_types.Icon` or plain data."""
    meta: Mapping[str, Any] | None
    """The definition's `_meta`."""


def _icons(name: str, value: Any) -> None:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not is_list or not all(map(_is_icon, value)):
        raise DefinitionError(
            f'{name} is a list of URLs, or of icons such as {{"src": "https://…"}}, not {value!r}'
        )


def _is_icon(value: Any) -> bool:
    if isinstance(value, Mapping):
        return isinstance(value.get("src"), str)
    return isinstance(value, str | BaseModel)


def _hints(name: str, value: Any) -> None:
    if not isinstance(value, Mapping | BaseModel):
        raise DefinitionError(f"{name} is a dict, or a model of mcp_types, not {value!r}")


ANY_ENTRY: Final[Mapping[str, Check]] = {
    "name": or_none(text),
    "title": or_none(text),
    "description": or_none(text),
    "icons": or_none(_icons),
    "meta": or_none(mapping),
    "annotations": or_none(_hints),
}
"""The checks of what users may say of any entry, and of what most have."""


def check_definition(
    function: Callable[..., Any], definition: Mapping[str, Any], checks: Mapping[str, Check]
) -> None:
    """Check what a user says of an entry.

    Args:
        function: Its handler, which the error names.
        definition: What the user says.
        checks: By the names of the options.

    Raises:
        DefinitionError: For a value that an option cannot have.
    """
    for name in definition.keys() & checks.keys():
        try:
            checks[name](name, definition[name])
        except DefinitionError as error:
            raise DefinitionError(f"{describe(function)}: {error}") from None


def members(
    documentation: Documentation, definition: Definition | Mapping[str, Any], **own: Any
) -> dict[str, Any]:
    """The members of a definition as clients see it; those that are None are left out.

    Args:
        documentation: The docstring of the handler.
        definition: What the user said of the entry.
        own: Further members, by their names on the wire.

    Raises:
        DefinitionError: For members that have no JSON form.
    """
    every = {
        **own,
        "title": definition.get("title"),
        "description": definition.get("description") or documentation.description or None,
        "icons": [
            {"src": one} if isinstance(one, str) else plain(one)
            for one in definition.get("icons") or ()
        ],
        "_meta": plain(definition.get("meta")),
    }
    whole = {key: value for key, value in every.items() if value is not None and value != []}
    try:
        encoded: dict[str, Any] = from_json(encode(whole))
    except ValueError as error:
        raise DefinitionError(f"{own.get('name')!r} has no JSON form: {error}") from None
    return encoded
