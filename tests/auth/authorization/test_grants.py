"""The token endpoint and revocation: codes, refresh tokens, and what ends a connection."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import pytest

from mcp_mount.auth.authorization.connections import MemoryConnections
from mcp_mount.auth.verifiers import InvalidToken
from mcp_mount.wire.errors import ProtocolError
from tests.auth.authorization.served import ServedShop, Street
from tests.auth.authorization.shop import (
    CALLBACK,
    FORM,
    ISSUER,
    RESOURCE,
    VERIFIER,
    Clock,
    Shop,
    answer_of,
    basic,
    words,
)
from tests.requests import stateless

GRANT = (400, "invalid_grant")
REQUEST = (400, "invalid_request")
TOO_LARGE = (413, "invalid_request")


def is_good(shop: Shop, tokens: dict[str, Any]) -> bool:
    """Whether an access token is taken, by a process that has not seen it before."""
    from mcp_mount.auth.verifiers import VerificationCache

    shop.sign_in._tokens._known = VerificationCache()
    try:
        shop.verify(tokens["access_token"])
    except InvalidToken:
        return False
    return True


# Answers.


def test_the_answer_is_exactly_this(shop: Shop) -> None:
    client = shop.client()
    answer = shop.redeem(client, shop.code(client))
    assert answer.status == 200
    assert dict(answer.headers) == {
        "content-type": "application/json",
        "cache-control": "no-store",
        "pragma": "no-cache",
        "access-control-allow-origin": "*",
    }
    body = dict(answer.body)
    assert body.pop("access_token") != body.pop("refresh_token")
    assert json.dumps(body) == (
        '{"token_type": "Bearer", "expires_in": 3600, "scope": "orders:read"}'
    )


def test_errors_are_exactly_these(shop: Shop) -> None:
    answer = shop.token(grant_type="authorization_code")
    assert answer.status == 401
    assert dict(answer.headers) == {
        "content-type": "application/json",
        "cache-control": "no-store",
        "pragma": "no-cache",
        "access-control-allow-origin": "*",
    }
    assert answer.body == {
        "error": "invalid_client",
        "error_description": "The client_id is missing",
    }


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("place", ["/token", "/revoke", "/register"])
def test_only_post_is_taken(shop: Shop, place: str, method: str) -> None:
    reply = shop.send(method, place)
    assert reply.status == 405
    assert ("allow", "POST") in reply.headers


@pytest.mark.parametrize("place", ["/token", "/revoke", "/register"])
def test_scripts_of_any_origin_may_ask(shop: Shop, place: str) -> None:
    reply = shop.send("OPTIONS", place, headers={"origin": "https://a.example"})
    headers = dict(reply.headers)
    assert reply.status == 204
    assert headers["access-control-allow-origin"] == "*"
    assert "authorization" in headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("place", ["/", "/token/x", "/tokens", "/TOKEN", "//token", "/authorize/x"])
def test_there_is_nothing_else(shop: Shop, place: str) -> None:
    if place == "/":
        assert shop.send("GET", place).status == 302
        return
    assert shop.send("POST", place).status == 404


# How a request is read.


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""]
)
def test_only_forms_are_read(shop: Shop, kind: str) -> None:
    client = shop.client()
    body = urlencode({"grant_type": "refresh_token", "client_id": client}).encode()
    headers = {"content-type": kind} if kind else {}
    assert shop.ask("/token", body, headers).error == REQUEST


def test_a_form_may_name_its_charset(shop: Shop) -> None:
    client = shop.client()
    form = {
        "grant_type": "authorization_code",
        "client_id": client,
        "code": shop.code(client),
        "code_verifier": VERIFIER,
    }
    headers = {"content-type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}
    assert shop.ask("/token", urlencode(form).encode(), headers).status == 200


def test_json_in_a_form_that_is_none(shop: Shop) -> None:
    assert shop.ask("/token", b'{"grant_type":"refresh_token"}').error == (401, "invalid_client")


@pytest.mark.parametrize(
    "name", ["grant_type", "code", "client_id", "code_verifier", "redirect_uri", "scope"]
)
def test_a_parameter_that_comes_twice_is_refused_and_redeems_nothing(shop: Shop, name: str) -> None:
    client = shop.client()
    code = shop.code(client)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": client,
        "code_verifier": VERIFIER,
        "redirect_uri": CALLBACK,
        "scope": "orders:read",
    }
    body = urlencode([*form.items(), (name, form[name])]).encode()
    answer = shop.ask("/token", body)
    assert answer.error == REQUEST
    assert answer.body["error_description"] == f"A parameter comes twice: {name}"
    assert shop.redeem(client, code).status == 200


@pytest.mark.parametrize(
    ("left_out", "error"),
    [
        ("grant_type", REQUEST),
        ("code", REQUEST),
        ("client_id", (401, "invalid_client")),
        ("code_verifier", REQUEST),
    ],
)
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_missing_or_empty(
    shop: Shop, left_out: str, error: tuple[int, str], value: str | None
) -> None:
    client = shop.client()
    code = shop.code(client)
    given: dict[str, Any] = {left_out: value}
    if left_out in ("client_id", "code"):
        form = {
            "grant_type": "authorization_code",
            "client_id": client,
            "code": code,
            "code_verifier": VERIFIER,
            **given,
        }
        assert shop.token(**form).error == error
    else:
        assert shop.redeem(client, code, **given).error == error
    assert shop.redeem(client, code).status == 200


def test_what_a_client_may_leave_out(shop: Shop) -> None:
    client = shop.client()
    answer = shop.redeem(client, shop.code(client), redirect_uri=None, resource=None)
    assert answer.status == 200


def test_unknown_parameters_are_ignored(shop: Shop) -> None:
    client = shop.client()
    answer = shop.redeem(client, shop.code(client), audience="x", client_secret="s", ü="ß")
    assert answer.status == 200


@pytest.mark.parametrize(
    "grant",
    ["password", "implicit", "client_credentials", "Authorization_Code", "x" * 10_000, "ü\n"],
)
def test_other_grants_are_not_supported(shop: Shop, grant: str) -> None:
    answer = shop.token(grant_type=grant, client_id=shop.client())
    assert answer.status == 400
    assert answer.body["error"] in ("unsupported_grant_type", "unauthorized_client")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"client_id=%ff",
        b"=" * 1000,
        b"&" * 60_000,
        b"[" * 100_000,
        b"&".join(b"a%d=1" % number for number in range(200)),
        "client_id=ü".encode(),
        b"\x00",
    ],
)
@pytest.mark.parametrize("place", ["/token", "/revoke"])
def test_odd_bodies_are_refused(shop: Shop, place: str, body: bytes) -> None:
    answer = shop.ask(place, body)
    assert answer.error in (REQUEST, TOO_LARGE, (401, "invalid_client"))
    assert answer.body["error_description"].isascii()
    assert len(answer.body["error_description"]) < 200


# Clients.


@pytest.mark.parametrize(
    "client_id", ["nobody", "[" * 100, "ü" * 50, "x" * 20_000, "\x00", "https://", "a b"]
)
@pytest.mark.parametrize("place", ["/token", "/revoke"])
def test_an_unknown_client_is_told_to_register(shop: Shop, client_id: str, place: str) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": "x", "token": "x"}
    answer = shop.ask(place, urlencode({**form, "client_id": client_id}).encode())
    assert answer.error == (401, "invalid_client")
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("encode", [quote, str], ids=["encoded", "raw"])
def test_a_client_may_send_its_id_by_basic(shop: Shop, encode: Any) -> None:
    client = shop.client()
    form = {
        "grant_type": "authorization_code",
        "code": shop.code(client),
        "code_verifier": VERIFIER,
    }
    answer = shop.ask("/token", urlencode(form).encode(), basic(encode(client), "s+e%3Acr"))
    assert answer.status == 200


def test_the_id_may_come_by_basic_and_in_the_form_if_it_is_one(shop: Shop) -> None:
    client = shop.client()
    other = shop.client(client_name="Other")
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": client}
    body = urlencode(form).encode()
    assert shop.ask("/token", body, basic(client)).error == GRANT
    assert shop.ask("/token", body, basic(other)).error[1] in ("invalid_request", "invalid_client")


def test_basic_names_a_realm_and_only_for_basic(shop: Shop) -> None:
    body = b"grant_type=refresh_token&refresh_token=x"
    answer = shop.ask("/token", body, basic("nobody"))
    assert answer.error == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == 'Basic realm="token endpoint"'
    bearer = {**FORM, "authorization": "Bearer nobody"}
    answer = shop.ask("/token", body + b"&client_id=nobody", bearer)
    assert answer.error == (401, "invalid_client")
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize(
    "value",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic ü",
        "Basic " + b64encode(b"\xff\xfe:x").decode(),
        "Basic " + b64encode(b":x").decode(),
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b"%ff:x").decode(),
        "Basic " + "A" * 60_000,
        "Basic " + b64encode(b"[" * 9999).decode(),
    ],
)
def test_odd_headers_of_basic_are_refused(shop: Shop, value: str) -> None:
    headers = {**FORM, "authorization": value}
    answer = shop.ask("/token", b"grant_type=refresh_token&refresh_token=x", headers)
    assert answer.error in (REQUEST, (401, "invalid_client"))


# Codes.


def test_codes_tell_nothing(shop: Shop) -> None:
    import zlib
    from base64 import urlsafe_b64decode

    from tests.auth.authorization.shop import CHALLENGE

    shop.people["ann"] = "a-session-hash"
    code = shop.code(shop.client())
    assert set(code) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-")
    packed = code.lstrip(".").split(".")[0]
    held = zlib.decompress(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    assert b"orders:read" in held
    assert CHALLENGE.encode() not in held
    assert b"a-session-hash" not in held


@pytest.mark.parametrize(
    "verifier",
    [
        "w" + VERIFIER[1:],
        VERIFIER[:-1],
        VERIFIER + "0",
        VERIFIER.upper(),
        "x" * 42,
        "x" * 129,
        VERIFIER + "\n",
        "ü" * 43,
        "[" * 10_000,
    ],
)
def test_wrong_verifiers_redeem_nothing_and_end_nothing(shop: Shop, verifier: str) -> None:
    client = shop.client()
    code = shop.code(client)
    assert shop.redeem(client, code, code_verifier=verifier).error == GRANT
    tokens = shop.redeem(client, code).body
    assert shop.redeem(client, code, code_verifier=verifier).error == GRANT
    assert is_good(shop, tokens)


def test_a_code_belongs_to_one_client(shop: Shop) -> None:
    client, thief = shop.client(), shop.client(client_name="Thief")
    code = shop.code(client)
    assert shop.redeem(thief, code).error == GRANT
    tokens = shop.redeem(client, code)
    assert tokens.status == 200
    assert shop.redeem(thief, code).error == GRANT
    assert is_good(shop, tokens.body)


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:3031/callback", "http://127.0.0.1:3030/callback/", "x"]
)
def test_the_redirect_uri_may_be_left_out_but_not_changed(shop: Shop, uri: str) -> None:
    client = shop.client()
    code = shop.code(client)
    assert shop.redeem(client, code, redirect_uri=uri).error == GRANT
    assert shop.redeem(client, code, redirect_uri=None).status == 200


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        ("https://other.example/mcp", (400, "invalid_target")),
        ([RESOURCE, "https://other.example/mcp"], (400, "invalid_target")),
        (f"{RESOURCE}#f", (400, "invalid_target")),
        ("[" * 1000, (400, "invalid_target")),
        (f"{RESOURCE}/", None),
        (ISSUER, None),
        ([RESOURCE, ISSUER], None),
    ],
)
def test_resources_at_the_token_endpoint(shop: Shop, resource: Any, error: Any) -> None:
    client = shop.client()
    code = shop.code(client)
    answer = shop.redeem(client, code, resource=resource)
    assert (None if answer.status == 200 else answer.error) == error
    tokens = answer.body if error is None else shop.redeem(client, code).body
    answer = shop.refresh(client, tokens["refresh_token"], resource=resource)
    assert (None if answer.status == 200 else answer.error) == error


def test_a_code_expires(shop: Shop, clock: Clock) -> None:
    client = shop.client()
    code = shop.code(client)
    clock.now += 61
    assert shop.redeem(client, code).error == GRANT


def test_a_second_use_ends_all(shop: Shop) -> None:
    client = shop.client()
    code = shop.code(client)
    tokens = shop.redeem(client, code).body
    assert is_good(shop, tokens)
    assert shop.redeem(client, code).error == GRANT
    assert not is_good(shop, tokens)
    assert shop.refresh(client, tokens["refresh_token"]).error == GRANT
    assert shop.kinds()[-1] == "code reused"


def test_of_several_redemptions_at_once_one_gets_tokens(shop: Shop) -> None:
    client = shop.client()
    code = shop.code(client)
    start = Barrier(8)

    def redeem(number: int) -> int:
        start.wait(20)
        return shop.redeem(client, code).status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(redeem, range(8))) == [200] + [400] * 7


@pytest.mark.parametrize("stamp", [None, "2", ["2", "3"], False, []])
def test_a_code_of_somebody_who_may_not_come_any_more_is_refused(shop: Shop, stamp: Any) -> None:
    client = shop.client()
    code = shop.code(client)
    shop.people["ann"] = stamp
    assert shop.redeem(client, code).error == GRANT
    assert "tokens issued" not in shop.kinds()


# Refresh tokens.


def test_a_refresh_token_is_replaced(shop: Shop, clock: Clock) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    clock.now += 100
    new = shop.refresh(client, tokens["refresh_token"])
    assert new.status == 200
    assert sorted(new.body) == [
        "access_token",
        "expires_in",
        "refresh_token",
        "scope",
        "token_type",
    ]
    assert new.body["refresh_token"] != tokens["refresh_token"]
    assert is_good(shop, tokens)
    assert is_good(shop, new.body)
    assert shop.refresh(client, new.body["refresh_token"]).status == 200


def test_within_grace_the_same_generation_comes_again(shop: Shop, clock: Clock) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    answers = [shop.refresh(client, tokens["refresh_token"])]
    for _ in range(3):
        clock.now += 20
        answers.append(shop.refresh(client, tokens["refresh_token"]))
    assert [one.status for one in answers] == [200] * 4
    # Each holds the same generation: any of them leads on, and then they are all of the past.
    held = shop.sign_in.store.list("ann")[0]
    assert held.generation == 1
    assert shop.refresh(client, answers[2].body["refresh_token"]).status == 200
    assert shop.refresh(client, answers[0].body["refresh_token"]).status == 200
    assert shop.sign_in.store.list("ann")[0].generation == 2


def test_reuse_beyond_grace_ends_the_connection(shop: Shop, clock: Clock) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    new = shop.refresh(client, tokens["refresh_token"]).body
    clock.now += 61
    assert shop.refresh(client, tokens["refresh_token"]).error == GRANT
    assert shop.kinds()[-1] == "refresh token reused"
    assert shop.refresh(client, new["refresh_token"]).error == GRANT
    assert not is_good(shop, new)


def test_an_older_generation_has_no_grace(shop: Shop) -> None:
    client = shop.client()
    first = shop.connect(client)
    second = shop.refresh(client, first["refresh_token"]).body
    shop.refresh(client, second["refresh_token"])
    assert shop.refresh(client, first["refresh_token"]).error == GRANT
    assert list(shop.sign_in.store.list("ann")) == []


def test_without_grace_a_second_use_ends_the_connection(clock: Clock) -> None:
    shop = Shop({"grace": 0})
    client = shop.client()
    tokens = shop.connect(client)
    assert shop.refresh(client, tokens["refresh_token"]).status == 200
    # At the same moment, too: also where the clock of another process was ahead.
    clock.now -= 0.5
    assert shop.refresh(client, tokens["refresh_token"]).error == GRANT
    assert list(shop.sign_in.store.list("ann")) == []


@pytest.mark.parametrize(("grace", "good"), [(60, 8), (0, 1)])
def test_several_refreshes_at_once(grace: float, good: int) -> None:
    shop = Shop({"grace": grace})
    client = shop.client()
    token = shop.connect(client)["refresh_token"]
    start = Barrier(8)

    def refresh(number: int) -> int:
        start.wait(20)
        return shop.refresh(client, token).status

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(refresh, range(8)))
    assert answers == [200] * good + [400] * (8 - good)


def test_a_refresh_token_of_another_client_is_refused_and_ends_nothing(shop: Shop) -> None:
    client, thief = shop.client(), shop.client(client_name="Thief")
    tokens = shop.connect(client)
    assert shop.refresh(thief, tokens["refresh_token"]).error == GRANT
    assert shop.refresh(client, tokens["refresh_token"]).status == 200


@pytest.mark.parametrize("scope", ["orders:write", "orders:read orders:write", "nothing"])
def test_no_more_scopes_than_were_granted(shop: Shop, scope: str) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    answer = shop.refresh(client, tokens["refresh_token"], scope=scope)
    assert answer.error == (400, "invalid_scope")
    assert shop.refresh(client, tokens["refresh_token"]).status == 200


def test_narrowing_narrows_one_access_token_only(shop: Shop) -> None:
    client = shop.client()
    tokens = shop.connect(client, scope="orders:read orders:write")
    narrow = shop.refresh(client, tokens["refresh_token"], scope="orders:read offline_access").body
    assert narrow["scope"] == "orders:read"
    assert shop.verify(narrow["access_token"]).scopes == {"orders:read"}
    wide = shop.refresh(client, narrow["refresh_token"]).body
    assert wide["scope"] == "orders:read orders:write"
    assert shop.verify(wide["access_token"]).scopes == {"orders:read", "orders:write"}
    assert shop.verify(tokens["access_token"]).scopes == {"orders:read", "orders:write"}


def test_a_refresh_token_that_is_not_used_expires(shop: Shop, clock: Clock) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    clock.now += 29 * 86400
    new = shop.refresh(client, tokens["refresh_token"]).body
    clock.now += 29 * 86400
    newer = shop.refresh(client, new["refresh_token"]).body
    clock.now += 30 * 86400 + 1
    assert shop.refresh(client, newer["refresh_token"]).error == GRANT


def test_a_connection_ends_at_last(shop: Shop, clock: Clock) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    for _ in range(9):
        clock.now += 20 * 86400 - 1
        tokens = shop.refresh(client, tokens["refresh_token"]).body
    assert is_good(shop, tokens)
    clock.now += 10
    assert shop.refresh(client, tokens["refresh_token"]).error == GRANT
    assert shop.kinds()[-1] == "connection ended"
    assert not is_good(shop, tokens)


@pytest.mark.parametrize("stamp", [None, "2"])
def test_who_may_not_come_any_more_is_not_refreshed(shop: Shop, stamp: Any) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    shop.people["ann"] = stamp
    assert shop.refresh(client, tokens["refresh_token"]).error == GRANT
    assert shop.kinds()[-1] == "connection ended"
    # It has ended for good.
    shop.people["ann"] = "1"
    assert shop.refresh(client, tokens["refresh_token"]).error == GRANT


def test_a_stamp_of_older_keys_is_good_and_is_replaced(shop: Shop) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    shop.people["ann"] = ["2", "1"]
    assert is_good(shop, tokens)
    new = shop.refresh(client, tokens["refresh_token"]).body
    shop.people["ann"] = ["3", "2"]
    assert is_good(shop, new)
    assert shop.refresh(client, new["refresh_token"]).status == 200


@pytest.mark.parametrize("token", ["x", "", "[" * 100_000, "a.b.c", "ü" * 100, "\x00", "." * 4000])
def test_odd_refresh_tokens_are_refused(shop: Shop, token: str) -> None:
    client = shop.client()
    form = {"grant_type": "refresh_token", "client_id": client, "refresh_token": token}
    assert shop.token(**form).error in (GRANT, REQUEST, TOO_LARGE)


# Kinds of tokens.


def test_no_kind_is_taken_for_another(shop: Shop) -> None:
    client = shop.client()
    code = shop.code(client)
    tokens = shop.connect(client)
    kinds = {
        "client": client,
        "code": code,
        "access": tokens["access_token"],
        "refresh": tokens["refresh_token"],
    }
    assert len(set(kinds.values())) == 4
    for name, one in kinds.items():
        if name != "code":
            assert shop.redeem(client, one).error == GRANT
        if name != "refresh":
            assert shop.refresh(client, one).error == GRANT
        if name != "client":
            assert shop.refresh(one, tokens["refresh_token"]).error == (401, "invalid_client")
            assert shop.authorize(one).status == 400
        if name != "access":
            with pytest.raises(InvalidToken):
                shop.verify(one)
    assert shop.redeem(client, code).status == 200
    assert shop.refresh(client, tokens["refresh_token"]).status == 200


# Revocation.


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "nonsense"])
def test_revocation_ends_the_connection(shop: Shop, kind: str, hint: str | None) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    form = {"client_id": client, "token": tokens[kind], "token_type_hint": hint or ""}
    reply = shop.send("POST", "/revoke", body=urlencode(form).encode(), headers=FORM)
    assert (reply.status, reply.body) == (200, b"")
    assert not is_good(shop, tokens)
    assert shop.refresh(client, tokens["refresh_token"]).error == GRANT
    assert shop.kinds()[-1] == "connection revoked"
    assert shop.send("POST", "/revoke", body=urlencode(form).encode(), headers=FORM).status == 200
    assert shop.kinds().count("connection revoked") == 1


@pytest.mark.parametrize("token", ["x", "[" * 50_000, "ü", "a.b.c"])
def test_revoking_what_is_no_token_changes_nothing(shop: Shop, token: str) -> None:
    form = {"client_id": shop.client(), "token": token}
    reply = shop.send("POST", "/revoke", body=urlencode(form).encode(), headers=FORM)
    assert reply.status in ((200,) if len(token) < 10_000 else (400, 413))


def test_another_client_revokes_nothing(shop: Shop) -> None:
    client, other = shop.client(), shop.client(client_name="Other")
    tokens = shop.connect(client)
    for token in (tokens["access_token"], tokens["refresh_token"]):
        form = {"client_id": other, "token": token}
        reply = shop.send("POST", "/revoke", body=urlencode(form).encode(), headers=FORM)
        assert reply.status == 200
    assert is_good(shop, tokens)


def test_a_revocation_without_a_token_or_a_client_is_refused(shop: Shop) -> None:
    assert shop.ask("/revoke", urlencode({"client_id": shop.client()}).encode()).error == REQUEST
    assert shop.ask("/revoke", b"token=x").error == (401, "invalid_client")


def test_an_access_token_that_has_expired_still_ends_its_connection(
    shop: Shop, clock: Clock
) -> None:
    client = shop.client()
    tokens = shop.connect(client)
    clock.now += 2 * 3600
    form = {"client_id": client, "token": tokens["access_token"]}
    shop.send("POST", "/revoke", body=urlencode(form).encode(), headers=FORM)
    assert shop.kinds()[-1] == "connection revoked"


# A store that is away.


class Away(MemoryConnections):
    """A store that can be cut off."""

    is_shared = True
    is_away = False

    def __getattribute__(self, name: str) -> Any:
        if name in ("add", "get", "rotate", "revoke", "list", "purge") and self.is_away:
            return self.fails
        return super().__getattribute__(name)

    def fails(self, *given: Any) -> Any:
        raise ConnectionRefusedError("store-7.internal:5432 says no")


@pytest.fixture
def store() -> Away:
    return Away()


def test_a_store_that_is_away_is_told_as_503(store: Away) -> None:
    shop = Shop({"store": store})
    client = shop.client()
    tokens = shop.connect(client)
    code = shop.code(client)
    store.is_away = True
    form = urlencode({"client_id": client, "token": tokens["refresh_token"]}).encode()
    for answer in (
        shop.redeem(client, code),
        shop.refresh(client, tokens["refresh_token"]),
        shop.ask("/revoke", form),
    ):
        assert answer.error == (503, "temporarily_unavailable")
        assert answer.headers["retry-after"] == "5"
        assert "internal" not in repr(answer)
    store.is_away = False
    assert shop.redeem(client, code).status == 200
    assert shop.refresh(client, tokens["refresh_token"]).status == 200


@pytest.mark.parametrize("kind", ["redis", "database"])
def test_a_real_store_that_is_away(kind: str, tmp_path: Path) -> None:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(tmp_path / "nowhere" / "connections.sqlite3")

    shop = Shop({"store": "redis://127.0.0.1:1" if kind == "redis" else connect})
    client = shop.client()
    answer = shop.redeem(client, shop.code(client))
    assert answer.error == (503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert shop.send("GET", "/", user="ann").status == 503
    token = shop.sign_in.seals.access_token("x")
    with pytest.raises(ProtocolError) as caught:
        shop.verify(token)
    assert caught.value.status(stateless=True) == 503


def test_an_access_token_cannot_be_verified_then(store: Away) -> None:
    shop = Shop({"store": store})
    tokens = shop.connect(shop.client())
    store.is_away = True
    with pytest.raises(ProtocolError) as caught:
        shop.verify(tokens["access_token"])
    assert caught.value.status(stateless=True) == 503
    assert caught.value.retry_after == 5
    assert "internal" not in str(caught.value)
    # A token that is none is refused all the same.
    with pytest.raises(InvalidToken):
        shop.verify("x")


def test_over_http_that_is_503_and_nothing_is_told_of_the_store(
    store: Away, one_street: Street
) -> None:
    shop = ServedShop({"store": store}, street=one_street)

    @shop.mcp.tool(scopes="orders:read")
    def orders() -> str:
        """Show orders."""
        return "orders"

    client = shop.client()
    tokens, code = shop.connect(client), shop.code(client)
    page = shop.authorize(client)
    headers, body = stateless("tools/call", {"name": "orders", "arguments": {}})
    headers |= {"authorization": f"Bearer {tokens['access_token']}", "host": "shop.example"}
    headers["x-forwarded-proto"] = "https"
    store.is_away = True
    answer = httpx2.post(f"{one_street.url}/mcp", content=body, headers=headers, timeout=60)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "internal" not in answer.text
    assert shop.redeem(client, code).error == (503, "temporarily_unavailable")
    # Consent needs no store: the code is good when it is back.
    code = dict(answer_of(shop.decide(page)))["code"]
    assert shop.send("GET", "/", user="ann").status == 503
    store.is_away = False
    assert shop.redeem(client, code).status == 200
    answer = httpx2.post(f"{one_street.url}/mcp", content=body, headers=headers, timeout=60)
    assert answer.status_code == 200
    assert "orders" in answer.text


def test_the_page_of_connections_says_so_then(store: Away) -> None:
    shop = Shop({"store": store})
    store.is_away = True
    page = shop.send("GET", "", user="ann")
    assert page.status == 503
    assert "Try again later" in words(page)
    assert ("retry-after", "5") in page.headers


def test_if_nobody_knows_whether_a_person_may_come_that_is_503_too(shop: Shop) -> None:
    client = shop.client()
    tokens = shop.connect(client)

    def fails(user: str) -> str:
        raise OSError("away")

    shop.sign_in._still_valid = fails
    answer = shop.refresh(client, tokens["refresh_token"])
    assert answer.error == (503, "temporarily_unavailable")
    with pytest.raises(ProtocolError):
        shop.verify(tokens["access_token"])
    shop.sign_in._still_valid = None
    assert len(shop.sign_in.store.list("ann")) == 1


def test_a_connection_that_is_revoked_meanwhile_is_no_reuse() -> None:
    class Slow(MemoryConnections):
        """Revokes, as another process may, between the look at a connection and its rotation."""

        def rotate(self, id: str, generation: int, used: float, stamp: str) -> bool:
            self.revoke(id, used)
            return super().rotate(id, generation, used, stamp)

    shop = Shop({"store": Slow()})
    client = shop.client()
    tokens = shop.connect(client)
    assert shop.refresh(client, tokens["refresh_token"]).error == GRANT
    assert "refresh token reused" not in shop.kinds()


def test_a_failing_listener_stops_nobody(shop: Shop) -> None:
    def fails(event: Any) -> None:
        raise OSError("the log is full")

    broken = Shop({"on_event": fails})
    assert broken.connect(broken.client())["token_type"] == "Bearer"


# Old connections.


def test_what_cannot_be_used_any_more_is_deleted_once_a_day(shop: Shop, clock: Clock) -> None:
    client = shop.client()
    shop.connect(client)
    clock.now += 32 * 86400
    shop.connect(client, "bob")
    assert [one.user for one in shop.sign_in.store.list()] == ["bob"]


def test_a_connection_that_can_still_be_used_is_kept(clock: Clock) -> None:
    shop = Shop({"access": 60 * 86400, "refresh": 86400})
    client = shop.client()
    tokens = shop.connect(client)
    clock.now += 50 * 86400
    shop.connect(client, "bob")
    assert is_good(shop, tokens)
