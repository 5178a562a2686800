"""What the server says of itself, over HTTP in this process: metadata, challenges, Host headers."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest

from mcp_mount import MCPServer
from mcp_mount.auth import IDJAG, Client
from mcp_mount.auth.authorization.sign_in import SignIn
from tests.auth.authorization.shop import SCOPES, Shop

AS = "/.well-known/oauth-authorization-server"
PR = "/.well-known/oauth-protected-resource"


def server(**options: Any) -> MCPServer:
    given: dict[str, Any] = {
        "secret_key": "a key of tests",
        "allowed_hosts": ["shop.example"],
        **options,
    }
    sign_in = SignIn(
        scopes=SCOPES,
        user=lambda request: request.headers.get("x-user"),
        login="/login",
        **given.pop("sign_in", {}),
    )
    made = MCPServer("shop", auth=sign_in, **given)

    @made.tool(scopes="orders:read")
    def orders() -> str:
        """Show orders."""
        return "orders"

    return made


def ask(
    made: MCPServer,
    path: str,
    method: str = "GET",
    origin: str = "https://shop.example",
    **options: Any,
) -> httpx2.Response:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=made)
        async with httpx2.AsyncClient(transport=transport, base_url=origin) as client:
            return await client.request(method, path, **options)

    return anyio.run(send)


def test_the_document_is_exactly_this() -> None:
    answer = ask(server(sign_in={"client_keys": False}), AS)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json() == {
        "issuer": "https://shop.example",
        "authorization_endpoint": "https://shop.example/assistants/authorize",
        "token_endpoint": "https://shop.example/assistants/token",
        "revocation_endpoint": "https://shop.example/assistants/revoke",
        "registration_endpoint": "https://shop.example/assistants/register",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": True,
        "scopes_supported": ["orders:read", "orders:write"],
    }


SIGNED = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
]


def test_clients_may_sign_where_their_keys_are_verified() -> None:
    plain = ask(server(sign_in={"client_keys": False}), AS).json()
    assert ask(server(), AS).json() == {
        **plain,
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": SIGNED,
        "revocation_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "revocation_endpoint_auth_signing_alg_values_supported": SIGNED,
    }


def test_without_documents_of_clients_nobody_signs() -> None:
    document = ask(server(sign_in={"cimd": False}), AS).json()
    assert document["token_endpoint_auth_methods_supported"] == ["none"]
    assert "token_endpoint_auth_signing_alg_values_supported" not in document


def test_configured_clients_and_providers_are_in_the_document() -> None:
    own = {
        "client_keys": False,
        "clients": [Client("nightly", secret="s" * 32, scopes=["orders:read"])],
        "enterprise": IDJAG("https://login.example.com", lambda claims: None),
    }
    plain = ask(server(sign_in={"client_keys": False}), AS).json()
    methods = ["none", "client_secret_basic", "client_secret_post"]
    assert ask(server(sign_in=own), AS).json() == {
        **plain,
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "authorization_grant_profiles_supported": ["urn:ietf:params:oauth:grant-profile:id-jag"],
    }


def test_without_registration_no_endpoint_is_named() -> None:
    made = server(sign_in={"registration": False})
    assert "registration_endpoint" not in ask(made, AS).json()
    assert ask(made, "/assistants/register", "POST", json={}).status_code == 404


def test_documents_of_clients_are_advertised_only_if_they_are_read() -> None:
    document = ask(server(sign_in={"cimd": False}), AS).json()
    assert document.get("client_id_metadata_document_supported") is not True


def test_nothing_is_null_or_empty() -> None:
    for path in (AS, PR, f"{PR}/mcp"):
        document = ask(server(), path).json()
        assert all(one not in (None, "", []) for one in document.values()), path


def test_the_resource_names_this_server() -> None:
    for path in (PR, f"{PR}/mcp"):
        document = ask(server(), path).json()
        assert document["resource"] == "https://shop.example/mcp"
        assert document["authorization_servers"] == ["https://shop.example"]
        assert document["bearer_methods_supported"] == ["header"]


@pytest.mark.parametrize(
    "path", ["/.well-known/openid-configuration", f"{AS}/other", f"{AS}/mcp/x"]
)
def test_what_is_not_served_is_404_in_json(path: str) -> None:
    answer = ask(server(), path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/json")


def test_offline_access_is_nowhere() -> None:
    made = server()
    answers = [ask(made, AS), ask(made, PR), ask(made, "/mcp", "POST", json={})]
    for answer in answers:
        assert "offline_access" not in answer.text + repr(answer.headers)


def test_the_challenge_is_one_bearer_that_names_metadata() -> None:
    answer = ask(server(), "/mcp", "POST", json={})
    assert answer.status_code == 401
    (challenge,) = answer.headers.get_list("www-authenticate")
    assert challenge.startswith("Bearer resource_metadata=")
    assert f'resource_metadata="https://shop.example{PR}/mcp"' in challenge
    # No credentials, no error (RFC 6750, section 3.1).
    assert "error" not in challenge
    answer = ask(server(), "/mcp", "POST", json={}, headers={"authorization": "Bearer x"})
    assert answer.status_code == 401
    (challenge,) = answer.headers.get_list("www-authenticate")
    assert challenge.startswith('Bearer error="invalid_token", resource_metadata="https://')
    assert challenge.endswith('error_description="The access token is not valid, or has expired"')


@pytest.mark.parametrize(
    "token", ["x" * 8000, "[" * 100, "a.b.c", "é".encode().decode("latin-1"), ".", "=", "-"]
)
def test_odd_tokens_are_refused(token: str) -> None:
    headers = {"authorization": f"Bearer {token}".encode("latin-1")}
    answer = ask(server(), "/mcp", "POST", json={}, headers=headers)
    assert answer.status_code == 401


def test_a_token_in_the_query_is_not_looked_at() -> None:
    answer = ask(server(), "/mcp?access_token=x", "POST", json={})
    assert answer.status_code == 401
    assert "error=" not in answer.headers["www-authenticate"]


# Anybody can write a Host header.


@pytest.mark.parametrize(
    "path",
    [
        AS,
        "/assistants/authorize?client_id=x",
        "/assistants/",
    ],
)
def test_a_host_name_that_nobody_vouches_for_is_no_issuer(path: str) -> None:
    answer = ask(server(), path, headers={"host": "evil.example", "x-user": "ann"})
    assert answer.status_code in (400, 404, 421)
    assert "//evil" not in answer.text


@pytest.mark.parametrize("place", ["token", "register", "revoke"])
def test_nor_do_its_endpoints_answer(place: str) -> None:
    body = {"redirect_uris": ["http://127.0.0.1/cb"]}
    answer = ask(
        server(), f"/assistants/{place}", "POST", json=body, headers={"host": "evil.example"}
    )
    assert answer.status_code in (400, 404, 421)
    assert "client_id" not in answer.text


def test_a_resource_that_is_configured_is_the_issuer_whatever_the_host_header() -> None:
    made = server(resource="https://shop.example/mcp", allowed_hosts=None)
    answer = ask(made, AS, headers={"host": "evil.example"})
    assert answer.status_code in (200, 400, 404, 421)
    assert "//evil" not in answer.text
    assert ask(made, AS).json()["issuer"] == "https://shop.example"


@pytest.mark.parametrize("host", ["SHOP.example", "shop.example:443", "Shop.Example:443"])
def test_one_string_for_the_issuer_everywhere(host: str) -> None:
    made = server()
    headers = {"host": host}
    issuer = ask(made, AS, headers=headers).json()["issuer"]
    assert issuer == "https://shop.example"
    assert ask(made, AS, headers=headers).json() == ask(made, AS).json()
    servers = ask(made, PR, headers=headers).json()["authorization_servers"]
    assert servers == [issuer]


@pytest.mark.parametrize(
    "issuer",
    [
        "http://shop.example",
        "shop.example",
        "https://shop.example?x",
        "https://shop.example#f",
        "",
        "https://",
        "ftp://shop.example",
    ],
)
def test_what_is_no_issuer_is_refused(issuer: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        SignIn(issuer=issuer, user=lambda request: None, login="/login")


def test_an_issuer_of_ones_own() -> None:
    made = server(sign_in={"issuer": "https://id.example/shop/"})
    document = ask(made, f"{AS}/shop").json()
    assert document["issuer"] == "https://id.example/shop"
    assert ask(made, PR).json()["authorization_servers"] == ["https://id.example/shop"]


# Bodies over HTTP.


@pytest.mark.parametrize("place", ["token", "register", "revoke"])
def test_a_huge_body_is_refused_in_words_that_clients_read(place: str) -> None:
    answer = ask(server(), f"/assistants/{place}", "POST", content=b"[" * 100_000)
    assert answer.status_code in (400, 413)
    assert answer.headers["content-type"].startswith("application/json")
    assert sorted(answer.json()) == ["error", "error_description"]


def test_a_huge_form_of_a_person_is_refused_on_a_page() -> None:
    answer = ask(
        server(),
        "/assistants/authorize",
        "POST",
        content=b"form=" + b"x" * 100_000,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code in (400, 413)


def test_an_access_token_is_good_at_its_own_host_only() -> None:
    shop = Shop()
    tokens = shop.connect(shop.client())
    assert shop.verify(tokens["access_token"], "https://SHOP.example:443/mcp/").subject == "ann"
    for other in (
        "https://other.example/mcp",
        "https://shop.example/other",
        "http://shop.example/mcp",
    ):
        with pytest.raises(Exception, match="for another server"):
            shop.verify(tokens["access_token"], other)
