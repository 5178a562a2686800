"""The pages: what a person reads, and what no text from outside can do there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest

from mcp_mount.wire.messages import Reply
from tests.auth.authorization.shop import FORM, Clock, Shop, form_of, link_of, words

EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
WEB = "https://assistant.example/callback"


class Tags(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, page: Reply) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def names(self) -> set[str]:
        return {tag for tag, _ in self.found}


def pages(shop: Shop, **metadata: Any) -> dict[str, Reply]:
    client = shop.client(**{"redirect_uris": [WEB], **metadata})
    uri = metadata.get("redirect_uris", [WEB])[0]
    consent = shop.authorize(client, redirect_uri=uri, state=EVIL)
    shop.connect(client, redirect_uri=uri, state=EVIL)
    return {
        "consent": consent,
        "connected": shop.decide(consent),
        "denied": shop.decide(consent, decision="deny"),
        "refused": shop.authorize(client, redirect_uri=uri, scope="nothing", state=EVIL),
        "error": shop.authorize(EVIL),
        "unregistered": shop.authorize(client, redirect_uri=f"https://a.example/{EVIL}"),
        "unreadable": shop.send("GET", "/authorize", urlencode([(EVIL, "1"), (EVIL, "2")])),
        "list": shop.send("GET", "", user="ann"),
    }


def connected(shop: Shop, **metadata: Any) -> Reply:
    client = shop.client(**metadata)
    answer = shop.redeem(client, shop.code(client))
    assert answer.status == 200
    return shop.send("GET", "/", user="ann")


def test_no_page_runs_a_script_whatever_is_sent() -> None:
    from mcp_mount.auth.authorization.accounts import Person

    shop = Shop(
        {
            "user": lambda request: None if request["user"] is None else Person("ann", EVIL),
            "scopes": {"orders:read": EVIL, "orders:write": "Change your orders"},
        },
        name=EVIL,
    )
    made = pages(shop, client_name=EVIL, client_uri=WEB)
    made["own"] = connected(shop, client_name=EVIL)
    assert EVIL in words(made["consent"]).replace("  ", " ")
    for name, page in made.items():
        tags = Tags(page)
        assert tags.names() <= {
            *("html", "head", "meta", "title", "style", "body", "main", "h1", "p", "a", "ul"),
            *("li", "br", "span", "strong", "code", "form", "input", "button"),
        }, name
        assert not [one for _, one in tags.found if any(key.startswith("on") for key in one)]
        assert b"<script" not in page.body
        for tag, given in tags.found:
            if tag == "a":
                assert str(given["href"]).startswith((WEB, "/login?", "/mcp/assistants/"))


def test_every_page_has_these_headers(shop: Shop) -> None:
    for name, page in pages(shop).items():
        headers = dict(page.headers)
        policy = headers.pop("content-security-policy")
        nonce = re.search(r"'nonce-([\w-]+)'", policy)
        assert nonce is not None
        assert policy == (
            f"default-src 'none'; style-src 'nonce-{nonce[1]}'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        )
        assert f'<style nonce="{nonce[1]}">'.encode() in page.body
        headers.pop("set-cookie", None)
        assert headers == {
            "content-type": "text/html; charset=utf-8",
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
            "x-content-type-options": "nosniff",
            "cross-origin-opener-policy": "unsafe-none",
        }, name


def test_a_nonce_is_new_each_time(shop: Shop) -> None:
    client = shop.client()
    policies = {dict(shop.authorize(client).headers)["content-security-policy"] for _ in range(5)}
    assert len(policies) == 5


def test_no_page_has_a_foreign_image_or_a_number_of_something(shop: Shop) -> None:
    for page in pages(shop, logo_uri="https://a.example/logo.png").values():
        assert b"logo.png" not in page.body
        assert b"<img" not in page.body


def test_what_a_person_reads(shop: Shop) -> None:
    page = shop.authorize(
        shop.client(redirect_uris=[WEB]), redirect_uri=WEB, scope="orders:read orders:write"
    )
    assert words(page) == (
        "Connect Probe? Connect Probe to shop? You are signed in as ann . Not you? "
        "Unverified: the assistant itself says that this is its name, and nobody has checked that. "
        "Go on only if you have just started to connect it. It will be able to: See your orders "
        "Change your orders You will be sent to assistant.example . You can end the connection at "
        "any time on the page of your connected assistants . Allow Deny"
    )


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (WEB, "sent to assistant.example ."),
        ("http://localhost:3030/cb", "sent to an app on this computer (localhost:3030) ."),
        ("http://127.0.0.1:1/cb", "sent to an app on this computer (127.0.0.1:1) ."),
        ("cursor://x/cb", "sent to the app that opens cursor: links ."),
        ("https://a.example:8443/cb", "sent to a.example:8443 ."),
    ],
)
def test_the_host_that_gets_the_code_is_shown(shop: Shop, uri: str, shown: str) -> None:
    page = shop.authorize(shop.client(redirect_uris=[uri]), redirect_uri=uri)
    assert shown in words(page)


def test_tools_are_named_and_what_they_may_do() -> None:
    shop = Shop()

    @shop.mcp.tool(scopes="orders:read", annotations={"readOnlyHint": True})
    def show_orders() -> str:
        """Show orders."""
        return ""

    @shop.mcp.tool(scopes="orders:read", title="Cancel <b>all</b>")
    def cancel() -> str:
        """Cancel."""
        return ""

    page = shop.authorize(shop.client())
    assert "show_orders, Cancel <b>all</b> (changes or deletes data)" in words(page)
    assert "show_orders (changes" not in words(page)


def test_without_scopes_a_person_reads_that_all_is_open() -> None:
    shop = Shop({"scopes": None})
    shop.mcp.tool(name="forget", annotations={"readOnlyHint": False})(lambda: "")
    assert (
        "able to use the tools of shop in your name. forget (changes or deletes data) You will"
    ) in words(shop.authorize(shop.client()))


def test_tools_without_a_scope_are_named_too() -> None:
    shop = Shop()
    shop.mcp.tool(name="forget")(lambda: "")
    read = words(shop.authorize(shop.client()))
    assert "See your orders Use other tools of shop forget (changes or deletes data) You" in read


def test_of_many_tools_those_that_change_something_come_first() -> None:
    shop = Shop()
    for number in range(31):
        shop.mcp.tool(name=f"look{number}", annotations={"readOnlyHint": True})(lambda: "")
    shop.mcp.tool(name="forget")(lambda: "")
    read = words(shop.authorize(shop.client()))
    assert "Use other tools of shop forget (changes or deletes data), look0, look1, " in read
    assert "look28, and 2 more You" in read


def test_the_consent_page_leads_to_the_connected_assistants(shop: Shop) -> None:
    page = shop.authorize(shop.client()).body.decode()
    assert '<a href="/mcp/assistants/">connected assistants</a>' in page


def test_connections_with_another_server_of_the_store_say_so(shop: Shop) -> None:
    shop.connect(shop.client(client_name="One"))
    assert "with https" not in words(shop.send("GET", "/", user="ann"))
    held = shop.sign_in.store.list("ann")[0]
    other = replace(held, id="c-other", resource="https://shop.example/<other>")
    shop.sign_in.store.add(other)
    page = shop.send("GET", "/", user="ann")
    assert "One (unverified) with https://shop.example/<other> connected" in words(page)


def test_an_assistant_without_a_name(shop: Shop) -> None:
    assert "Connect An assistant without a name to shop?" in words(
        shop.authorize(shop.client(client_name=""))
    )


# Cookies.


@pytest.mark.parametrize(
    ("base", "pattern"),
    [
        (
            "https://shop.example/mcp/assistants",
            r"__Secure-mcp_signin=[\w-]{43}; Path=/mcp/assistants; Max-Age=86400; HttpOnly; "
            r"SameSite=Lax; Secure",
        ),
        (
            "http://127.0.0.1:8000/mcp/assistants",
            r"mcp_signin=[\w-]{43}; Path=/mcp/assistants; Max-Age=86400; HttpOnly; SameSite=Lax",
        ),
    ],
)
def test_the_cookie(shop: Shop, base: str, pattern: str) -> None:
    client = shop.client()
    page = shop.send("GET", "/authorize", shop.query(client), user="ann", base=base)
    assert re.fullmatch(pattern, dict(page.headers)["set-cookie"])


@pytest.mark.parametrize(
    "cookies",
    [
        "{name}={value}",
        "a=b; {name}={value}",
        "bad cookie \x01=; {name}={value}; c",
        "  {name}={value}  ;",
        "=;;; {name}={value}",
    ],
)
def test_the_cookie_is_found_among_others(shop: Shop, cookies: str) -> None:
    page = shop.authorize(shop.client())
    cookie = cookies.format(name="__Secure-mcp_signin", value=shop.browser)
    shop.browser = None
    body = urlencode({"form": form_of(page), "decision": "allow"}).encode()
    done = shop.send(
        "POST", "/authorize", body=body, headers={**FORM, "cookie": cookie}, user="ann"
    )
    assert done.status == 200


@pytest.mark.parametrize("value", ["short", "x" * 101, "é" * 30, "a b" * 10, '"' * 30, ""])
def test_a_cookie_that_is_none_of_ours_is_replaced(shop: Shop, value: str) -> None:
    page = shop.send(
        "GET",
        "/authorize",
        shop.query(shop.client()),
        headers={"cookie": f"__Secure-mcp_signin={value}"},
        user="ann",
    )
    assert re.match(r"__Secure-mcp_signin=[\w-]{43};", dict(page.headers)["set-cookie"])


# Templates of the application's own.


def test_a_page_of_ones_own() -> None:
    seen: list[tuple[str, Mapping[str, Any]]] = []

    def render(name: str, values: Mapping[str, Any]) -> str | None:
        seen.append((name, values))
        return "<h1>Mine</h1>" if name == "consent.html" else None

    shop = Shop({"render": render})
    page = shop.authorize(shop.client())
    assert page.body == b"<h1>Mine</h1>"
    assert dict(page.headers)["x-frame-options"] == "DENY"
    name, values = seen[0]
    assert name == "consent.html"
    assert sorted(values) == [
        "action",
        "client_host",
        "client_name",
        "connected_url",
        "form",
        "is_local",
        "login_url",
        "nonce",
        "person",
        "scopes",
        "server_name",
        "tools",
        "where",
    ]
    assert shop.authorize("x").status == 400
    assert seen[-1][0] == "error.html"


# Connected assistants.


def test_a_person_sees_their_assistants_and_ends_one(shop: Shop) -> None:
    client = shop.client(client_name="One")
    tokens = shop.connect(client)
    shop.connect(shop.client(client_name="Bobs"), "bob")
    page = shop.send("GET", "/", user="ann")
    assert "One (unverified) connected " in words(page)
    assert "may: See your orders" in words(page)
    assert "Bobs" not in words(page)
    body = urlencode({"form": form_of(page)}).encode()
    done = shop.send("POST", "/", body=body, headers=FORM, user="ann")
    assert done.status == 303
    assert dict(done.headers)["location"] == "/mcp/assistants/"
    assert "No assistant is connected" in words(shop.send("GET", "/", user="ann"))
    assert shop.refresh(client, tokens["refresh_token"]).error == (400, "invalid_grant")
    assert shop.kinds()[-1] == "connection revoked"


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"form=x"), ({"content-type": "text/plain"}, b"form=x"), (FORM, b"form=x&form=y")],
)
@pytest.mark.parametrize("place", ["/", "/authorize"])
def test_a_form_that_cannot_be_read_is_told(
    shop: Shop, place: str, headers: dict[str, str], body: bytes
) -> None:
    reply = shop.send("POST", place, body=body, headers=headers, user="ann")
    assert reply.status == 400
    assert "The form cannot be read: " in words(reply)


def test_who_is_not_logged_in_goes_to_the_login_page(shop: Shop) -> None:
    for method in ("GET", "POST"):
        reply = shop.send(method, "/", headers=FORM)
        assert reply.status == 302
        assert dict(reply.headers)["location"] == "/login?next=%2Fmcp%2Fassistants%2F"


@pytest.mark.parametrize("case", ["another person", "another browser", "altered", "old", "none"])
def test_forms_that_end_nothing(shop: Shop, clock: Clock, case: str) -> None:
    shop.connect(shop.client())
    page = shop.send("GET", "/", user="ann")
    sealed, user = form_of(page), "ann"
    if case == "another person":
        user = "bob"
    if case == "another browser":
        shop.browser = "x" * 43
    if case == "altered":
        sealed = "A" + sealed[1:] if sealed[0] != "A" else "B" + sealed[1:]
    if case == "old":
        clock.now += 3601
    if case == "none":
        sealed = ""
    body = urlencode({"form": sealed}).encode()
    reply = shop.send("POST", "/", body=body, headers=FORM, user=user)
    assert reply.status == 403
    assert "This form has expired" in words(reply)
    assert len(shop.sign_in.store.list("ann")) == 1


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"form=a&form=b", FORM), (b"{}", {}), (b"\xff", FORM), (b"[" * 60000, FORM)],
)
def test_odd_forms_of_that_page(shop: Shop, body: bytes, headers: dict[str, str]) -> None:
    reply = shop.send("POST", "/", body=body, headers=headers, user="ann")
    assert reply.status in (400, 403)
    assert b"<form" not in reply.body


def test_a_form_of_consent_is_no_form_of_removal_and_the_reverse(shop: Shop) -> None:
    client = shop.client()
    shop.connect(client)
    consent, removal = shop.authorize(client), shop.send("GET", "/", user="ann")
    crossed = urlencode({"form": form_of(consent), "decision": "allow"}).encode()
    assert shop.send("POST", "/", body=crossed, headers=FORM, user="ann").status == 403
    crossed = urlencode({"form": form_of(removal), "decision": "allow"}).encode()
    assert shop.send("POST", "/authorize", body=crossed, headers=FORM, user="ann").status == 400


def test_never_307(shop: Shop) -> None:
    page = shop.authorize(shop.client())
    assert shop.decide(page).status == 200
    assert link_of(shop.decide(page, decision="deny"))
