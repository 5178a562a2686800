"""The tests that need a newer Django than the lowest one that pyproject.toml allows.

What older versions lack is told to users in docs/django.md.
"""

from __future__ import annotations

import re
from typing import Final

UNNOTICED: Final = "under ASGI, Django does not notice before 5.0 that a client has left"
PREFIXES: Final = "under ASGI, Django takes FORCE_SCRIPT_NAME and prefixes otherwise before 5.0"
NO_AUSER: Final = "Django has request.auser() since 5.0"
COROUTINES: Final = "Django's decorators of views know coroutine functions since 5.0"

NEWER: Final[tuple[tuple[str, tuple[int, int], str], ...]] = (
    (r"test_rows.py::test_a_client_that_leaves_.*\[django_asgi", (5, 0), UNNOTICED),
    (r"test_rows.py::test_a_server_that_is_stopped_.*\[django_asgi", (5, 0), UNNOTICED),
    (r"test_subscriptions.py::test_of_two_streams_.*\[django-asgi", (5, 0), UNNOTICED),
    (r"test_nested_transactions.py::test_a_transaction_lasts_until", (5, 0), UNNOTICED),
    (r"test_prefixed_servers.py::.*\[(daphne|uvicorn), FORCE_SCRIPT_NAME", (5, 0), PREFIXES),
    (r"test_prefixes.py::.*\[.*asgi-(FORCE_SCRIPT_NAME|stripped)", (5, 0), PREFIXES),
    (r"test_testing.py::test_the_user_of_a_client_calls_whatever", (5, 0), NO_AUSER),
    (r"test_exposing.py::test_decorators_of_views_hold_for_tools", (5, 0), COROUTINES),
    (r"test_guards.py::test_authenticators_.*\[exposed", (5, 0), COROUTINES),
    (r"test_guards.py::test_every_face_.*beside_the_project.*\[/mcp\]", (5, 0), COROUTINES),
    (
        r"mcp_mount_django/test_forms.py::test_the_schema_is_that_of_the_form",
        (5, 0),
        "an EmailField has max_length=320 since Django 5.0",
    ),
    (
        r"mcp_mount_django/test_servers.py::test_members_share_a_server",
        (5, 1),
        "SQLite waits for other writers in a transaction with transaction_mode, since Django 5.1",
    ),
)
"""Patterns of node ids, the version of Django that they need, and why."""


def reason_to_skip(nodeid: str, version: tuple[int, int]) -> str | None:
    """Why a test cannot pass with a version of Django; None if it can.

    Args:
        nodeid: The test's id, as pytest has it.
        version: Major and minor version.
    """
    for pattern, needed, reason in NEWER:
        if version < needed and re.search(pattern, nodeid):
            return reason
    return None
