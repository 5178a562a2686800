"""Tokens and keys of every form: what is not a good one is refused, and nothing else happens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm
from starlette.testclient import TestClient

from mcp_mount import CompletionsRouter, MCPServer, ToolsRouter
from mcp_mount.auth import JWT, AccessToken, InvalidToken, TokenVerifier
from mcp_mount.transports.driving import follow
from tests.auth.issuer import Issuer, issuing, rsa_key
from tests.auth.test_jwt import URL, build, post, said
from tests.requests import stateless

SECRET = "a secret that both know, 32 bytes"
ISSUER = "https://login.example.com"


def signed(header: str, claims: str) -> str:
    """A token with these texts, and a good signature by HS256."""

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    body = part(header.encode()) + b"." + part(claims.encode())
    mac = hmac.digest(SECRET.encode(), body, hashlib.sha256)
    return (body + b"." + part(mac)).decode()


def verified(token: str) -> AccessToken | None:
    """What a verifier makes of a token: nothing but InvalidToken may come of a bad one."""
    verifier = JWT(ISSUER, audience=URL, key=SECRET, algorithms=["HS256"])
    try:
        return follow(verifier.verify(token, None))
    except InvalidToken:
        return None


GOOD = {"iss": ISSUER, "sub": "ada", "aud": URL, "exp": 4_000_000_000}
HEADER = '{"alg":"HS256"}'


def claims(**changed: Any) -> str:
    return json.dumps({**GOOD, **changed})


def test_the_good_one_of_these_is_accepted() -> None:
    token = verified(signed(HEADER, claims()))
    assert token is not None
    assert token.subject == "ada"


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt"])
def test_a_token_may_say_that_it_is_an_access_token_or_a_jwt(kind: str) -> None:
    assert verified(signed(json.dumps({"alg": "HS256", "typ": kind}), claims())) is not None


@pytest.mark.parametrize(
    "token",
    [
        signed(HEADER, claims(sub="")),
        signed(HEADER, claims(sub=None)),
        signed(HEADER, claims(sub=["ada"])),
        signed(HEADER, claims(sub=True)),
        signed(HEADER, json.dumps({key: GOOD[key] for key in ("iss", "aud", "exp")})),
        signed(HEADER, json.dumps(GOOD).replace("4000000000", "9" * 400)),
        signed(HEADER, json.dumps(GOOD).replace("4000000000", "9" * 5000)),
        signed(HEADER, claims(exp=float("nan"))),
        signed(HEADER, claims(exp=float("inf"))),
        signed(HEADER, claims(exp=True)),
        signed(HEADER, claims(exp="4000000000")),
        signed(HEADER, claims(exp=[4_000_000_000])),
        signed(HEADER, claims(nbf=float("inf"))),
        signed(HEADER, claims(nbf={})),
        signed(HEADER, claims(iat=float("-inf"))),
        signed(HEADER, claims(aud={URL: 1})),
        signed(HEADER, claims(iss=[ISSUER])),
        signed(HEADER, "[" * 5000 + "]" * 5000),
        signed(HEADER, "[]"),
        signed(HEADER, "null"),
        signed('{"alg":[]}', claims()),
        signed('{"alg":{}}', claims()),
        signed('{"alg":null}', claims()),
        signed('{"alg":"none"}', claims()),
        signed('{"alg":"HS256","kid":7}', claims()),
        signed('{"alg":"HS256","kid":["one"]}', claims()),
        signed('{"alg":"HS256","kid":{}}', claims()),
        signed('{"alg":"HS256","typ":"logout+jwt"}', claims()),
        signed('{"alg":"HS256","typ":"dpop+jwt"}', claims()),
        signed('{"alg":"HS256","typ":""}', claims()),
        signed('{"alg":"HS256","typ":7}', claims()),
        signed(HEADER, claims(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
        signed(HEADER, claims(cnf={"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})),
        signed(HEADER, claims(cnf={})),
        signed('{"alg":"HS256","crit":["exp"],"exp":1}', claims()),
        signed('{"alg":"HS256","b64":false}', claims()),
        signed("[" * 5000 + "]" * 5000, claims()),
        signed("[]", claims()),
        signed(HEADER, claims(padding="x" * 20_000)),
        "..",
        "",
        "\ud800.\ud800.\ud800",
    ],
)
def test_a_token_of_an_odd_form_is_refused(token: str) -> None:
    assert verified(token) is None


def test_the_names_of_a_scope_are_a_text_or_a_list() -> None:
    for scope, names in (
        ("read write", {"read", "write"}),
        (["read", 7, None, "write"], {"read", "write"}),
        ({"admin": True}, set()),
        (7, set()),
    ):
        token = verified(signed(HEADER, claims(scope=scope)))
        assert token is not None
        assert token.scopes == names


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([10**400, -(10**400), "", "HS256", "none", ISSUER, URL, 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    [
        *("alg", "kid", "typ", "crit", "b64", "jwk", "iss", "sub", "aud", "exp", "nbf", "iat"),
        *("jti", "scope", "scp", "roles", "client_id", "azp"),
    ]
) | st.text(max_size=4)
members = st.dictionaries(names, anything, max_size=6)


@given(header=members, changed=members, whole=st.booleans())
def test_nothing_but_a_refusal_comes_of_whatever_a_token_says(
    header: dict[str, Any], changed: dict[str, Any], whole: bool
) -> None:
    header = {**header, "alg": "HS256"} if whole else header
    token = verified(signed(json.dumps(header), json.dumps({**GOOD, **changed})))
    assert token is None or (token.subject and token.expires_at is not None)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_nothing_but_a_refusal_comes_of_any_text(text: str) -> None:
    assert verified(text) is None
    assert verified(f"{text}.{text}.{text}") is None


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {**json.loads(RSAAlgorithm.to_jwk(key)), "kid": "one", **members}
    return whole


def test_a_short_rsa_key_is_not_used(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    issuer.document = {"keys": [jwk(key.public_key())]}
    with warnings.catch_warnings():
        # PyJWT warns of such keys since 2.11, and does not refuse them.
        warnings.simplefilter("ignore")
        token = issuer.token(key)
    assert post(build(JWT(issuer.url, audience=URL)), token).status_code in (401, 503)
    assert "fewer than 2048 bits" in caplog.text


def test_a_private_key_among_public_ones_is_not_used(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    leaked, key = rsa_key(), rsa_key()
    issuer.document = {"keys": [jwk(leaked), jwk(key.public_key(), kid="two")]}
    server = build(JWT(issuer.url, audience=URL))
    assert post(server, issuer.token(leaked)).status_code == 401
    assert post(server, issuer.token(key, kid="two")).status_code == 200
    assert "A private key" in caplog.text


def test_keys_of_odd_forms_are_left_out(issuer: Issuer) -> None:
    key = rsa_key()
    odd: list[Any] = [
        *(None, 7, "key", [], {}, {"kty": []}, {"kty": "RSA", "n": 7, "e": []}, {"kty": "oct"}),
        *(jwk(key.public_key(), kid=value) for value in ([], {}, 7, None)),
        jwk(key.public_key(), n=""),
        jwk(key.public_key(), use="enc"),
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "one"},
    ]
    issuer.document = {"keys": [*odd, jwk(key.public_key())]}
    assert post(build(JWT(issuer.url, audience=URL)), issuer.token(key)).status_code == 200


@pytest.mark.parametrize("members", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": []}])
def test_a_key_for_something_else_verifies_nothing(issuer: Issuer, members: dict[str, Any]) -> None:
    other, key = rsa_key(), rsa_key()
    issuer.document = {
        "keys": [jwk(other.public_key(), **members), jwk(key.public_key(), kid="two")]
    }
    server = build(JWT(issuer.url, audience=URL))
    assert post(server, issuer.token(other)).status_code == 401
    assert post(server, issuer.token(key, kid="two")).status_code == 200


@pytest.mark.parametrize("document", [{"keys": {}}, {"keys": "x"}, [], {}, "x", 7])
def test_a_document_without_keys_is_a_503(issuer: Issuer, document: Any) -> None:
    issuer.document = document
    response = post(build(JWT(issuer.url, audience=URL)), issuer.token(rsa_key()))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"


def pem(key: Any) -> bytes:
    data: bytes = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return data


def test_a_fixed_key_is_a_public_one_of_some_length() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    private = rsa_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for key, words in (
        (pem(weak.public_key()), "fewer than 2048 bits"),
        (private, "is a private key"),
        (b"nonsense", "no public key"),
    ):
        with pytest.raises(ValueError, match=words):
            JWT(ISSUER, key=key)
    with pytest.raises(ValueError, match="32 are the least"):
        JWT(ISSUER, key="short", algorithms=["HS256"])
    with pytest.raises(ValueError, match="64 are the least"):
        JWT(ISSUER, key=SECRET, algorithms=["HS512"])


def test_a_fixed_public_key_verifies(issuer: Issuer) -> None:
    key = rsa_key()
    server = build(JWT(issuer.url, audience=URL, key=pem(key.public_key())))
    assert post(server, issuer.token(key)).status_code == 200
    assert post(server, issuer.token(rsa_key())).status_code == 401


def test_a_function_that_fails_refuses(caplog: pytest.LogCaptureFixture) -> None:
    def verify(token: str) -> AccessToken | None:
        return AccessToken(json.loads(token)["sub"])

    response = post(build(TokenVerifier(verify)), "no JSON")
    assert response.status_code == 401
    assert said(response) == "The credentials could not be verified"
    assert "JSONDecodeError" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"\\ud800","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"a":"\\ud800"}',
        b'{"messages":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"model":"echo","messages":[],"max_tokens":' + b"9" * 400 + b"}",
        b'{"model":"echo","messages":[],"temperature":1e999}',
        b'{"arguments":{"n":' + b"9" * 5000 + b"}}",
        b'{"n":NaN}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/tools/echo", "/mcp"])
def test_no_body_is_an_error_of_the_server(path: str, body: bytes) -> None:
    server = MCPServer("bodies")
    server.include_router(CompletionsRouter())
    tools = ToolsRouter()

    @tools.tool
    def echo(n: int = 0, a: str = "") -> str:
        return f"{n} {a}"

    server.include_router(tools)
    client = TestClient(server, base_url="http://localhost", raise_server_exceptions=False)
    headers, _ = stateless("tools/call", {"name": "echo", "arguments": {}})
    response = client.post(path, content=body, headers=headers)
    assert response.status_code < 500
    response.json()


def test_a_token_whose_time_has_come_is_refused_though_it_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifier = JWT(ISSUER, audience=URL, key=SECRET, algorithms=["HS256"], leeway=0.0)
    token = signed(HEADER, claims(exp=time.time() + 3600))
    assert follow(verifier.verify(token, None)).subject == "ada"
    later = SimpleNamespace(time=lambda: time.time() + 3601, monotonic=time.monotonic)
    monkeypatch.setattr("mcp_mount.auth.jwt.time", later)
    with pytest.raises(InvalidToken, match="expired"):
        follow(verifier.verify(token, None))
