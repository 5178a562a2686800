"""Servers of tests, as the tests start and stop them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import pytest

from sample_projects.processes import Together, free_port, running

LATE = """
import pathlib, time
time.sleep(1)
pathlib.Path("loaded").touch()
def app(environ, start_response):
    pathlib.Path("asked").touch()
"""


def test_a_server_is_there_when_its_worker_has_loaded_the_application(tmp_path: Path) -> None:
    """gunicorn listens before."""
    (tmp_path / "late.py").write_text(LATE)
    port = free_port()
    words = [sys.executable, "-m", "gunicorn", "late:app", "--bind", f"127.0.0.1:{port}"]
    with running(words, port, cwd=tmp_path, log=tmp_path / "log"):
        assert (tmp_path / "loaded").exists()
    assert not (tmp_path / "asked").exists()
    assert "rror" not in (tmp_path / "log").read_text()


def test_contexts_end_at_the_same_time() -> None:
    ending = Barrier(3)

    @contextmanager
    def context() -> Iterator[None]:
        yield
        # Waits until all three are here.
        ending.wait(30)

    with Together() as together:
        for _ in range(3):
            together.enter_context(context())


def test_what_one_raises_is_told_when_all_have_ended() -> None:
    ended = []

    @contextmanager
    def context(name: str) -> Iterator[str]:
        yield name
        ended.append(name)
        assert name != "first", "its log has a traceback"

    with pytest.raises(AssertionError, match="its log has a traceback"), Together() as together:
        assert [together.enter_context(context(name)) for name in ("first", "second")] == [
            "first",
            "second",
        ]
    assert sorted(ended) == ["first", "second"]
