"""The table of the clients of models and their locks say the same."""

from __future__ import annotations

import pytest

from tests.clients.models.page import BEGIN, FEATURES, features_of
from tests.clients.models.run import HERE
from tests.clients.models.table import CLIENTS, Client
from tests.clients.page import END, PAGE

LOCKS = HERE / "locks"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_is_locked_at_the_version_of_the_table(client: Client) -> None:
    assert (HERE / "programs" / client.program).exists()
    if client.package is not None:
        pinned = (LOCKS / f"{client.package}.txt").read_text().splitlines()
        assert f"{client.package.name}=={client.package.version}" in pinned


def test_whatever_clients_do_shows_a_feature() -> None:
    names = {name for client in CLIENTS for name in client.seen}
    assert [name for name in names if not features_of(name)] == []


def test_the_page_has_a_row_for_each_client_and_no_cross() -> None:
    table = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert " | ".join(FEATURES) in table
    for client in CLIENTS:
        assert f"| {client.title} | `{client.version}` |" in table
    assert "✗" not in table


def test_there_is_no_lock_of_a_client_that_is_not_in_the_table() -> None:
    known = {str(client.package) for client in CLIENTS if client.package is not None}
    assert {lock.stem for lock in LOCKS.glob("*.txt")} == known
