"""The backplane of one process."""

from __future__ import annotations

import time

from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.calls.backplane import UNTOUCHED, SessionState

TTL = 60.0
SHORT = 0.01


def test_what_has_had_its_time_is_not_known_any_more() -> None:
    backplane = MemoryBackplane()
    backplane.set_log_level("one", "error", ttl=SHORT)
    backplane.subscribe("one", "text://news", on=True, ttl=SHORT)
    backplane.end_session("other", ttl=SHORT)
    time.sleep(2 * SHORT)
    assert (backplane.session("one"), backplane.subscribed("one")) == (UNTOUCHED, frozenset())
    assert not backplane.session("other").ended


def test_what_has_had_its_time_is_dropped() -> None:
    backplane = MemoryBackplane()
    for session in ("one", "other"):
        backplane.set_log_level(session, "error", ttl=SHORT)
        backplane.subscribe(session, "text://news", on=True, ttl=SHORT)
    time.sleep(2 * SHORT)
    backplane.set_log_level("next", "error", ttl=TTL)
    backplane.subscribe("next", "text://news", on=True, ttl=TTL)
    assert (list(backplane._log_levels), list(backplane._subscribed)) == (["next"], ["next"])


def test_a_new_subscription_does_not_bring_old_ones_back() -> None:
    backplane = MemoryBackplane()
    backplane.subscribe("one", "text://old", on=True, ttl=SHORT)
    time.sleep(2 * SHORT)
    backplane.subscribe("one", "text://new", on=True, ttl=TTL)
    assert backplane.subscribed("one") == {"text://new"}


def test_nothing_is_noted_of_a_session_that_has_ended() -> None:
    backplane = MemoryBackplane()
    backplane.end_session("one", ttl=TTL)
    backplane.subscribe("one", "text://news", on=True, ttl=TTL)
    backplane.set_log_level("one", "error", ttl=TTL)
    assert backplane.session("one") == SessionState(ended=True)
    assert backplane.subscribed("one") == frozenset()
