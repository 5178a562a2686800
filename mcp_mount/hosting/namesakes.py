"""Servers of one name that share a backplane: what they keep there has the same keys.

A name is all that processes have in common which know nothing of one another: a worker of tasks
mounts nothing, so that a mount point would not do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol
from weakref import WeakSet

from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")


class Named(Protocol):
    """What is asked of a server here."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Its options, by their names."""


_serving: Final[WeakSet[Any]] = WeakSet()


def shares(values: Mapping[str, Any]) -> bool:
    """Whether a server has more than its own process.

    Args:
        values: Its options, by their names.
    """
    given = values["backplane"]
    return given not in (None, "memory://") and getattr(given, "shared", True)


def problem_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """What is wrong with two servers that are reached in one application, if anything is.

    Args:
        one: The options of one of them.
        other: Those of the other.
    """
    is_same = one["backplane"] is other["backplane"] or one["backplane"] == other["backplane"]
    if one["name"] != other["name"] or not is_same or not shares(one):
        return None
    return (
        f"two servers have the name {one['name']!r} and the same backplane, where each would hear "
        "of the changes of the other and run its tasks: give one of them another name= (people "
        "see the display_name= of both, if there is one), or another database of Redis"
    )


def refuse_namesakes(
    server: Named, others: Iterable[Named], given: Mapping[str, Any] | None = None
) -> None:
    """Refuse a server that cannot be told from another one of its application.

    Args:
        server: The server that is mounted.
        others: Those of the application.
        given: Options of the server that change as it is mounted.

    Raises:
        DefinitionError: If it has the name and the backplane of another one.
    """
    for other in others:
        if other is not server:
            problem = problem_of({**server.values, **(given or {})}, other.values)
            if problem is not None:
                raise DefinitionError(problem)


def warn_of_namesakes(server: Named) -> None:
    """Log, at the first request of a server, that another one has served before which it cannot be
    told from: they may have been mounted by hand, or configured afterwards.

    Args:
        server: The server.
    """
    for other in list(_serving):
        problem = None if other is server else problem_of(server.values, other.values)
        if problem is not None:
            logger.warning("In this process %s", problem)
            break
    _serving.add(server)
