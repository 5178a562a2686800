"""One log record for each call, and the audit."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pytest
from pydantic import Field, SecretStr

from mcp_mount import Audit, Call, CallRecord, MCPServer, ToolError, ToolsRouter
from mcp_mount.auth import APIKeys
from mcp_mount.testing import RPCError
from tests.faces import Connect

KEY = "ada-has-this-api-key"


def build(**options: Any) -> MCPServer:
    tools = ToolsRouter()

    @tools.tool(redact="card.number tokens")
    def pay(amount: int, card: dict[str, str], pin: SecretStr, tokens: list[str]) -> int:
        return amount

    @tools.tool
    def refuse(note: Annotated[str, Field(json_schema_extra={"writeOnly": True})] = "") -> int:
        raise ToolError("no")

    @tools.tool
    async def crash() -> int:
        raise KeyError

    @tools.tool(roles="nobody")
    def hidden() -> int:
        return 1

    server = MCPServer(**options)
    server.include_router(tools)
    return server


PAY = {"amount": 7, "card": {"number": "4111", "name": "Ada"}, "pin": "1234", "tokens": ["t"]}


def test_each_call_is_one_record(connect: Connect, caplog: Any) -> None:
    server = build(log_calls=True, auth=APIKeys({"ada": KEY}))
    with (
        caplog.at_level(logging.INFO, "mcp_mount.calls"),
        connect(server, headers={"x-api-key": KEY}) as client,
    ):
        client.call_tool("pay", PAY)
        client.call_tool("refuse", {"note": "secret"})
        client.call_tool("crash")
        with pytest.raises(RPCError):
            client.call_tool("hidden")
    records = [one.mcp for one in caplog.records if hasattr(one, "mcp")]
    calls = [one for one in records if one["method"] == "tools/call"]
    assert [(one["name"], one["caller"], one["outcome"], one["error"]) for one in calls] == [
        ("pay", "ada", "ok", None),
        ("refuse", "ada", "tool_error", "tool_error"),
        ("crash", "ada", "error", "KeyError"),
        ("hidden", "ada", "error", "-32602"),
    ]
    assert calls[0]["arguments"] == {
        "amount": 7,
        "card": {"number": "***", "name": "Ada"},
        "pin": "***",
        "tokens": "***",
    }
    assert calls[1]["arguments"] == {"note": "***"}
    assert 0 < calls[0]["seconds"] < 5
    assert calls[0]["size"] > 10
    assert calls[0]["revision"] in ("2026-07-28", "2025-11-25")
    assert "tools/call pay by ada: ok in" in caplog.text
    assert "4111" not in caplog.text


def test_over_plain_http_as_well(over_http: Any, caplog: Any) -> None:
    with caplog.at_level(logging.INFO, "mcp_mount.calls"):
        over_http(build(log_calls=True), "pay", PAY)
    assert [one.mcp["outcome"] for one in caplog.records if hasattr(one, "mcp")] == ["ok"]


def test_nobody_logs_unless_asked_to(connect: Connect, caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG), connect(build()) as client:
        client.call_tool("pay", PAY)
    assert not [one for one in caplog.records if one.name == "mcp_mount.calls"]


@pytest.mark.parametrize("is_async", [False, True])
def test_an_audit_is_told_before_and_after(is_async: bool, connect: Connect) -> None:
    told: list[Any] = []

    def before(call: Call) -> None:
        told.append(("before", call.name, call.caller))
        if call.arguments.get("amount") == 13:
            raise ToolError("Not thirteen")

    def after(record: CallRecord) -> None:
        told.append(("after", record.name, record.outcome, record.caller))

    async def before_async(call: Call) -> None:
        before(call)

    async def after_async(record: CallRecord) -> None:
        after(record)

    audit = (
        Audit(before=before_async, after=after_async)
        if is_async
        else Audit(before=before, after=after)
    )
    with connect(build(audit=audit)) as client:
        client.call_tool("pay", PAY)
        assert client.call_tool("pay", {**PAY, "amount": 13}).text == "Not thirteen"
        client.call_tool("crash")
    assert told == [
        ("before", "pay", None),
        ("after", "pay", "ok", None),
        ("before", "pay", None),
        ("after", "pay", "tool_error", None),
        ("before", "crash", None),
        ("after", "crash", "error", None),
    ]


def test_an_audit_hears_of_what_was_refused_before_it_was_a_call(connect: Connect) -> None:
    records: list[CallRecord] = []
    with connect(build(audit=Audit(after=records.append))) as client:
        with pytest.raises(RPCError):
            client.call_tool("hidden")
        client.list_tools()
    assert [(one.name, one.outcome) for one in records] == [("hidden", "error")]


@pytest.mark.parametrize("is_async", [False, True])
def test_an_audit_that_fails_afterwards_fails_no_call(
    is_async: bool, connect: Connect, caplog: Any
) -> None:
    def after(record: CallRecord) -> None:
        raise OSError("the disk is full")

    async def after_async(record: CallRecord) -> None:
        after(record)

    audit = Audit(after=after_async if is_async else after)
    with connect(build(audit=audit)) as client:
        assert client.call_tool("pay", PAY).data == 7
        with pytest.raises(RPCError, match="Unknown tool"):
            client.call_tool("hidden")
    assert "The audit failed: tools/call pay is not in it" in caplog.text


def test_no_audit_sees_what_is_secret(connect: Connect) -> None:
    records: list[CallRecord] = []
    with connect(build(audit=Audit(after=records.append))) as client:
        client.call_tool("pay", PAY)
    assert records[0].arguments["pin"] == "***"
    assert records[0].arguments["card"] == {"number": "***", "name": "Ada"}
