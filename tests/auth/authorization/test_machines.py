"""Clients that act for themselves: client credentials, and their tokens."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from starlette.testclient import TestClient

from mcp_mount import SyncContext
from mcp_mount.auth import AccessToken, Client, InvalidToken
from mcp_mount.auth.authorization.assertions import AssertionRefused, check_times
from mcp_mount.auth.verifiers import VerificationCache
from mcp_mount.schemas.functions import DefinitionError
from tests.auth.authorization.served import ServedShop, Street
from tests.auth.authorization.shop import BASE, FORM, ISSUER, RESOURCE, Answer, Clock, Shop, basic
from tests.auth.authorization.signing import EC, RSA
from tests.requests import stateless

# Nothing that the two ways of HTTP Basic, encoded and as it is, leave alike.
SECRET = "s%41:e+c r/e=t&0123456789abcdefgh"
NIGHTLY: dict[str, Any] = {"secret": SECRET, "scopes": ["orders:read", "orders:write"]}


def open_shop(kind: type[Shop], street: Street, *clients: Client, **options: Any) -> Shop:
    given = {"clients": clients or [Client("nightly", **NIGHTLY)], **options}
    return ServedShop(given, street=street) if kind is ServedShop else Shop(given)


@pytest.fixture(params=[Shop, ServedShop], ids=["in process", "uvicorn"])
def kind(request: pytest.FixtureRequest) -> type[Shop]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def shop(kind: type[Shop], one_street: Street) -> Shop:
    return open_shop(kind, one_street)


def ask(shop: Shop, headers: dict[str, str] = FORM, **changed: Any) -> Answer:
    """The answer to a client that sends its secret in the body, or by a header."""
    body = {} if headers is not FORM else {"client_id": "nightly", "client_secret": SECRET}
    form = {"grant_type": "client_credentials", "resource": RESOURCE, **body, **changed}
    given = {name: one for name, one in form.items() if one is not None}
    return shop.ask("/token", urlencode(given, doseq=True).encode(), headers)


def token_of(shop: Shop, **changed: Any) -> str:
    answer = ask(shop, **changed)
    assert answer.status == 200, answer.body
    token: str = answer.body["access_token"]
    return token


def encoded(client_id: str, secret: str) -> dict[str, str]:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
    return {**FORM, "authorization": f"Basic {b64encode(pair).decode()}"}


def test_the_answer_is_exactly_this(shop: Shop) -> None:
    answer = ask(shop)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    token = answer.body.pop("access_token")
    assert answer.body == {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "orders:read orders:write",
    }
    assert len(token) < 220
    assert list(shop.sign_in.store.list()) == []


@pytest.mark.parametrize("headers", [basic("nightly", SECRET), encoded("nightly", SECRET)])
def test_http_basic_may_be_encoded_or_not(shop: Shop, headers: dict[str, str]) -> None:
    assert ask(shop, headers).status == 200
    # Python's client sends the id in the body as well.
    assert ask(shop, headers, client_id="nightly").status == 200
    assert ask(shop, headers, client_id="other").error == (400, "invalid_request")


def test_what_a_token_says(shop: Shop, clock: Clock) -> None:
    token = shop.verify(token_of(shop, scope="orders:read"))
    assert token.subject == "oauth-client:nightly"
    assert token.client_id == "nightly"
    assert token.is_client
    assert token.scopes == {"orders:read"}
    assert token.expires_at == clock.now + 3600


def test_who_asks_for_more_scopes_gets_its_own() -> None:
    """Python's client asks for all that the server knows."""
    few = Shop({"clients": [Client("nightly", secret=SECRET, scopes="orders:read")]})
    answer = ask(few, scope="orders:write orders:read offline_access unknown")
    assert answer.body["scope"] == "orders:read"
    assert few.verify(answer.body["access_token"]).scopes == {"orders:read"}
    assert ask(few, scope="orders:write").error == (400, "invalid_scope")


def test_a_token_expires_and_is_for_one_server(shop: Shop, clock: Clock) -> None:
    token = token_of(shop)
    assert shop.verify(token, f"{RESOURCE}/").subject == "oauth-client:nightly"
    with pytest.raises(InvalidToken, match="for another server"):
        shop.verify(token, "https://shop.example/other")
    clock.now += 3601
    with pytest.raises(InvalidToken, match="has expired"):
        shop.verify(token)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"client_secret": "wrong" * 8}, (401, "invalid_client")),
        ({"client_secret": SECRET[:-1]}, (401, "invalid_client")),
        ({"client_secret": None}, (401, "invalid_client")),
        ({"client_id": "nobody"}, (401, "invalid_client")),
        ({"scope": "orders:delete"}, (400, "invalid_scope")),
        ({"resource": "https://other.example/mcp"}, (400, "invalid_target")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type")),
        ({"grant_type": "authorization_code", "code": "x"}, (400, "unauthorized_client")),
        ({"client_secret": [SECRET, SECRET]}, (400, "invalid_request")),
        ({"client_assertion": "x"}, (400, "invalid_request")),
    ],
)
def test_what_is_refused(shop: Shop, changed: dict[str, Any], error: tuple[int, str]) -> None:
    assert ask(shop, **changed).error == error


def test_a_header_and_a_secret_in_the_body_are_two_ways(shop: Shop) -> None:
    answer = ask(shop, basic("nightly", SECRET), client_secret=SECRET)
    assert answer.error == (400, "invalid_request")


def test_a_wrong_secret_by_basic_is_told_by_its_scheme(shop: Shop) -> None:
    answer = ask(shop, basic("nightly", "wrong" * 8))
    assert answer.error == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


def test_a_secret_in_the_query_is_none(shop: Shop) -> None:
    body = urlencode({"grant_type": "client_credentials", "client_id": "nightly"}).encode()
    query = urlencode({"client_secret": SECRET})
    assert shop.send("POST", "/token", query, body, FORM).status == 401


def test_who_registers_alone_gets_none(shop: Shop) -> None:
    client = shop.client()
    answer = ask(shop, client_id=client, client_secret=None)
    assert answer.error == (400, "unauthorized_client")
    answer = ask(shop, client_id="https://app.example/client.json", client_secret=None)
    assert answer.error == (400, "unauthorized_client")


def test_without_such_a_client_the_grant_is_not_there(kind: type[Shop], one_street: Street) -> None:
    shop = open_shop(kind, one_street, Client("app", redirects="https://app.example/callback"))
    answer = ask(shop, client_id="app", client_secret=None)
    assert answer.error == (400, "unsupported_grant_type")


def test_an_old_secret_is_good_as_long_as_it_is_configured(
    kind: type[Shop], one_street: Street
) -> None:
    both = Client("nightly", secret=["n" * 40, SECRET], scopes=[])
    shop = open_shop(kind, one_street, both)
    token = token_of(shop)
    assert ask(shop, client_secret="n" * 40).status == 200
    assert shop.verify(token).subject == "oauth-client:nightly"
    later = open_shop(kind, one_street, Client("nightly", secret="n" * 40, scopes=[]))
    assert ask(later).error == (401, "invalid_client")
    with pytest.raises(InvalidToken, match="were replaced"):
        later.verify(token)


def test_a_client_that_is_configured_no_more_has_no_access() -> None:
    token = token_of(Shop({"clients": [Client("nightly", **NIGHTLY)]}))
    with pytest.raises(InvalidToken, match="may not act"):
        Shop().verify(token)
    fewer = Shop({"clients": [Client("nightly", secret=SECRET, scopes=["orders:read"])]})
    assert fewer.verify(token).scopes == {"orders:read"}


def test_a_revoked_token_is_refused_at_once_here_and_within_ten_seconds_elsewhere() -> None:
    clients = [Client("nightly", **NIGHTLY), Client("other", **NIGHTLY)]
    shop = Shop({"clients": clients})
    store = shop.sign_in.store
    elsewhere, ahead = Shop({"clients": clients, "store": store}), Clock(0.0)
    elsewhere.sign_in._tokens._unrevoked = VerificationCache(ahead)
    token = token_of(shop)
    for one in (shop, elsewhere):
        assert one.verify(token).client_id == "nightly"
    for client, secret, status in (("other", SECRET, 200), ("nightly", "x" * 40, 401)):
        form = {"client_id": client, "client_secret": secret, "token": token}
        assert shop.ask("/revoke", urlencode(form).encode()).status == status
        assert shop.verify(token).client_id == "nightly"
    form = {"client_id": "nightly", "client_secret": SECRET, "token": token}
    assert shop.ask("/revoke", urlencode(form).encode()).status == 200
    with pytest.raises(InvalidToken, match="was revoked"):
        shop.verify(token)
    assert elsewhere.verify(token).client_id == "nightly"
    ahead.now += 10
    with pytest.raises(InvalidToken, match="was revoked"):
        elsewhere.verify(token)
    assert [one.kind for one in shop.events] == ["tokens issued", "client refused", "token revoked"]


def test_a_revoked_token_is_known_as_long_as_a_machine_with_another_clock_may_take_it(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    shop = Shop({"clients": [Client("nightly", **NIGHTLY)]})
    kept: list[float] = []
    monkeypatch.setattr(shop.sign_in.store, "retire", lambda id, until: kept.append(until) or True)
    clock.now += 60
    token = token_of(shop)
    clock.now -= 60
    form = {"client_id": "nightly", "client_secret": SECRET, "token": token}
    assert shop.ask("/revoke", urlencode(form).encode()).status == 200
    clock.now = kept[0]
    assert shop.verify(token)
    clock.now += 1
    with pytest.raises(InvalidToken, match="expired"):
        shop.verify(token)


def test_a_used_assertion_is_known_until_it_has_expired_by_a_clock_a_minute_behind() -> None:
    claims = {"exp": 1000.0}
    until = check_times(claims, 900.0, most=600)
    assert check_times(claims, until - 60.1, most=600) == until
    with pytest.raises(AssertionRefused, match="has expired"):
        check_times(claims, until - 60, most=600)


def test_a_token_that_is_revoked_while_it_is_looked_up_is_refused_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop({"clients": [Client("nightly", **NIGHTLY)]})
    token = token_of(shop)
    store = shop.sign_in.store
    is_retired = store.is_retired
    form = {"client_id": "nightly", "client_secret": SECRET, "token": token}

    def slow(id: str) -> bool:
        found = is_retired(id)
        monkeypatch.undo()
        assert shop.ask("/revoke", urlencode(form).encode()).status == 200
        return found

    monkeypatch.setattr(store, "is_retired", slow)
    shop.verify(token)
    with pytest.raises(InvalidToken, match="was revoked"):
        shop.verify(token)


def test_a_confidential_client_of_people_authenticates_everywhere(
    kind: type[Shop], one_street: Street
) -> None:
    uri = "https://app.example/callback"
    app = Client("app", name="The app", secret=SECRET, redirects=uri, scopes=["orders:read"])
    shop = open_shop(kind, one_street, app)
    code = shop.code("app", redirect_uri=uri, scope=None)
    plain = shop.redeem("app", code, redirect_uri=uri)
    assert plain.error == (401, "invalid_client")
    tokens = shop.redeem("app", code, redirect_uri=uri, client_secret=SECRET)
    assert tokens.status == 200, tokens.body
    assert tokens.body["scope"] == "orders:read"
    refresh = tokens.body["refresh_token"]
    assert shop.refresh("app", refresh).error == (401, "invalid_client")
    form = {"client_id": "app", "token": refresh}
    assert shop.ask("/revoke", urlencode(form).encode()).error == (401, "invalid_client")
    assert shop.refresh("app", refresh, client_secret=SECRET).status == 200
    assert shop.verify(tokens.body["access_token"]).subject == "ann"
    # Not for itself.
    mine = ask(shop, client_id="app")
    assert mine.error in ((400, "unsupported_grant_type"), (400, "unauthorized_client"))


def test_a_configured_client_is_vouched_for_and_asks_for_its_own_scopes_only(
    kind: type[Shop], one_street: Street
) -> None:
    uri = "https://app.example/callback"
    app = Client("app", name="The app", redirects=uri, scopes=["orders:read"])
    shop = open_shop(kind, one_street, app)
    page = shop.authorize("app", redirect_uri=uri, scope="orders:read orders:write").body.decode()
    assert "The app" in page
    assert "Unverified" not in page
    assert "See your orders" in page
    assert "Change your orders" not in page


def test_secrets_are_in_no_repr_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    client = Client("nightly", secret=SECRET, scopes=[])
    shop = Shop({"clients": [client]})
    ask(shop)
    ask(shop, client_secret=f"{SECRET}x")
    ask(shop, basic("nightly", f"{SECRET}y"))
    held = [repr(client), repr(vars(client)), repr(shop.events), caplog.text, repr(shop.sign_in)]
    for text in held:
        assert SECRET not in text
        assert SECRET[:8] not in text


def test_whoever_guesses_secrets_waits_whatever_the_names_are(shop: Shop) -> None:
    answers = [ask(shop, client_id=f"nobody {number}") for number in range(61)]
    assert [one.status for one in answers] == [401] * 60 + [429]
    assert ask(shop).status == 429
    # A public client is not looked at for that.
    client = shop.client()
    assert shop.redeem(client, shop.code(client)).status == 200


def test_a_server_for_machines_alone_needs_no_login_page() -> None:
    own = Client("nightly", **NIGHTLY)
    nobody = {"user": None, "login": None, "registration": False, "cimd": False}
    shop = Shop({"clients": [own], **nobody})
    assert shop.verify(token_of(shop)).client_id == "nightly"
    for method, place in (("GET", "/authorize"), ("POST", "/register"), ("GET", "")):
        assert shop.send(method, place).status == 404
    document = shop.sign_in.server.metadata(ISSUER, BASE)
    assert document["grant_types_supported"] == ["client_credentials"]
    assert document["token_endpoint_auth_methods_supported"] == [
        *("client_secret_basic", "client_secret_post")
    ]
    # A client of people needs to know who they are.
    app = Client("app", redirects="https://app.example/callback")
    with pytest.raises(DefinitionError, match="give it user="):
        token_of(Shop({"clients": [own, app], **nobody}))


def test_ids_of_people_never_look_like_those_of_clients() -> None:
    shop = Shop({"clients": [Client("nightly", **NIGHTLY)]})
    client = shop.client()
    assert shop.authorize(client, "oauth-client:nightly").status == 503


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"secret": "short"}, ValueError, "32 characters"),
        ({"secret": []}, DefinitionError, "a text, or a list of texts"),
        ({"secret": 5}, DefinitionError, "a text, or a list of texts"),
        ({"secret": SECRET, "jwks": RSA.jwks}, DefinitionError, "one of secret="),
        ({}, DefinitionError, "must authenticate"),
        ({"jwks": {"keys": []}}, DefinitionError, "no public key"),
        ({"jwks": {"kty": "oct", "k": "c2VjcmV0"}}, DefinitionError, "no public key"),
        ({"jwks": RSA.private_pem}, ValueError, "private key"),
        ({"jwks": "nonsense"}, ValueError, "no public key"),
        ({"jwks_uri": "http://keys.example/jwks"}, ValueError, "https://"),
        ({"secret": SECRET, "grants": ["implicit"]}, DefinitionError, "implicit"),
        ({"secret": SECRET, "grants": []}, DefinitionError, "no grants"),
        ({"secret": SECRET, "grants": "authorization_code"}, DefinitionError, "redirects="),
        ({"redirects": "http://app.example/x"}, DefinitionError, "https"),
        ({"secert": SECRET}, DefinitionError, "secret"),
    ],
)
def test_a_client_that_cannot_work_is_refused_at_once(
    options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        Client("nightly", **options)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("clients", "said"),
    [
        ([Client("a", secret=SECRET, scopes="orders:delete")], "orders:delete"),
        ([Client("a", secret=SECRET)], "name its scopes="),
        ([Client("a", secret=SECRET, scopes=[]), Client("a", jwks=EC.jwks)], "two with the id"),
        (["nightly"], "list of Client"),
        (Client("a", secret=SECRET, scopes=[]), "list of Client"),
    ],
)
def test_clients_that_do_not_fit_are_refused_at_once(clients: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Shop({"clients": clients})


def test_tools_ask_for_the_scopes_of_a_program_and_no_user_is_looked_for() -> None:
    def find_user(token: AccessToken) -> Any:
        raise AssertionError("nobody is to be found")

    own = Client("nightly", secret=SECRET, scopes=["orders:read"])
    shop = Shop({"clients": [own]})
    shop.mcp.configure(find_user=find_user)

    @shop.mcp.tool(scopes="orders:read")
    def read(ctx: SyncContext) -> str:
        """Read."""
        assert ctx.access_token is not None
        return f"{ctx.caller} {ctx.access_token.is_client}"

    @shop.mcp.tool(scopes="orders:write")
    def write() -> str:
        """Write."""
        return "written"

    token = token_of(shop)
    with TestClient(shop.mcp, base_url="https://shop.example") as client:

        def call(tool: str) -> Any:
            headers, body = stateless("tools/call", {"name": tool, "arguments": {}})
            headers["authorization"] = f"Bearer {token}"
            return client.post("/mcp", content=body, headers=headers)

        answer = call("read")
        assert answer.json()["result"]["content"][0]["text"] == "oauth-client:nightly True"
        refused = call("write")
        assert refused.status_code == 403
        assert 'scope="orders:write"' in refused.headers["www-authenticate"]
