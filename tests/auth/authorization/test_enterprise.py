"""Enterprise-managed authorization: identity assertions (ID-JAG) for access tokens."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from mcp_mount.auth import IDJAG, Client, InvalidToken
from mcp_mount.auth.authorization.accounts import Person
from mcp_mount.auth.signing_keys import SigningKeys
from mcp_mount.auth.verifiers import VerificationCache
from mcp_mount.schemas.functions import DefinitionError
from tests.auth.authorization.shop import FORM, ISSUER, RESOURCE, Answer, Clock, Shop, basic
from tests.auth.authorization.signing import EC, JWT_BEARER, OTHER_RSA, RSA, Key, person_claims

SECRET = "the secret of the assistant, which is long"
IDP = "https://login.example.com"
PEOPLE: dict[Any, Any] = {"00u1": "ann", "00u2": Person("bob", "Bob"), "00u3": "gone"}


def provider(key: Key = RSA, **options: Any) -> IDJAG:
    """An identity provider whose keys are at hand."""
    find = options.pop("find_user", lambda claims: PEOPLE.get(claims["sub"]))
    made = IDJAG(options.pop("issuer", IDP), find, **options)
    made.keys = SigningKeys(IDP, lambda: key.jwks)
    return made


@pytest.fixture
def shop(clock: Clock) -> Shop:
    return enterprise_shop()


def enterprise_shop(**options: Any) -> Shop:
    clients = [
        Client(name, secret=SECRET, grants="jwt-bearer", name="The assistant")
        for name in ("assistant", "other")
    ]
    nightly = Client("nightly", secret=SECRET, scopes=[])
    return Shop({"clients": [*clients, nightly], "enterprise": provider(), **options})


def ask(
    shop: Shop, assertion: str | None, headers: dict[str, str] = FORM, **changed: Any
) -> Answer:
    """The answer to Python's client, which sends its secret in the body."""
    form = {
        "grant_type": JWT_BEARER,
        "assertion": assertion,
        "client_id": "assistant",
        "client_secret": SECRET,
        "resource": RESOURCE,
        **changed,
    }
    given = {name: one for name, one in form.items() if one is not None}
    return shop.ask("/token", urlencode(given, doseq=True).encode(), headers)


def id_jag(
    clock: Clock, key: Key = RSA, header: dict[str, Any] | None = None, **changed: Any
) -> str:
    claims = person_claims("assistant", clock.now, **changed)
    return key.sign(claims, **{"typ": "oauth-id-jag+jwt", **(header or {})})


REFUSED = (400, "invalid_grant")


def test_the_answer_is_exactly_this(shop: Shop, clock: Clock) -> None:
    answer = ask(shop, id_jag(clock))
    assert answer.status == 200, answer.body
    access = answer.body.pop("access_token")
    assert answer.body == {"token_type": "Bearer", "expires_in": 3600, "scope": "orders:read"}
    token = shop.verify(access)
    assert (token.subject, token.scopes, token.is_client) == ("ann", {"orders:read"}, False)
    assert shop.kinds() == ["tokens issued"]


def test_the_typescript_client_authenticates_by_basic(shop: Shop, clock: Clock) -> None:
    headers = basic("assistant", SECRET)
    answer = ask(shop, id_jag(clock), headers, client_id=None, client_secret=None)
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"iss": "https://evil.example.com"}, "another issuer"),
        ({"iss": f"{IDP}/"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "https://evil.example"}, "audience"),
        ({"aud": f"{ISSUER}/mcp/assistants/token"}, "audience"),
        ({"aud": [ISSUER, "https://evil.example"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"client_id": "other"}, "another client"),
        ({"client_id": None}, "another client"),
        ({"client_id": ["assistant"]}, "another client"),
        ({"sub": None}, "no sub"),
        ({"sub": ""}, "no sub"),
        ({"jti": None}, "no jti"),
        ({"exp": None}, "no end"),
        ({"exp": 1795765924 - 31}, "expired"),
        ({"exp": 1795765924 + 365 * 24 * 3600}, "more than 3600 seconds"),
        ({"iat": None}, "issued"),
        ({"iat": 1795765924 + 31}, "not good yet"),
        ({"nbf": 1795765924 + 31}, "not good yet"),
        ({"resource": None}, "another resource"),
        ({"resource": "https://evil.example/mcp"}, "another resource"),
        ({"resource": ["https://evil.example/mcp", 5]}, "another resource"),
        ({"resource": ISSUER}, "another resource"),
        ({"scope": ["orders:read"]}, "no text"),
        ({"cnf": {"jkt": "x"}}, "bound to a key"),
        ({"scope": None, "authorization_details": [{"type": "x"}]}, "authorization_details"),
        ({"sub": "00u9"}, "nobody here"),
        ({"sub": "00u3"}, "may not come"),
    ],
    ids=repr,
)
def test_claims_that_are_refused(
    shop: Shop, clock: Clock, changed: dict[str, Any], said: str
) -> None:
    answer = ask(shop, id_jag(clock, **changed))
    assert answer.error == REFUSED
    assert said in answer.body["error_description"]
    assert ask(shop, id_jag(clock)).status == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": f"{ISSUER}/"},
        {"aud": [ISSUER]},
        {"resource": [RESOURCE]},
        {"resource": f"{RESOURCE}/"},
        {"sub": "00u2"},
        {"act": {"sub": "00u9"}},
    ],
    ids=repr,
)
def test_claims_that_are_accepted(shop: Shop, clock: Clock, changed: dict[str, Any]) -> None:
    assert ask(shop, id_jag(clock, **changed)).status == 200


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"typ": None},
        {"kid": "unknown"},
        {"crit": ["exp"]},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}, "kid": "other"},
    ],
    ids=repr,
)
def test_headers_that_are_refused(shop: Shop, clock: Clock, header: dict[str, Any]) -> None:
    assert ask(shop, id_jag(clock, header=header)).error == REFUSED


@pytest.mark.parametrize(
    "typ", ["oauth-id-jag+jwt", "OAuth-ID-JAG+JWT", "application/oauth-id-jag+jwt"]
)
def test_the_kind_in_any_spelling(shop: Shop, clock: Clock, typ: str) -> None:
    assert ask(shop, id_jag(clock, header={"typ": typ})).status == 200


@pytest.mark.parametrize("key", [OTHER_RSA, EC], ids=lambda key: key.algorithm)
def test_another_key_is_refused(shop: Shop, clock: Clock, key: Key) -> None:
    assert ask(shop, id_jag(clock, key, {"kid": "rsa"})).error == REFUSED


def test_an_algorithm_that_the_provider_does_not_use_is_refused(clock: Clock) -> None:
    shop = enterprise_shop(enterprise=provider(algorithms="PS256"))
    assert ask(shop, id_jag(clock)).error == REFUSED
    assert ask(shop, id_jag(clock, header={"alg": "PS256"})).status == 200


def test_an_assertion_is_used_once(shop: Shop, clock: Clock) -> None:
    made = id_jag(clock)
    assert ask(shop, made, scope="orders:write").error == (400, "invalid_scope")
    assert ask(shop, made).status == 200
    again = ask(shop, made)
    assert again.error == REFUSED
    assert "used before" in again.body["error_description"]
    assert shop.kinds()[-1] == "assertion reused"


def test_other_clients_get_nothing(shop: Shop, clock: Clock) -> None:
    made = id_jag(clock)
    assert ask(shop, made, client_id="other").error == REFUSED
    assert ask(shop, made, client_id="nightly").error == (400, "unauthorized_client")
    assert ask(shop, made, client_secret="x" * 40).error == (401, "invalid_client")
    assert ask(shop, made, client_secret=None).error == (401, "invalid_client")
    registered = ask(shop, made, client_id=shop.client(), client_secret=None)
    assert registered.error == (400, "unauthorized_client")
    assert ask(shop, None).error == (400, "invalid_request")
    assert ask(shop, made, resource="https://evil.example/mcp").error == (400, "invalid_target")
    assert ask(shop, made).status == 200


@pytest.mark.parametrize(
    ("claim", "wanted", "granted"),
    [
        ("orders:read orders:write", None, "orders:read orders:write"),
        ("orders:read orders:write", "orders:write", "orders:write"),
        ("orders:read", "orders:read orders:write", "orders:read"),
        ("orders:read other", None, "orders:read"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_scopes_are_those_of_provider_client_and_request(
    shop: Shop, clock: Clock, claim: str | None, wanted: str | None, granted: str | None
) -> None:
    answer = ask(shop, id_jag(clock, scope=claim), scope=wanted)
    assert answer.status == 200
    assert answer.body.get("scope") == granted
    held = shop.verify(answer.body["access_token"]).scopes
    assert held == frozenset((granted or "").split())


def test_a_client_gets_no_more_scopes_than_its_own(clock: Clock) -> None:
    few = Client("assistant", secret=SECRET, grants="jwt-bearer", scopes="orders:write")
    shop = enterprise_shop(clients=[few])
    answer = ask(shop, id_jag(clock, scope="orders:read orders:write"))
    assert answer.body["scope"] == "orders:write"


def test_it_is_no_access_token_and_no_assertion_of_a_client(shop: Shop, clock: Clock) -> None:
    made = id_jag(clock)
    with pytest.raises(InvalidToken):
        shop.verify(made)
    keys = Client("assistant", jwks=RSA.jwks, grants="jwt-bearer")
    signing = enterprise_shop(clients=[keys])
    own = id_jag(clock, iss="assistant", sub="assistant")
    form = {"client_assertion": own, "client_secret": None, "client_id": None}
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    answer = ask(signing, made, client_assertion_type=kind, **form)
    assert answer.error == (401, "invalid_client")


def test_a_person_has_one_connection_which_they_see_and_end(shop: Shop, clock: Clock) -> None:
    first = ask(shop, id_jag(clock)).body["access_token"]
    clock.now += 60
    second = ask(shop, id_jag(clock)).body["access_token"]
    (held,) = shop.sign_in.store.list("ann")
    assert (held.client_name, held.client_host) == ("The assistant", "login.example.com")
    assert (held.created, held.used) == (clock.now - 60, clock.now)
    page = shop.send("GET", "", user="ann").body.decode()
    assert "The assistant" in page
    assert "login.example.com" in page
    form = {"client_id": "assistant", "client_secret": SECRET, "token": first}
    assert shop.ask("/revoke", urlencode(form).encode()).status == 200
    for one in (first, second):
        with pytest.raises(InvalidToken, match="was revoked"):
            shop.verify(one)
    # The provider decides whether there is another one.
    third = ask(shop, id_jag(clock)).body["access_token"]
    assert shop.verify(third).subject == "ann"
    with pytest.raises(InvalidToken):
        shop.verify(first)


def test_ended_connections_are_passed_over_however_many_there_are(shop: Shop, clock: Clock) -> None:
    for _ in range(20):
        assert ask(shop, id_jag(clock)).status == 200
        (held,) = shop.sign_in.store.list("ann")
        assert shop.sign_in.store.revoke(held.id, clock.now)


def test_tokens_of_a_connection_that_was_deleted_stay_refused(shop: Shop, clock: Clock) -> None:
    ahead = Clock(0.0)
    shop.sign_in._tokens._known = VerificationCache(ahead)
    old = ask(shop, id_jag(clock)).body["access_token"]
    (held,) = shop.sign_in.store.list("ann")
    shop.sign_in.store.revoke(held.id, clock.now)
    shop.sign_in.store.purge(1e12)
    clock.now += 660
    new = ask(shop, id_jag(clock)).body["access_token"]
    assert shop.sign_in.store.list("ann")[0].id == held.id
    ahead.now += 10
    assert shop.verify(new).subject == "ann"
    with pytest.raises(InvalidToken, match="was revoked"):
        shop.verify(old)


def test_who_may_not_come_any_more_has_no_access_within_ten_seconds(
    shop: Shop, clock: Clock
) -> None:
    ahead = Clock(0.0)
    shop.sign_in._tokens._known = VerificationCache(ahead)
    token = ask(shop, id_jag(clock)).body["access_token"]
    assert shop.verify(token).subject == "ann"
    del shop.people["ann"]
    ahead.now += 10
    with pytest.raises(InvalidToken, match="must sign in again"):
        shop.verify(token)
    assert ask(shop, id_jag(clock)).error == REFUSED


def test_tokens_from_before_a_new_password_stay_refused(shop: Shop, clock: Clock) -> None:
    ahead = Clock(0.0)
    shop.sign_in._tokens._known = VerificationCache(ahead)
    old = ask(shop, id_jag(clock)).body["access_token"]
    shop.people["ann"] = "2"
    new = ask(shop, id_jag(clock)).body["access_token"]
    ahead.now += 10
    assert shop.verify(new).subject == "ann"
    with pytest.raises(InvalidToken):
        shop.verify(old)


def test_a_connection_that_is_too_old_is_made_anew(shop: Shop, clock: Clock) -> None:
    assert ask(shop, id_jag(clock)).status == 200
    clock.now += 181 * 24 * 3600
    token = ask(shop, id_jag(clock)).body["access_token"]
    assert shop.verify(token).subject == "ann"


@pytest.mark.parametrize(
    "found", [True, 2.5, ["ann"], "oauth-client:nightly", "a\ud800"], ids=ascii
)
def test_a_function_that_finds_no_person_lets_nobody_in(clock: Clock, found: Any) -> None:
    shop = enterprise_shop(enterprise=provider(find_user=lambda claims: found))
    assert ask(shop, id_jag(clock)).error == (503, "temporarily_unavailable")


def test_a_function_that_fails_lets_nobody_in(clock: Clock) -> None:
    def failing(claims: Any) -> Any:
        raise OSError("no directory")

    shop = enterprise_shop(enterprise=provider(find_user=failing))
    answer = ask(shop, id_jag(clock))
    assert answer.error == (503, "temporarily_unavailable")
    assert "directory" not in answer.body["error_description"]


def test_the_function_may_be_a_coroutine_function(clock: Clock) -> None:
    async def find(claims: Any) -> Any:
        return PEOPLE.get(claims["sub"])

    assert ask(enterprise_shop(enterprise=provider(find_user=find)), id_jag(clock)).status == 200


def test_a_provider_that_is_away_is_told_as_503(clock: Clock) -> None:
    away = IDJAG("https://127.0.0.1:9", lambda claims: "ann", jwks_uri="https://127.0.0.1:9/keys")
    shop = enterprise_shop(enterprise=[away, provider()])
    answer = ask(shop, id_jag(clock, iss="https://127.0.0.1:9"))
    assert answer.error == (503, "temporarily_unavailable")
    assert ask(shop, id_jag(clock)).status == 200


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: IDJAG("http://login.example.com", print), ValueError),
        (lambda: IDJAG(IDP, "find"), DefinitionError),  # type: ignore[arg-type]
        (lambda: IDJAG(IDP, print, algorithms="HS256"), ValueError),
        (lambda: IDJAG(IDP, print, algorithms="none"), ValueError),
        (lambda: IDJAG(IDP, print, algorithms=[]), ValueError),
        (lambda: IDJAG(IDP, print, jwks_uri="http://keys.example"), ValueError),
        (lambda: Shop({"enterprise": IDP}), DefinitionError),
        (lambda: Shop({"enterprise": [provider(), provider()]}), DefinitionError),
    ],
)
def test_providers_that_cannot_be_are_refused_at_once(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()
