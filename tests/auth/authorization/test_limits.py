"""How often an address may register clients, and fail to get tokens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.auth.authorization.shop import Shop


def test_an_address_registers_so_many_clients_a_minute(shop: Shop) -> None:
    answers = [shop.register() for _ in range(121)]
    assert [one.status for one in answers] == [201] * 120 + [429]
    assert answers[-1].error == (429, "temporarily_unavailable")
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


def test_refused_registrations_count_as_well(shop: Shop) -> None:
    answers = [shop.ask("/register", b"[" * 100).status for _ in range(121)]
    assert answers == [400] * 120 + [429]


def test_a_client_that_fails_too_often_waits(shop: Shop) -> None:
    client, other = shop.client(), shop.client(client_name="Other")
    tokens, others = shop.connect(client), shop.connect(other)
    answers = [shop.refresh(client, f"guess {number}") for number in range(31)]
    assert [one.status for one in answers] == [400] * 30 + [429]
    assert answers[-1].error == (429, "temporarily_unavailable")
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert shop.refresh(client, tokens["refresh_token"]).status == 429
    # The other clients of a hosted assistant have its address.
    assert shop.refresh(other, others["refresh_token"]).status == 200


def test_what_succeeds_does_not_count(shop: Shop) -> None:
    client = shop.client()
    token = shop.connect(client)["refresh_token"]
    for _ in range(40):
        answer = shop.refresh(client, token)
        assert answer.status == 200
        token = answer.body["refresh_token"]


class Away:
    """A limiter whose store does not answer."""

    def test(self, *given: Any) -> bool:
        raise OSError("away")

    hit = test


def test_nobody_registers_where_registrations_cannot_be_counted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop.sign_in.server._tokens._limits, "_limiter", Away)
    answer = shop.register()
    assert answer.error == (503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert "client registered" not in shop.kinds()


def test_failures_are_counted_in_the_process_where_the_store_is_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, other = shop.client(), shop.client(client_name="Other")
    tokens = shop.connect(other)
    monkeypatch.setattr(shop.sign_in.server._tokens._limits, "_limiter", Away)
    answers = [shop.refresh(client, f"guess {number}").status for number in range(31)]
    assert answers == [400] * 30 + [429]
    # Who is connected goes on, and others connect.
    assert shop.refresh(other, tokens["refresh_token"]).status == 200
    assert shop.connect(other)["token_type"] == "Bearer"


def test_a_store_that_is_away_is_left_alone_for_a_while(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    now = 1000.0

    class Silent:
        """A limiter whose store takes its time to fail."""

        def test(self, *given: Any) -> bool:
            asked.append("test")
            raise OSError("away")

        def hit(self, *given: Any) -> bool:
            asked.append("hit")
            raise OSError("away")

    client = shop.client()
    limits = shop.sign_in.server._registration._limits
    monkeypatch.setattr(limits, "_limiter", Silent)
    monkeypatch.setattr("mcp_mount.auth.authorization.limits.monotonic", lambda: now)
    for _ in range(3):
        assert shop.token(client_id=client, client_secret="wrong").status == 400
    assert asked == ["test"]
    # Those who register are told at once when it is back.
    assert shop.register().status == 503
    monkeypatch.setattr(limits, "_limiter", lambda: limits._own)
    assert shop.register().status == 201
    monkeypatch.setattr(limits, "_limiter", Silent)
    now += 6
    assert shop.token(client_id=client, client_secret="wrong").status == 400
    assert asked == ["test", "test", "test"]
