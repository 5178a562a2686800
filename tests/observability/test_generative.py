"""Spans and metrics of chat models, by the conventions for generative AI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from mcp_mount import ChatRequest, CompletionsRouter, Context, MCPServer
from mcp_mount.models import ChatCompletion, ModelError, ToolCall, Usage
from mcp_mount.testing import Client
from tests.observability.test_telemetry import Watch
from tests.routes.test_chat import ask, events

GEN_AI = "gen_ai."


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
        yield Usage(3, 2, cached_tokens=1)

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
    }
    assert sorted(tokens(watch)) == [("small", "input", 3), ("small", "output", 2)]
    [duration] = watch.points("gen_ai.client.operation.duration")
    assert duration["gen_ai.response.model"] == "small"
    assert watch.points("gen_ai.client.operation.time_to_first_chunk") == []


def test_a_stream_has_the_time_to_its_first_piece(watch: Watch) -> None:
    events(build(watch), model="small")
    [point] = watch.points("gen_ai.client.operation.time_to_first_chunk")
    assert point["gen_ai.request.model"] == "small"


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
    assert (span.attributes or {})["error.type"]
    [duration] = watch.points("gen_ai.client.operation.duration")
    assert duration["error.type"] == (span.attributes or {})["error.type"]


def test_what_was_said_is_shown_only_where_it_is_wanted(watch: Watch) -> None:
    ask(build(watch), model="small")
    assert not any("messages" in key for key in watch.span("chat small").attributes or {})
    open_watch = Watch(content=True)
    ask(build(open_watch), model="small")
    attributes = open_watch.span("chat small").attributes or {}
    assert '"content":"hi"' in str(attributes["gen_ai.input.messages"])
    assert '"content":"a"' in str(attributes["gen_ai.output.messages"])
    open_watch.close()
