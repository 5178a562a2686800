"""Keys: which open what, and how long what they seal is."""

from __future__ import annotations

import pytest

from mcp_mount.auth.authorization.connections import MemoryConnections
from mcp_mount.auth.verifiers import InvalidToken
from tests.auth.authorization.shop import CALLBACK, Shop


def with_keys(*keys: str, store: MemoryConnections) -> Shop:
    return Shop({"store": store}, key=list(keys))


def test_an_older_key_opens_and_the_newest_seals() -> None:
    store = MemoryConnections()
    before = with_keys("one", store=store)
    client = before.client()
    tokens = before.connect(client)
    code = before.code(client)

    during = with_keys("two", "one", store=store)
    assert during.verify(tokens["access_token"]).subject == "ann"
    assert during.redeem(client, code).status == 200
    new = during.refresh(client, tokens["refresh_token"]).body

    after = with_keys("two", store=store)
    assert after.verify(new["access_token"]).subject == "ann"
    with pytest.raises(InvalidToken):
        after.verify(tokens["access_token"])
    # The id was sealed with the key that is gone: the client registers anew.
    assert after.refresh(client, new["refresh_token"]).error == (401, "invalid_client")
    assert before.verify(tokens["access_token"]).subject == "ann"
    with pytest.raises(InvalidToken):
        before.verify(new["access_token"])


def test_tokens_of_another_server_with_the_same_key_and_store_are_refused() -> None:
    store = MemoryConnections()
    one = Shop({"store": store}, name="one")
    two = Shop({"store": store}, name="two")
    client, other = one.client(), two.client()
    tokens = one.connect(client)
    with pytest.raises(InvalidToken):
        two.verify(tokens["access_token"])
    assert two.refresh(other, tokens["refresh_token"]).error == (400, "invalid_grant")
    assert two.redeem(other, one.code(client)).error == (400, "invalid_grant")


def test_what_clients_keep_is_short() -> None:
    shop = Shop()
    client = shop.client()
    code = shop.code(client)
    tokens = shop.redeem(client, code).body
    # Documented sizes (docs/authorization.md): a header, a query and a cookie have room for them.
    assert len(client) < 200
    assert len(code) < 900
    assert len(tokens["access_token"]) < 150
    assert len(tokens["refresh_token"]) < 150
    assert len(shop.client(redirect_uris=[f"{CALLBACK}/{n}" for n in range(20)])) < 400
