"""The result of a call, encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp_mount.calls.questions import Suspended


@dataclass(slots=True)
class Result:
    """A result on its way out: the encoded members of the object, without its braces.

    Attributes:
        members: The encoded members.
        meta: The `_meta` of the result.
        failed: Whether it reports that a tool failed.
        suspended: Why the handler ended before there is a result (2026-07-28).
        type: The `resultType` (2026-07-28).
    """

    members: bytes
    meta: Mapping[str, Any] | None = None
    failed: bool = False
    suspended: Suspended | None = None
    type: str = "complete"


class ContentBlock(dict[str, Any]):
    """A content block of another tool's result, as in JSON: returned by a handler, it is one."""


def suspension(suspended: Suspended) -> Result:
    """The result of a run that ended before there is one."""
    # The handler runs again from its start: what it has done must not count.
    return Result(b"", failed=True, suspended=suspended)
