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


def test_counts_that_are_away_stop_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def test(self, *given: Any) -> bool:
            raise OSError("away")

        hit = test

    monkeypatch.setattr(shop.sign_in.server._limits, "_limiter", Away)
    client = shop.client()
    assert shop.refresh(client, "x").error == (400, "invalid_grant")
    assert shop.connect(client)["token_type"] == "Bearer"
