"""The headers of the caller that go along with the request for an endpoint."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import several_names
from mcp_mount.wire.credentials import forwarded_headers

FORWARDED: Final = (
    *("authorization", "cookie", "x-api-key", "accept-language"),
    *("traceparent", "tracestate", "x-request-id", "x-forwarded-for", "x-forwarded-proto"),
)
"""The headers of the caller that go along, unless others are named."""

OF_THE_REQUEST: Final = frozenset(
    [
        *("accept", "accept-encoding", "connection", "content-length", "content-type"),
        *("expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
    ]
)
"""Headers that belong to the request for an endpoint, so that they are neither arguments nor go
along."""

_APART_ALREADY: Final = frozenset(
    [*FORWARDED, "user-agent", "referer", "x-csrftoken", "x-csrf-token", "x-forwarded-host"]
)
"""Headers that go along by default, on which either caches depend anyway or no answer should."""

_HEADER: Final = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]+")


def forwarded(names: str | Collection[str]) -> list[str]:
    """The names of the headers that go along, in lower case.

    Caches keep what depends on them apart from then on.

    Raises:
        DefinitionError: For what is no header's name, and for headers that belong to the request
            for the endpoint itself.
    """
    lowered = [one.lower() for one in several_names("forward=", names)]
    for one in lowered:
        if not _HEADER.fullmatch(one):
            raise DefinitionError(f"forward= takes names of headers, and {one!r} is none")
        if one in OF_THE_REQUEST:
            raise DefinitionError(f"forward=: {one!r} cannot go along, the call has its own")
    forwarded_headers.update(one for one in lowered if one not in _APART_ALREADY)
    return lowered
