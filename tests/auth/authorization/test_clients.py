"""Registration: what each client sends, and bodies that are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcp_mount.wire.messages import JSON
from tests.auth.authorization.shop import CALLBACK, Answer, Clock, Shop, words

METADATA = "invalid_client_metadata"
REDIRECT = "invalid_redirect_uri"
BOTH = ["authorization_code", "refresh_token"]

SENT: dict[str, dict[str, Any]] = {
    "Python": {
        "response_types": ["code"],
        "scope": "orders:read",
        "client_name": "Probe",
        "redirect_uris": ["http://localhost:3030/callback"],
        "grant_types": BOTH,
        "application_type": "native",
    },
    "FastMCP": {
        "response_types": ["code"],
        "scope": "orders:read",
        "client_name": "FastMCP Client",
        "redirect_uris": ["http://localhost:43817/callback"],
        "grant_types": BOTH,
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    },
    "TypeScript": {
        "client_name": "Probe",
        "redirect_uris": ["http://localhost:3030/callback"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "orders:read",
    },
    "Inspector": {
        "client_name": "MCP Inspector",
        "client_uri": "https://github.com/modelcontextprotocol/inspector",
        "redirect_uris": ["http://localhost:6274/oauth/callback"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "",
        "application_type": "native",
    },
    "VS Code": {
        "client_name": "Visual Studio Code",
        "client_uri": "https://code.visualstudio.com",
        "grant_types": [*BOTH, "urn:ietf:params:oauth:grant-type:device_code"],
        "response_types": ["code"],
        "redirect_uris": [
            "https://insiders.vscode.dev/redirect",
            "https://vscode.dev/redirect",
            "http://127.0.0.1/",
            "http://127.0.0.1:33418/",
        ],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    },
    "Cursor": {
        "client_name": "Cursor",
        "redirect_uris": [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    },
    "Claude.ai": {
        "client_name": "Claude",
        "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_post",
        "scope": "claudeai",
    },
}


@pytest.mark.parametrize("client", SENT)
def test_each_client_as_it_sends_it(client: str) -> None:
    shop = Shop()
    sent = SENT[client]
    answer = shop.ask("/register", json.dumps(sent).encode(), {"content-type": "application/json"})
    assert answer.status == 201
    body = dict(answer.body)
    client_id = body.pop("client_id")
    assert abs(body.pop("client_id_issued_at") - 1.79e9) < 1e9
    expected = {
        name: sent[name] for name in ("client_name", "client_uri", "scope") if sent.get(name)
    }
    assert body == {
        **expected,
        "redirect_uris": sent["redirect_uris"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    for uri in sent["redirect_uris"]:
        page = shop.authorize(client_id, redirect_uri=uri)
        assert f"Connect {sent['client_name']} to shop?" in words(page)


def test_the_answer_has_these_headers(shop: Shop) -> None:
    assert dict(shop.register().headers) == {
        "content-type": JSON,
        "cache-control": "no-store",
        "pragma": "no-cache",
        "access-control-allow-origin": "*",
    }


def test_an_id_is_of_plain_characters_and_of_no_url(shop: Shop) -> None:
    ids = {shop.client() for _ in range(3)}
    for one in ids:
        assert not one.startswith("http")
        assert all(char.isalnum() or char in "._-" for char in one)
        assert len(one) < 200


def test_who_asks_for_a_secret_gets_none(shop: Shop) -> None:
    answer = shop.register(token_endpoint_auth_method="client_secret_basic")
    assert answer.body["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in answer.body
    assert "client_secret_expires_at" not in answer.body


def test_nothing_comes_back_as_null_or_empty(shop: Shop) -> None:
    answer = shop.register(
        client_name="", client_uri="", logo_uri=None, tos_uri="", contacts=[], scope=None
    )
    assert answer.status == 201
    assert all(one not in (None, "", []) for one in answer.body.values())
    assert "client_uri" not in answer.body


@pytest.mark.parametrize(
    "further",
    [
        {"unknown": {"a": [1]}},
        {"jwks_uri": "https://a.example/jwks"},
        {"jwks": {"keys": []}},
        {"client_id": "mine", "client_secret": "mine"},
        {"software_statement": "a.b.c"},
        {"contacts": "me"},
        {"contacts": [1]},
        {"default_max_age": 5, "require_auth_time": True},
        {"redirect_uris": [CALLBACK] * 3},
        {"ü": "ß", "": ""},
        {"grant_types": None, "response_types": None},
    ],
)
def test_unknown_members_are_ignored(shop: Shop, further: dict[str, Any]) -> None:
    answer = shop.register(**further)
    assert answer.status == 201
    assert answer.body["redirect_uris"] == [CALLBACK]
    assert answer.body["client_id"] != "mine"
    assert "client_secret" not in answer.body


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"redirect_uris": None}, REDIRECT),
    ({"redirect_uris": []}, REDIRECT),
    ({"redirect_uris": CALLBACK}, REDIRECT),
    ({"redirect_uris": {"a": CALLBACK}}, REDIRECT),
    ({"redirect_uris": [1]}, REDIRECT),
    ({"redirect_uris": [CALLBACK, None]}, REDIRECT),
    ({"redirect_uris": ["javascript:alert(1)"]}, REDIRECT),
    ({"redirect_uris": [f"{CALLBACK}/{n}" for n in range(21)]}, REDIRECT),
    ({"redirect_uris": ["https://a.example/" + "x" * 3000]}, REDIRECT),
    ({"grant_types": ["client_credentials"]}, METADATA),
    ({"grant_types": []}, METADATA),
    ({"grant_types": "authorization_code"}, METADATA),
    ({"grant_types": [1]}, METADATA),
    ({"response_types": ["token"]}, METADATA),
    ({"response_types": 5}, METADATA),
    ({"client_name": 5}, METADATA),
    ({"client_name": ["a"]}, METADATA),
    ({"client_uri": {}}, METADATA),
    ({"scope": ["a"]}, METADATA),
]


@pytest.mark.parametrize(("changed", "error"), REFUSED)
def test_refusals(shop: Shop, changed: dict[str, Any], error: str) -> None:
    answer = shop.register(**changed)
    assert answer.error == (400, error)
    description = answer.body["error_description"]
    assert description.isascii()
    assert '"' not in description


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"5",
        b"{",
        b"\xff\xfe",
        b"[" * 10_000,
        b'{"a":' * 2000,
        b'{"redirect_uris": NaN}',
        b'{"redirect_uris": ["\\ud800"]}',
        b"redirect_uris=x",
        b"9" * 10_000,
    ],
)
def test_odd_bodies(shop: Shop, body: bytes) -> None:
    answer = shop.ask("/register", body, {"content-type": "application/json"})
    assert answer.status == 400
    assert answer.body["error"] in (METADATA, REDIRECT)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_only_json_is_read(shop: Shop, kind: str) -> None:
    assert shop.ask("/register", b"{}", {"content-type": kind}).error == (400, METADATA)


def test_a_registration_may_name_its_charset(shop: Shop) -> None:
    body = json.dumps({"redirect_uris": [CALLBACK]}).encode()
    answer = shop.ask("/register", body, {"content-type": "Application/JSON; charset=utf-8"})
    assert answer.status == 201


def long(size: int) -> Answer:
    return Shop().register(further="x" * size)


def test_long_registrations_are_refused() -> None:
    assert long(15_000).status == 201
    assert long(17_000).error == (413, METADATA)


def test_what_would_be_a_long_id_is_refused(shop: Shop) -> None:
    from secrets import token_hex

    uris = [f"https://a.example/{token_hex(200)}" for _ in range(10)]
    assert shop.register(redirect_uris=uris).error == (400, METADATA)
    # An id and a state of the usual length fit into the line of a request twice (gunicorn: 4094).
    uris = [f"https://a.example/{token_hex(36)}" for _ in range(18)]
    client = shop.client(redirect_uris=uris, client_name="x" * 100)
    assert len(client) > 1000
    login = shop.authorize(client, None, redirect_uri=uris[0], state="s" * 400)
    assert login.status == 302
    assert len(dict(login.headers)["location"]) < 3500
    assert len(shop.query(client, redirect_uri=uris[0], state="s" * 400)) < 3500


def test_redirects_that_are_refused_are_left_out_and_the_answer_says_so(shop: Shop) -> None:
    answer = shop.register(
        redirect_uris=["http://localhost:*/callback", CALLBACK, "file:///etc/passwd", CALLBACK]
    )
    assert answer.status == 201
    assert answer.body["redirect_uris"] == [CALLBACK]


def test_so_are_those_that_the_owner_does_not_admit() -> None:
    shop = Shop({"redirects": ["www.cursor.com", "cursor:"]})
    answer = shop.register(**SENT["Cursor"])
    assert answer.body["redirect_uris"] == [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
    ]
    assert shop.register().error == (400, REDIRECT)


def test_without_registration_there_is_no_endpoint() -> None:
    shop = Shop({"registration": False})
    assert shop.send("POST", "/register").status == 404
    assert shop.send("OPTIONS", "/register").status == 404
    # An id that was given before is good.
    assert shop.authorize(Shop().client()).status == 200


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("  My \n\t Assistant ", "My Assistant"),
        ("A\x00B\x1b[31mC", "AB[31mC"),
        ("Evil\u202etnatsissA", "EviltnatsissA"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),
        ("x" * 500, "x" * 100),
        ("", "An assistant without a name"),
        ("\x00", "An assistant without a name"),
        ("助手 🙂", "助手 🙂"),
    ],
)
def test_names_as_they_are_shown(shop: Shop, sent: str, shown: str) -> None:
    client = shop.client(client_name=sent)
    page = shop.authorize(client)
    assert f"Connect {shown} to shop?" in words(page)
    shop.connect(client)
    kept = shop.sign_in.store.list("ann")[0].client_name
    assert kept == ("" if shown.startswith("An assistant without") else shown)


def test_an_id_of_an_older_key_is_good_until_it_is_gone(clock: Clock) -> None:
    shop = Shop(key=["old"])
    client = shop.client()
    clock.now += 5 * 365 * 86400
    assert Shop(key=["new", "old"]).authorize(client).status == 200
    assert Shop(key=["new"]).authorize(client).status == 400


def test_an_id_of_another_server_with_the_same_key_is_not_known() -> None:
    client = Shop(name="another").client()
    assert Shop().authorize(client).status == 400
