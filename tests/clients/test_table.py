"""The table of clients, their locks and their page say the same."""

from __future__ import annotations

import json

import pytest

from tests.clients.environments import HERE, LOCKS, PROGRAMS, lock_of
from tests.clients.expected import expected_of
from tests.clients.page import BEGIN, END, PAGE
from tests.clients.table import CLIENTS, Client, NodePackage, Package


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_is_locked_at_the_version_of_the_table(client: Client) -> None:
    assert (PROGRAMS / client.program).exists()
    if isinstance(client.package, Package):
        pinned = lock_of(client.package).read_text().splitlines()
        assert f"{client.package.name}=={client.package.version}" in pinned
    else:
        assert isinstance(client.package, NodePackage)
        wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
        package = client.package
        assert wanted[package.alias] == f"npm:{package.name}@{package.version}"


def test_there_is_no_lock_of_a_client_that_is_not_in_the_table() -> None:
    known = {str(client.package) for client in CLIENTS if isinstance(client.package, Package)}
    assert {lock.stem for lock in LOCKS.glob("*.txt")} == known


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_limit_is_of_something_that_clients_are_asked_to_do(client: Client) -> None:
    assert set(client.limits) <= set(expected_of(CLIENTS[3]))
    assert all(limit.reason for limit in client.limits.values())


def test_the_page_has_a_row_for_each_client() -> None:
    table = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    for client in CLIENTS:
        assert f"| {client.title} | `{client.package.version}` | {client.revision} |" in table
