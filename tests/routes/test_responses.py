"""Responses over HTTP, as OpenAI's newer clients ask for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount import ChatRequest
from mcp_mount.models import (
    ChatCompletion,
    Delta,
    Finish,
    ModelError,
    Reasoning,
    Refusal,
    ToolCall,
    ToolDelta,
    Usage,
)
from tests.routes.test_chat import build
from tests.routes.test_composition import get

URL = "/v1/responses"
CALL = ToolCall("move", {"to": 1}, id="call_1")


def ask(model: Any, /, **request: Any) -> Any:
    return get(build(model), URL, "POST", json={"input": "hi"} | request)


def events(model: Any, /, **request: Any) -> list[dict[str, Any]]:
    answer = ask(model, stream=True, **request)
    assert answer.status_code == 200
    found = []
    for event in filter(None, answer.text.split("\n\n")):
        kind, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert kind == f"event: {found[-1]['type']}"
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    return found


def seen_by_model(**request: Any) -> dict[str, Any]:
    """What a model gets of a request."""
    seen: list[ChatRequest] = []

    def model(request: ChatRequest) -> str:
        seen.append(request)
        return "ok"

    assert ask(model, **request).status_code == 200
    return {"messages": seen[0].dumped_messages(), **seen[0].options()}


def everything(request: ChatRequest) -> Iterator[Any]:
    yield Reasoning("hm")
    yield "Hel"
    yield "lo"
    yield CALL
    yield Usage(5, 3, 2, 1)


OUTPUT = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
    {
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
    },
    {
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "move",
        "arguments": '{"to":1}',
    },
]


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert len({item["id"] for item in items}) == len(items)
    return [{key: item[key] for key in item if key != "id"} for item in items]


def test_a_response_has_all_that_the_model_says() -> None:
    whole = ask(everything, model="everything", instructions="Be kind").json()
    assert whole["id"].startswith("resp_")
    shown = ("object", "status", "model", "instructions", "store", "error", "incomplete_details")
    assert [whole[key] for key in shown] == [
        "response",
        "completed",
        "everything",
        "Be kind",
        False,
        None,
        None,
    ]
    assert without_ids(whole["output"]) == OUTPUT
    assert whole["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 8,
    }


def test_a_streamed_response_has_the_events_of_each_item() -> None:
    found = events(everything)
    assert [one["type"].removeprefix("response.") for one in found] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [one["delta"] for one in found if "delta" in one] == ["hm", "Hel", "lo", '{"to":1}']
    places = [one["output_index"] for one in found if "output_index" in one]
    assert places == sorted(places)
    assert without_ids(found[-1]["response"]["output"]) == OUTPUT
    assert found[-1]["response"]["usage"]["total_tokens"] == 8
    assert found[0]["response"]["status"] == "in_progress"
    assert len({one["response"]["id"] for one in found if "response" in one}) == 1


def test_calls_whose_pieces_come_in_turn_stay_apart() -> None:
    def model(request: ChatRequest) -> Iterator[Delta]:
        yield Delta(tool=ToolDelta(0, "a", "first"))
        yield Delta(tool=ToolDelta(1, "b", "second"))
        yield Delta(tool=ToolDelta(0, arguments="{}"))
        yield Delta(tool=ToolDelta(1, arguments='{"x":1}'))

    calls = events(model)[-1]["response"]["output"]
    assert [(one["call_id"], one["name"], one["arguments"]) for one in calls] == [
        ("a", "first", "{}"),
        ("b", "second", '{"x":1}'),
    ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_is_cut_is_incomplete(reason: Any, told: str, stream: bool) -> None:
    def model(request: ChatRequest) -> Iterator[Any]:
        yield "cut"
        yield Finish(reason)

    response = events(model)[-1]["response"] if stream else ask(model).json()
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": told}


def test_a_refusal_is_a_part_of_a_message() -> None:
    def model(request: ChatRequest) -> Refusal:
        return Refusal("no")

    [item] = ask(model).json()["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "no"}]
    kinds = [one["type"] for one in events(model)]
    assert kinds[4:6] == ["response.refusal.delta", "response.refusal.done"]


def test_an_answer_without_anything_is_an_empty_output() -> None:
    def model(request: ChatRequest) -> Iterator[str]:
        yield from ()

    assert ask(model).json()["output"] == []
    assert [one["type"] for one in events(model)] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]


def test_the_items_of_a_conversation_are_messages() -> None:
    items = [
        {"role": "user", "content": "Go"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I go", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "move", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "moved"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "seen"}],
        },
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "And?"},
                {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "low"},
            ],
        },
    ]
    seen = seen_by_model(instructions="Be kind", input=items)
    assert seen["messages"] == [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "Go"},
        {
            "role": "assistant",
            "reasoning_content": "hm",
            "content": "I go",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "move", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "moved"},
        {"role": "tool", "tool_call_id": "c2", "content": "seen"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And?"},
                {
                    "type": "image_url",
                    "image_url": {"url": "https://a.example/b.png", "detail": "low"},
                },
            ],
        },
    ]


def test_options_reach_the_model_in_the_form_of_chat_completions() -> None:
    schema = {"type": "object", "properties": {}}
    seen = seen_by_model(
        tools=[
            {"type": "function", "name": "move", "parameters": schema, "strict": True},
            {"type": "web_search"},
        ],
        tool_choice={"type": "function", "name": "move"},
        parallel_tool_calls=False,
        text={"format": {"type": "json_schema", "name": "place", "schema": schema}},
        reasoning={"effort": "low", "summary": "auto"},
        max_output_tokens=9,
        temperature=0.5,
        top_k=3,
        store=False,
        include=["reasoning.encrypted_content"],
        metadata={"a": "b"},
        user=None,
    )
    del seen["messages"]
    assert seen == {
        "tools": [
            {
                "type": "function",
                "function": {"name": "move", "parameters": schema, "strict": True},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "move"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": schema},
        },
        "reasoning_effort": "low",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_k": 3,
    }


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"input": None}, "input"),
        ({"input": []}, "messages"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "not stored"),
        ({"input": [{"type": "song"}]}, "song"),
        ({"input": [{"type": ["mcp_call"]}]}, "mcp_call"),
        ({"tools": [{"type": "function"}]}, "name"),
        ({"tools": [{"type": "custom", "name": 3}]}, "name"),
        ({"input": [{"type": "tool_search_output", "tools": 3}]}, "a list is expected"),
        ({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "video"),
        ({"input": [{"role": "user", "content": [3]}]}, "objects"),
        ({"input": [{"content": "a"}]}, "role"),
        ({"input": [{"role": "user", "content": 3}]}, "content"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "not stored"),
        ({"tools": [{"type": "function", "name": "a"}], "tool_choice": {"type": "mcp"}}, "mcp"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"stream": "perhaps"}, "stream"),
        ({"input": [{"type": "function_call_output", "output": {"a": 1}}]}, "content"),
        ({"input": [{"type": "reasoning", "summary": [3]}]}, "summary"),
        ({"input": [{"type": "reasoning", "summary": 3}]}, "summary"),
        ({"text": {"format": 3}}, "format"),
        ({"tool_choice": {"type": "allowed_tools", "tools": 3}}, "tool_choice"),
    ],
)
def test_what_is_not_supported_is_refused(request_: dict[str, Any], word: str) -> None:
    answer = ask(everything, **request_)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert word in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_has_its_status(stream: bool) -> None:
    def model(request: ChatRequest) -> ChatCompletion:
        raise ModelError("Come later", status=503, retry_after=2)

    answer = ask(model, stream=stream)
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "Come later")


def test_a_model_that_fails_on_its_way_ends_the_response() -> None:
    def model(request: ChatRequest) -> Iterator[str]:
        yield "a"
        raise ModelError("Gone", code="gone")

    last = events(model)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {"code": "gone", "message": "Gone"}


@pytest.mark.parametrize(
    "piece",
    [
        lambda: ToolCall("move", extra={"extra_content": float("inf")}),
        lambda: Delta(tool=ToolDelta(0, "a", "move", extra={"extra_content": float("nan")})),
        lambda: Delta(reasoning_details=[{"a": float("inf")}]),
    ],
    ids=["call", "piece of a call", "reasoning"],
)
def test_what_json_does_not_have_ends_the_response_as_failed(piece: Any) -> None:
    def model(request: ChatRequest) -> Iterator[Any]:
        yield "a"
        yield piece()

    answer = ask(model, stream=True, include=["reasoning.encrypted_content"])
    kind, data = answer.text.strip().split("\n\n")[-1].split("\n")
    assert kind == "event: response.failed"
    error = json.loads(data.removeprefix("data: "))["response"]["error"]
    assert error == {"code": "failed", "message": "The model 'model' failed"}


NAMESPACE = {
    "type": "namespace",
    "name": "agents",
    "tools": [{"type": "function", "name": "close", "parameters": {"type": "object"}}],
}
CUSTOM = {"type": "custom", "name": "patch", "description": "Apply", "format": {"type": "grammar"}}


def test_tools_of_a_namespace_and_tools_that_take_text_are_functions_for_the_model() -> None:
    seen = seen_by_model(
        tools=[NAMESPACE, CUSTOM],
        input=[
            {"role": "user", "content": "Go"},
            {"type": "function_call", "call_id": "a", "namespace": "agents", "name": "close"},
            {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "*** é"},
            {"type": "custom_tool_call_output", "call_id": "b", "output": "done"},
        ],
    )
    assert [one["function"]["name"] for one in seen["tools"]] == ["agents__close", "patch"]
    assert list(seen["tools"][1]["function"]["parameters"]["properties"]) == ["input"]
    _, turn, output = seen["messages"]
    assert [one["function"] for one in turn["tool_calls"]] == [
        {"name": "agents__close", "arguments": ""},
        {"name": "patch", "arguments": '{"input":"*** é"}'},
    ]
    assert output == {"role": "tool", "tool_call_id": "b", "content": "done"}


def test_calls_of_such_tools_come_back_as_the_client_named_them() -> None:
    def model(request: ChatRequest) -> Iterator[Any]:
        yield ToolCall("agents__close", {"target": "x"}, id="a")
        yield ToolCall("patch", {"input": "*** Begin"}, id="b")

    found = events(model, tools=[NAMESPACE, CUSTOM])
    assert without_ids(found[-1]["response"]["output"]) == [
        {
            "type": "function_call",
            "status": "completed",
            "call_id": "a",
            "namespace": "agents",
            "name": "close",
            "arguments": '{"target":"x"}',
        },
        {
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": "b",
            "name": "patch",
            "input": "*** Begin",
        },
    ]
    deltas = [one["delta"] for one in found if one["type"].endswith("_input.delta")]
    assert deltas == ["*** Begin"]


SEARCH = {
    "type": "tool_search",
    "execution": "client",
    "description": "Finds tools",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}
SHELL = {"type": "local_shell"}


def test_tools_that_the_provider_would_run_are_left_out() -> None:
    run_elsewhere = [
        {"type": kind}
        for kind in (
            "web_search",
            "web_search_preview_2025_03_11",
            "file_search",
            "code_interpreter",
            "image_generation",
            "mcp",
            "computer_use_preview",
            "tool_search",
            "of_next_year",
        )
    ]
    function = {"type": "function", "name": "move", "defer_loading": True}
    seen = seen_by_model(tools=[*run_elsewhere, function])
    assert seen["tools"] == [{"type": "function", "function": {"name": "move"}}]
    whole = ask(everything, tools=[*run_elsewhere, function, SEARCH]).json()
    assert whole["tools"] == [function, SEARCH], "the client sees which there were"
    assert "tools" not in seen_by_model(tools=run_elsewhere, tool_choice="required")


def test_a_choice_of_such_a_tool_is_refused() -> None:
    tools = [{"type": "web_search"}, CUSTOM]
    answer = ask(everything, tools=tools, tool_choice={"type": "web_search"})
    assert answer.status_code == 400
    assert "no tool of the client" in answer.json()["error"]["message"]
    seen = seen_by_model(tools=tools, tool_choice={"type": "custom", "name": "patch"})
    assert seen["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
    allowed = {"type": "allowed_tools", "tools": [{"type": "web_search"}, SHELL]}
    seen = seen_by_model(tools=[SHELL], tool_choice=allowed)
    assert seen["tool_choice"]["allowed_tools"]["tools"] == [
        {"type": "function", "function": {"name": "local_shell"}}
    ]


def test_the_model_reads_the_grammar_of_a_tool_that_takes_text() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: word"}
    [tool] = seen_by_model(tools=[{**CUSTOM, "format": form}])["tools"]
    text = tool["function"]["parameters"]["properties"]["input"]
    assert text["description"] == "Text by this lark grammar:\nstart: word"


def test_items_of_what_a_provider_has_run_are_passed_over() -> None:
    seen = seen_by_model(
        input=[
            {"role": "user", "content": "Look"},
            {"type": "function_call", "call_id": "a", "name": "move", "arguments": "{}"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "mcp_list_tools", "tools": []},
            {"type": "function_call_output", "call_id": "a", "output": "done"},
        ]
    )
    assert [one["role"] for one in seen["messages"]] == ["user", "assistant", "tool"]


def test_a_shell_and_a_search_of_the_client_are_functions_for_the_model() -> None:
    found = {"type": "function", "name": "draw", "parameters": {"type": "object"}}
    seen = seen_by_model(
        tools=[SHELL, SEARCH],
        input=[
            {"role": "user", "content": "Look"},
            {
                "type": "local_shell_call",
                "call_id": "a",
                "action": {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": None},
            },
            {"type": "local_shell_call_output", "id": "a", "output": "a.txt"},
            {"type": "tool_search_call", "call_id": "b", "arguments": {"query": "draw"}},
            {"type": "tool_search_output", "call_id": "b", "tools": [found, found]},
        ],
    )
    assert [one["function"]["name"] for one in seen["tools"]] == [
        "local_shell",
        "tool_search",
        "draw",
    ]
    _, shell, listed, search, told = seen["messages"]
    assert [one["tool_calls"][0]["function"] for one in (shell, search)] == [
        {"name": "local_shell", "arguments": '{"command":["ls"]}'},
        {"name": "tool_search", "arguments": '{"query":"draw"}'},
    ]
    assert (listed["tool_call_id"], listed["content"]) == ("a", "a.txt")
    assert (told["tool_call_id"], told["content"]) == ("b", "Found these tools: draw")


@pytest.mark.parametrize("stream", [False, True])
def test_calls_of_them_come_back_as_items_of_their_own(stream: bool) -> None:
    def model(request: ChatRequest) -> Iterator[Any]:
        yield ToolCall("local_shell", {"command": ["ls"], "timeout_ms": 9}, id="a")
        yield ToolCall("local_shell", {"command": "ls | wc"}, id="b")
        yield ToolCall("tool_search", {"query": "draw"}, id="c")
        yield ToolCall("tool_search", "no JSON", id="d")

    tools = [SHELL, SEARCH]
    if stream:
        found = events(model, tools=tools)
        kinds = {one["type"] for one in found[2:-1]}
        assert kinds == {"response.output_item.added", "response.output_item.done"}
        whole = found[-1]["response"]
    else:
        whole = ask(model, tools=tools).json()
    shell = {"type": "local_shell_call", "status": "completed"}
    search = {"type": "tool_search_call", "status": "completed", "execution": "client"}
    assert without_ids(whole["output"]) == [
        {
            **shell,
            "call_id": "a",
            "action": {"type": "exec", "env": {}, "command": ["ls"], "timeout_ms": 9},
        },
        {
            **shell,
            "call_id": "b",
            "action": {"type": "exec", "env": {}, "command": ["bash", "-lc", "ls | wc"]},
        },
        {**search, "call_id": "c", "arguments": {"query": "draw"}},
        {**search, "call_id": "d", "arguments": {}},
    ]


@pytest.mark.parametrize(
    "member",
    [
        b'"metadata": {"a": NaN}',
        b'"metadata": {"a": 1e999}',
        b'"temperature": 1e999',
        b'"text": {"format": {"type": "json_object", "x": 1e999}}',
        b'"input": [{"type": "local_shell_call", "action": {"command": 1e999}}]',
        b'"input": [{"type": "reasoning", "encrypted_content": "mcpm1.W3sieCI6MWU5OTl9XQ=="}]',
        b'"max_output_tokens": 1' + b"0" * 400,
    ],
)
def test_numbers_that_are_none_or_too_large_are_refused_before_a_model_is_asked(
    member: bytes,
) -> None:
    asked: list[ChatRequest] = []

    def model(request: ChatRequest) -> str:
        asked.append(request)
        return "ok"

    server = build(model, budget="1000000 tokens/day")
    headers = {"content-type": "application/json"}
    given = b"" if b"input" in member else b'"input": "hi", '
    answer = get(server, URL, "POST", content=b"{%b%b}" % (given, member), headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert not asked
