"""Limits of size: of a request's body, of the depth of arguments, of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Flow, proceed
from mcp_mount.calls.results import Result
from mcp_mount.policies.kinds import Levels, PolicyKind
from mcp_mount.policies.values import positive
from mcp_mount.wire.errors import CallRejected


class RequestLimits:
    """Refuses requests that are too large or too deep, before anything else looks at them.

    Args:
        max_body_bytes: The largest HTTP body, or message of another transport; None for any.
        max_depth: How many objects and arrays may be nested in the arguments; `{"a": 1}` has depth
            1. None for any number.
    """

    admits = True

    def __init__(self, max_body_bytes: int | None, max_depth: int | None) -> None:
        self._max_body_bytes = max_body_bytes
        self._max_depth = max_depth

    def flow(self, call: Call) -> Flow[Result]:
        size, most = len(call.incoming.request.body), self._max_body_bytes
        if most is not None and size > most:
            raise CallRejected(
                f"The request has {size} bytes; {call.name} takes {most}", status=413
            )
        if self._max_depth is not None and is_deeper(call.arguments, self._max_depth):
            raise CallRejected(
                f"The arguments are nested more than {self._max_depth} levels deep", status=422
            )
        return (yield from proceed())


class ResultLimit:
    """Refuses to send a result of more than `most` bytes, encoded."""

    def __init__(self, most: int) -> None:
        self._most = most

    def flow(self, call: Call) -> Flow[Result]:
        # Where the result is made, within the transaction and the dependencies of the call.
        call.accept = self._accept
        return (yield from proceed())

    def _accept(self, result: Result) -> None:
        size = len(result.members)
        if size > self._most:
            raise CallRejected(
                f"The result has {size} bytes, more than the {self._most} that may be sent. "
                "Ask for less.",
                status=413,
            )


def is_deeper(value: Any, depth: int) -> bool:
    """Whether more than `depth` objects and arrays stand within one another."""
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for one in level
            if isinstance(one, Mapping | list)
            for inner in (one.values() if isinstance(one, Mapping) else one)
        ]
        if not level:
            return False
    return any(isinstance(one, Mapping | list) for one in level)


def _request_limits(levels: Levels) -> Sequence[RequestLimits]:
    limits = [levels.nearest(name) for name in ("max_body_bytes", "max_argument_depth")]
    return [RequestLimits(*limits)] if any(limits) else ()


def _result_limit(levels: Levels) -> Sequence[ResultLimit]:
    limit = levels.nearest("max_result_bytes")
    return () if limit is None else [ResultLimit(limit)]


REQUEST_KIND: Final = PolicyKind(
    _request_limits, {"max_body_bytes": positive, "max_argument_depth": positive}
)
RESULT_KIND: Final = PolicyKind(_result_limit, {"max_result_bytes": positive})
