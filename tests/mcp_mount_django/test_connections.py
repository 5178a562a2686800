"""The store of connections in the database of a Django project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount.auth.authorization.connections import ConnectionStore
from tests.auth.authorization.contract import ANNS, StoreContract


class TestModels(StoreContract):
    @pytest.fixture
    def store(self, project: None) -> Iterator[ConnectionStore]:
        # Not in a transaction that is rolled back: the threads of the tests must see the rows.
        from mcp_mount_django.connections import ModelConnections
        from mcp_mount_django.models import AssistantConnection, RetiredId

        rows: Any = AssistantConnection._default_manager
        retired: Any = RetiredId._default_manager
        rows.all().delete()
        retired.all().delete()
        yield ModelConnections()
        rows.all().delete()
        retired.all().delete()

    def test_an_id_that_is_there_ends_no_transaction(self, store: ConnectionStore) -> None:
        from django.db import transaction

        with transaction.atomic():
            assert store.add(ANNS)
            assert not store.add(ANNS)
            assert store.get(ANNS.id) == ANNS
            assert store.retire("r", 1.0)
            assert not store.retire("r", 1.0)
            assert store.is_retired("r")
