"""Clients that sign (`private_key_jwt`): configured ones, and those that publish their metadata."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest

from mcp_mount.auth import Client
from mcp_mount.auth.authorization.client_urls import DocumentRefused
from mcp_mount.auth.authorization.fetching import fetch_document
from mcp_mount.auth.authorization.server import AuthorizationServer
from mcp_mount.auth.signing_keys import fits
from tests.auth.authorization.shop import (
    BASE,
    CALLBACK,
    FORM,
    ISSUER,
    VERIFIER,
    Answer,
    Clock,
    Shop,
    basic,
)
from tests.auth.authorization.signing import (
    EC,
    EC384,
    ED,
    JWT_ASSERTION,
    OTHER_RSA,
    RSA,
    Key,
    assertion_of,
    client_claims,
)
from tests.auth.authorization.tls_server import NAME, authority, serving

URL = "https://chat.example/oauth/1/client.json"
KEYS = "https://chat.example/oauth/jwks.json"


def nightly(key: Key = RSA, **options: Any) -> Shop:
    given = {"jwks": key.jwks, "scopes": ["orders:read"], **options}
    return Shop({"clients": [Client("nightly", **given), Client("other", **given)]})


def ask(shop: Shop, assertion: str, headers: dict[str, str] = FORM, **changed: Any) -> Answer:
    form = {
        "grant_type": "client_credentials",
        "client_assertion": assertion,
        "client_assertion_type": JWT_ASSERTION,
        **changed,
    }
    given = {name: one for name, one in form.items() if one is not None}
    return shop.ask("/token", urlencode(given, doseq=True).encode(), headers)


REFUSED = (401, "invalid_client")


@pytest.mark.parametrize("key", [RSA, EC, EC384, ED], ids=lambda key: key.algorithm)
@pytest.mark.parametrize("form", ["jwks", "one key", "pem"])
def test_a_client_signs(key: Key, form: str, clock: Clock) -> None:
    given = {"jwks": key.jwks, "one key": key.jwk, "pem": key.public_pem.decode()}[form]
    shop = nightly(jwks=given)
    answer = ask(shop, assertion_of(key, "nightly", clock))
    assert answer.status == 200, answer.body
    assert answer.body["scope"] == "orders:read"
    assert shop.verify(answer.body["access_token"]).client_id == "nightly"
    assert ask(shop, assertion_of(key, "nightly", clock), client_id="nightly").status == 200


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/", f"{BASE}/token", [ISSUER]])
def test_the_audience_is_the_issuer_or_the_token_endpoint(audience: Any, clock: Clock) -> None:
    assert ask(nightly(), assertion_of(RSA, "nightly", clock, aud=audience)).status == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://shop.example/mcp"},
        {"aud": "https://SHOP.example"},
        {"aud": f"{BASE}/token/"},
        {"aud": f"{BASE}/authorize"},
        {"aud": "https://evil.example"},
        {"aud": [ISSUER, "https://evil.example"]},
        {"aud": []},
        {"aud": None},
        {"aud": 5},
        {"iss": "other"},
        {"iss": None},
        {"sub": "other"},
        {"sub": None},
        {"sub": ""},
        {"sub": ["nightly"]},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 1e400},
        {"exp": 10**400},
        {"exp": 1795765924 - 31},
        {"exp": 1795765924 + 365 * 24 * 3600},
        {"exp": 1795765924 + 631},
        {"nbf": 1795765924 + 31},
        {"iat": 1795765924 + 31},
        {"iat": "now"},
        {"jti": ""},
        {"jti": 5},
    ],
    ids=repr,
)
def test_claims_that_are_refused(changed: dict[str, Any], clock: Clock) -> None:
    shop = nightly()
    claims = client_claims("nightly", clock.now, **changed)
    made = RSA.private
    # Not by PyJWT, which refuses to sign some of them.
    assert ask(shop, compact({"alg": "RS256", "kid": "rsa"}, claims, made)).error == REFUSED
    good = ask(shop, assertion_of(RSA, "nightly", clock))
    assert good.status == 200, good.body


def compact(header: dict[str, Any], claims: Any, private: Any) -> str:
    """A JWT of any header and claims, signed by RS256."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    parts = (json.dumps(one).encode() for one in (header, claims))
    text = ".".join(urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts)
    signature = private.sign(text.encode(), PKCS1v15(), SHA256())
    return f"{text}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"typ": "oauth-id-jag+jwt"},
        {"typ": "logout+jwt"},
        {"typ": 5},
        {"crit": ["exp"]},
        {"kid": "unknown"},
        {"kid": 5},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"alg": "ES256"},
        {"alg": None},
        {"b64": False, "crit": ["b64"]},
        {"b64": True, "crit": ["b64"]},
    ],
    ids=repr,
)
def test_headers_that_are_refused(header: dict[str, Any], clock: Clock) -> None:
    claims = client_claims("nightly", clock.now)
    given = {"alg": "RS256", "kid": "rsa", "typ": "JWT", **header}
    assert ask(nightly(), compact(given, claims, RSA.private)).error == REFUSED


@pytest.mark.parametrize("kind", ["JWT", "jwt", "client-authentication+jwt", None])
def test_kinds_that_are_accepted(kind: str | None, clock: Clock) -> None:
    header = {"alg": "RS256", "kid": "rsa", **({} if kind is None else {"typ": kind})}
    made = compact(header, client_claims("nightly", clock.now), RSA.private)
    assert ask(nightly(), made).status == 200


def test_a_public_key_is_no_secret(clock: Clock) -> None:
    """The confusion of algorithms: an HMAC whose secret is the public key."""
    import hmac
    from hashlib import sha256

    for pem in (RSA.public_pem, json.dumps(RSA.jwk).encode()):
        parts = ({"alg": "HS256", "kid": "rsa"}, client_claims("nightly", clock.now))
        text = ".".join(
            urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts
        )
        made = hmac.new(pem, text.encode(), sha256).digest()
        forged = f"{text}.{urlsafe_b64encode(made).rstrip(b'=').decode()}"
        assert ask(nightly(), forged).error == REFUSED


@pytest.mark.parametrize("jwks", [RSA.jwks, RSA.public_pem.decode()], ids=["jwks", "pem"])
@pytest.mark.parametrize("key", [OTHER_RSA, EC, ED], ids=lambda key: key.algorithm)
def test_another_key_is_refused(jwks: Any, key: Key, clock: Clock) -> None:
    made = key.sign(client_claims("nightly", clock.now), kid="rsa")
    assert ask(nightly(jwks=jwks), made).error == REFUSED


ALGORITHMS = ("RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "none")


@pytest.mark.parametrize(
    ("key", "signs"),
    [(RSA, {"RS256", "PS512"}), (EC, {"ES256"}), (EC384, {"ES384"}), (ED, {"EdDSA"})],
    ids=["RSA", "P-256", "P-384", "Ed25519"],
)
def test_a_key_fits_the_algorithms_of_its_type(key: Key, signs: set[str]) -> None:
    # Older versions of PyJWT take a key on another curve.
    public = key.private.public_key()
    assert {one for one in ALGORITHMS if fits(public, one)} == signs


def test_keys_that_a_header_brings_are_not_looked_at(clock: Clock) -> None:
    header = {
        "jwk": OTHER_RSA.jwk,
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example",
    }
    made = OTHER_RSA.sign(client_claims("nightly", clock.now), **header)
    assert ask(nightly(), made).error == REFUSED


def test_an_assertion_is_used_once_whatever_its_signature_looks_like(clock: Clock) -> None:
    shop = nightly(EC)
    made = assertion_of(EC, "nightly", clock)
    assert ask(shop, made).status == 200
    assert ask(shop, made).error == REFUSED
    again = EC.sign(client_claims("nightly", clock.now, jti="same"))
    assert ask(shop, again).status == 200
    assert ask(shop, EC.sign(client_claims("nightly", clock.now, jti="same"))).error == REFUSED
    # The id of another client is another one.
    assert ask(shop, EC.sign(client_claims("other", clock.now, jti="same"))).status == 200
    assert [one.kind for one in shop.events].count("assertion reused") == 2


def test_without_an_id_what_is_signed_counts_once(clock: Clock) -> None:
    shop = nightly(EC)
    made = assertion_of(EC, "nightly", clock, jti=None)
    assert ask(shop, made).status == 200
    # The other signature by the same key that is as good: nobody needs the key to make it.
    text, _, signature = made.rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    forged = f"{text}.{urlsafe_b64encode(other).rstrip(b'=').decode()}"
    assert ask(shop, forged).error == REFUSED
    assert [one.kind for one in shop.events][-1] == "assertion reused"


def test_what_is_refused_for_another_reason_is_not_used_up(clock: Clock) -> None:
    shop = nightly()
    claims = client_claims("nightly", clock.now)
    assert ask(shop, RSA.sign({**claims, "aud": "https://evil.example"})).error == REFUSED
    assert ask(shop, RSA.sign(claims)).status == 200


def test_ways_that_do_not_go_together(clock: Clock) -> None:
    shop = nightly()
    made = assertion_of(RSA, "nightly", clock)
    twice = (400, "invalid_request")
    assert ask(shop, made, client_secret="s" * 40).error == twice
    assert ask(shop, made, basic("nightly", "s" * 40)).error == twice
    assert ask(shop, made, client_assertion=[made, made]).error == twice
    assert ask(shop, made, client_assertion_type=None).error == twice
    assert ask(shop, made, client_assertion=None).error == twice
    assert ask(shop, made, client_assertion_type="urn:other").error == REFUSED
    assert ask(shop, made, client_id="other").error == REFUSED
    assert ask(shop, made).status == 200


@pytest.mark.parametrize(
    "made",
    [
        "x",
        "a.b.c",
        "..",
        "eyJhbGciOiJSUzI1NiJ9.W10.",
        "eyJhbGciOiJSUzI1NiJ9.W1tb.",
        "[" * 15_000,
        "e30.e30.",
        "eyJhbGciOiJub25lIn0.e30.",
        "é",
    ],
)
def test_what_is_no_assertion(made: str) -> None:
    assert ask(nightly(), made).error == REFUSED


def test_a_huge_assertion_is_not_read(clock: Clock) -> None:
    made = assertion_of(RSA, "nightly", clock, more="x" * 20_000)
    assert ask(nightly(), made).error == REFUSED


def test_a_client_with_keys_has_no_other_way(clock: Clock) -> None:
    shop = nightly()
    for given in ({}, {"client_secret": "s" * 40}):
        answer = shop.token(grant_type="client_credentials", client_id="nightly", **given)
        assert answer.error == REFUSED
    registered = shop.client()
    made = RSA.sign(client_claims(registered, clock.now))
    assert ask(shop, made).error == REFUSED
    public = Shop(
        {"clients": [Client("app", redirects=CALLBACK), *shop.sign_in._options.clients.values()]}
    )
    assert ask(public, RSA.sign(client_claims("app", clock.now))).error == REFUSED


# --- Clients that publish their metadata ---


class Publisher:
    """What is at the URLs of a client, and how often it was fetched."""

    def __init__(self, **changed: Any) -> None:
        self.pages: dict[str, Any] = {
            URL: {
                "client_id": URL,
                "client_name": "Chat",
                "redirect_uris": [CALLBACK],
                "token_endpoint_auth_method": "private_key_jwt",
                "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
                "token_endpoint_auth_signing_alg": "RS256",
                "jwks_uri": KEYS,
                **changed,
            },
            KEYS: RSA.jwks,
        }
        self.fetched: list[str] = []

    def fetch(self, url: str) -> tuple[bytes, float]:
        self.fetched.append(url)
        if url not in self.pages:
            raise DocumentRefused("The client's server answers 404")
        return json.dumps(self.pages[url]).encode(), 3600.0


Open = Callable[..., Shop]


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def open_shop(publisher: Publisher) -> Open:
    def opened(**options: Any) -> Shop:
        shop = Shop(options)
        server: AuthorizationServer = shop.sign_in.server
        server.clients._fetch = publisher.fetch
        return shop

    return opened


def signed(clock: Clock, key: Key = RSA, **changed: Any) -> dict[str, str]:
    """ChatGPT's: for the token endpoint, byte for byte."""
    claims = client_claims(URL, clock.now, aud=f"{BASE}/token", **changed)
    return {"client_assertion": key.sign(claims), "client_assertion_type": JWT_ASSERTION}


def test_a_client_with_a_document_signs(
    open_shop: Open, publisher: Publisher, clock: Clock
) -> None:
    shop = open_shop()
    code = shop.code(URL)
    assert publisher.fetched == [URL]
    assert shop.redeem(URL, code).error == REFUSED
    tokens = shop.redeem(URL, code, **signed(clock))
    assert tokens.status == 200, tokens.body
    assert publisher.fetched == [URL, KEYS]
    assert shop.verify(tokens.body["access_token"]).subject == "ann"
    refresh = tokens.body["refresh_token"]
    # Who has stolen the token has not the key.
    assert shop.refresh(URL, refresh).error == REFUSED
    assert shop.refresh(URL, refresh, **signed(clock, EC)).error == REFUSED
    form = urlencode({"client_id": URL, "token": refresh}).encode()
    assert shop.ask("/revoke", form).error == REFUSED
    again = shop.refresh(URL, refresh, **signed(clock))
    assert again.status == 200, again.body
    assert shop.refresh(URL, again.body["refresh_token"]).error == REFUSED
    form = urlencode({"token": refresh, **signed(clock)}).encode()
    assert shop.ask("/revoke", form).status == 200
    assert list(shop.sign_in.store.list()) == []
    assert publisher.fetched == [URL, KEYS]


def test_the_keys_may_be_in_the_document(
    open_shop: Open, publisher: Publisher, clock: Clock
) -> None:
    publisher.pages[URL] |= {"jwks": RSA.jwks}
    del publisher.pages[URL]["jwks_uri"]
    shop = open_shop()
    assert shop.redeem(URL, shop.code(URL), **signed(clock)).status == 200
    assert publisher.fetched == [URL]


def test_nothing_is_fetched_for_who_has_no_code(
    open_shop: Open, publisher: Publisher, clock: Clock
) -> None:
    shop = open_shop(clients=[Client("nightly", secret="s" * 40, scopes=[])])
    client = shop.client()
    own, code = shop.connect(client), shop.code(client)
    for given in ({"code": "x"}, {"code": "x" * 300}, {"code": code, "code_verifier": VERIFIER}):
        form = {"grant_type": "authorization_code", **given, **signed(clock)}
        assert shop.token(**form).error == (400, "invalid_grant")
    stolen = {"grant_type": "refresh_token", "refresh_token": own["refresh_token"]}
    assert shop.token(**stolen, **signed(clock)).error == (400, "invalid_grant")
    itself = shop.token(grant_type="client_credentials", **signed(clock))
    assert itself.error == (400, "unauthorized_client")
    for token in ("x", own["access_token"], own["refresh_token"]):
        form = urlencode({"token": token, **signed(clock)}).encode()
        assert shop.ask("/revoke", form).status == 200
    assert publisher.fetched == []
    assert len(shop.sign_in.store.list()) == 1


def test_a_token_that_has_expired_is_told_as_such(
    open_shop: Open, publisher: Publisher, clock: Clock
) -> None:
    shop = open_shop()
    tokens = shop.redeem(URL, shop.code(URL), **signed(clock)).body
    clock.now += 31 * 24 * 3600
    answer = shop.refresh(URL, tokens["refresh_token"], **signed(clock))
    assert answer.error == (400, "invalid_grant")


def test_new_keys_are_fetched_and_made_up_ids_fetch_seldom(
    open_shop: Open, publisher: Publisher, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_mount.auth.signing_keys._COOLDOWN_SECONDS", 0.0)
    shop = open_shop()
    tokens = shop.redeem(URL, shop.code(URL), **signed(clock)).body
    publisher.pages[KEYS] = {"keys": [{**OTHER_RSA.jwk, "kid": "new"}]}
    claims = client_claims(URL, clock.now)
    rotated = {
        "client_assertion": OTHER_RSA.sign(claims, kid="new"),
        "client_assertion_type": JWT_ASSERTION,
    }
    assert shop.refresh(URL, tokens["refresh_token"], **rotated).status == 200
    assert publisher.fetched == [URL, KEYS, KEYS]
    monkeypatch.setattr("mcp_mount.auth.signing_keys._COOLDOWN_SECONDS", 3600.0)
    for number in range(5):
        made = RSA.sign(client_claims(URL, clock.now), kid=f"made up {number}")
        form = {"client_assertion": made, "client_assertion_type": JWT_ASSERTION}
        assert shop.refresh(URL, tokens["refresh_token"], **form).error == REFUSED
    assert publisher.fetched == [URL, KEYS, KEYS]


def test_keys_that_cannot_be_fetched_are_told_as_503(
    open_shop: Open, publisher: Publisher, clock: Clock
) -> None:
    del publisher.pages[KEYS]
    shop = open_shop()
    code = shop.code(URL)
    answer = shop.redeem(URL, code, **signed(clock))
    assert answer.error == (503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1/jwks",
        "https://[::1]/jwks",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/jwks",
        "https://localhost/jwks",
        "https://keys.internal/jwks",
        "http://chat.example/jwks",
        "https://chat.example:8443/jwks",
        "https://chat.example",
        "file:///etc/passwd",
        5,
        "",
    ],
)
def test_keys_are_fetched_as_documents_are(
    open_shop: Open, publisher: Publisher, clock: Clock, uri: Any
) -> None:
    publisher.pages[URL]["jwks_uri"] = uri
    shop = open_shop()
    # It offers to be a public client as well.
    assert shop.redeem(URL, shop.code(URL)).status == 200
    assert publisher.fetched == [URL]
    publisher.pages[URL]["token_endpoint_auth_methods_supported"] = ["private_key_jwt"]
    assert open_shop().authorize(URL).status == 400


def test_a_name_of_keys_that_stands_for_a_private_address_is_not_connected_to(
    open_shop: Open, publisher: Publisher, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names of documents and of keys are resolved by one function, which sees the addresses."""
    import socket

    shop = open_shop()
    code = shop.code(URL)
    shop.sign_in.server.clients._fetch = fetch_document
    asked: list[str] = []

    def resolve(host: str, port: int, **options: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", port))]

    import mcp_mount.auth.authorization.public_addresses as addresses

    monkeypatch.setitem(addresses.connect_publicly.__kwdefaults__, "resolve", resolve)
    assert shop.redeem(URL, code, **signed(clock)).error == (503, "temporarily_unavailable")
    assert asked == ["chat.example."]


def test_keys_are_fetched_over_tls(open_shop: Open, publisher: Publisher, clock: Clock) -> None:
    body = json.dumps(RSA.jwks).encode()
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/jwk-set+json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    publisher.pages[URL]["jwks_uri"] = f"https://{NAME}/keys"
    shop = open_shop()
    code = shop.code(URL)
    with serving(head.encode() + body) as server:
        shop.sign_in.server.clients._fetch = partial(
            fetch_document, connect=server.connect, context=authority().trusting()
        )
        assert shop.redeem(URL, code, **signed(clock)).status == 200
    (request,) = server.requests
    assert request.startswith(b"GET /keys HTTP/1.1\r\nhost: client.example.com\r\n")


@pytest.mark.parametrize(
    "keys",
    [
        {"keys": []},
        {"keys": "x"},
        {},
        [],
        {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"}]},
        {"keys": [{**RSA.jwk, "use": "enc"}]},
        {"keys": [{**RSA.jwk, "d": "x"}]},
    ],
)
def test_key_sets_without_a_key(
    open_shop: Open, publisher: Publisher, clock: Clock, keys: Any
) -> None:
    publisher.pages[KEYS] = keys
    shop = open_shop()
    answer = shop.redeem(URL, shop.code(URL), **signed(clock))
    assert answer.error == (503, "temporarily_unavailable")


def test_the_algorithm_of_the_document_counts(
    open_shop: Open, publisher: Publisher, clock: Clock
) -> None:
    shop = open_shop()
    code = shop.code(URL)
    claims = client_claims(URL, clock.now)
    for algorithm, status in (("PS256", 401), ("RS256", 200)):
        made = RSA.sign(claims, alg=algorithm)
        form = {"client_assertion": made, "client_assertion_type": JWT_ASSERTION}
        assert shop.redeem(URL, code, **form).status == status
    publisher.pages[URL]["token_endpoint_auth_signing_alg"] = "HS256"
    shop = open_shop()
    assert shop.redeem(URL, shop.code(URL), **signed(clock)).error == REFUSED


def test_where_keys_are_not_verified_a_client_that_offers_it_is_a_public_one(
    open_shop: Open, publisher: Publisher, clock: Clock
) -> None:
    shop = open_shop(client_keys=False)
    code = shop.code(URL)
    assert shop.redeem(URL, code, **signed(clock)).error == REFUSED
    assert shop.redeem(URL, code).status == 200
    publisher.pages[URL]["token_endpoint_auth_methods_supported"] = ["private_key_jwt"]
    assert open_shop(client_keys=False).authorize(URL).status == 400


def test_a_client_that_begins_to_sign_must_go_on(
    open_shop: Open, publisher: Publisher, clock: Clock
) -> None:
    # Before keys were verified here, and thereafter.
    store = open_shop(client_keys=False).sign_in.store
    before = open_shop(client_keys=False, store=store)
    refresh = before.redeem(URL, before.code(URL)).body["refresh_token"]
    after = open_shop(store=store)
    again = after.refresh(URL, refresh, **signed(clock))
    assert again.status == 200, again.body
    assert after.refresh(URL, again.body["refresh_token"]).error == REFUSED


def test_missing_libraries_are_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from mcp_mount.auth import IDJAG, SignIn
    from mcp_mount.schemas.extras import MissingExtra

    monkeypatch.setitem(sys.modules, "jwt", None)
    monkeypatch.setattr("mcp_mount.auth.authorization.sign_in.find_spec", lambda name: None)
    for make in (
        lambda: Client("nightly", jwks=RSA.jwks),
        lambda: Client("nightly", jwks_uri=KEYS),
        lambda: IDJAG("https://login.example.com", print),
        lambda: SignIn(client_keys=True),
    ):
        with pytest.raises(MissingExtra, match=r"mcp-mount\[auth\]"):
            make()
    shop = Shop({"clients": [Client("nightly", secret="s" * 40, scopes=[])]})
    document = shop.sign_in.server.metadata(ISSUER, BASE)
    assert document["token_endpoint_auth_methods_supported"] == [
        *("none", "client_secret_basic", "client_secret_post")
    ]
    answer = ask(shop, "a.b.c")
    assert answer.error == REFUSED
