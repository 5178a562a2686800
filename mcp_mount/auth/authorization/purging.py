"""Deletes connections that cannot be used any more."""

from __future__ import annotations

from mcp_mount.auth.authorization.connections import ConnectionStore
from mcp_mount.auth.authorization.grants import Lifetimes
from mcp_mount.auth.authorization.sealed import CODE_SECONDS, FORM_SECONDS


def purge_ended(
    store: ConnectionStore, lifetimes: Lifetimes, now: float, *, kept: float = 0.0
) -> int:
    """Delete the connections that were not used for so long that no token of theirs is good, and
    those that were revoked.

    Args:
        store: Keeps them.
        lifetimes: How long tokens are good.
        now: The time, in seconds since the epoch.
        kept: For how many seconds longer they are kept.

    Returns:
        How many there were.
    """
    before = now - kept
    return store.purge(
        before - max(lifetimes.refresh, lifetimes.access),
        # Not at once: a code for one of them may still be on its way, which would make it anew.
        before - FORM_SECONDS - CODE_SECONDS,
    )
