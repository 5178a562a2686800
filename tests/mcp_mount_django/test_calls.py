"""How calls run: language, time zone, pages, audit, tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount.testing import RPCError
from tests.mcp_mount_django.clients import client, client_of, session_headers, token_headers

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    """What the audit signal tells."""
    from mcp_mount_django.signals import call_finished

    told: list[dict[str, Any]] = []

    def hear(sender: Any, **said: Any) -> None:
        told.append({"sender": sender.title, **said})

    call_finished.connect(hear)
    yield told
    call_finished.disconnect(hear)


@pytest.mark.parametrize(
    "tool", ["manners", "manners_aloud", "manners_async", "manners_async_aloud"]
)
def test_a_call_keeps_language_and_time_zone(tool: str) -> None:
    headers = {"accept-language": "de", "x-time-zone": "Asia/Tokyo"}
    with client(headers=headers) as own:
        assert own.call_tool(tool).text == "de Montag Asia/Tokyo"
    with client() as own:
        assert own.call_tool(tool).text == "en Monday America/Chicago"


def test_a_template_is_a_page(ada: Any) -> None:
    with client_of(ada) as own:
        own.call_tool("deposit", {"amount": 7})
        [page] = own.read_resource("ui://ledger")
    assert page["text"] == "<p>ada@example.org: 7</p>\n"
    assert page["mimeType"] == "text/html;profile=mcp-app"
    with client() as nobody, pytest.raises(RPCError, match="Resource not found"):
        nobody.read_resource("ui://ledger")


def test_an_audit_hears_of_each_call(ada: Any, heard: list[dict[str, Any]]) -> None:
    with client_of(ada) as own:
        own.call_tool("deposit", {"amount": 7})
        own.call_tool("whoami_async")
        own.call_tool("deposit_and_fail", {"amount": 1})
        own.read_resource("ui://ledger")
        own.call_tool("deposit", {"amount": "much"})
        own.list_tools()
    assert [(one["method"], one["name"], one["arguments"], one["outcome"]) for one in heard] == [
        ("tools/call", "deposit", {"amount": 7}, "ok"),
        ("tools/call", "whoami_async", {}, "ok"),
        ("tools/call", "deposit_and_fail", {"amount": 1}, "failed"),
        ("resources/read", "ui://ledger", {}, "ok"),
    ]
    assert {one["sender"] for one in heard} == {"ledger"}
    assert {one["request"].user.email for one in heard} == {"ada@example.org"}
    assert all(0 < one["seconds"] < 5 for one in heard)


def test_what_an_audit_writes_stays_when_the_call_fails(ada: Any) -> None:
    from mcp_mount_django.signals import call_finished
    from tests.mcp_mount_django.ledger.models import AuditEntry, Entry

    def write(sender: Any, **said: Any) -> None:
        AuditEntry.objects.create(member=1, text=f"{said['name']} {said['outcome']}")

    call_finished.connect(write)
    try:
        with client_of(ada) as own:
            assert own.call_tool("deposit_and_fail", {"amount": 1, "crash": True}).is_error
    finally:
        call_finished.disconnect(write)
    assert [one.text for one in AuditEntry.objects.all()] == ["deposit_and_fail failed"]
    assert not Entry.objects.exists()


def test_the_testing_client_shares_the_transaction(ada: Any) -> None:
    """In both kinds of revision, through streams and coroutines of the ORM's plain kind."""
    for revision in ("2026-07-28", "2025-11-25"):
        with client_of(ada, revision=revision) as own:
            before = int(own.call_tool("balance").text)
            assert int(own.call_tool("deposit_aloud", {"amount": 5}).text) == before + 5
            assert own.call_tool("deposit_aloud_and_fail", {"amount": 5}).is_error
            assert int(own.call_tool("balance").text) == before + 5


@pytest.mark.parametrize("path", ["/mcp", "/token/mcp"])
def test_coroutines_share_the_transaction_of_a_test(ada: Any, path: str) -> None:
    """As in the TestCase of Django: what a test wrote is there, and what tools write goes away."""
    from tests.mcp_mount_django.ledger.models import Entry

    Entry.objects.create(member=ada, amount=7, note="of the test")
    headers = token_headers(ada) if path == "/token/mcp" else session_headers(ada)
    with client(path, headers) as caller:
        assert caller.call_tool("balance_async").text == "7"
        assert caller.call_tool("deposit", {"amount": 3}).text == "10"
        assert caller.call_tool("balance_async").text == "10"
