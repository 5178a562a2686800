"""What every store of connections keeps: each runs these tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

from mcp_mount.auth.authorization.connections import Connection, ConnectionStore

THREADS = 8

ANNS = Connection(
    id="c-Ann_1",
    user="ann",
    client="d" * 32,
    client_name='Größe "1" \\ 助手 🙂 % {} :p1 ?',
    client_host="assistant.example",
    resource="https://shop.example/mcp",
    scopes=("orders:read", "orders:write"),
    stamp="s" * 64,
    created=1795765924.123456,
    used=1795765924.123456,
)


def at_once(function: Callable[[], Any]) -> list[Any]:
    """The answers of a function that several threads call at the same moment."""
    start = Barrier(THREADS)

    def call(number: int) -> Any:
        start.wait(20)
        return function()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(call, range(THREADS)))


class StoreContract:
    """The tests. A subclass has a fixture `store`, which is empty."""

    def test_a_connection_comes_back_as_it_was_added(self, store: ConnectionStore) -> None:
        plain = replace(ANNS, id="c-2", client_name="", client_host=None, scopes=(), stamp="")
        assert store.add(ANNS)
        assert store.add(plain)
        assert store.get("c-Ann_1") == ANNS
        assert store.get("c-2") == plain

    def test_what_is_not_there_is_none(self, store: ConnectionStore) -> None:
        assert store.get("c-Ann_1") is None
        assert store.list("ann") == []
        assert not store.rotate("c-Ann_1", 0, 1.0, "")
        assert not store.revoke("c-Ann_1", 1.0)
        assert store.purge(1e12) == 0

    def test_an_id_is_added_once_and_keeps_its_first_row(self, store: ConnectionStore) -> None:
        assert store.add(ANNS)
        assert not store.add(replace(ANNS, user="eve", client="e" * 32))
        assert store.get("c-Ann_1") == ANNS
        assert list(store.list("eve")) == []

    def test_an_id_that_was_revoked_is_not_added_again(self, store: ConnectionStore) -> None:
        store.add(ANNS)
        store.revoke(ANNS.id, 1795765999.5)
        assert not store.add(ANNS)
        assert store.get(ANNS.id) == replace(ANNS, revoked=1795765999.5)

    def test_rotation_counts_up_and_changes_nothing_else(self, store: ConnectionStore) -> None:
        store.add(ANNS)
        assert store.rotate(ANNS.id, 0, 1795766000.25, "t" * 64)
        assert store.rotate(ANNS.id, 1, 1795766001.75, "u" * 64)
        assert store.get(ANNS.id) == replace(ANNS, generation=2, used=1795766001.75, stamp="u" * 64)

    def test_another_generation_is_not_rotated(self, store: ConnectionStore) -> None:
        store.add(ANNS)
        store.rotate(ANNS.id, 0, 2.0, "")
        before = store.get(ANNS.id)
        assert not store.rotate(ANNS.id, 0, 3.0, "x")
        assert not store.rotate(ANNS.id, 2, 3.0, "x")
        assert store.get(ANNS.id) == before

    def test_what_was_revoked_is_not_rotated_and_not_revoked_again(
        self, store: ConnectionStore
    ) -> None:
        store.add(ANNS)
        assert store.revoke(ANNS.id, 1795765999.5)
        assert not store.revoke(ANNS.id, 1795766999.5)
        assert not store.rotate(ANNS.id, 0, 3.0, "x")
        assert store.get(ANNS.id) == replace(ANNS, revoked=1795765999.5)

    def test_a_person_sees_their_own_that_hold_the_newest_first(
        self, store: ConnectionStore
    ) -> None:
        older = replace(ANNS, id="c-older", created=1.0)
        revoked = replace(ANNS, id="c-revoked")
        others = replace(ANNS, id="c-other", user="bob", created=2.0)
        capital = replace(ANNS, id="c-capital", user="Ann", created=3.0)
        for one in (older, ANNS, revoked, others, capital):
            assert store.add(one)
        store.revoke(revoked.id, 5.0)
        assert list(store.list("ann")) == [ANNS, older]
        assert list(store.list("Ann")) == [capital]
        assert list(store.list("nobody")) == []
        assert list(store.list()) == [ANNS, capital, others, older]
        assert list(store.list(client=ANNS.client_name)) == [ANNS, capital, others, older]
        named = replace(ANNS, id="c-named", client_name="Named", client_host="named.example")
        assert store.add(named)
        for client in ("Named", "named.example"):
            assert list(store.list(client=client)) == [named]
            assert list(store.list("ann", client)) == [named]
        assert list(store.list("bob", "Named")) == list(store.list(client="named")) == []

    def test_what_was_not_used_and_what_was_revoked_before_is_purged(
        self, store: ConnectionStore
    ) -> None:
        unused = replace(ANNS, id="c-unused", used=50.0)
        revoked = replace(ANNS, id="c-revoked", used=50.0)
        lately = replace(ANNS, id="c-lately", used=50.0)
        for one in (ANNS, unused, revoked, lately):
            store.add(one)
        store.revoke(revoked.id, 60.0)
        store.revoke(lately.id, 200.0)
        assert store.purge(100.0) == 2
        assert store.purge(100.0) == 0
        assert [store.get(one) is None for one in ("c-unused", "c-revoked", "c-lately")] == [
            True,
            True,
            False,
        ]
        assert store.get(ANNS.id) == ANNS
        assert list(store.list("ann")) == [ANNS]
        # Those that were revoked may go earlier.
        assert store.purge(100.0, 300.0) == 1
        assert store.get("c-lately") is None

    def test_of_several_threads_one_adds_an_id(self, store: ConnectionStore) -> None:
        assert sorted(at_once(lambda: store.add(ANNS))) == [False] * 7 + [True]

    def test_of_several_threads_one_rotates_a_generation(self, store: ConnectionStore) -> None:
        store.add(ANNS)
        answers = at_once(lambda: store.rotate(ANNS.id, 0, 9.0, "s"))
        assert sorted(answers) == [False] * 7 + [True]
        assert store.get(ANNS.id) == replace(ANNS, generation=1, used=9.0, stamp="s")

    def test_of_several_threads_one_revokes(self, store: ConnectionStore) -> None:
        store.add(ANNS)
        assert sorted(at_once(lambda: store.revoke(ANNS.id, 9.0))) == [False] * 7 + [True]

    def test_an_id_is_retired_once(self, store: ConnectionStore) -> None:
        until = time.time() + 600
        assert not store.is_retired("r" * 64)
        assert store.retire("r" * 64, until)
        assert not store.retire("r" * 64, until + 600)
        assert store.is_retired("r" * 64)
        assert not store.is_retired("s" * 64)
        assert store.retire("s" * 64, until)

    def test_retired_ids_are_no_connections(self, store: ConnectionStore) -> None:
        store.add(ANNS)
        assert store.retire(ANNS.id, time.time() + 600)
        assert store.get(ANNS.id) == ANNS
        assert list(store.list()) == [ANNS]

    def test_retired_ids_are_forgotten_when_their_time_is_over(
        self, store: ConnectionStore
    ) -> None:
        store.retire("kept", time.time() + 600)
        store.retire("over", time.time() - 1)
        store.purge(1.0)
        assert store.is_retired("kept")
        self.wait_until_over()
        assert not store.is_retired("over")
        assert store.retire("over", time.time() + 600)

    def wait_until_over(self) -> None:
        """Wait, where the store forgets by its own clock."""

    def test_of_several_threads_one_retires_an_id(self, store: ConnectionStore) -> None:
        until = time.time() + 600
        assert sorted(at_once(lambda: store.retire("x", until))) == [False] * 7 + [True]
