"""Requests in OpenAI's form as those of Anthropic's Messages API, and its answers in JSON."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount.models import ModelError
from tests.backends.models.asking import ask, events, model_of, tool
from tests.upstream import Upstream

HELLO = {"role": "user", "content": "Hello"}
TEXT = {"type": "text", "text": "Hello"}
CALL = {"id": "1", "type": "function", "function": {"name": "a", "arguments": '{"x":1}'}}
TOOLS = [tool("a", x={"type": "integer"})]
OBJECT = {"type": "object", "properties": {"word": {"type": "string"}}}
JSON_RULE = "Answer with one JSON object and nothing else: no code block, no explanation."
SHORT = {"type": "text", "text": "Be short", "cache_control": {"type": "ephemeral"}}


def asked(upstream: Upstream, request: dict[str, Any], **options: Any) -> dict[str, Any]:
    given = dict(request)
    ask(model_of("anthropic", upstream, **options), given.pop("messages", [HELLO]), **given)
    body: dict[str, Any] = upstream.requests[-1]["body"]
    return body


def wanted(schema: Any, name: str = "answer") -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, {"model": "ok", "max_tokens": 8192, "messages": [{**HELLO, "content": [TEXT]}]}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        (
            {
                "messages": [
                    {"role": "system", "content": "Be kind"},
                    {"role": "developer", "content": "Be brief"},
                    HELLO,
                ]
            },
            {"system": "Be kind\n\nBe brief", "messages": [{**HELLO, "content": [TEXT]}]},
        ),
        (
            {"messages": [{"role": "system", "content": [SHORT]}, HELLO]},
            {"system": [SHORT]},
        ),
        # Roles take turns; the answers of tools are the user's.
        (
            {
                "messages": [
                    HELLO,
                    {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": "2"}]},
                    {"role": "tool", "tool_call_id": "1", "content": "one"},
                    {"role": "tool", "tool_call_id": "2", "content": [TEXT]},
                    HELLO,
                ],
                "tools": TOOLS,
            },
            {
                "messages": [
                    {"role": "user", "content": [TEXT]},
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "tool_use", "id": one, "name": "a", "input": {"x": 1}}
                            for one in ("1", "2")
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {"type": "tool_result", "tool_use_id": "1", "content": "one"},
                            {"type": "tool_result", "tool_use_id": "2", "content": [TEXT]},
                            TEXT,
                        ],
                    },
                ],
                "tools": [{"name": "a", "input_schema": TOOLS[0]["function"]["parameters"]}],
            },
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image_url",
                                "image_url": {"url": "data:image/png;base64,AA=="},
                            },
                            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                            {
                                "type": "file",
                                "file": {
                                    "file_data": "data:application/pdf;base64,AA==",
                                    "filename": "a.pdf",
                                },
                            },
                        ],
                    }
                ]
            },
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image",
                                "source": {
                                    "type": "base64",
                                    "media_type": "image/png",
                                    "data": "AA==",
                                },
                            },
                            {
                                "type": "image",
                                "source": {"type": "url", "url": "https://a.example/b.png"},
                            },
                            {
                                "type": "document",
                                "source": {
                                    "type": "base64",
                                    "media_type": "application/pdf",
                                    "data": "AA==",
                                },
                                "title": "a.pdf",
                            },
                        ],
                    }
                ]
            },
        ),
        (
            {
                "stop": "x",
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 3,
                "user": "ann",
                "reasoning_effort": "minimal",
            },
            {
                "stop_sequences": ["x"],
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 3,
                "metadata": {"user_id": "ann"},
                "output_config": {"effort": "low"},
            },
        ),
        ({"tools": TOOLS, "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
        ({"tools": TOOLS, "tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        ({"tools": TOOLS, "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "a"}}},
            {"tool_choice": {"type": "tool", "name": "a"}},
        ),
        (
            {"tools": TOOLS, "parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            {"tools": [{"type": "bash_20250124", "name": "bash"}]},
            {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        ),
        ({"stream": True}, {"stream": True}),
        (
            {"response_format": {"type": "json_object"}},
            {"system": JSON_RULE},
        ),
        (
            {"response_format": wanted(OBJECT)},
            {
                "tools": [
                    {
                        "name": "answer_in_json",
                        "description": "Gives the answer.",
                        "input_schema": OBJECT,
                    }
                ],
                "tool_choice": {"type": "tool", "name": "answer_in_json"},
            },
        ),
        ({"response_format": wanted(OBJECT), "tools": TOOLS}, {"tool_choice": {"type": "any"}}),
        (
            {"response_format": wanted(OBJECT), "thinking": {"type": "adaptive"}},
            {
                "thinking": {"type": "adaptive"},
                "output_config": {"format": {"type": "json_schema", "schema": OBJECT}},
            },
        ),
    ],
)
def test_a_request_is_translated(
    request_: dict[str, Any], expected: dict[str, Any], upstream: Upstream
) -> None:
    body = asked(upstream, request_, passes=["links"])
    assert {name: body.get(name) for name in expected} == expected
    known = {*expected, "model", "max_tokens", "messages", "tools"}
    assert set(body) <= known


def test_options_without_a_counterpart_are_left_out(upstream: Upstream) -> None:
    options = {"seed": 1, "logprobs": True, "presence_penalty": 1, "service_tier": "flex"}
    assert set(asked(upstream, options)) == {"model", "max_tokens", "messages"}


def test_a_request_has_the_version_and_the_key(upstream: Upstream) -> None:
    asked(upstream, {}, headers={"anthropic-beta": "b"}, defaults={"thinking": {"type": "x"}})
    [request] = upstream.requests
    assert request["path"] == "/v1/messages"
    assert request["body"]["thinking"] == {"type": "x"}
    names = ("anthropic-version", "x-api-key", "anthropic-beta")
    assert [request["headers"][one] for one in names] == ["2023-06-01", "sk-secret", "b"]


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"n": 2}, "n"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": "http://a"}]}
                ]
            },
            "messages",
        ),
        ({"messages": [{"role": "robot", "content": "beep"}]}, "messages"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "messages"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools"),
        ({"tools": TOOLS, "tool_choice": {"type": ["a"]}}, "tool_choice"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"thinking": "hard"}, "thinking"),
    ],
)
def test_what_anthropic_cannot_do_is_refused(
    request_: dict[str, Any], param: str, upstream: Upstream
) -> None:
    with pytest.raises(ModelError) as caught:
        asked(upstream, request_)
    error = caught.value
    assert (error.status, error.param, error.again) == (400, param, False)
    assert upstream.requests == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("schema", "text"),
    [(OBJECT, '{"word":1}'), ({"type": "array"}, "1"), ({"$ref": "#/$defs/A", "$defs": {}}, "1")],
)
def test_an_answer_in_json_is_text(
    schema: Any, text: str, stream: bool, upstream: Upstream
) -> None:
    model = model_of("anthropic", upstream, "tools")
    said = ask(model, response_format=wanted(schema), stream=stream)
    assert said.text.replace(" ", "") == text
    assert (said.tool_calls, said.finish) == ([], "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_without_arguments_has_an_empty_object(stream: bool, upstream: Upstream) -> None:
    said = ask(model_of("anthropic", upstream, "tools"), tools=[tool("a")], stream=stream)
    assert [one.arguments for one in said.tool_calls] == [{}]


def test_tools_of_the_server_of_the_model_are_not_the_clients(upstream: Upstream) -> None:
    upstream.raw = events(
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"query":1}'},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": TEXT},
        {"type": "message_delta", "delta": {"stop_reason": "pause_turn"}},
        {"type": "message_stop"},
    )
    said = ask(model_of("anthropic", upstream), stream=True)
    assert (said.text, said.tool_calls, said.finish) == ("Hello", [], "stop")


@pytest.mark.parametrize("text", ["[1]", "no JSON", "[" * 100_000, {"x": 1}, None])
def test_arguments_of_a_call_are_sent_as_an_object(text: Any, upstream: Upstream) -> None:
    call = {"id": "1", "function": {"name": "a", "arguments": text}}
    body = asked(upstream, {"messages": [HELLO, {"role": "assistant", "tool_calls": [call]}]})
    [use] = body["messages"][-1]["content"]
    known = {"[1]": {"arguments": [1]}, None: {}}
    expected = text if isinstance(text, dict) else known.get(text, {"arguments": text})
    assert use["input"] == expected
