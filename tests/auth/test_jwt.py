"""JWTs: which are accepted, and what is said of those that are not."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from starlette.testclient import TestClient

from mcp_mount import MCPServer, SyncContext
from mcp_mount.auth import JWT
from tests.auth.issuer import Issuer, ec_key, issuing, rsa_key
from tests.requests import stateless

URL = "http://testserver/mcp"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


def build(verifier: Any, **options: Any) -> MCPServer:
    server = MCPServer(
        "guarded", auth=verifier, **{"resource": URL.replace("http", "https"), **options}
    )
    server.core.protocol.settings.allowed_hosts = frozenset({"testserver"})

    @server.tool
    def whoami(ctx: SyncContext) -> dict[str, Any]:
        token = ctx.access_token
        assert token is not None
        return {
            "caller": ctx.caller,
            "scopes": sorted(token.scopes),
            "roles": sorted(token.roles),
            "user": ctx.request.user.identity,
        }

    return server


def post(server: MCPServer, token: str | None) -> Any:
    headers, body = stateless("tools/call", {"name": "whoami", "arguments": {}})
    if token is not None:
        headers["authorization"] = f"Bearer {token}".encode()  # type: ignore[assignment]
    return TestClient(server).post("/mcp", content=body, headers=headers)


def said(response: Any) -> str:
    header: str = response.headers["www-authenticate"]
    return header.partition('error_description="')[2].partition('"')[0]


def none_token(issuer: Issuer) -> str:
    claims = {"iss": issuer.url, "sub": "ada", "aud": URL, "exp": time.time() + 60}

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def test_a_good_token_tells_who_calls(issuer: Issuer) -> None:
    key = issuer.add("one", rsa_key())
    server = build(JWT(issuer.url, audience=URL))
    token = issuer.token(key, scope="write read", roles=["clerk"], azp="app")
    result = post(server, token).json()["result"]["structuredContent"]
    assert result == {
        "caller": "ada",
        "scopes": ["read", "write"],
        "roles": ["clerk"],
        "user": "ada",
    }


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": 1}, "The access token has expired"),
        ({"exp": None}, "The access token is not valid: MissingRequiredClaimError"),
        ({"nbf": 4_000_000_000}, "The access token is not valid: ImmatureSignatureError"),
        ({"aud": "https://other.example/mcp"}, "The access token is for another resource"),
        ({"aud": None}, "The access token is for another resource"),
        ({"aud": []}, "The access token is for another resource"),
        ({"iss": "https://evil.example"}, "The access token is of another issuer"),
        ({"sub": None}, "The access token is not valid: MissingRequiredClaimError"),
    ],
)
def test_claims_that_are_not_accepted(issuer: Issuer, claims: dict[str, Any], words: str) -> None:
    key = issuer.add("one", rsa_key())
    response = post(build(JWT(issuer.url, audience=URL)), issuer.token(key, **claims))
    assert (response.status_code, said(response)) == (401, words)
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


def test_a_token_of_no_algorithm_is_refused(issuer: Issuer) -> None:
    issuer.add("one", rsa_key())
    response = post(build(JWT(issuer.url, audience=URL)), none_token(issuer))
    assert response.status_code == 401
    assert said(response) == "The access token is signed by an algorithm that is not accepted"


def test_a_public_key_is_no_secret(issuer: Issuer) -> None:
    """Key confusion: a token signed by HS256 with the text of the public key."""
    key = issuer.add("one", rsa_key())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    import hashlib
    import hmac

    good = issuer.token(key)
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=")
    signed = header + b"." + good.split(".")[1].encode()
    mac = base64.urlsafe_b64encode(hmac.digest(public, signed, hashlib.sha256)).rstrip(b"=")
    response = post(build(JWT(issuer.url, audience=URL)), (signed + b"." + mac).decode())
    assert response.status_code == 401
    assert said(response) == "The access token is signed by an algorithm that is not accepted"


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "é" * 10, "a" * 9000])
def test_what_is_no_token_is_refused(issuer: Issuer, token: str) -> None:
    issuer.add("one", rsa_key())
    response = post(build(JWT(issuer.url, audience=URL)), token)
    assert response.status_code == 401


def test_a_foreign_signature_is_refused(issuer: Issuer) -> None:
    issuer.add("one", rsa_key())
    response = post(build(JWT(issuer.url, audience=URL)), issuer.token(rsa_key()))
    assert said(response) == "The signature of the access token is not valid"


def test_elliptic_curves_and_a_mixed_set_of_keys(issuer: Issuer) -> None:
    issuer.add("one", rsa_key())
    key = issuer.add("two", ec_key())
    server = build(JWT(issuer.url, audience=URL))
    assert post(server, issuer.token(key, alg="ES256", kid="two")).status_code == 200
    # Without an id every key is tried.
    assert post(server, issuer.token(key, alg="ES256", kid=None)).status_code == 200
    # An id does not stand for a key of another kind.
    assert post(server, issuer.token(key, alg="ES256", kid="one")).status_code == 401


def test_a_new_key_is_looked_up_once_for_all_who_wait(issuer: Issuer) -> None:
    issuer.add("old", rsa_key())
    server = build(JWT(issuer.url, audience=URL))
    key = issuer.add("new", rsa_key())
    token = issuer.token(key, kid="new")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(server, token).status_code, range(16)))
    assert answers == [200] * 16
    assert issuer.fetched == 1


def test_made_up_key_ids_do_not_make_requests(issuer: Issuer) -> None:
    key = issuer.add("one", rsa_key())
    server = build(JWT(issuer.url, audience=URL))
    assert post(server, issuer.token(key)).status_code == 200
    for number in range(20):
        response = post(server, issuer.token(key, kid=f"made-up-{number}"))
        assert said(response) == "The access token is signed by a key that is not known"
    # The first may look, the others within ten seconds may not.
    assert issuer.fetched <= 2


def test_known_keys_outlive_an_issuer_that_does_not_answer(issuer: Issuer) -> None:
    key = issuer.add("one", rsa_key())
    verifier = JWT(issuer.url, audience=URL, keys_ttl=0.0)
    server = build(verifier)
    assert post(server, issuer.token(key)).status_code == 200
    issuer.fails = True
    assert post(server, issuer.token(key, sub="eve")).status_code == 200


def test_an_issuer_that_never_answered_is_a_503(issuer: Issuer) -> None:
    issuer.fails = True
    key = rsa_key()
    response = post(build(JWT(issuer.url, audience=URL)), issuer.token(key))
    assert response.status_code == 503
    assert response.json()["error"]["message"] == "The authorization server cannot be reached"


def test_the_audience_is_the_resource_by_default(issuer: Issuer) -> None:
    key = issuer.add("one", rsa_key())
    server = build(JWT(issuer.url))
    for audience, status in [
        ("https://testserver/mcp", 200),
        ("https://testserver/mcp/", 200),
        (["https://testserver/mcp", "https://other.example"], 200),
        ("https://testserver", 401),
        ("https://testserver/mcp2", 401),
    ]:
        assert post(server, issuer.token(key, aud=audience)).status_code == status, audience


def test_a_forged_host_makes_no_audience(issuer: Issuer, caplog: Any) -> None:
    """A token for another server must not become good by a Host header that names that one."""
    key = issuer.add("one", rsa_key())
    server = MCPServer("guarded", auth=JWT(issuer.url))
    token = issuer.token(key, aud="http://evil.example/mcp")
    headers, body = stateless("tools/list", {})
    headers |= {"host": "evil.example", "authorization": f"Bearer {token}"}
    with caplog.at_level(logging.WARNING):
        response = TestClient(server).post("/mcp", content=body, headers=headers)
    assert response.status_code == 401
    assert said(response) == "The access token is for another resource"
    assert "for this server at 'http://evil.example/mcp', since nobody vouches" in caplog.text


def test_who_names_an_audience_needs_nobody_to_vouch(issuer: Issuer, caplog: Any) -> None:
    key = issuer.add("one", rsa_key())
    server = MCPServer("guarded", auth=JWT(issuer.url, audience="shop"))
    headers, body = stateless("tools/list", {})
    headers["authorization"] = f"Bearer {issuer.token(key, aud='shop')}"
    with caplog.at_level(logging.WARNING):
        assert TestClient(server).post("/mcp", content=body, headers=headers).status_code == 200
    assert "vouches" not in caplog.text


def test_no_token_is_ever_logged(issuer: Issuer, caplog: Any) -> None:
    key = issuer.add("one", rsa_key())
    server = build(JWT(issuer.url, audience=URL), log_calls=True)
    good, bad = issuer.token(key), issuer.token(rsa_key())
    with caplog.at_level(logging.DEBUG):
        assert post(server, good).status_code == 200
        assert post(server, bad).status_code == 401
    assert "tools/call whoami by ada: ok" in caplog.text
    for token in (good, bad):
        assert token not in caplog.text
        assert token.rpartition(".")[2] not in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"issuer": "http://login.example.com"}, "issuer must be an https:// URL"),
        ({"jwks_uri": "http://login.example.com/keys"}, "jwks_uri must be an https:// URL"),
        ({"algorithms": ["none"]}, "algorithms must name some, and not 'none'"),
        ({"algorithms": ["HS256"]}, "HS algorithms need key="),
        ({"algorithms": ["HS256", "RS256"], "key": "k" * 32}, "no others beside them"),
        ({"algorithms": ["RSA256"]}, "algorithms names 'RSA256'; did you mean 'RS256'"),
        ({"key": "k" * 32}, "for a shared secret, write algorithms="),
    ],
)
def test_what_is_not_secure_cannot_be_set_up(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        JWT(**{"issuer": "https://login.example.com", **options})


def test_a_shared_secret_if_that_is_what_is_wanted(issuer: Issuer) -> None:
    secret = "a secret that both know, 32 bytes"
    server = build(JWT(issuer.url, audience=URL, key=secret, algorithms="HS256"))
    assert post(server, issuer.token(secret, alg="HS256")).status_code == 200
    assert post(server, issuer.token(secret + "x", alg="HS256")).status_code == 401


def test_without_a_token_the_challenge_names_no_error(issuer: Issuer) -> None:
    response = post(build(JWT(issuer.url), scopes="read write"), None)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == (
        "Bearer resource_metadata="
        '"https://testserver/.well-known/oauth-protected-resource/mcp", scope="read write"'
    )
