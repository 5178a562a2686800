"""Access tokens as the server checks them, and the options of SignIn."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any, get_args

import pytest

from mcp_mount import MCPServer
from mcp_mount.auth.authorization.connections import Connection, MemoryConnections
from mcp_mount.auth.authorization.events import Kind
from mcp_mount.auth.authorization.sign_in import SignIn
from mcp_mount.auth.verifiers import InvalidToken, VerificationCache
from mcp_mount.schemas.functions import DefinitionError
from tests.auth.authorization.shop import FORM, RESOURCE, Clock, Shop


class Counting(MemoryConnections):
    """A store that counts how often it is asked."""

    is_shared = True

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def get(self, id: str) -> Connection | None:
        self.asked += 1
        return super().get(id)


def watched() -> tuple[Shop, Counting, Clock]:
    """A shop, its store, and the clock for what it knows of connections."""
    store, clock = Counting(), Clock(100.0)
    shop = Shop({"store": store})
    shop.sign_in._tokens._known = VerificationCache(clock)
    return shop, store, clock


def test_what_a_token_says(shop: Shop, clock: Clock) -> None:
    client = shop.client()
    tokens = shop.connect(client, scope="orders:read orders:write")
    token = shop.verify(tokens["access_token"])
    assert token.subject == "ann"
    assert token.scopes == {"orders:read", "orders:write"}
    assert token.expires_at == clock.now + 3600
    assert token.claims["client_name"] == "Probe"
    assert token.claims["connection"] == shop.sign_in.store.list("ann")[0].id


def test_a_token_expires(shop: Shop, clock: Clock) -> None:
    tokens = shop.connect(shop.client())
    clock.now += 3600
    assert shop.verify(tokens["access_token"]).subject == "ann"
    clock.now += 1
    with pytest.raises(InvalidToken, match="has expired"):
        shop.verify(tokens["access_token"])


def test_the_store_is_asked_every_ten_seconds() -> None:
    shop, store, clock = watched()
    tokens = shop.connect(shop.client())
    store.asked = 0
    for _ in range(5):
        shop.verify(tokens["access_token"])
        clock.now += 1.9
    assert store.asked == 1
    clock.now += 1
    shop.verify(tokens["access_token"])
    assert store.asked == 2


def test_a_token_that_is_none_asks_nobody() -> None:
    shop, store, _ = watched()
    for token in ("x", "a.b.c", "[" * 4000):
        with pytest.raises(InvalidToken):
            shop.verify(token)
    assert store.asked == 0


@pytest.mark.parametrize("change", ["new password", "gone", "revoked elsewhere", "deleted"])
def test_what_ends_a_connection_is_known_within_ten_seconds(change: str) -> None:
    shop, store, clock = watched()
    tokens = shop.connect(shop.client())
    shop.verify(tokens["access_token"])
    id = store.list("ann")[0].id
    if change == "new password":
        shop.people["ann"] = "2"
    if change == "gone":
        del shop.people["ann"]
    if change == "revoked elsewhere":
        store.revoke(id, 1.0)
    if change == "deleted":
        store.purge(1e12)
    clock.now += 10
    with pytest.raises(InvalidToken):
        shop.verify(tokens["access_token"])


def test_what_is_revoked_here_is_known_at_once() -> None:
    from urllib.parse import urlencode

    shop, _, _ = watched()
    client = shop.client()
    tokens = shop.connect(client)
    shop.verify(tokens["access_token"])
    form = urlencode({"client_id": client, "token": tokens["refresh_token"]}).encode()
    shop.send("POST", "/revoke", body=form, headers=FORM)
    with pytest.raises(InvalidToken):
        shop.verify(tokens["access_token"])


def test_what_is_revoked_while_it_is_looked_up_is_known_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, store, _ = watched()
    tokens = shop.connect(shop.client())
    [held] = store.list("ann")
    get = store.get

    def slow(id: str) -> Connection | None:
        found = get(id)
        monkeypatch.undo()
        assert shop.sign_in.revoke(held)
        return found

    monkeypatch.setattr(store, "get", slow)
    shop.verify(tokens["access_token"])
    with pytest.raises(InvalidToken):
        shop.verify(tokens["access_token"])


def test_without_a_resource_a_token_is_for_whatever_is_vouched_for(shop: Shop) -> None:
    tokens = shop.connect(shop.client())
    assert shop.verify(tokens["access_token"], None).subject == "ann"
    assert shop.verify(tokens["access_token"], f"{RESOURCE}/").subject == "ann"


async def awaits(*given: Any) -> str:
    return "/login"


@pytest.mark.parametrize(
    "options",
    [
        {"scopes": ["orders:read"]},
        {"scopes": {"a b": "words"}},
        {"scopes": {"": "words"}},
        {"scopes": {'a"b': "words"}},
        {"scopes": {"ä": "words"}},
        {"scopes": {"a": 5}},
        {"scopes": {5: "words"}},
        {"store": "memory"},
        {"store": 5},
        {"store": "postgresql://localhost/shop"},
        {"store": sqlite3.connect(":memory:")},
        {"user": "uid"},
        {"still_valid": "stamp"},
        {"login": 5},
        {"login": ""},
        {"login": awaits},
        {"render": "consent.html"},
        {"render": awaits},
        {"on_event": "log"},
        {"on_event": awaits},
        {"path": "assistants"},
        {"path": "/"},
        {"path": 5},
        {"redirects": "claude.ai"},
        {"redirects": []},
        {"redirects": ["https://claude.ai"]},
        {"redirects": [""]},
        {"redirects": [5]},
        {"access": 0},
        {"access": -1},
        {"access": "1h"},
        {"refresh": 0},
        {"lifetime": float("nan")},
        {"grace": -1},
        {"grace": "0"},
        {"cimd": "yes"},
        {"registration": "no"},
        {"issuer": "http://shop.example"},
        {"issuer": 5},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises((DefinitionError, ValueError, TypeError)) as caught:
        SignIn(**{"user": lambda request: None, "login": "/login", **options})
    assert next(iter(options)) in str(caught.value)


def test_an_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(DefinitionError, match="scope"):
        SignIn(scope={"a": "b"})  # type: ignore[call-arg]


def test_a_second_server_gets_a_sign_in_of_its_own(shop: Shop) -> None:
    other = MCPServer("other", auth=shop.sign_in, secret_key="x")
    third = MCPServer("third", auth=shop.sign_in, secret_key="x")
    own = [one.core.sign_in for one in (shop.mcp, other, third)]
    assert own[0] is shop.sign_in
    assert len({id(one) for one in own}) == 3
    assert len({id(one and one.events) for one in own}) == 3
    # Each opens what it has sealed, and nothing of the others.
    assert own[1] is not None
    token = own[1].seals.client_id("tests", [], None)
    assert [one is not None and one.seals.open_client_id(token) is not None for one in own] == [
        False,
        True,
        False,
    ]


def test_a_server_has_one_sign_in() -> None:
    with pytest.raises(DefinitionError, match="two SignIn"):
        MCPServer(
            "two",
            auth=[SignIn(user=str, login="/"), SignIn(user=str, login="/")],
            secret_key="x",
        )


@pytest.mark.parametrize("given", [{}, {"user": str}])
def test_without_accounts_one_is_told_what_to_give(given: dict[str, Any]) -> None:
    sign_in = SignIn(**given)
    MCPServer("shop", auth=sign_in, secret_key="x")
    with pytest.raises(DefinitionError, match=r"user= .* and login="):
        _ = sign_in.accounts


def test_two_first_requests_at_once_get_one_store(monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Thread

    sign_in = SignIn(user=str, login="/")
    MCPServer("shop", auth=sign_in, secret_key="x")
    stores: list[Any] = []
    other = Thread(target=lambda: stores.append(sign_in.store))

    class Slow(MemoryConnections):
        def __init__(self) -> None:
            super().__init__()
            if other.ident is None:
                other.start()
                # It waits for this one, or is through.
                other.join(0.3)

    monkeypatch.setattr(f"{SignIn.__module__}.MemoryConnections", Slow)
    stores.append(sign_in.store)
    other.join()
    assert stores[0] is stores[1] is sign_in.store


def test_connections_in_memory_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    with caplog.at_level("WARNING", "mcp_mount.signin"):
        shop.connect(shop.client())
        shop.connect(shop.client())
    assert [one.getMessage()[:35] for one in caplog.records] == [
        "SignIn keeps connections in the mem"
    ]


@pytest.mark.parametrize(
    ("admitted", "uri", "is_admitted"),
    [
        (["claude.ai"], "https://claude.ai/api/mcp/auth_callback", True),
        (["CLAUDE.ai"], "https://claude.ai:444/x", True),
        (["claude.ai"], "https://evil.claude.ai/x", False),
        (["claude.ai"], "https://claude.ai.evil.example/x", False),
        (["claude.ai"], "http://localhost/x", False),
        (["localhost"], "http://localhost:1/x", True),
        (["localhost"], "http://127.0.0.1:1/x", True),
        (["localhost"], "http://[::1]:1/x", True),
        (["localhost"], "https://localhost.evil.example/x", False),
        (["cursor:"], "cursor://x", True),
        (["cursor:"], "https://cursor/x", False),
        (["cursor"], "cursor://x", False),
    ],
)
def test_where_codes_may_be_sent(admitted: list[str], uri: str, is_admitted: bool) -> None:
    answer = Shop({"redirects": admitted}).register(redirect_uris=[uri])
    assert answer.status == (201 if is_admitted else 400)


def test_a_connection_that_a_command_revokes_ends_and_is_told(shop: Shop) -> None:
    tokens = shop.connect(shop.client())
    assert shop.verify(tokens["access_token"]).subject == "ann"
    held = shop.sign_in.store.list("ann")[0]
    assert shop.sign_in.revoke(held)
    assert not shop.sign_in.revoke(held)
    with pytest.raises(InvalidToken):
        shop.verify(tokens["access_token"])
    assert shop.kinds().count("connection revoked") == 1
    assert shop.events[-1].detail == "by a command"


def test_the_page_has_a_table_of_all_events() -> None:
    page = (
        Path("docs/signing-in.md").read_text().partition("\n## Events\n")[2].partition("\n## ")[0]
    )
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert sorted(re.findall("`([^`]+)`", "".join(rows))) == sorted(get_args(Kind))
