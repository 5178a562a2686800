"""Which process tries a member that has rested: one at a time, if they have a store in common."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from mcp_mount.backends.stores import Store
from mcp_mount.calls.flows import Do
from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

T = TypeVar("T")

_LEASE_SECONDS: Final = 30.0
"""After how long another process may try, if the one that does has died."""

_RENEWAL_SECONDS: Final = _LEASE_SECONDS / 3


class Trials:
    """The trials of one member, of all processes.

    Args:
        store: Keeps who tries it.
        key: Names the member.
    """

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key

    @asynccontextmanager
    async def claimed(self) -> AsyncIterator[bool]:
        """Try the member within this, if it yields True; else another process does so.

        A store that is away keeps nobody from trying: each process knows by itself how the member
        does.
        """
        if not self._store.shared:
            yield True
            return
        token = secrets.token_urlsafe(9)
        claim = self._store.claim(self._key, token, _LEASE_SECONDS)
        if not await self._taken(claim, otherwise=True):
            yield False
            return
        renewing = keep(asyncio.create_task(self._renew(token)))
        try:
            yield True
        finally:
            cancel(renewing)
            release = self._taken(self._store.release(self._key, token), otherwise=None)
            releasing = keep(asyncio.create_task(release))
            if (cancellation := await wait_until_done(releasing)) is not None:
                raise cancellation

    async def _renew(self, token: str) -> None:
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            renewal = self._store.set(self._key, token, _LEASE_SECONDS)
            await self._taken(renewal, otherwise=None)

    async def _taken(self, step: Do[T], *, otherwise: T) -> T:
        """The outcome of a step; `otherwise` if the store is away."""
        try:
            return step.do() if step.awaited is None else await step.awaited()
        except Exception as error:
            logger.warning("The store does not say who tries %s: %r", self._key, error)
            return otherwise
