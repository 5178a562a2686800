"""The events of a stream that are kept, and how many of them."""

from __future__ import annotations

import pytest

from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.backends.backplane import memory as backplane_memory
from mcp_mount.protocol import kept_logs
from mcp_mount.protocol.resumption import EventLog

MIB = 1024 * 1024


class Reader:
    def notify(self) -> None:
        pass


def event(size: int) -> bytes:
    return b"data: %b\n\n" % (b"x" * size)


def test_a_log_keeps_its_newest_events_within_a_number_and_a_size() -> None:
    log = EventLog(primed=True)
    for _ in range(100):
        log.append(event(100_000))
    assert 0.8 * MIB < log.bytes <= MIB
    assert log.has(log.last)
    assert log.has(95)
    assert not log.has(1)
    small = EventLog(primed=False)
    for _ in range(1500):
        small.append(event(1))
    assert (small.has(500), small.has(499)) == (True, False)


def test_an_event_that_is_larger_than_all_is_kept_until_the_next_one() -> None:
    log, reader = EventLog(primed=False), Reader()
    log.attach(reader)
    log.append(event(3 * MIB))
    [(number, kept)], _ = log.after(0, reader)
    assert (number, len(kept) > 3 * MIB) == (1, True)
    log.append(event(1))
    assert log.bytes < 100


@pytest.mark.parametrize(("size", "fitting"), [(1, 64), (100_000, 2)])
def test_a_handler_waits_for_a_reader_that_lags_in_number_or_in_size(
    size: int, fitting: int
) -> None:
    log, reader, calls = EventLog(primed=False), Reader(), []
    log.attach(reader)
    for _ in range(fitting):
        log.append(event(size))
        assert log.has_room(lambda: calls.append(1))
    log.append(event(size))
    assert not log.has_room(lambda: calls.append(1))
    assert calls == []
    log.after(log.last, reader)
    assert calls == [1]
    assert log.has_room(lambda: None)


def test_nobody_waits_for_a_reader_that_is_not_there() -> None:
    log = EventLog(primed=False)
    for _ in range(5):
        log.append(event(100_000))
    assert log.has_room(lambda: None)


def test_all_logs_together_have_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_logs, "_MAX_LOG_BYTES", 5 * MIB)
    keeper = kept_logs.KeptLogs()
    logs = [EventLog(primed=False) for _ in range(10)]
    logs[0].attach(Reader())
    for log in logs:
        keeper.keep("session", log, ttl=60)
        for _ in range(8):
            log.append(event(100_000))
    kept = [log for log in logs if keeper.find("session", log.id)]
    assert sum(log.bytes for log in kept) <= 5 * MIB
    assert len(kept) >= 5
    # The one that is read stays, the others go in their order.
    assert (logs[0] in kept, logs[1] in kept, logs[-1] in kept) == (True, False, True)


def test_the_subscriptions_of_all_sessions_have_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backplane_memory, "_MAX_SUBSCRIBED_BYTES", 1000)
    backplane = MemoryBackplane()
    for number in range(10):
        for kind in "ab":
            backplane.subscribe(f"session {number}", f"{kind}://".ljust(100, "x"), on=True, ttl=60)
    assert [len(backplane.subscribed(f"session {number}")) for number in range(10)] == [
        *[0] * 8,
        *[2] * 2,
    ]
    backplane.subscribe("session 9", "a://".ljust(100, "x"), on=False, ttl=60)
    backplane.end_session("session 8", ttl=60)
    backplane.subscribe("session 10", "a://".ljust(100, "x"), on=True, ttl=60)
    assert len(backplane.subscribed("session 9")) == 1
