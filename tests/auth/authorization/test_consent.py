"""The authorization endpoint: what is asked for, who is asked, and what the client is told."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest

from mcp_mount.auth.authorization.accounts import Person
from mcp_mount.wire.messages import Reply
from tests.auth.authorization.shop import (
    BASE,
    CALLBACK,
    CHALLENGE,
    FORM,
    ISSUER,
    RESOURCE,
    VERIFIER,
    Clock,
    Shop,
    answer_of,
    form_of,
    goes_by_itself,
    link_of,
    location,
    names,
    words,
)

WEB = "https://assistant.example/callback"


def refusal(reply: Reply) -> str:
    """What a person is told on a page that leads nowhere."""
    assert reply.status in (400, 403), (reply.status, reply.body)
    assert b"<form" not in reply.body
    assert b"<a " not in reply.body
    assert "location" not in dict(reply.headers)
    return words(reply).partition("This does not work This does not work ")[2]


def test_a_person_consents_and_the_client_gets_a_code(shop: Shop) -> None:
    client = shop.client()
    page = shop.authorize(client, state="s1")
    assert page.status == 200
    assert words(page).startswith("Connect Probe? Connect Probe to shop?")
    done = shop.decide(page)
    assert done.status == 200
    assert goes_by_itself(done)
    assert link_of(done).startswith(f"{CALLBACK}?code=")
    answer = answer_of(done)
    assert names(answer) == ["code", "state", "iss"]
    assert answer[1:] == [("state", "s1"), ("iss", ISSUER)]
    assert shop.redeem(client, answer[0][1]).status == 200


def test_a_denial_is_told_with_state_and_issuer(shop: Shop) -> None:
    done = shop.decide(shop.authorize(shop.client()), decision="deny")
    assert answer_of(done) == [
        ("error", "access_denied"),
        ("error_description", "The person said no"),
        ("state", "s1"),
        ("iss", ISSUER),
    ]


def test_a_denial_of_an_unverified_client_has_a_link_only(shop: Shop) -> None:
    done = shop.decide(shop.authorize(shop.client()), decision="deny")
    assert not goes_by_itself(done)
    assert link_of(done).startswith(CALLBACK)


@pytest.mark.parametrize("decision", ["", "Allow", "yes", "deny", "allow "])
def test_only_allow_is_a_yes(shop: Shop, decision: str) -> None:
    done = shop.decide(shop.authorize(shop.client()), decision=decision)
    assert answer_of(done)[0] == ("error", "access_denied")


@pytest.mark.parametrize(
    "state",
    [
        "a+b/c==",
        "a b",
        "ümläut ☃",
        "https://vscode.dev/redirect?nonce=%2Fa%2Bb&x=1#f",
        "%2B",
        "&error=access_denied",
        "'\"<script>",
        "\r\nset-cookie: a=b",
        "x" * 2048,
    ],
)
@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_the_state_comes_back_as_it_was(shop: Shop, state: str, decision: str) -> None:
    done = shop.decide(shop.authorize(shop.client(), state=state), decision=decision)
    url = link_of(done)
    assert parse_qs(urlsplit(url).query)["state"] == [state]
    # Also for those who do not read a plus as a space, and encoded once only.
    raw = next(one for one in urlsplit(url).query.split("&") if one.startswith("state="))
    assert "+" not in raw
    assert unquote(raw[6:]) == state


@pytest.mark.parametrize("state", [None, ""])
def test_without_a_state_none_comes_back(shop: Shop, state: str | None) -> None:
    assert names(answer_of(shop.decide(shop.authorize(shop.client(), state=state)))) == [
        "code",
        "iss",
    ]


# Clients and redirect URIs: nothing is safe to redirect to.


@pytest.mark.parametrize(
    "client_id",
    ["nobody", "", "[" * 100_000, "ü" * 500, "..", "WzEsIjBmOTRkMDliZTNhODMyNjciLFsi.a.b", "\x00"],
)
@pytest.mark.parametrize("user", [None, "ann"])
def test_an_unknown_client_is_told_on_a_page(shop: Shop, client_id: str, user: str | None) -> None:
    assert refusal(shop.authorize(client_id, user))


def test_without_a_client_id_there_is_a_page(shop: Shop) -> None:
    reply = shop.send("GET", "/authorize", f"response_type=code&redirect_uri={CALLBACK}")
    assert refusal(reply) == "The assistant's request names no client_id."


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/callback",
        "http://127.0.0.1:3030/other",
        "http://127.0.0.1:3030/callback?x=1",
        "http://127.0.0.1:3030/callback/",
        "http://localhost:3030/callback",
        "https://127.0.0.1:3030/callback",
        "http://127.0.0.1:3030/callback#f",
        "http://127.0.0.1:3030/x/../callback",
        "http://a@127.0.0.1:3030/callback",
        "javascript:alert(1)",
        "//evil.example",
        "x",
    ],
)
@pytest.mark.parametrize("user", [None, "ann"])
def test_an_unregistered_redirect_is_told_on_a_page(shop: Shop, uri: str, user: str | None) -> None:
    assert "not registered" in refusal(shop.authorize(shop.client(), user, redirect_uri=uri))


def test_any_port_of_this_computer_is_the_one_that_is_answered(shop: Shop) -> None:
    client = shop.client()
    done = shop.decide(shop.authorize(client, redirect_uri="http://127.0.0.1:50505/callback"))
    assert link_of(done).startswith("http://127.0.0.1:50505/callback?code=")


def test_the_only_redirect_may_be_left_out_but_none_is_guessed(shop: Shop) -> None:
    one = shop.client()
    done = shop.decide(shop.authorize(one, redirect_uri=None))
    assert link_of(done).startswith(f"{CALLBACK}?code=")
    two = shop.client(redirect_uris=[CALLBACK, WEB])
    assert "not registered" in refusal(shop.authorize(two, redirect_uri=None))


def test_the_query_of_a_redirect_is_kept(shop: Shop) -> None:
    client = shop.client(redirect_uris=[f"{WEB}?a=1&b=%20"])
    done = shop.decide(shop.authorize(client, redirect_uri=f"{WEB}?a=1&b=%20"))
    assert link_of(done).startswith(f"{WEB}?a=1&b=%20&code=")


def test_a_redirect_that_the_owner_does_not_admit_any_more_is_refused() -> None:
    before = Shop()
    client = before.client(redirect_uris=[WEB])
    assert before.authorize(client, redirect_uri=WEB).status == 200
    after = Shop({"redirects": ["localhost"]})
    assert "not registered" in refusal(after.authorize(client, redirect_uri=WEB))


# How a request is read.


@pytest.mark.parametrize(
    "name",
    ["client_id", "redirect_uri", "state", "scope", "code_challenge", "response_type", "x"],
)
def test_a_parameter_that_comes_twice_is_refused(shop: Shop, name: str) -> None:
    query = shop.query(shop.client(), x="1")
    value = parse_qs(query)[name][0]
    reply = shop.send("GET", "/authorize", f"{query}&{urlencode({name: value})}", user="ann")
    assert (
        refusal(reply)
        == f"The assistant's request cannot be read: A parameter comes twice: {name}."
    )


def test_resources_may_come_more_than_once(shop: Shop) -> None:
    page = shop.authorize(shop.client(), resource=[RESOURCE, ISSUER])
    assert page.status == 200


@pytest.mark.parametrize("name", ["scope", "resource", "prompt", "response_mode", "unknown"])
def test_an_empty_parameter_is_as_if_it_were_absent(shop: Shop, name: str) -> None:
    page = shop.authorize(shop.client(), **{name: ""})
    assert page.status == 200


def test_unknown_parameters_are_ignored(shop: Shop) -> None:
    page = shop.authorize(shop.client(), nonce="1", login_hint="a@b", prompt="consent", ü="ß")
    assert page.status == 200


@pytest.mark.parametrize(
    "query",
    [
        "client_id=%ff",
        "client_id=ü",
        "a" * 70_000,
        "&".join(f"a{number}=1" for number in range(200)),
        "client_id=%00",
        "request=nonsense",
        "request=" + "[" * 8000,
        "",
        "?????",
        "&&&;=&=",
    ],
)
@pytest.mark.parametrize("user", [None, "ann"])
def test_what_cannot_be_read_is_told_on_a_page(shop: Shop, query: str, user: str | None) -> None:
    assert refusal(shop.send("GET", "/authorize", query, user=user))


def test_a_request_that_no_login_page_could_carry_is_refused(shop: Shop) -> None:
    from secrets import token_hex

    reply = shop.authorize(shop.client(), None, nonce=token_hex(20_000))
    assert refusal(reply) == "The assistant's request is too long."


# Nothing goes to a client before somebody has logged in.


ODD: list[dict[str, Any]] = [
    {"scope": "nothing"},
    {"response_type": "token"},
    {"code_challenge": None},
    {"resource": "https://other.example/mcp"},
    {"prompt": "none"},
    {"state": "x" * 3000},
    {},
]


@pytest.mark.parametrize("changed", ODD)
def test_before_login_everybody_goes_to_the_login_page(shop: Shop, changed: Any) -> None:
    reply = shop.authorize(shop.client(redirect_uris=[WEB]), None, redirect_uri=WEB, **changed)
    assert reply.status == 302
    assert location(reply).startswith("/login?next=%2Fmcp%2Fassistants%2Fauthorize%3Frequest%3D")
    assert "assistant.example" not in location(reply)
    assert dict(reply.headers)["cache-control"] == "no-store"


def test_the_login_page_leads_back_to_the_same_request(shop: Shop) -> None:
    client = shop.client()
    reply = shop.authorize(client, None, state="a+b/c== ü", scope="orders:write")
    back = parse_qs(urlsplit(location(reply)).query)["next"][0]
    path, _, query = back.partition("?")
    assert path == urlsplit(BASE).path + "/authorize"
    page = shop.send("GET", "/authorize", query, user="ann")
    assert "Change your orders" in words(page)
    answer = dict(answer_of(shop.decide(page)))
    assert answer["state"] == "a+b/c== ü"
    assert shop.redeem(client, answer["code"]).body["scope"] == "orders:write"


def test_who_takes_too_long_to_log_in_starts_again(shop: Shop, clock: Clock) -> None:
    reply = shop.authorize(shop.client(), None)
    query = parse_qs(urlsplit(location(reply)).query)["next"][0].partition("?")[2]
    clock.now += 601
    page = shop.send("GET", "/authorize", query, user="ann")
    assert refusal(page) == "This took too long. Start again in your assistant."


def test_a_login_page_of_ones_own_gets_the_path() -> None:
    shop = Shop({"login": lambda path: f"https://id.example/?to={path.partition('?')[0]}"})
    reply = shop.authorize(shop.client(), None)
    assert location(reply) == "https://id.example/?to=/mcp/assistants/authorize"


# Errors that clients are told.


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"response_type": None}, "invalid_request"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code token"}, "unsupported_response_type"),
    ({"response_type": "CODE"}, "unsupported_response_type"),
    ({"response_mode": "form_post"}, "invalid_request"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge_method": "s256"}, "invalid_request"),
    ({"code_challenge_method": "S512"}, "invalid_request"),
    ({"code_challenge": CHALLENGE[:-1]}, "invalid_request"),
    ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
    ({"code_challenge": CHALLENGE + "a"}, "invalid_request"),
    ({"code_challenge": CHALLENGE[:-1] + "+"}, "invalid_request"),
    ({"code_challenge": CHALLENGE + "\n"}, "invalid_request"),
    ({"code_challenge": "ü" * 43}, "invalid_request"),
    ({"code_challenge": "[" * 1000}, "invalid_request"),
    ({"scope": "nothing"}, "invalid_scope"),
    ({"scope": "Orders:Read"}, "invalid_scope"),
    ({"resource": "https://other.example/mcp"}, "invalid_target"),
    ({"resource": "https://shop.example/other"}, "invalid_target"),
    ({"resource": "https://shop.example/mcp#f"}, "invalid_target"),
    ({"resource": "https://shop.example/mcp?x"}, "invalid_target"),
    ({"resource": "https://shop.example:444/mcp"}, "invalid_target"),
    ({"resource": "https://shop.example@evil.example/mcp"}, "invalid_target"),
    ({"resource": "http://shop.example/mcp"}, "invalid_target"),
    ({"resource": "/mcp"}, "invalid_target"),
    ({"resource": "https://shop.example/MCP"}, "invalid_target"),
    ({"resource": [RESOURCE, "https://other.example"]}, "invalid_target"),
    ({"request": "e30."}, "request_not_supported"),
    ({"request_uri": "https://a.example"}, "request_uri_not_supported"),
    ({"prompt": "none"}, "interaction_required"),
    ({"state": "x" * 2049}, "invalid_request"),
]


@pytest.mark.parametrize(("changed", "error"), ERRORS)
def test_a_client_on_this_computer_is_told_its_error_by_redirect(
    shop: Shop, changed: dict[str, Any], error: str
) -> None:
    reply = shop.authorize(shop.client(), **changed)
    assert reply.status == 302
    assert location(reply).startswith(f"{CALLBACK}?error={error}&error_description=")
    answer = answer_of(reply)
    assert names(answer) == ["error", "error_description", "state", "iss"]
    assert answer[2] == ("state", changed.get("state", "s1"))
    assert answer[3] == ("iss", ISSUER)


def test_nobody_is_sent_by_itself_to_where_nobody_vouches_for(shop: Shop) -> None:
    client = shop.client(redirect_uris=[WEB])
    page = shop.authorize(client, redirect_uri=WEB, scope="nothing")
    assert page.status == 400
    assert not goes_by_itself(page)
    assert "location" not in dict(page.headers)
    assert link_of(page).startswith(f"{WEB}?error=invalid_scope&")
    assert names(answer_of(page)) == ["error", "error_description", "state", "iss"]


@pytest.mark.parametrize(
    "resource",
    [
        None,
        RESOURCE,
        f"{RESOURCE}/",
        "https://SHOP.example/mcp",
        "HTTPS://shop.example:443/mcp",
        ISSUER,
        f"{ISSUER}/",
    ],
)
def test_forms_of_the_resource(shop: Shop, resource: str | None) -> None:
    client = shop.client()
    tokens = shop.connect(client, resource=resource)
    assert shop.verify(tokens["access_token"]).subject == "ann"


@pytest.mark.parametrize(
    ("wanted", "granted"),
    [
        (None, "orders:read orders:write"),
        ("offline_access", "orders:read orders:write"),
        ("orders:write", "orders:write"),
        ("orders:write orders:read orders:write", "orders:write orders:read"),
        ("orders:read offline_access claudeai", "orders:read"),
    ],
)
def test_scopes_that_are_asked_for(shop: Shop, wanted: str | None, granted: str) -> None:
    assert shop.connect(shop.client(), scope=wanted)["scope"] == granted


def test_without_scopes_a_client_may_name_any() -> None:
    shop = Shop({"scopes": None})
    tokens = shop.connect(shop.client(), scope="claudeai")
    assert "scope" not in tokens
    assert shop.verify(tokens["access_token"]).scopes == frozenset()


# Forms.


def test_consent_is_asked_every_time(shop: Shop) -> None:
    client = shop.client()
    shop.connect(client)
    page = shop.authorize(client)
    assert page.status == 200
    assert form_of(page)


def test_another_persons_form_is_refused(shop: Shop) -> None:
    page = shop.authorize(shop.client(), "ann")
    reply = shop.decide(page, "bob")
    assert reply.status == 403
    assert "made for somebody else" in refusal(reply)


def test_a_form_of_somebody_who_has_logged_out_is_refused(shop: Shop) -> None:
    page = shop.authorize(shop.client(), "ann")
    assert shop.decide(page, None).status == 403


@pytest.mark.parametrize("browser", [None, "x" * 43, "", "short", "ü" * 43])
def test_another_browsers_form_is_refused(shop: Shop, browser: str | None) -> None:
    page = shop.authorize(shop.client())
    shop.browser = browser
    reply = shop.decide(page)
    assert reply.status == 403
    assert "another browser" in refusal(reply)


def test_a_browser_keeps_its_mark(shop: Shop) -> None:
    client = shop.client()
    first = shop.authorize(client)
    mark = shop.browser
    second = shop.authorize(client)
    assert shop.browser == mark
    # Two windows: both forms are good.
    assert answer_of(shop.decide(first))[0][0] == "code"
    assert answer_of(shop.decide(second))[0][0] == "code"


def test_an_altered_form_is_refused(shop: Shop) -> None:
    sealed = form_of(shop.authorize(shop.client()))
    for at in (0, len(sealed) // 2, len(sealed) - 10):
        other = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        reply = shop.send(
            "POST",
            "/authorize",
            body=urlencode({"form": other, "decision": "allow"}).encode(),
            headers=FORM,
            user="ann",
        )
        assert refusal(reply) == "This form has expired. Start again in your assistant."


def test_a_form_expires(shop: Shop, clock: Clock) -> None:
    page = shop.authorize(shop.client())
    clock.now += 601
    assert "expired" in refusal(shop.decide(page))


def test_a_form_of_another_server_with_the_same_key_is_refused(shop: Shop) -> None:
    page = shop.authorize(shop.client())
    other = Shop(name="another", browser=shop.browser)
    assert "expired" in refusal(other.decide(page))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", FORM),
        (b"form=", FORM),
        (b"form=x", FORM),
        (b"form=" + b"[" * 20_000, FORM),
        (b"form=a&form=b", FORM),
        (b"form=a&decision=allow&decision=deny", FORM),
        (b"\xff\xfe", FORM),
        (b"form=%ff", FORM),
        (b'{"form": "x"}', {"content-type": "application/json"}),
        (b"form=x", {"content-type": "text/plain"}),
        (b"form=x", {}),
        (b"x" * 60_000, FORM),
    ],
)
def test_odd_forms_are_told_on_a_page(shop: Shop, body: bytes, headers: dict[str, str]) -> None:
    assert refusal(shop.send("POST", "/authorize", body=body, headers=headers, user="ann"))


def test_allow_twice_makes_one_connection(shop: Shop) -> None:
    client = shop.client()
    page = shop.authorize(client)
    codes = [dict(answer_of(shop.decide(page)))["code"] for _ in range(2)]
    answers = [shop.redeem(client, code).status for code in codes]
    assert answers == [200, 400]
    assert shop.kinds().count("tokens issued") == 1
    assert list(shop.sign_in.store.list("ann")) == []


def test_who_may_not_come_gets_no_code(shop: Shop) -> None:
    page = shop.authorize(shop.client())
    del shop.people["ann"]
    assert refusal(shop.decide(page)) == "Your account may not connect assistants."


def test_if_nobody_knows_whether_a_person_may_come_a_page_says_so(shop: Shop) -> None:
    def fails(user: str) -> str:
        raise OSError("the database is away")

    page = shop.authorize(shop.client())
    shop.sign_in._still_valid = fails
    reply = shop.decide(page)
    assert reply.status == 503
    assert "Try again later" in words(reply)
    assert "database" not in words(reply)
    assert ("retry-after", "5") in reply.headers


@pytest.mark.parametrize("found", [None, False, "", Person("")])
def test_nobody_is_logged_in(found: Any) -> None:
    shop = Shop({"user": lambda request: found})
    assert location(shop.authorize(shop.client())).startswith("/login?next=")


def test_a_person_may_have_a_name_and_a_number(shop: Shop) -> None:
    by_number = Shop({"user": lambda request: 7}, people={"7": "1"})
    assert by_number.verify(by_number.connect(by_number.client())["access_token"]).subject == "7"
    named = Shop({"user": lambda request: Person("ann", "Ann Lee")})
    page = named.authorize(named.client())
    assert "signed in as Ann Lee" in words(page)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "get"])
def test_the_authorization_endpoint_has_no_other_methods_and_no_cors(
    shop: Shop, method: str
) -> None:
    reply = shop.send(method, "/authorize", shop.query(shop.client()))
    assert reply.status == 405
    assert ("allow", "GET, HEAD, POST") in reply.headers
    assert "access-control-allow-origin" not in dict(reply.headers)


@pytest.mark.parametrize("place", ["/authorize", "/"])
def test_head_is_answered_as_get_without_a_body(shop: Shop, place: str) -> None:
    query = shop.query(shop.client())
    for user in ("ann", None):
        whole, head = (shop.send(one, place, query, user=user) for one in ("GET", "HEAD"))
        assert (head.status, head.body) == (whole.status, b"")
        kinds = [dict(one.headers).get("content-type") for one in (head, whole)]
        assert kinds[0] == kinds[1]


def test_no_answer_of_the_authorization_endpoint_has_cors_or_is_307(shop: Shop) -> None:
    client = shop.client()
    page = shop.authorize(client)
    replies = [page, shop.decide(page), shop.authorize(client, None), shop.authorize("x")]
    assert [one.status for one in replies] == [200, 200, 302, 400]
    assert all("access-control-allow-origin" not in dict(one.headers) for one in replies)


def test_what_happens_is_told(shop: Shop) -> None:
    client = shop.client()
    shop.redeem(client, shop.code(client))
    shop.decide(shop.authorize(client), decision="deny")
    assert shop.kinds() == [
        "client registered",
        "consent asked",
        "consent granted",
        "tokens issued",
        "consent asked",
        "consent denied",
    ]
    granted = shop.events[2]
    assert (granted.user, granted.client, granted.scopes, granted.address) == (
        "ann",
        "Probe",
        ("orders:read",),
        "192.0.2.1",
    )
    assert granted.connection == shop.events[3].connection
    assert VERIFIER not in repr(shop.events)
