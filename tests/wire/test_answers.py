"""An awaitable, a generator or a function is never a yes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from mcp_mount import Cache, DefinitionError, MCPServer, TaskPolicy, Throttle, ToolsRouter
from mcp_mount.testing import Client, RPCError
from mcp_mount.wire.answers import answer_of, is_yes


async def is_admin(asked: Any) -> bool:
    return False


def yields(asked: Any) -> Iterator[bool]:
    yield False


async def yields_async(asked: Any) -> AsyncIterator[bool]:
    yield False


class Asks:
    async def __call__(self, asked: Any) -> bool:
        return False


class IsAdmin:
    def __init__(self, asked: Any) -> None:
        pass


ANSWER_LATER: list[Callable[..., Any]] = [
    is_admin,
    partial(is_admin),
    partial(partial(Asks())),
    Asks(),
    yields,
    yields_async,
]

ANSWER_WITH_SOMETHING_TO_CALL: list[Callable[..., Any]] = [
    lambda asked: is_admin(asked),
    lambda asked: yields(asked),
    lambda asked: yields_async(asked),
    lambda asked: is_admin,
    lambda asked: lambda: False,
]


@pytest.mark.parametrize("rule", [*ANSWER_LATER, IsAdmin])
@pytest.mark.parametrize("word", ["permission", "when"])
def test_a_rule_that_cannot_answer_at_once_is_refused_where_it_is_declared(
    word: str, rule: Any
) -> None:
    for declare in (MCPServer, ToolsRouter):
        with pytest.raises(DefinitionError, match="always true"):
            declare(**{word: rule})
    with pytest.raises(DefinitionError, match="always true"):
        MCPServer().tool(**{word: rule})(tool)
    with pytest.raises(DefinitionError, match="always true"):
        MCPServer().resource("test://x", **{word: rule})(tool)


def tool() -> str:
    return "secret"


@pytest.mark.parametrize("function", ANSWER_LATER)
def test_so_are_other_functions_that_are_asked_something(function: Any) -> None:
    for declare in (
        lambda: Throttle("1/minute", key=function),
        lambda: Cache(60, per=function),
        lambda: MCPServer(caller=function),
        lambda: MCPServer().add_tool(tool, task=TaskPolicy(when=function)),
    ):
        with pytest.raises(DefinitionError, match="always true"):
            declare()


@pytest.mark.parametrize("check", [is_admin, partial(is_admin), Asks(), yields, yields_async])
def test_so_are_checks_of_a_plain_function(check: Any) -> None:
    def give(asked: str) -> str:
        return asked

    for word in ("check", "check_result"):
        with pytest.raises(DefinitionError, match=r"plain function|always true"):
            MCPServer().add_tool(give, **{word: check})


@pytest.mark.parametrize("rule", ANSWER_WITH_SOMETHING_TO_CALL)
@pytest.mark.parametrize("word", ["permission", "when"])
def test_a_rule_whose_answer_is_none_refuses_the_caller_and_says_why(
    word: str, rule: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = MCPServer()
    server.add_tool(tool, **{word: rule})
    with Client(server) as client:
        assert client.list_tools() == []
        with pytest.raises(RPCError):
            client.call_tool("tool")
    assert "A rule refuses its caller" in caplog.text
    assert "no answer" in caplog.text


@pytest.mark.parametrize("check", ANSWER_WITH_SOMETHING_TO_CALL)
@pytest.mark.parametrize("word", ["check", "check_result"])
def test_a_check_whose_answer_is_none_refuses_a_plain_function(word: str, check: Any) -> None:
    def give(asked: str) -> str:
        return asked

    server = MCPServer()
    server.add_tool(give, **{word: check})
    with Client(server) as client:
        result = client.call_tool("give", {"asked": "secret"})
    assert result.is_error
    assert "secret" not in result.text


@pytest.mark.parametrize("word", ["check", "check_result"])
def test_a_coroutine_that_a_check_of_a_coroutine_returns_is_awaited(word: str) -> None:
    asked_for: list[str] = []

    async def later(asked: str) -> None:
        asked_for.append(asked)
        raise ValueError("Not you")

    async def give(asked: str) -> str:
        return asked

    server = MCPServer()
    server.add_tool(give, **{word: lambda asked: later(asked)})
    with Client(server) as client:
        assert client.call_tool("give", {"asked": "x"}).text == "Not you"
    assert asked_for == ["x"]


def test_a_check_that_says_no_refuses() -> None:
    server = MCPServer()

    @server.tool(check=lambda amount: amount < 100)
    def pay(amount: int) -> str:
        return "paid"

    with Client(server) as client:
        assert client.call_tool("pay", {"amount": 1}).text == "paid"
        refused = client.call_tool("pay", {"amount": 100})
    assert (refused.is_error, "refuses this" in refused.text) == (True, True)


@pytest.mark.parametrize("function", ANSWER_WITH_SOMETHING_TO_CALL)
@pytest.mark.parametrize("policy", ["throttle", "cache"])
def test_a_key_that_is_none_fails_the_call(policy: str, function: Any) -> None:
    server, runs = MCPServer(), list[int]()

    def count() -> str:
        runs.append(1)
        return "done"

    options: dict[str, Any] = (
        {"throttle": Throttle("1/minute", key=function)}
        if policy == "throttle"
        else {"cache": Cache(60, per=function)}
    )
    server.add_tool(count, **options)
    with Client(server) as client:
        assert client.call_tool("count").is_error
    assert runs == []


@pytest.mark.parametrize(
    ("value", "said"),
    [(True, True), (False, False), (None, False), (1, True), (0, False), ("x", True), ([], False)],
)
def test_values_are_answers(value: Any, said: bool) -> None:
    assert is_yes(tool, value) is said
    assert answer_of(tool, value) is value


def test_nothing_is_left_that_nobody_has_awaited(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    assert not is_yes(is_admin, is_admin(1))
    assert "is_admin returned coroutine" in caplog.text
