"""Exceptions of handlers that tell the client something: ours, and those of a host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from mcp_mount import (
    Audit,
    CallRecord,
    Completion,
    MCPServer,
    ProtocolError,
    ResourceError,
    ResourceNotFoundError,
    SyncContext,
    ToolError,
)
from mcp_mount.calls.call import Call
from mcp_mount.calls.exception_hooks import ExceptionHooks
from mcp_mount.hosting.host import Host
from mcp_mount.wire.errors import INVALID_PARAMS, CallRejected
from tests.requests import Session, ask


class Missing(Exception):
    """As a framework has it for what is not there."""


class Forbidden(Exception):
    """As a framework has it for who may not."""


def translate(error: Exception) -> Exception | None:
    if isinstance(error, Missing):
        return ResourceNotFoundError(f"Nothing here: {error}")
    if isinstance(error, Forbidden):
        return CallRejected("Only for staff", status=403)
    return None


@dataclass
class Reported:
    method: str
    name: str
    error: BaseException


@pytest.fixture
def reported() -> list[Reported]:
    return []


@pytest.fixture
def server(reported: list[Reported]) -> MCPServer:
    def report(call: Call, error: BaseException) -> None:
        reported.append(Reported(call.method, call.name, error))

    server = MCPServer("tests")
    server.core.attach(Host(exceptions=ExceptionHooks(translate, report)))
    return server


def raising(error: Callable[[], Exception], *, is_async: bool) -> Callable[[], Any]:
    def plain() -> str:
        raise error()

    async def awaited() -> str:
        raise error()

    return awaited if is_async else plain


WORDS: list[tuple[Callable[[], Exception], str]] = [
    (lambda: ResourceNotFoundError("No book 9"), "No book 9"),
    (lambda: ToolError("No book 9"), "No book 9"),
    (lambda: LookupError("No book 9"), "Resource not found: No book 9"),
    (lambda: {}["9"], "Resource not found: books://9"),
    (lambda: Missing("book 9"), "Nothing here: book 9"),
    (ResourceNotFoundError, "Resource not found: books://9"),
]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("error", "words"), WORDS)
def test_a_resource_that_does_not_exist_is_not_found_in_the_words_of_its_handler(
    server: MCPServer,
    reported: list[Reported],
    error: Callable[[], Exception],
    words: str,
    is_async: bool,
) -> None:
    server.resource("books://9")(raising(error, is_async=is_async))
    expected = {"code": -32602, "message": words, "data": {"uri": "books://9"}}
    assert ask(server, "resources/read", {"uri": "books://9"})["error"] == expected
    session = Session(server, "2025-11-25")
    told = session.ask("resources/read", {"uri": "books://9"})["error"]
    assert told == {**expected, "code": -32002}
    assert not reported


def test_a_resource_may_say_why_it_cannot_be_read(
    server: MCPServer, reported: list[Reported]
) -> None:
    server.resource("books://9")(
        raising(lambda: ResourceError("The shelf is locked"), is_async=False)
    )
    assert ask(server, "resources/read", {"uri": "books://9"})["error"] == {
        "code": -32603,
        "message": "The shelf is locked",
        "data": {"uri": "books://9"},
    }
    assert not reported


def test_a_caller_whom_the_host_turns_away_from_a_resource_is_told_so(server: MCPServer) -> None:
    server.resource("books://9")(raising(Forbidden, is_async=False))
    error = ask(server, "resources/read", {"uri": "books://9"})["error"]
    assert (error["code"], error["message"]) == (-32603, "Only for staff")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "words"),
    [(lambda: Missing("row 7"), "Nothing here: row 7"), (Forbidden, "Only for staff")],
)
def test_a_tool_tells_the_model_what_its_host_would(
    server: MCPServer,
    reported: list[Reported],
    error: Callable[[], Exception],
    words: str,
    is_async: bool,
) -> None:
    server.tool(name="look")(raising(error, is_async=is_async))
    result = ask(server, "tools/call", {"name": "look"})["result"]
    assert (result["isError"], result["content"]) == (True, [{"type": "text", "text": words}])
    assert not reported


@pytest.mark.parametrize(
    "error", [lambda: Missing("genre"), lambda: ToolError("Nothing here: genre")]
)
def test_a_prompt_and_a_completion_tell_what_does_not_exist(
    server: MCPServer, reported: list[Reported], error: Callable[[], Exception]
) -> None:
    @server.prompt
    def recommend(genre: str) -> str:
        raise error()

    @server.completion("recommend", "genre")
    def genres(completion: Completion) -> list[str]:
        raise error()

    got = ask(server, "prompts/get", {"name": "recommend", "arguments": {"genre": "x"}})["error"]
    ref = {"type": "ref/prompt", "name": "recommend"}
    argument = {"name": "genre", "value": "x"}
    completed = ask(server, "completion/complete", {"ref": ref, "argument": argument})["error"]
    assert got["message"] == completed["message"] == "Nothing here: genre"
    assert not reported


@pytest.mark.parametrize("is_async", [False, True])
def test_a_real_failure_is_logged_and_reported_to_the_host_once(
    server: MCPServer,
    reported: list[Reported],
    caplog: pytest.LogCaptureFixture,
    is_async: bool,
) -> None:
    broken = raising(lambda: ZeroDivisionError("secret"), is_async=is_async)
    server.tool(name="broken")(broken)
    server.resource("books://broken")(broken)
    result = ask(server, "tools/call", {"name": "broken"})["result"]
    assert "secret" not in str(result)
    assert ask(server, "resources/read", {"uri": "books://broken"})["error"]["code"] == -32603
    told = [(one.method, one.name, type(one.error)) for one in reported]
    assert told == [
        ("tools/call", "broken", ZeroDivisionError),
        ("resources/read", "books://broken", ZeroDivisionError),
    ]
    assert caplog.text.count("ZeroDivisionError: secret") == 2


def test_a_tool_that_fails_within_another_is_reported_once(
    server: MCPServer, reported: list[Reported]
) -> None:
    server.tool(name="inner")(raising(ZeroDivisionError, is_async=False))

    @server.tool
    def outer(ctx: SyncContext) -> str:
        return str(ctx.call_tool("inner"))

    assert ask(server, "tools/call", {"name": "outer"})["result"]["isError"]
    assert [one.name for one in reported] == ["inner"]


def test_a_host_that_cannot_report_does_not_keep_the_answer_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def report(call: Call, error: BaseException) -> None:
        raise OSError("no network")

    server = MCPServer("tests")
    server.core.attach(Host(exceptions=ExceptionHooks(report=report)))
    server.tool(name="broken")(raising(ZeroDivisionError, is_async=False))
    assert ask(server, "tools/call", {"name": "broken"})["result"]["isError"]
    assert "no network" in caplog.text


def test_what_a_host_knows_counts_as_told_in_the_audit() -> None:
    records: list[CallRecord] = []
    server = MCPServer("tests", audit=Audit(after=records.append))
    server.core.attach(Host(exceptions=ExceptionHooks(translate)))
    server.tool(name="look")(raising(lambda: Missing("row"), is_async=False))
    server.resource("books://9")(raising(lambda: {}["9"], is_async=False))
    ask(server, "tools/call", {"name": "look"})
    ask(server, "resources/read", {"uri": "books://9"})
    assert [(one.outcome, one.error) for one in records] == [
        ("tool_error", "tool_error"),
        ("error", "-32602"),
    ]


def test_a_protocol_error_stays_what_it_is(server: MCPServer) -> None:
    server.tool(name="no")(raising(lambda: ProtocolError(INVALID_PARAMS, "no"), is_async=False))
    assert ask(server, "tools/call", {"name": "no"})["error"]["message"] == "no"


def test_a_resource_whose_tool_fails_is_there_all_the_same(server: MCPServer) -> None:
    @server.tool
    def count() -> int:
        raise ToolError("The scales are broken")

    @server.resource("books://weight")
    def weight(ctx: SyncContext) -> str:
        return str(ctx.call_tool("count"))

    error = ask(server, "resources/read", {"uri": "books://weight"})["error"]
    assert (error["code"], error["message"]) == (-32603, "The scales are broken")
