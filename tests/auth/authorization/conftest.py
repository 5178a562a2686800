"""Fixtures: a shop in this process, and the time."""

from __future__ import annotations

import time

import pytest

from tests.auth.authorization.shop import Clock, Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time for codes, tokens and connections."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock
