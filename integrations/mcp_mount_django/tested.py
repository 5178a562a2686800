"""Requests of tests, which leave the test's connections open, as those of Django's
test client do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.core.signals import request_finished, request_started
from django.db import close_old_connections

_SIGNALS: Final = (request_started, request_finished)
_lock = threading.Lock()
_open = 0


@contextmanager
def connections_of_the_test() -> Iterator[None]:
    """Keep requests from closing connections. A request may be made while another one is open."""
    global _open
    with _lock:
        _open += 1
        for signal in _SIGNALS:
            signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if not _open:
                for signal in _SIGNALS:
                    signal.connect(close_old_connections)
