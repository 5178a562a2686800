"""Threads for tasks."""

from __future__ import annotations

import threading

import pytest

from mcp_mount.backends.tasks.workers import Workers

SECONDS = 20


def test_where_no_thread_can_be_started_who_asked_hears_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers, ran, is_over = Workers(1), list[str](), threading.Event()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            workers.submit(lambda: ran.append("refused"))

    def work() -> None:
        ran.append("taken")
        is_over.set()

    workers.submit(work)
    assert is_over.wait(SECONDS)
    assert ran == ["taken"]
