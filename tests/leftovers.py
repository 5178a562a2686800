"""What would go on after a test, on threads that other tests use."""

from __future__ import annotations

import time

from mcp_mount.transports import outbox


def give_up_messages() -> None:
    """Give up what servers of this process still tell others.

    It would be tried again for minutes, and what the log says of it would be among the records of
    another test.
    """
    sending = [one for one in list(outbox._outboxes) if one.is_sending]
    for one in sending:
        one.give_up()
    deadline = time.monotonic() + 60
    while any(one.is_sending for one in sending) and time.monotonic() < deadline:
        time.sleep(0.001)
