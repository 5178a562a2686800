"""Policies around calls that go on as tasks, and over stdio."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest

from mcp_mount import Audit, CallRecord, MCPServer
from tests.faces import Connect
from tests.requests import meta


@pytest.mark.parametrize("tool", ["work", "work_async"])
def test_a_task_runs_with_its_policies(tool: str, connect_stateless: Connect) -> None:
    records: list[CallRecord] = []
    server = MCPServer(audit=Audit(after=records.append), throttle="2/minute")

    @server.call_middleware
    async def double(call: Any, call_next: Any) -> Any:
        call.arguments = {"number": call.arguments["number"] * 2}
        return await call_next()

    @server.tool(task=True, timeout=5)
    def work(number: int) -> int:
        return number

    @server.tool(task=True, timeout=5)
    async def work_async(number: int) -> int:
        return number

    with connect_stateless(server, tasks=True) as client:
        results = [client.call_tool(tool, {"number": 7}) for _ in range(3)]
    assert [one.data for one in results[:2]] == [14, 14]
    assert "was called too often" in results[2].text
    assert [one.outcome for one in records] == ["ok", "ok", "tool_error"]


@pytest.mark.parametrize(
    ("tool", "fate"), [("wait", " and was cancelled"), ("spin", ": its result was dropped")]
)
def test_a_task_has_its_time(tool: str, fate: str, connect_stateless: Connect) -> None:
    import asyncio

    server = MCPServer(timeout=0.1)

    @server.tool(task=True)
    async def wait() -> str:
        await asyncio.sleep(10)
        return "too late"

    @server.tool(task=True)
    def spin() -> str:
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            pass
        return "too late"

    with connect_stateless(server, tasks=True) as client:
        result = client.call_tool(tool)
    assert result.text == f"{tool} took longer than 0.1 seconds{fate}"


def test_over_stdio_as_well(tmp_path: Any) -> None:
    (tmp_path / "server.py").write_text(
        textwrap.dedent(
            """
            from mcp_mount import MCPServer

            from mcp_mount.auth import APIKeys

            # There are no credentials over stdio, so there is nothing to be missing.
            app = MCPServer(
                "stdio",
                throttle="2/minute",
                timeout=5,
                auth=APIKeys({"ada": "ada-has-this-api-key"}),
                scopes="read",
            )

            @app.tool
            def add(a: int, b: int) -> int:
                return a + b
            """
        )
    )
    params = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": meta()}
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
        for number in range(3)
    ]
    done = subprocess.Popen(
        [sys.executable, "-m", "mcp_mount", "stdio", "server:app"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdin is not None
    assert done.stdout is not None
    texts = []
    for line in lines:
        done.stdin.write(line + "\n")
        done.stdin.flush()
        texts.append(json.loads(done.stdout.readline())["result"]["content"][0]["text"])
    done.stdin.close()
    assert done.wait(60) == 0
    done.stdout.close()
    assert texts[:2] == ["3", "3"]
    assert "was called too often" in texts[2]
