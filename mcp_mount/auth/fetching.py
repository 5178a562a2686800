"""Threads of their own for questions to authorization servers.

An authorization server that hangs must hold up nothing but the requests that need it: on the
threads where handlers run, a few unknown tokens would stop every tool of the process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

from mcp_mount.calls.flows import Flow, Wait
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError

MAX_WAIT_SECONDS: Final = 10.0
"""How long a request waits for the answer to its question, with the time until it is asked."""

_MAX_THREADS: Final = 4
_MAX_WAITING: Final = 64
_RETRY_SECONDS: Final = 2


class Fetcher:
    """Asks questions on a few threads, each question once for all who want its answer.

    Args:
        threads: How many questions are asked at a time.
        waiting: How many requests may wait for answers; more are refused (503).
    """

    def __init__(self, *, threads: int = _MAX_THREADS, waiting: int = _MAX_WAITING) -> None:
        self._max_threads = threads
        self._max_waiting = waiting
        self._threads = 0
        self._waiting = 0
        self._flights: dict[Hashable, Future[Any]] = {}
        self._queue: deque[tuple[Hashable, Callable[[], Any], Future[Any]]] = deque()
        self._lock = threading.Lock()

    def answer(self, key: Hashable, ask: Callable[[], Any]) -> Flow[Any]:
        """The answer to a question, which is asked unless that is being done already.

        Args:
            key: What the question is known by.
            ask: Asks it, and may take time.

        Raises:
            ProtocolError: 503, where too many wait, or for too long.
            Exception: What `ask` raises.
        """
        with self._place():
            return (yield Wait(self.begin(key, ask), MAX_WAIT_SECONDS))

    def wait(self, flight: Future[Any]) -> Flow[Any]:
        """The answer to a question that has begun; all else is as with `answer`."""
        with self._place():
            return (yield Wait(flight, MAX_WAIT_SECONDS))

    @contextmanager
    def _place(self) -> Iterator[None]:
        """A place among the requests that wait."""
        with self._lock:
            if self._waiting >= self._max_waiting:
                raise unreachable()
            self._waiting += 1
        try:
            yield
        except TimeoutError:
            raise unreachable() from None
        finally:
            with self._lock:
                self._waiting -= 1

    def begin(self, key: Hashable, ask: Callable[[], Any]) -> Future[Any]:
        """The future answer to a question, for those who do not wait for it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight
            flight = self._flights[key] = Future()
            self._queue.append((key, ask, flight))
            starts = self._threads < self._max_threads
            self._threads += starts
        if starts:
            # Threads that end with the process, whatever they wait for then.
            threading.Thread(target=self._work, name="mcp-mount-auth", daemon=True).start()
        return flight

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                key, ask, flight = self._queue.popleft()
            try:
                answer, error = ask(), None
            except Exception as raised:
                # Nobody needs the way to it, which leads past the token.
                answer, error = None, raised.with_traceback(None)
            with self._lock:
                self._flights.pop(key, None)
            if error is None:
                flight.set_result(answer)
            else:
                flight.set_exception(error)
            del key, ask, flight, answer, error


def unreachable() -> ProtocolError:
    """The error for a request whose credentials cannot be verified now."""
    return ProtocolError(
        INTERNAL_ERROR,
        "The authorization server cannot be reached",
        status=503,
        retry_after=_RETRY_SECONDS,
    )
