"""Servers of tests, as the tests start and stop them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Barrier

import pytest

from sample_projects.processes import Together


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
