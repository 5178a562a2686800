"""What the tools of operations are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.operations import Operation
from mcp_mount.schemas.functions import DefinitionError

_MAX_LENGTH: Final = 64
"""How long a name is that is made: the APIs of several models take no longer ones."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def tool_names(
    operations: Sequence[Operation], choice: Choice, taken: Collection[str]
) -> dict[Operation, str]:
    """The name of the tool of each operation.

    Without one of its own, a tool is called as the function or the id of its operation; where that
    is missing, or several operations have it, by method and path: "get_v1_orders_order_id".

    Args:
        operations: Those that become tools.
        choice: Names that users give.
        taken: Names of tools that there are already.

    Returns:
        Names that a tool may have, each once.

    Raises:
        DefinitionError: For names given by users that two operations have, that are none, or that
            are taken.
    """
    names: dict[Operation, str] = {}
    for operation in operations:
        given = choice.name_of(operation)
        if given is not None:
            _refuse(operation, given, names)
            names[operation] = given
    wanted = {one: _made(choice.prefix, one.default_name) for one in operations}
    counts = Counter([*names.values(), *(wanted[one] for one in operations if one not in names)])
    for operation in operations:
        if operation in names:
            continue
        name = wanted[operation]
        if counts[name] > 1 or not operation.default_name:
            name = _made(choice.prefix, operation.name_by_path)
        names[operation] = _unique(name, names.values())
    for operation, name in names.items():
        if name in taken:
            raise DefinitionError(
                f"{operation}: the tool {name!r} is already defined; {choice.remedy}"
            )
    return {one: names[one] for one in operations}


def _refuse(operation: Operation, name: str, names: dict[Operation, str]) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(
            f"{operation}: {name!r} is no tool name; use 1 to 128 ASCII letters, digits, '_', '-' "
            "and '.'"
        )
    other = next((one for one, known in names.items() if known == name), None)
    if other is not None:
        raise DefinitionError(
            f"{other} and {operation} would both be the tool {name!r}: rename one by names=, or "
            "leave it out by exclude="
        )


def _made(prefix: str, name: str) -> str:
    """A name that clients and models take."""
    return (prefix + re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_"))[:_MAX_LENGTH].rstrip("_")


def _unique(name: str, known: Collection[str]) -> str:
    number, found = 1, name
    while found in known:
        number += 1
        end = f"_{number}"
        found = name[: _MAX_LENGTH - len(end)] + end
    return found
