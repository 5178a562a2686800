"""Sealed tokens."""

from __future__ import annotations

import pytest

from mcp_mount.wire.sealing import MAX_TOKEN, TokenRefused, TokenSealer


def test_claims_come_back_as_they_were_sealed() -> None:
    seal = TokenSealer("test", lambda: ["key"])
    claims, sealed_at = seal.open(seal.seal({"a": [1, "ü"]}), ttl=60)
    assert claims == {"a": [1, "ü"]}
    assert sealed_at > 1.7e9


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "." * MAX_TOKEN, "x" * (MAX_TOKEN + 1)])
def test_a_foreign_string_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        TokenSealer("test", lambda: ["key"]).open(token, ttl=60)


def test_a_token_of_another_purpose_or_key_is_refused() -> None:
    token = TokenSealer("test", lambda: ["key"]).seal(1)
    for seal in (TokenSealer("other", lambda: ["key"]), TokenSealer("test", lambda: ["another"])):
        with pytest.raises(TokenRefused):
            seal.open(token, ttl=60)


def test_a_changed_token_is_refused() -> None:
    seal = TokenSealer("test", lambda: ["key"])
    token = seal.seal("claims")
    for position in range(len(token)):
        changed = (
            token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        )
        if changed.rstrip("=")[:-1] == token.rstrip("=")[:-1]:
            continue  # The last character of Base64 has unused bits.
        with pytest.raises(TokenRefused):
            seal.open(changed, ttl=60)


def test_a_token_that_proxies_would_refuse_is_not_made() -> None:
    import secrets

    with pytest.raises(ValueError, match="the token would have"):
        TokenSealer("test", lambda: ["key"]).seal(secrets.token_hex(MAX_TOKEN))


def test_keys_are_asked_for_at_the_first_use() -> None:
    keys: list[str] = []
    seal = TokenSealer("test", lambda: keys)
    keys.append("late")
    assert TokenSealer("test", lambda: ["late"]).open(seal.seal(1), ttl=60)[0] == 1


@pytest.mark.parametrize(
    ("seconds", "is_good"), [(-61, False), (-60, True), (0, True), (60, True), (61, False)]
)
def test_the_clock_of_another_machine_may_be_a_little_ahead(
    monkeypatch: pytest.MonkeyPatch, seconds: int, is_good: bool
) -> None:
    seal = TokenSealer("test", lambda: ["key"])
    monkeypatch.setattr("time.time", lambda: 1795765924.7)
    token = seal.seal(1)
    monkeypatch.setattr("time.time", lambda: 1795765924.2 + seconds)
    if is_good:
        assert seal.open(token, ttl=60)[0] == 1
    else:
        with pytest.raises(TokenRefused, match="expired"):
            seal.open(token, ttl=60)


@pytest.mark.parametrize("claims", ["short", "long enough to be compressed " * 20])
def test_a_token_of_another_process_says_that_the_secret_key_is_missing(
    claims: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = TokenSealer("session", lambda: []), TokenSealer("session", lambda: [])
    with pytest.raises(TokenRefused):
        other.open(one.seal(claims), ttl=60)
    assert "sealed by another process" in caplog.text
    caplog.clear()
    for made_up in ("a.b", "a.b.c.d", "..a.b.c", "a"):
        with pytest.raises(TokenRefused):
            other.open(made_up, ttl=60)
    assert not caplog.text
