"""The questions of this process that wait for the answers of their clients."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from mcp_mount.wire.forks import after_fork

_ID: Final = re.compile(r"([0-9a-f]{16})-[0-9a-f]{16}")
"""The form of the ids of live questions: the process, and a question of it."""

_MAX_ENDED: Final = 1024
"""How many sessions that have ended are remembered, while their calls may still ask."""


class WaitingAnswers:
    """Brings live questions and their answers together. Safe to use from any thread.

    An answer may have come to another process: that tells it to this one, over the backplane.

    Args:
        node: Returns the name of this process, in 16 hexadecimal digits.
    """

    def __init__(self, node: Callable[[], str]) -> None:
        self._node = node
        self._clear()
        after_fork(self._clear)

    def _clear(self) -> None:
        # A signal handler may come in here while its thread is.
        self._lock = threading.RLock()
        self._questions: dict[tuple[str, str], Future[Any]] = {}
        self._ended: dict[str, None] = {}

    def new_id(self) -> str:
        """An id for a question, which tells any process whose it is."""
        return f"{self._node()}-{secrets.token_hex(8)}"

    def asked_by(self, question: str) -> str | None:
        """The name of the other process that has asked a question; None for one of this process, or
        of nobody."""
        match = _ID.fullmatch(question)
        return match[1] if match is not None and match[1] != self._node() else None

    def expect(self, session: str, question: str) -> Future[Any]:
        """Return the future answer to a question just put to the client of `session`; None for one
        that has ended."""
        answer: Future[Any] = Future()
        with self._lock:
            if session in self._ended:
                answer.set_result(None)
            else:
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

    def end_session(self, session: str) -> None:
        """End the questions of a session that has ended: their answer is None, since no other can
        come any more.

        Args:
            session: Its id.
        """
        with self._lock:
            # Its calls may ask again, or begin to.
            self._ended[session] = None
            if len(self._ended) > _MAX_ENDED:
                self._ended.pop(next(iter(self._ended)))
            keys = [key for key in self._questions if key[0] == session]
            questions = [self._questions.pop(key) for key in keys]
        for question in questions:
            if question.set_running_or_notify_cancel():
                # Not an exception: an event loop logs those that nobody has looked at.
                question.set_result(None)
