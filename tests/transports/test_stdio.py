"""`python -m mcp_mount stdio`: a real process at the other end of two pipes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import mcp_types
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from mcp_mount import MCPServer
from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.calls.backplane import BackplaneUnavailable
from mcp_mount.transports import stdio
from mcp_mount.transports.threads import PLAIN
from tests.requests import initialize, message, meta

TARGETS = [
    "tests.conformance.hosts:asgi()",
    "tests.conformance.hosts:fastapi()",
    "tests.conformance.hosts:flask_wsgi()",
    "tests.conformance.hosts:flask_asgi()",
]


class Process:
    """A server process, spoken to by hand."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.stdin, self.stdout = process, process.stdin, process.stdout

    def send(self, value: Any) -> None:
        line = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.stdin.write(line + b"\n")
        self.stdin.flush()

    def receive(self) -> Any:
        return json.loads(self.stdout.readline())

    def ask(self, value: Any) -> Any:
        self.send(value)
        return self.receive()

    def end(self) -> list[Any]:
        """Close the input; what was still said. The process must end by itself."""
        self.stdin.close()
        rest = [json.loads(line) for line in self.stdout]
        assert self.process.wait(60) == 0
        return rest


@contextmanager
def serving(target: str = "tests.transports.stdio_apps:build()", *more: str) -> Iterator[Process]:
    words = [sys.executable, "-m", "mcp_mount", "stdio", target, *more]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe) as process:
        try:
            yield Process(process)
        finally:
            process.kill()


def stateless(method: str, params: dict[str, Any] | None = None, id: Any = 1) -> dict[str, Any]:
    return message(method, {"_meta": meta(), **(params or {})}, id)


def call(tool: str, id: Any = 1, **arguments: Any) -> dict[str, Any]:
    return stateless("tools/call", {"name": tool, "arguments": arguments}, id)


@pytest.mark.parametrize("target", TARGETS)
def test_the_official_client_drives_any_host(target: str, mode: str) -> None:
    asked: list[str] = []

    async def elicit(context: Any, params: Any) -> Any:
        asked.append(params.message)
        return mcp_types.ElicitResult(action="accept", content={"name": "Ada"})

    async def session() -> None:
        arguments = ["-m", "mcp_mount", "stdio", target]
        heard: list[float] = []

        async def hear(done: float, total: float | None, message: str | None) -> None:
            heard.append(done)

        # Its own choice of variables has no PYTHONPATH, by which a checkout finds its packages.
        parameters = StdioServerParameters(
            command=sys.executable, args=arguments, env=dict(os.environ)
        )
        transport = stdio_client(parameters)
        with anyio.fail_after(60):
            async with Client(transport, mode=mode, elicitation_callback=elicit) as client:
                names = {tool.name for tool in (await client.list_tools()).tools}
                assert {"test_simple_text", "test_custom_headers"} <= names
                result = await client.call_tool(
                    "test_custom_headers", {"region": "für"}, progress_callback=hear
                )
                assert result.content[0].text == "für 1"  # type: ignore[union-attr]
                await client.call_tool("test_tool_with_progress", {}, progress_callback=hear)
                assert heard == [0, 50, 100]
                for tool in ("test_streaming_elicitation",):
                    result = await client.call_tool(tool, {}, progress_callback=hear)
                    assert "Ada" in result.content[0].text  # type: ignore[union-attr]
                read = await client.read_resource("test://static-text")
                assert "static text" in read.contents[0].text  # type: ignore[union-attr]
                prompt = await client.get_prompt("test_simple_prompt")
                assert prompt.messages[0].content.text.startswith("This is")  # type: ignore[union-attr]

    anyio.run(session)
    assert asked == ["Who are you?"]


def test_what_tools_print_does_not_disturb(lasting: Process) -> None:
    result = lasting.ask(call("say", text="hello"))["result"]
    assert result["content"][0]["text"] == "hello"


@pytest.fixture(scope="module")
def lasting() -> Iterator[Process]:
    """A process for many lines."""
    with serving() as process:
        yield process
        assert process.end() == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b'"x"', -32600),
        (b"\xff\xfe", -32700),
        (b'{"jsonrpc":"2.0","id":[],"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', -32600),
        (b"x" * 10_001, -32600),
        (b"x" * 200_000, -32600),
    ],
)
def test_bad_lines_get_an_error_and_the_next_is_served(
    line: bytes, code: int, lasting: Process
) -> None:
    assert lasting.ask(line)["error"]["code"] == code
    lasting.send(b"")
    assert lasting.ask(call("say", text="hello"))["result"]


def test_both_kinds_of_revision_share_one_channel() -> None:
    with serving() as process:
        assert process.ask(json.loads(initialize()))["result"]["protocolVersion"] == "2025-11-25"
        assert process.ask(message("ping", id=7)) == {"jsonrpc": "2.0", "id": 7, "result": {}}
        assert process.ask(stateless("tools/list"))["result"]["resultType"] == "complete"
        process.send(message("tools/call", {"name": "add", "arguments": {"name": "x"}}, 8))
        said = [process.receive(), process.receive()]
        assert {one.get("method", "result") for one in said} == {
            "notifications/tools/list_changed",
            "result",
        }
        process.end()


@pytest.mark.parametrize("tool", ["wait", "wait_sync"])
@pytest.mark.parametrize("mode", ["stateless", "session"])
def test_a_call_is_cancelled_by_its_id(tool: str, mode: str) -> None:
    with serving() as process:
        if mode == "session":
            process.ask(json.loads(initialize()))
            process.send(message("tools/call", {"name": tool, "arguments": {}}, "w"))
        else:
            process.send(call(tool, "w"))
        for request_id in ("other", [1], None, "w"):
            cancelled = message("notifications/cancelled", {"requestId": request_id})
            del cancelled["id"]
            process.send(cancelled)
        assert process.ask(call("say", "s", text="still here"))["id"] == "s"
        assert process.end() == []


def test_a_subscription_hears_of_changes() -> None:
    with serving() as process:
        wanted = {"notifications": {"toolsListChanged": True}}
        process.send(stateless("subscriptions/listen", wanted, "l"))
        assert process.receive()["method"] == "notifications/subscriptions/acknowledged"
        process.send(call("add", name="y"))
        assert "notifications/tools/list_changed" in {
            process.receive().get("method"),
            process.receive().get("method"),
        }
        process.end()


def test_the_end_of_input_ends_what_runs() -> None:
    with serving() as process:
        process.send(call("wait"))
        process.send(call("wait_sync"))
        process.ask(call("say", "s", text="x"))
        # The one would say something after ten minutes, the other never ends by itself.
        assert process.end() == []


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nothing", "must be module:attribute"),
        ("nothing:at_all", "there is no module 'nothing'"),
        ("tests.transports.stdio_apps:nothing", "has no 'nothing'"),
        ("tests.transports.stdio_apps:TEXT", "is no MCPServer"),
        (
            "tests.integrations.apps:starlette_lifespan()",
            "choose one with --path: /mcp, /other/mcp",
        ),
    ],
)
def test_a_target_without_a_server_is_explained(target: str, message: str) -> None:
    words = [sys.executable, "-m", "mcp_mount", "stdio", target]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_one_of_several_servers_is_chosen() -> None:
    with serving("tests.integrations.apps:starlette_lifespan()", "--path", "/mcp") as process:
        assert process.ask(stateless("tools/list"))["result"]["tools"]
        process.end()


def test_a_request_with_a_lone_surrogate_is_answered_with_its_id(lasting: Process) -> None:
    body = rb'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"\ud800"}}'
    answer = lasting.ask(body)
    assert answer["id"] == 7
    assert answer["error"]["code"] == -32600


@pytest.mark.parametrize(
    ("app", "tools"),
    [
        ("alone", ["whose", "async_whose"]),
        ("mounted", ["whose", "async_whose", "station"]),
        ("exposed_alone", ["station"]),
    ],
)
def test_handlers_that_ask_for_a_request_work(app: str, tools: list[str]) -> None:
    with serving(f"tests.transports.stdio_apps:{app}()") as process:
        for tool in tools:
            text = process.ask(call(tool))["result"]["content"][0]["text"]
            assert text == ("OSL" if tool == "station" else "nobody in the warehouse")
        if "whose" in tools:
            answer = process.ask(stateless("resources/read", {"uri": "shop://name"}))
            assert answer["result"]["contents"][0]["text"] == "nobody in the warehouse"
        assert process.end() == []


def test_handlers_that_ask_for_a_request_which_is_not_there_are_named_at_the_start() -> None:
    words = [sys.executable, "-m", "mcp_mount", "stdio", "tests.transports.stdio_apps:in_flask()"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "over stdio there is no flask.wrappers.Request, which agent takes" in done.stderr
    assert "flask mcp stdio" in done.stderr


class LateBackplane(MemoryBackplane):
    """A backplane that cannot be reached when it is asked for the first time."""

    asked = 0

    def subscribed(self, session: str) -> frozenset[str]:
        self.asked += 1
        if self.asked == 1:
            raise BackplaneUnavailable
        return super().subscribed(session)


def test_a_session_is_served_and_hears_of_changes_once_the_backplane_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stdio, "_RETRY_SECONDS", 0.01)
    backplane = LateBackplane()
    server = MCPServer("late", backplane=backplane, open=True, secret_key="k")

    @server.tool
    def hello() -> str:
        return "hello"

    async def talk() -> list[bytes]:
        client, end = os.pipe()
        source, sink = os.fdopen(client, "rb"), io.BytesIO()
        transport = stdio.StdioTransport(server.core.protocol, PLAIN, lambda call: None)
        served = asyncio.create_task(transport.serve(source, sink))
        os.write(end, initialize() + b"\n")
        while not server.core.protocol._sessions._streams._read:
            assert not served.done()
            await asyncio.sleep(0.01)
        server.notify.tools_list_changed()
        while b"list_changed" not in sink.getvalue():
            assert not served.done()
            await asyncio.sleep(0.01)
        os.close(end)
        await served
        source.close()
        return sink.getvalue().splitlines()

    opened, changed = asyncio.run(asyncio.wait_for(talk(), 20))
    assert b"protocolVersion" in opened
    assert json.loads(changed)["method"] == "notifications/tools/list_changed"
