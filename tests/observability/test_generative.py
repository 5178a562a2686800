"""Spans and metrics of models, by the conventions for generative AI."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from mcp_mount import ChatRequest, CompletionsRouter, Context, ImageRouter, MCPServer
from mcp_mount.images import ImageRequest, OpenAIImages, PartialImage, Picture
from mcp_mount.models import (
    Anthropic,
    ChatCompletion,
    Embeddings,
    ModelError,
    OpenAI,
    Price,
    ToolCall,
    Usage,
)
from mcp_mount.observability import conventions
from mcp_mount.testing import Client
from tests.observability.test_telemetry import Watch
from tests.routes.test_chat import ask, events
from tests.routes.test_composition import get
from tests.routes.test_images import PNG
from tests.upstream import Upstream


@pytest.fixture
def watch() -> Iterator[Watch]:
    one = Watch()
    yield one
    one.close()


def build(watch: Watch) -> MCPServer:
    server = MCPServer("tests", open=True, telemetry=watch.telemetry)
    models = CompletionsRouter()

    @models.chat
    def small(request: ChatRequest) -> Iterator[Any]:
        yield "a"
        yield Usage(3, 2, cached_tokens=1, reasoning_tokens=1)

    @models.chat
    def thinks(request: ChatRequest) -> ChatCompletion:
        other = ChatCompletion(refusal="no", finish_reason="content_filter")
        call = ToolCall("add", {"a": 2}, "c3")
        return ChatCompletion("so", [call], "hm", others=[other])

    @models.chat
    async def broken(request: ChatRequest) -> str:
        raise ModelError("busy", status=503)

    @models.chat
    def calls(request: ChatRequest) -> Any:
        if request.messages[-1].role == "tool":
            return "done"
        return ChatCompletion(tool_calls=[ToolCall("add", {"a": 1, "b": 2})])

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    async def think(ctx: Context) -> str:
        return (await ctx.complete("?", model="small")).text

    models.add_model("alias", "small")
    models.add_model("clerk", "calls", tools="auto")
    server.include_router(models)
    return server


def tokens(watch: Watch) -> list[tuple[Any, ...]]:
    return [
        (one["gen_ai.request.model"], one["gen_ai.token.type"], one["sum"])
        for one in watch.points("gen_ai.client.token.usage")
    ]


def test_an_answer_is_a_span_with_its_tokens(watch: Watch) -> None:
    ask(build(watch), model="small", temperature=0.5, stop="x")
    span = watch.span("chat small")
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mcp_mount",
        "gen_ai.request.model": "small",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 1,
        "gen_ai.usage.reasoning.output_tokens": 1,
    }
    assert sorted(tokens(watch)) == [("small", "input", 3), ("small", "output", 2)]
    [duration] = watch.points("gen_ai.client.operation.duration")
    assert duration["gen_ai.response.model"] == "small"
    assert watch.points("gen_ai.client.operation.time_to_first_chunk") == []


def test_a_stream_has_the_time_to_its_first_piece(watch: Watch) -> None:
    events(build(watch), model="small")
    [point] = watch.points("gen_ai.client.operation.time_to_first_chunk")
    assert point["gen_ai.request.model"] == "small"
    attributes = watch.span("chat small").attributes or {}
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.time_to_first_chunk"] == point["sum"]


def test_a_model_that_asks_another_one_counts_its_tokens_once(watch: Watch) -> None:
    ask(build(watch), model="alias")
    outer, inner = watch.span("chat alias"), watch.span("chat small")
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert (outer.attributes or {})["gen_ai.response.model"] == "small"
    assert sorted(tokens(watch)) == [("alias", "input", 3), ("alias", "output", 2)]


def test_tools_in_the_loop_are_spans_of_their_own(watch: Watch) -> None:
    ask(build(watch), model="clerk")
    names = sorted(span.name for span in watch.spans())
    assert names == ["chat calls", "chat calls", "chat clerk", "execute_tool add"]


def test_a_handler_that_asks_a_model_is_its_parent(watch: Watch) -> None:
    assert Client(build(watch)).call_tool("think").text == "a"
    inner, outer = watch.span("chat small"), watch.span("tools/call think")
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert sorted(tokens(watch)) == [("small", "input", 3), ("small", "output", 2)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_is_marked(watch: Watch, stream: bool) -> None:
    ask(build(watch), model="broken", stream=stream)
    span = watch.span("chat broken")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "503"
    [duration] = watch.points("gen_ai.client.operation.duration")
    assert duration["error.type"] == (span.attributes or {})["error.type"]


def test_options_of_a_request_are_attributes(watch: Watch) -> None:
    ask(
        build(watch),
        model="small",
        n=2,
        top_k=4,
        max_completion_tokens=9,
        presence_penalty="much",
        response_format={"type": "json_object"},
    )
    attributes = watch.span("chat small").attributes or {}
    given = {key: one for key, one in attributes.items() if "request" in key or "type" in key}
    assert given == {
        "gen_ai.request.model": "small",
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.top_k": 4,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.output.type": "json",
    }


def embed(server: MCPServer, **request: Any) -> Any:
    return get(server, "/v1/embeddings", "POST", json={"input": ["a", "b"]} | request)


def test_vectors_are_a_span_with_their_tokens(watch: Watch) -> None:
    server = MCPServer("tests", open=True, telemetry=watch.telemetry)
    models = CompletionsRouter()

    @models.embedding("letters", price=Price(input=2, output=0))
    def letters(texts: list[str]) -> Any:
        return Embeddings([[1, 2, 3] for _ in texts], Usage(500_000), model="letters-2")

    @models.embedding("broken")
    async def broken(texts: list[str]) -> Any:
        raise ModelError("busy", status=503)

    server.include_router(models)
    assert embed(server, model="letters").status_code == 200
    span = watch.span("embeddings letters")
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "mcp_mount",
        "gen_ai.request.model": "letters",
        "gen_ai.response.model": "letters-2",
        "gen_ai.embeddings.dimension.count": 3,
        "gen_ai.usage.input_tokens": 500_000,
        "operation.cost": 1.0,
    }
    assert tokens(watch) == [("letters", "input", 500_000)]
    embed(server, model="broken")
    assert watch.span("embeddings broken").status.status_code is StatusCode.ERROR
    durations = {
        (one["gen_ai.operation.name"], one["gen_ai.request.model"], one.get("error.type"))
        for one in watch.points("gen_ai.client.operation.duration")
    }
    assert durations == {
        ("embeddings", "letters", None),
        ("embeddings", "broken", "503"),
    }


@pytest.mark.parametrize("content", [False, True])
def test_pictures_are_spans(content: bool) -> None:
    watch = Watch(content=content)
    server = MCPServer("tests", open=True, telemetry=watch.telemetry)
    images = ImageRouter()

    @images.backend("painter", edits=True)
    def paint(request: ImageRequest) -> Picture:
        usage = {"input_tokens": 5, "output_tokens": 70}
        return Picture(PNG + b"drawn", "image/png", usage=usage)

    server.include_router(images)
    for _ in range(2):
        form = {"prompt": "a hat"}
        files = [("image", ("a.png", PNG + b"1", "image/png"))]
        get(server, "/v1/images/edits", "POST", data=form, files=files)
    span = watch.spans()[0]
    assert span.name == "generate_content painter"
    attributes = dict(span.attributes or {})
    asked, answered = (
        attributes.pop(f"gen_ai.{name}.messages", "null") for name in ("input", "output")
    )
    assert attributes == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "mcp_mount",
        "gen_ai.request.model": "painter",
        "gen_ai.output.type": "image",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 70,
    }
    sent, drawn = (digest("image", "image/png", PNG + one) for one in (b"1", b"drawn"))
    parts = [{"type": "text", "content": "a hat"}, sent]
    said = [{"role": "assistant", "parts": [drawn], "finish_reason": "stop"}]
    assert json.loads(str(asked)) == ([{"role": "user", "parts": parts}] if content else None)
    assert json.loads(str(answered)) == (said if content else None)
    assert sorted(tokens(watch)) == [("painter", "input", 10), ("painter", "output", 140)]
    assert len(watch.spans()) == 2
    watch.close()


def test_a_streamed_picture_has_the_time_to_its_first_piece(watch: Watch) -> None:
    server = MCPServer("tests", open=True, telemetry=watch.telemetry)
    images = ImageRouter()

    @images.backend("painter")
    async def paint(request: ImageRequest) -> AsyncIterator[Any]:
        yield PartialImage(PNG)
        yield PNG

    server.include_router(images)
    body = {"prompt": "a cat", "stream": True, "partial_images": 1}
    assert "partial_image" in get(server, "/v1/images/generations", "POST", json=body).text
    [point] = watch.points("gen_ai.client.operation.time_to_first_chunk")
    assert point["gen_ai.operation.name"] == "generate_content"


def digest(modality: str, media_type: str | None, data: bytes) -> dict[str, Any]:
    return {
        "type": "blob_digest",
        "modality": modality,
        "mime_type": media_type,
        "size": len(data),
        "sha256": sha256(data).hexdigest(),
    }


def said(watch: Watch, name: str) -> dict[str, Any]:
    """What was said in a span, by the last part of the names of the attributes."""
    attributes = watch.span(name).attributes or {}
    return {
        key: json.loads(str(attributes[f"gen_ai.{key}"]))
        for key in ("system_instructions", "input.messages", "output.messages", "tool.definitions")
        if f"gen_ai.{key}" in attributes
    }


TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "Adds", "parameters": {"type": "object"}},
}
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief"},
    {
        "role": "user",
        "name": "ann",
        "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,YWJj"}},
            {"type": "input_audio", "input_audio": {"data": "YWJj", "format": "wav"}},
            {"type": "file", "file": {"file_id": "f1"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,YWJj"}},
            {"type": "mood", "value": 3},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}},
            {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "3"},
]


def test_what_was_said_is_shown_only_where_it_is_wanted(watch: Watch) -> None:
    ask(build(watch), model="calls", tools=[TOOL])
    assert said(watch, "chat calls") == {}


def test_what_was_said_has_the_form_of_the_conventions() -> None:
    watch = Watch(content=True)
    answer = ask(build(watch), model="thinks", messages=CONVERSATION, tools=[TOOL, {"type": "web"}])
    assert answer.status_code == 200
    assert said(watch, "chat thinks") == {
        "input.messages": [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief"}]},
            {
                "role": "user",
                "name": "ann",
                "parts": [
                    {"type": "text", "content": "Look"},
                    {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
                    digest("image", "image/png", b"abc"),
                    digest("audio", "audio/wav", b"abc"),
                    {"type": "file", "modality": "document", "file_id": "f1"},
                    digest("document", "application/pdf", b"abc"),
                    {"type": "mood", "value": 3},
                ],
            },
            {
                "role": "assistant",
                "parts": [
                    {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}},
                    {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
                ],
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "c1", "response": "3"}],
            },
        ],
        "output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "hm"},
                    {"type": "text", "content": "so"},
                    {"type": "tool_call", "id": "c3", "name": "add", "arguments": {"a": 2}},
                ],
                "finish_reason": "tool_call",
            },
            {
                "role": "assistant",
                "parts": [{"type": "refusal", "content": "no"}],
                "finish_reason": "content_filter",
            },
        ],
        "tool.definitions": [
            {
                "type": "function",
                "name": "add",
                "description": "Adds",
                "parameters": {"type": "object"},
            },
            {"type": "web", "name": "web"},
        ],
    }
    watch.close()


def test_upstreams_are_clients_of_an_address(upstream: Upstream) -> None:
    watch = Watch(content=True)
    server = MCPServer("tests", open=True, telemetry=watch.telemetry)
    models, images = CompletionsRouter(), ImageRouter()
    models.add_model("gpt", OpenAI(f"{upstream.url}/v1", "ok"))
    models.add_model("claude", Anthropic("ok", key="k", base_url=upstream.url))
    images.add_backend("painter", OpenAIImages("http://127.0.0.1:9/v1", "dall-e"))
    server.include_router(models)
    server.include_router(images)
    messages = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "hi"}]
    for name in ("gpt", "claude"):
        assert ask(server, model=name, messages=messages).status_code == 200
    assert embed(server, model="gpt").status_code == 200
    get(server, "/v1/images/generations", "POST", json={"prompt": "a cat"})
    port = int(upstream.url.rpartition(":")[2])
    told = {
        span.name: (
            span.kind,
            (span.attributes or {})["gen_ai.provider.name"],
            (span.attributes or {})["server.address"],
            (span.attributes or {})["server.port"],
        )
        for span in watch.spans()
    }
    assert told == {
        "chat gpt": (SpanKind.CLIENT, "openai", "127.0.0.1", port),
        "chat claude": (SpanKind.CLIENT, "anthropic", "127.0.0.1", port),
        "embeddings gpt": (SpanKind.CLIENT, "openai", "127.0.0.1", port),
        "generate_content painter": (SpanKind.CLIENT, "openai", "127.0.0.1", 9),
    }
    system = [{"type": "text", "content": "Be brief"}]
    user = {"role": "user", "parts": [{"type": "text", "content": "hi"}]}
    assert said(watch, "chat gpt")["input.messages"] == [{"role": "system", "parts": system}, user]
    assert said(watch, "chat claude")["input.messages"] == [user]
    assert said(watch, "chat claude")["system_instructions"] == system
    watch.close()


@pytest.mark.parametrize(
    ("redact", "shown"),
    [
        ("messages", None),
        ("messages.content", [{"role": "user", "parts": [{"type": "text", "content": "***"}]}]),
    ],
)
def test_what_is_redacted_is_in_no_span(redact: str, shown: Any) -> None:
    watch = Watch(content=True)
    server = MCPServer("tests", open=True, telemetry=watch.telemetry)
    models, images = CompletionsRouter(), ImageRouter()
    models.chat("small", redact=(redact,))(lambda request: "yes")
    images.add_backend("painter", lambda prompt, size: PNG, redact=("prompt",))
    server.include_router(models)
    server.include_router(images)
    assert ask(server, model="small").status_code == 200
    answer = get(server, "/v1/images/generations", "POST", json={"prompt": "a cat"})
    assert answer.status_code == 200
    assert said(watch, "chat small").get("input.messages") == shown
    [message] = said(watch, "generate_content painter")["input.messages"]
    assert message["parts"] == [{"type": "text", "content": "***"}]
    watch.close()


def test_no_other_module_has_names_of_the_conventions() -> None:
    room = Path(conventions.__file__).parent
    named = re.compile(r'"(gen_ai|mcp|server|error|rpc|network|jsonrpc|client)\.[a-z_.]+"')
    found = {one.name: named.findall(one.read_text()) for one in room.glob("*.py")}
    assert {name for name, names in found.items() if names} == {"conventions.py"}
