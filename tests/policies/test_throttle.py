"""Throttles: how often, for whom, and what they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from mcp_mount import Audit, Call, CallRecord, DefinitionError, MCPServer, Throttle, ToolsRouter
from mcp_mount.auth import APIKeys
from mcp_mount.testing import Client, RPCError
from tests.faces import Connect
from tests.policies.crowd import crowd

ADA, BOB = "ada-has-this-api-key", "bob-has-this-api-key"


def build(throttle: Any, **options: Any) -> MCPServer:
    tools = ToolsRouter()

    @tools.tool(throttle=throttle)
    def look(what: str = "") -> str:
        return "seen"

    @tools.tool(throttle=throttle)
    async def look_async() -> str:
        return "seen"

    server = MCPServer(**options)
    server.include_router(tools)
    return server


@pytest.mark.parametrize("tool", ["look", "look_async"])
def test_a_model_is_told_when_to_try_again(tool: str, connect: Connect) -> None:
    with connect(build("2/minute")) as client:
        results = [client.call_tool(tool) for _ in range(3)]
    assert [one.is_error for one in results] == [False, False, True]
    words = r"was called too often \(2 per 1 minute\): try again in \d+ seconds"
    assert re.fullmatch(f"{tool} {words}", results[2].text)


def test_each_face_counts_the_same_calls(connect_stateless: Connect, over_http: Any) -> None:
    server = build("2/minute", auth=APIKeys({"ada": ADA}))
    key = {"x-api-key": ADA}
    assert over_http(server, "look", **key).status_code == 200
    with connect_stateless(server, headers=key) as client:
        assert not client.call_tool("look").is_error
        assert client.call_tool("look").is_error
    assert over_http(server, "look", **key).status_code == 429


def test_every_caller_has_their_own_count(connect_stateless: Connect) -> None:
    server = build("1/minute", auth=APIKeys({"ada": ADA, "bob": BOB}))
    for key in (ADA, BOB):
        with connect_stateless(server, headers={"x-api-key": key}) as client:
            assert [client.call_tool("look").is_error for _ in range(2)] == [False, True]


def test_one_count_for_everyone(connect_stateless: Connect) -> None:
    server = build(Throttle("1/minute", key="everyone"), auth=APIKeys({"ada": ADA, "bob": BOB}))
    with connect_stateless(server, headers={"x-api-key": ADA}) as client:
        assert not client.call_tool("look").is_error
    with connect_stateless(server, headers={"x-api-key": BOB}) as client:
        assert client.call_tool("look").is_error


def test_a_key_of_ones_own(connect_stateless: Connect) -> None:
    def by_subject(call: Call) -> str | None:
        return call.arguments.get("what") or None

    with connect_stateless(build(Throttle("1/minute", key=by_subject))) as client:
        answers = [
            client.call_tool("look", {"what": what}).is_error
            for what in ("a", "b", "a", "", "", "b")
        ]
    assert answers == [False, False, True, False, False, True]


def test_several_rates_and_a_cost(connect_stateless: Connect) -> None:
    throttle = [Throttle("10/minute", cost=4), "100/hour"]
    with connect_stateless(build(throttle)) as client:
        assert [client.call_tool("look").is_error for _ in range(3)] == [False, False, True]


def test_each_tool_counts_alone_a_router_and_a_server_count_together(
    connect_stateless: Connect,
) -> None:
    tools = ToolsRouter(throttle="3/minute", name="pair")

    @tools.tool(throttle="2/minute")
    def one() -> str:
        return "one"

    @tools.tool(throttle="2/minute")
    def two() -> str:
        return "two"

    server = MCPServer(throttle="4/minute")
    server.include_router(tools)

    @server.tool
    def other() -> str:
        return "other"

    with connect_stateless(server) as client:
        calls = ["one", "one", "one", "two", "two", "other", "other"]
        answers = [client.call_tool(name) for name in calls]
    refused = [re.sub(r".*\((.*)\).*", r"\1", one.text) if one.is_error else "" for one in answers]
    # Refused calls count, too, at the levels that they have passed.
    assert refused == ["", "", "2 per 1 minute", "3 per 1 minute", *["4 per 1 minute"] * 3]


def test_bad_arguments_count(connect: Connect) -> None:
    """For tools, prompts and resources alike, on every face and with and without sessions."""
    records: list[CallRecord] = []
    server = build("1/minute", audit=Audit(after=records.append))

    @server.prompt(throttle="1/minute")
    def about(number: int) -> str:
        return str(number)

    @server.resource("number://{number}", throttle="1/minute")
    def number(number: int) -> str:
        return str(number)

    with connect(server) as client:
        assert "Invalid arguments" in client.call_tool("look", {"what": 7}).text
        assert "too often" in client.call_tool("look").text
        asks: list[Callable[[str], Any]] = [
            lambda value: client.get_prompt("about", {"number": value}),
            lambda value: client.read_resource(f"number://{value}"),
        ]
        for ask in asks:
            with pytest.raises(RPCError, match="Invalid arguments") as caught:
                ask("one")
            assert caught.value.code == -32602
            with pytest.raises(RPCError, match="too often"):
                ask("1")
    assert [(one.method, one.outcome) for one in records] == [
        ("tools/call", "error"),
        ("tools/call", "tool_error"),
        ("prompts/get", "error"),
        ("prompts/get", "tool_error"),
        ("resources/read", "error"),
        ("resources/read", "tool_error"),
    ]


def test_prompts_and_resources_say_it_as_an_error(connect_stateless: Connect) -> None:
    server = MCPServer()

    @server.resource("text://one", throttle="1/minute")
    def text() -> str:
        return "one"

    @server.prompt(throttle="1/minute")
    def greet() -> str:
        return "hi"

    with connect_stateless(server) as client:
        client.read_resource("text://one")
        client.get_prompt("greet")
        repeats: list[Callable[[], Any]] = [
            lambda: client.read_resource("text://one"),
            lambda: client.get_prompt("greet"),
        ]
        for again in repeats:
            with pytest.raises(RPCError, match="was called too often") as caught:
                again()
            assert caught.value.data["retryAfter"] >= 1


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("tool", ["look", "look_async"])
@pytest.mark.parametrize("strategy", ["moving-window", "fixed-window"])
def test_exact_among_64_callers_at_once(kind: str, tool: str, strategy: Any) -> None:
    server = build(Throttle("10/hour", key="everyone", strategy=strategy))
    answers = crowd(kind, server, tool)
    assert sorted(one.is_error for one in answers) == [False] * 10 + [True] * 54


@pytest.mark.parametrize("rate", ["often", "", "10", "10/fortnight"])
def test_what_is_no_rate_is_refused(rate: str) -> None:
    with pytest.raises(DefinitionError, match="throttle is a rate such as '10/minute'"):
        build(rate)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "limits", None)
    with pytest.raises(ImportError, match=r"pip install 'mcp-mount\[throttle\]'"):
        build("1/minute")


def test_bearer_tokens_that_only_the_framework_knows_have_counts_of_their_own(
    connect: Connect,
) -> None:
    server = build("1/minute")
    for token in ("ada", "bob"):
        with connect(server, headers={"authorization": f"Bearer {token}"}) as client:
            answers = [client.call_tool("look").is_error for _ in range(2)]
        assert answers == [False, True]


def test_made_up_credentials_do_not_get_more_and_more_counts(connect: Connect) -> None:
    server = build("1/minute")
    let_in = 0
    for number in range(40):
        with connect(server, headers={"authorization": f"Bearer {number}"}) as client:
            let_in += not client.call_tool("look").is_error
    # Twenty of them, and one count for all the rest.
    assert let_in == 21


def test_a_cost_may_depend_on_the_call() -> None:
    server = MCPServer(open=True)

    @server.tool(throttle=Throttle("5/hour", cost=lambda call: call.arguments["n"]))
    def paint(n: int) -> int:
        return n

    with Client(server) as client:
        results = [client.call_tool("paint", {"n": n}) for n in (0, 3, 3, 2, 0, 1)]
        assert [one.is_error for one in results] == [False, False, True, False, False, True]
        words = "paint counts 6 for this request, and no more than 5 per 1 hour are allowed"
        assert client.call_tool("paint", {"n": 6}).text == f"{words}: ask for less"


@pytest.mark.parametrize("cost", [None, "1", -1, True, 1.5])
def test_a_cost_that_is_no_number_refuses_the_call(
    cost: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = MCPServer(open=True)
    runs: list[int] = []

    @server.tool(throttle=Throttle("5/hour", cost=lambda call: cost))
    def paint() -> None:
        runs.append(1)

    with Client(server) as client:
        assert client.call_tool("paint").is_error
    assert not runs
    assert "cost= must return a number from 0 on" in caplog.text
