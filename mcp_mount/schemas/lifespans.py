"""What users may give as the lifespan of a server or a router, checked where they give it."""

from __future__ import annotations

import inspect
from typing import Any

from mcp_mount.schemas.functions import DefinitionError, describe, routine_of, unwrap
from mcp_mount.schemas.permissions import takes_one


def check_lifespan(value: Any) -> None:
    """Check the option `lifespan`.

    Args:
        value: What the user gave; None for no lifespan.

    Raises:
        DefinitionError: For what returns no async context manager, as far as can be seen.
    """
    if value is None:
        return
    form = (
        "lifespan is a function of the server, decorated with @contextlib.asynccontextmanager: "
        "'async def', with one 'yield'"
    )
    if not callable(value):
        raise DefinitionError(f"{form}; not {value!r}")
    routine = routine_of(unwrap(value))
    if inspect.iscoroutinefunction(routine) or inspect.isgeneratorfunction(routine):
        lacking = "yield" if inspect.iscoroutinefunction(routine) else "async"
        raise DefinitionError(f"{describe(value)}: {form}; it has no {lacking!r}")
    if not takes_one(value):
        raise DefinitionError(f"{describe(value)}: {form}; it takes no server")
