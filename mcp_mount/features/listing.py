"""Lists of what there is, page by page (server/utilities/pagination)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, islice
from typing import Any, Final, Protocol

from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import INVALID_PARAMS, ProtocolError
from mcp_mount.wire.messages import Rule
from mcp_mount.wire.revisions import Revision
from mcp_mount.wire.rules import without_scopes
from mcp_mount.wire.sealing import TokenRefused, TokenSealer

_CURSOR_TTL: Final = 10 * 365 * 24 * 3600.0
"""A cursor is good for as long as its key is, in seconds."""


_MAX_KEPT: Final = 256
"""How many encoded pages are kept of lists that are the same for all, and of those that are not."""


class Entry(Protocol):
    """Something that is listed, for those who may use it."""

    @property
    def rules(self) -> Sequence[Rule]: ...

    def definition(self, revision: Revision) -> dict[str, Any]: ...


class ListSettings(Protocol):
    """The settings of a server that lists are answered by."""

    @property
    def page_size(self) -> int | None: ...

    @property
    def list_ttl_ms(self) -> int: ...

    @property
    def list_step_up(self) -> bool: ...


@dataclass(frozen=True)
class _WholeLists:
    page_size: int | None = None
    list_ttl_ms: int = 0
    list_step_up: bool = False


_ALL: Final = _WholeLists()
"""For a registry that no server has yet."""


class Listing:
    """Answers list requests. Each page is encoded once for each revision.

    Args:
        seal: Makes cursors.
        settings: Those of the server.
    """

    def __init__(self, seal: TokenSealer | None = None, settings: ListSettings = _ALL) -> None:
        self._seal = seal
        self._settings = settings
        self._known: OrderedDict[tuple[str, str, int, int, str], Result] = OrderedDict()
        self._guarded: OrderedDict[tuple[Any, ...], Result] = OrderedDict()

    def clear(self) -> None:
        """Forget encoded pages."""
        self._known.clear()
        self._guarded.clear()

    def answer(
        self, member: str, entries: Sequence[Entry], version: int, incoming: IncomingRequest
    ) -> Result:
        """A page of a list: the first one, or that of the cursor.

        Args:
            member: The member of the result, such as "tools".
            entries: All entries.
            version: Tells one state of the entries from another.
            incoming: The request.

        Raises:
            ProtocolError: Invalid params, if the cursor is not one of this list.
        """
        start = self._start(incoming)
        # The cursor to the next page is for where it was given.
        mount = "" if self._settings.page_size is None else incoming.request.mount
        key = (incoming.method, incoming.revision.name, version, start, mount)
        known = self._known.get(key)
        if known is None:
            if any(one.rules for one in entries):
                return self._answer_guarded(member, entries, key, incoming)
            known = self._encode(member, entries, start, incoming)
            _keep(self._known, key, known)
        return known

    def shows(self, entry: Entry, incoming: IncomingRequest) -> bool:
        """Whether an entry is in the lists of the caller."""
        step_up = self._settings.list_step_up
        return incoming.permits(without_scopes(entry.rules) if step_up else entry.rules)

    def _answer_guarded(
        self,
        member: str,
        entries: Sequence[Entry],
        page: tuple[str, str, int, int, str],
        incoming: IncomingRequest,
    ) -> Result:
        """A page of what this caller may use; callers who may use the same share its encoding."""
        seen = tuple(self.shows(one, incoming) for one in entries)
        key = (*page, seen)
        known = self._guarded.get(key)
        if known is None:
            visible = list(compress(entries, seen))
            known = self._encode(member, visible, page[3], incoming, scope="private")
            _keep(self._guarded, key, known)
        return known

    def _encode(
        self,
        member: str,
        entries: Sequence[Entry],
        start: int,
        incoming: IncomingRequest,
        *,
        scope: str = "public",
    ) -> Result:
        size = self._settings.page_size
        end = None if size is None else start + size
        body: dict[str, Any] = {
            member: [one.definition(incoming.revision) for one in islice(entries, start, end)]
        }
        if end is not None and end < len(entries):
            assert self._seal is not None, "pages need a seal"
            body["nextCursor"] = self._seal.seal(
                [incoming.method, end], mount=incoming.request.mount
            )
        if incoming.revision.stateless:
            body |= {"ttlMs": self._settings.list_ttl_ms, "cacheScope": scope}
        return Result(encode(body)[1:-1])

    def _start(self, incoming: IncomingRequest) -> int:
        cursor = incoming.params.get("cursor")
        if cursor is None:
            return 0
        if isinstance(cursor, str) and self._seal is not None:
            try:
                (method, start), _ = self._seal.open(
                    cursor, ttl=_CURSOR_TTL, mount=incoming.request.mount
                )
            except TokenRefused:
                method = None
            if method == incoming.method:
                return int(start)
        raise ProtocolError(INVALID_PARAMS, "The cursor is not one of this list")


def _keep(pages: OrderedDict[Any, Result], key: Any, page: Result) -> None:
    """Keep an encoded page; of too many the oldest goes."""
    pages[key] = page
    if len(pages) > _MAX_KEPT:
        pages.popitem(last=False)
