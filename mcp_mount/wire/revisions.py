"""The revisions of the protocol, as a table: what each one has.

A new revision of the specification is a new row here, and a module where its rules differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Revision:
    """What distinguishes a revision on the wire.

    Attributes:
        name: Such as "2026-07-28".
        stateless: Whether it has no sessions.
        batches: Whether it has JSON-RPC batches.
        structured_content: Whether results have structured content (since 2025-06-18).
        primed_streams: Whether a stream begins with an event that has an id and no data.
        leaving_cancels: Whether a client that disconnects cancels its request (2026-07-28,
            basic/transports/streamable-http, "Cancellation"); earlier revisions say that a
            disconnection is not a cancellation (basic/transports, "Sending Messages to the
            Server").
        tool_fields: The members of a tool's definition.
        prompt_fields: Those of a prompt's definition.
        resource_fields: Those of a resource's definition.
        content_types: The kinds of content blocks that its clients can read.
        info_fields: The members of `Implementation`.
        questions: The client capabilities that a server may rely on when it asks.
    """

    name: str
    stateless: bool
    batches: bool
    structured_content: bool
    primed_streams: bool
    leaving_cancels: bool
    tool_fields: frozenset[str]
    prompt_fields: frozenset[str]
    resource_fields: frozenset[str]
    content_types: frozenset[str]
    info_fields: frozenset[str]
    questions: frozenset[tuple[str, ...]]


_TOOL_2024_11 = frozenset({"name", "description", "inputSchema"})
_TOOL_2025_03 = _TOOL_2024_11 | {"annotations"}
_TOOL_2025_06 = _TOOL_2025_03 | {"title", "outputSchema", "_meta"}
_TOOL_2025_11 = _TOOL_2025_06 | {"icons"}

_PROMPT_2025_03 = frozenset({"name", "description", "arguments"})
_PROMPT_2025_06 = _PROMPT_2025_03 | {"title", "_meta"}
_PROMPT_2025_11 = _PROMPT_2025_06 | {"icons"}

_RESOURCE_2025_03 = frozenset(
    {"uri", "uriTemplate", "name", "description", "mimeType", "annotations", "size"}
)
_RESOURCE_2025_06 = _RESOURCE_2025_03 | {"title", "_meta"}
_RESOURCE_2025_11 = _RESOURCE_2025_06 | {"icons"}

_INFO_2025_03 = frozenset({"name", "version"})
_INFO_2025_06 = _INFO_2025_03 | {"title"}
_INFO_2025_11 = _INFO_2025_06 | {"icons", "websiteUrl", "description"}

_CONTENT_2024_11 = frozenset({"text", "image", "resource"})
_CONTENT_2025_03 = _CONTENT_2024_11 | {"audio"}
_CONTENT_2025_06 = _CONTENT_2025_03 | {"resource_link"}

_QUESTIONS_2025_03 = frozenset({("sampling",), ("roots",)})
_QUESTIONS_2025_06 = _QUESTIONS_2025_03 | {("elicitation",)}
_QUESTIONS_2025_11 = _QUESTIONS_2025_06 | {("elicitation", "url"), ("sampling", "tools")}

REVISIONS: Final = {
    revision.name: revision
    for revision in (
        # That of the HTTP+SSE transport, but first releases of the official SDKs that have this
        # transport know no newer one (Python 1.8, TypeScript up to 1.10).
        Revision(
            name="2024-11-05",
            stateless=False,
            batches=False,
            structured_content=False,
            primed_streams=False,
            leaving_cancels=False,
            tool_fields=_TOOL_2024_11,
            prompt_fields=_PROMPT_2025_03,
            resource_fields=_RESOURCE_2025_03,
            info_fields=_INFO_2025_03,
            content_types=_CONTENT_2024_11,
            questions=_QUESTIONS_2025_03,
        ),
        Revision(
            name="2025-03-26",
            stateless=False,
            batches=True,
            structured_content=False,
            primed_streams=False,
            leaving_cancels=False,
            tool_fields=_TOOL_2025_03,
            prompt_fields=_PROMPT_2025_03,
            resource_fields=_RESOURCE_2025_03,
            info_fields=_INFO_2025_03,
            content_types=_CONTENT_2025_03,
            questions=_QUESTIONS_2025_03,
        ),
        Revision(
            name="2025-06-18",
            stateless=False,
            batches=False,
            structured_content=True,
            primed_streams=False,
            leaving_cancels=False,
            tool_fields=_TOOL_2025_06,
            prompt_fields=_PROMPT_2025_06,
            resource_fields=_RESOURCE_2025_06,
            info_fields=_INFO_2025_06,
            content_types=_CONTENT_2025_06,
            questions=_QUESTIONS_2025_06,
        ),
        Revision(
            name="2025-11-25",
            stateless=False,
            batches=False,
            structured_content=True,
            primed_streams=True,
            leaving_cancels=False,
            tool_fields=_TOOL_2025_11,
            prompt_fields=_PROMPT_2025_11,
            resource_fields=_RESOURCE_2025_11,
            info_fields=_INFO_2025_11,
            content_types=_CONTENT_2025_06,
            questions=_QUESTIONS_2025_11,
        ),
        Revision(
            name="2026-07-28",
            stateless=True,
            batches=False,
            structured_content=True,
            primed_streams=False,
            leaving_cancels=True,
            tool_fields=_TOOL_2025_11,
            prompt_fields=_PROMPT_2025_11,
            resource_fields=_RESOURCE_2025_11,
            info_fields=_INFO_2025_11,
            content_types=_CONTENT_2025_06,
            questions=_QUESTIONS_2025_11,
        ),
    )
}

SESSION_REVISIONS: Final = {
    name: revision for name, revision in REVISIONS.items() if not revision.stateless
}
STATELESS_REVISIONS: Final = {
    name: revision for name, revision in REVISIONS.items() if revision.stateless
}

LATEST_SESSION_REVISION: Final = REVISIONS["2025-11-25"]
LATEST: Final = REVISIONS["2026-07-28"]

SUPPORTED: Final = tuple(sorted(REVISIONS, reverse=True))
"""Every revision served, newest first: what discovery and version errors list."""

ALL_CONTENT: Final = LATEST.content_types
"""The kinds of content blocks that the newest clients can read: all that there are."""
