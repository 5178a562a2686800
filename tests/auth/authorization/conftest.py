"""Fixtures: a shop in this process, and the time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.auth.authorization.served import ServedShop, Street, street
from tests.auth.authorization.shop import Clock, Shop


@pytest.fixture(scope="session")
def one_street() -> Iterator[Street]:
    with street() as made:
        yield made


@pytest.fixture(params=["in process", "uvicorn"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """A shop: without any host, and behind a real web server."""
    if request.param == "in process":
        return Shop()
    return ServedShop(street=request.getfixturevalue("one_street"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time for codes, tokens and connections."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock
