"""The questions of this process that wait for the answers of their clients."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any


class WaitingAnswers:
    """Brings live questions and their answers together. Safe to use from any thread.

    An answer may have come to another process: that tells it to this one, over the backplane.
    """

    def __init__(self) -> None:
        # A signal handler may come in here while its thread is.
        self._lock = threading.RLock()
        self._questions: dict[tuple[str, str], Future[Any]] = {}

    def expect(self, session: str, question: str) -> Future[Any]:
        """Return the future answer to a question just put to the client of `session`."""
        answer: Future[Any] = Future()
        with self._lock:
            self._questions[session, question] = answer
        return answer

    def forget(self, session: str, question: str) -> None:
        """Stop waiting for an answer."""
        with self._lock:
            self._questions.pop((session, question), None)

    def deliver(self, session: str, question: str, answer: Any) -> bool:
        """Hand in a client's answer; False if nobody waits for it here."""
        with self._lock:
            waiting = self._questions.pop((session, question), None)
        if waiting is None or not waiting.set_running_or_notify_cancel():
            return False
        waiting.set_result(answer)
        return True
