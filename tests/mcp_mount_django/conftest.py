"""The ledger in this process: its database, and members that are gone after each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set Django up, once; child processes are not to inherit it."""
    import django

    own = {
        "LEDGER_FOLDER": str(tmp_path_factory.mktemp("ledger")),
        "DJANGO_SETTINGS_MODULE": "tests.mcp_mount_django.ledger.settings",
    }
    os.environ |= own
    try:
        django.setup()
    finally:
        for name in own:
            del os.environ[name]
    from tests.mcp_mount_django.ledger.applications import make_databases

    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    make_databases()


@pytest.fixture(autouse=True)
def own_language() -> Iterator[None]:
    """Under WSGI the language of a request stays that of its thread until the next one."""
    yield
    from django.conf import settings
    from django.utils import translation

    if settings.configured:
        translation.deactivate()


@pytest.fixture
def database(project: None) -> Iterator[None]:
    """What a test writes is rolled back."""
    from django.db import transaction

    with transaction.atomic("default"), transaction.atomic("audit"):
        yield
        for alias in ("default", "audit"):
            transaction.set_rollback(True, using=alias)


@pytest.fixture
def own_servers(project: None) -> Iterator[None]:
    """Servers that a test makes are no servers of the project afterwards: it checks them all."""
    from mcp_mount_django.servers import servers

    before = set(servers)
    yield
    for one in set(servers) - before:
        servers.discard(one)


@pytest.fixture
def ada(database: None) -> Any:
    from tests.mcp_mount_django.ledger.models import Member

    return Member.objects.create_user("ada@example.org", "secret")


@pytest.fixture
def bob(database: None) -> Any:
    from tests.mcp_mount_django.ledger.models import Member

    return Member.objects.create_user("bob@example.org", "secret")
