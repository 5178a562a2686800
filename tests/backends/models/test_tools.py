"""Models that use the tools of their own server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from mcp_mount import (
    ChatRequest,
    CompletionsRouter,
    Context,
    DefinitionError,
    MCPServer,
    SyncContext,
    ToolError,
)
from mcp_mount.models import ChatCompletion, ModelError, Route, ToolCall, ToolProgress, Tools, Usage
from tests.routes.test_chat import ask, events
from tests.routes.test_composition import get

CLIENTS = {"type": "function", "function": {"name": "beep", "parameters": {"type": "object"}}}


class Script:
    """A model that says what it is told to, one answer after another, and notes its requests."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.requests: list[ChatRequest] = []

    def __call__(self, request: ChatRequest) -> Any:
        self.requests.append(request)
        return self._answers.pop(0)

    def names(self, number: int) -> list[str]:
        return [one["function"]["name"] for one in self.requests[number].tools or ()]

    def told(self) -> list[str | None]:
        """What the last request has of tools."""
        return [one.content for one in self.requests[-1].messages if one.role == "tool"]  # type: ignore[misc]


def build(script: Script, tools: Any = "auto", **options: Any) -> MCPServer:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()

    @server.tool(name="order.find", annotations={"readOnlyHint": True})
    def find(number: int) -> dict[str, int]:
        """Find an order."""
        return {"number": number}

    @server.tool
    async def order_cancel(number: int) -> str:
        raise ToolError(f"order {number} is gone")

    @server.tool(permission=lambda request: False)
    def hidden() -> str:
        return "never"

    @server.tool(app_only=True)
    def of_pages() -> str:
        return "never"

    router.add_model("clerk", script, tools=tools, **options)
    server.include_router(router)
    return server


def calls(*names: str, **arguments: Any) -> ChatCompletion:
    made = [ToolCall(name, arguments or {"number": 1}, f"call_{name}") for name in names]
    return ChatCompletion("", made, usage=Usage(1, 1))


def test_a_model_uses_the_tools_that_its_caller_may_use() -> None:
    script = Script(calls("order_find", "order_cancel", number=7), "It is 7.")
    answer = ask(build(script), model="clerk").json()
    [choice] = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("It is 7.", "stop")
    assert "tool_calls" not in choice["message"]
    assert answer["usage"]["total_tokens"] == 2
    assert script.names(0) == ["order_find", "order_cancel"]
    assert script.told() == ['{"number": 7}', "Error: order 7 is gone"]
    said = script.requests[1].messages[1]
    assert [one["id"] for one in said.tool_calls or ()] == ["call_order_find", "call_order_cancel"]


def test_the_text_of_all_rounds_is_streamed_and_no_call_of_the_server() -> None:
    first = ChatCompletion("Let me see. ", [ToolCall("order_find", {"number": 1})])
    script = Script(first, "Done.")
    chunks = events(build(script), model="clerk")
    text = "".join(one["choices"][0]["delta"].get("content", "") for one in chunks)
    assert text == "Let me see. Done."
    assert not any("tool_calls" in one["choices"][0]["delta"] for one in chunks)
    assert [one["choices"][0]["finish_reason"] for one in chunks][-1] == "stop"


def told_in_chunks(server: MCPServer, **request: Any) -> list[dict[str, Any]]:
    found = []
    for one in events(server, model="clerk", **request):
        if "tool_progress" in one:
            # Some clients read the choice of every chunk.
            assert one["choices"] == [{"index": 0, "delta": {}, "finish_reason": None}]
            found.append(one["tool_progress"])
    return found


def test_a_stream_tells_which_tools_of_the_server_run() -> None:
    server = build(Script(calls("order_find", "order_cancel", "beep"), "done"))
    assert told_in_chunks(server, tools=[CLIENTS]) == [
        {"id": "call_order_find", "name": "order.find", "status": "in_progress"},
        {"id": "call_order_find", "name": "order.find", "status": "completed"},
        {"id": "call_order_cancel", "name": "order_cancel", "status": "in_progress"},
        {"id": "call_order_cancel", "name": "order_cancel", "status": "failed"},
    ]
    assert told_in_chunks(build(Script("no tools"))) == []
    whole = ask(build(Script(calls("order_find"), "done")), model="clerk").json()
    assert "tool_progress" not in whole


def test_a_tool_within_a_tool_tells_for_the_outer_one() -> None:
    server = build(Script(calls("outer"), "done"))

    @server.tool
    async def inner(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "half")
        return "ok"

    @server.tool
    def outer(ctx: SyncContext, number: int) -> str:
        return str(ctx.call_tool("inner"))

    told = told_in_chunks(server)
    assert [one["name"] for one in told] == ["outer"] * 3
    members = {"progress": 1, "total": 2, "message": "half"}
    assert told[1] == {"id": "call_outer", "name": "outer", "status": "in_progress", **members}


def test_a_route_passes_on_how_far_tools_are_and_may_ask_another_member_still() -> None:
    def failing(request: ChatRequest) -> Any:
        if request.messages[-1].role == "tool":
            raise ModelError("away", status=503)
        return calls("order_find")

    server = build(failing)  # type: ignore[arg-type]
    router = CompletionsRouter()
    router.chat("spare")(lambda request: "spare")
    router.add_model("route", Route(["clerk"], "spare", retries=0))
    server.include_router(router)
    chunks = events(server, model="route")
    assert [one["tool_progress"]["status"] for one in chunks if "tool_progress" in one] == [
        "in_progress",
        "completed",
    ]
    text = "".join(one["choices"][0]["delta"].get("content", "") for one in chunks)
    assert text == "spare"


def test_a_streamed_response_has_items_for_tools_of_the_server() -> None:
    server = build(Script(calls("order_find", "order_cancel"), "done"))
    body = {"model": "clerk", "input": "hi", "stream": True}
    answer = get(server, "/v1/responses", "POST", json=body)
    found = [json.loads(one.split("data: ")[1]) for one in answer.text.split("\n\n") if one]
    kinds = [(one["type"], one.get("output_index")) for one in found]
    assert [one for one in kinds if one[1] in (0, 1)] == [
        ("response.output_item.added", 0),
        ("response.mcp_call.in_progress", 0),
        ("response.mcp_call.completed", 0),
        ("response.output_item.done", 0),
        ("response.output_item.added", 1),
        ("response.mcp_call.in_progress", 1),
        ("response.mcp_call.failed", 1),
        ("response.output_item.done", 1),
    ]
    find, cancel, message = found[-1]["response"]["output"]
    assert (find["type"], find["name"], find["status"]) == ("mcp_call", "order.find", "completed")
    assert (find["arguments"], find["output"]) == ("{}", None)
    assert (cancel["name"], cancel["status"]) == ("order_cancel", "failed")
    assert message["content"][0]["text"] == "done"


def test_tools_that_run_at_a_time_have_items_at_a_time() -> None:
    server = build(Script(calls("order_find", "order.find"), "done"))
    body = {"model": "clerk", "input": "hi", "stream": True}
    answer = get(server, "/v1/responses", "POST", json=body)
    found = [json.loads(one.split("data: ")[1]) for one in answer.text.split("\n\n") if one]
    assert [one["status"] for one in found[-1]["response"]["output"]] == ["completed"] * 2


def test_a_call_of_the_next_round_has_an_item_though_the_model_uses_its_id_again() -> None:
    server = build(Script(calls("order_find"), calls("order_find"), "done"))
    body = {"model": "clerk", "input": "hi", "stream": True}
    answer = get(server, "/v1/responses", "POST", json=body)
    last = json.loads(answer.text.strip().split("\n\n")[-1].split("data: ")[1])
    assert [one["type"] for one in last["response"]["output"]] == ["mcp_call"] * 2 + ["message"]


def test_a_function_may_tell_of_tools_of_its_own() -> None:
    def agent(request: ChatRequest) -> Iterator[Any]:
        yield ToolProgress("1", "search", message="searching")
        yield ToolProgress("1", "search", "completed")
        yield "found"

    told = told_in_chunks(build(agent, tools=None))  # type: ignore[arg-type]
    assert told == [
        {"id": "1", "name": "search", "status": "in_progress", "message": "searching"},
        {"id": "1", "name": "search", "status": "completed"},
    ]


def test_a_call_of_the_clients_tool_goes_to_the_client() -> None:
    script = Script(calls("order_find", "beep"), calls("beep"))
    answer = ask(build(script), model="clerk", tools=[CLIENTS]).json()
    [choice] = answer["choices"]
    assert script.names(0) == ["beep", "order_find", "order_cancel"]
    assert [one["function"]["name"] for one in choice["message"]["tool_calls"]] == ["beep"]
    assert choice["finish_reason"] == "tool_calls"
    streamed = Script(calls("order_find", "beep"), calls("beep"))
    chunks = events(build(streamed), model="clerk", tools=[CLIENTS])
    shown = [one["choices"][0]["delta"].get("tool_calls") for one in chunks]
    assert [one[0]["function"]["name"] for one in shown if one] == ["beep"]


def test_a_tool_of_the_client_hides_one_of_the_server() -> None:
    own = {"type": "function", "function": {"name": "order_find"}}
    script = Script(calls("order_find"))
    answer = ask(build(script), model="clerk", tools=[own]).json()
    assert answer["choices"][0]["finish_reason"] == "tool_calls"


def test_a_pattern_chooses_the_tools() -> None:
    script = Script("a")
    ask(build(script, Tools("order.*")), model="clerk")
    assert script.names(0) == ["order_find"]


def test_rounds_and_calls_have_a_limit() -> None:
    script = Script(calls("order_find"), calls("order_find"), "enough")
    answer = ask(build(script, Tools(max_rounds=2)), model="clerk").json()
    assert answer["choices"][0]["message"]["content"] == "enough"
    assert script.names(2) == []
    script = Script(calls("order_find", "order_find", "order_find"), calls("order_find"))
    answer = ask(build(script, Tools(max_calls=2)), model="clerk").json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert script.told()[-1] == "Error: no more than 2 calls are allowed"


@pytest.mark.parametrize(
    ("limits", "limit"), [({"max_rounds": 1}, "max_rounds=1"), ({"max_calls": 1}, "max_calls=1")]
)
def test_a_limit_that_ends_an_answer_is_logged(
    limits: dict[str, int], limit: str, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(calls("order_find"), calls("order_find"))
    answer = ask(build(script, Tools(**limits)), model="clerk").json()
    assert answer["choices"][0]["finish_reason"] == "length"
    [line] = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert line.startswith(f"The model 'clerk' still asks for tools after {limit}, so")


def test_an_answer_within_its_limits_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ask(build(Script(calls("order_find"), "done"), Tools(max_rounds=1)), model="clerk")
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


@pytest.mark.parametrize("sent", [None, [CLIENTS]])
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_nobody_has_is_told_to_the_model(stream: bool, sent: Any) -> None:
    script = Script(calls("order_fnd", "order_find"), "done")
    server = build(script)
    if stream:
        chunks = events(server, model="clerk", tools=sent)
        assert not any("tool_calls" in one["choices"][0]["delta"] for one in chunks)
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    else:
        [choice] = ask(server, model="clerk", tools=sent).json()["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("done", "stop")
        assert "tool_calls" not in choice["message"]
    unknown, found = script.told()
    assert str(unknown).startswith("Error: unknown tool 'order_fnd'; did you mean 'order_find'?")
    assert found == '{"number": 1}'


def test_calls_of_tools_that_nobody_has_count() -> None:
    script = Script(calls("nope"), calls("nope"), calls("nope"))
    [choice] = ask(build(script, Tools(max_rounds=2)), model="clerk").json()["choices"]
    assert choice["finish_reason"] == "length"
    assert "tool_calls" not in choice["message"]
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        (["ordr_*"], r"Tools\('ordr_\*'\), which matches no tool .* mean 'order_\*'"),
        (
            ["order_*", "order_cancle"],
            "matches no tool .* did you mean 'order_cancel'",
        ),
        (["of_pages"], "Tools.'of_pages'., which matches no tool"),
    ],
)
def test_a_pattern_that_matches_no_tool_keeps_the_server_from_starting(
    patterns: list[str], words: str
) -> None:
    server = build(Script(), Tools(*patterns))
    with pytest.raises(DefinitionError, match=words):
        server.registry.check_models()
    assert ask(server, model="clerk").status_code == 503


def test_a_server_without_tools_may_offer_all_of_them() -> None:
    server, router = MCPServer("tests", open=True), CompletionsRouter()
    router.add_model("clerk", lambda request: "done", tools="auto")
    server.include_router(router)
    assert ask(server, model="clerk").status_code == 200


def test_arguments_that_do_not_fit_are_told_to_the_model() -> None:
    wrong = [ToolCall("order_find", {"number": "x"}), ToolCall("order_find", "{")]
    script = Script(ChatCompletion(tool_calls=wrong), "sorry")
    ask(build(script), model="clerk")
    first, second = script.told()
    assert "number" in str(first)
    assert second == "Error: the arguments are no JSON object"


def test_another_model_may_use_them_by_its_name() -> None:
    script = Script(calls("order_find"), "done")
    server = build(Script("unused"))
    router = CompletionsRouter()
    router.chat("smart")(script)
    router.add_model("agent", "smart", tools=Tools("order*"))
    router.add_model("alias", "smart")
    server.include_router(router)
    answer = ask(server, model="agent").json()
    assert (answer["choices"][0]["message"]["content"], answer["model"]) == ("done", "smart")
    assert script.names(0) == ["order_find", "order_cancel"]


def test_plain_and_streaming_models_use_them() -> None:
    def plain(request: ChatRequest) -> Iterator[Any]:
        if any(one.role == "tool" for one in request.messages):
            yield f"told {request.messages[-1].content}"
        else:
            yield ToolCall("order_find", {"number": 3})

    async def generator(request: ChatRequest) -> AsyncIterator[Any]:
        for piece in plain(request):
            yield piece

    for model in (plain, generator):
        server = build(model)  # type: ignore[arg-type]
        text = ask(server, model="clerk").json()["choices"][0]["message"]["content"]
        assert text == 'told {"number": 3}'
        chunks = events(server, model="clerk")
        joined = "".join(one["choices"][0]["delta"].get("content", "") for one in chunks)
        assert joined == text


@pytest.mark.parametrize("tools", [True, "all", ["order"], 3])
def test_what_names_no_tools_is_refused(tools: Any) -> None:
    with pytest.raises(DefinitionError):
        build(Script(), tools)
    with pytest.raises(DefinitionError):
        Tools(3)  # type: ignore[arg-type]


def test_the_definitions_are_json() -> None:
    script = Script("a")
    ask(build(script), model="clerk")
    assert json.dumps(script.requests[0].tools)
