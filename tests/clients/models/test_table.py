"""The table of the clients of models and their locks say the same."""

from __future__ import annotations

import pytest

from tests.clients.models.run import HERE
from tests.clients.models.table import CLIENTS, Client

LOCKS = HERE / "locks"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_is_locked_at_the_version_of_the_table(client: Client) -> None:
    assert (HERE / "programs" / client.program).exists()
    if client.package is not None:
        pinned = (LOCKS / f"{client.package}.txt").read_text().splitlines()
        assert f"{client.package.name}=={client.package.version}" in pinned


def test_there_is_no_lock_of_a_client_that_is_not_in_the_table() -> None:
    known = {str(client.package) for client in CLIENTS if client.package is not None}
    assert {lock.stem for lock in LOCKS.glob("*.txt")} == known
