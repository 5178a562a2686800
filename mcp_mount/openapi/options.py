"""The keyword arguments of every `expose`: which endpoints become tools, and what is declared of
them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypedDict

from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.operations import Operation
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.schemas.names import keywords_of, refuse_unknown
from mcp_mount.schemas.values import flag, or_none


class ChoiceOptions(TypedDict, total=False):
    """Which endpoints become tools, and under what names."""

    tags: str | Collection[str]
    """Expose the endpoints with one of these tags. Without `tags`, `operations` and `paths`, those
    that are marked with `as_tool` are exposed."""
    operations: str | Collection[str]
    """Expose the endpoints with these operation ids or function names."""
    paths: str | Collection[str]
    """Expose the endpoints with these paths, such as "/orders/*"."""
    methods: str | Collection[str]
    """Expose only these HTTP methods; by default all that a tool can have."""
    exclude: str | Collection[str]
    """Operation ids, function names or paths to leave out."""
    exclude_tags: str | Collection[str]
    """Tags to leave out."""
    names: Mapping[str, str] | None
    """Names of tools, by operation id or function name."""
    name: Callable[[Operation], str | None] | None
    """A function of an `Operation` (path, method, id, tags) that returns the name of its tool, or
    None for the default. `names` takes precedence."""
    descriptions: Mapping[str, str] | None
    """Descriptions of tools, by operation id or function name."""
    prefix: str
    """A prefix for all names."""


class ExposeOptions(ChoiceOptions, PolicyOptions, total=False):
    """What every `expose` takes: a choice, and the policies of each tool."""

    output_schemas: bool | None
    """Whether to publish the response schemas of the endpoints; by default those that the framework
    enforces."""


def choice_in(options: Mapping[str, Any], kind: type[Choice] = Choice) -> Choice:
    """The choice among the options of an `expose`.

    Args:
        options: Those of `ExposeOptions`.
        kind: The class of the choice.

    Raises:
        DefinitionError: For a value that an option cannot have.
    """
    known = ChoiceOptions.__annotations__
    return kind(**{name: value for name, value in options.items() if name in known})


def policies_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """The policies among the options of an `expose`."""
    known = PolicyOptions.__annotations__
    return {name: value for name, value in options.items() if name in known}


def refuse_unfit_exposing(
    expose: Callable[..., Any], options: Mapping[str, Any], also: Collection[str] = ()
) -> None:
    """Refuse keyword arguments that an `expose` does not have, and values that they cannot have.

    Args:
        expose: The function.
        options: What the user gave.
        also: What it has besides its parameters and `ExposeOptions`.

    Raises:
        DefinitionError: With the nearest name that there is; and for such a value.
    """
    known = [*keywords_of(expose), *ExposeOptions.__annotations__, *also]
    refuse_unknown(f"{expose.__name__} has no option", options, known)
    or_none(flag)("output_schemas=", options.get("output_schemas"))
