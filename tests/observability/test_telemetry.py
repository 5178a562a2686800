"""Spans and metrics as a real OpenTelemetry exporter gets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from mcp_mount import Context, DefinitionError, MCPServer, SyncContext, ToolError, ToolsRouter
from mcp_mount.observability.telemetry import Telemetry
from mcp_mount.testing import RPCError
from tests.faces import Connect
from tests.requests import meta

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Watch:
    """What the exporters have got."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider(metric_readers=[self._reader])
        self.telemetry = Telemetry(
            tracer_provider=self.tracers, meter_provider=self._meters, **options
        )

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        [found] = [one for one in self.spans() if one.name == name]
        return found

    def durations(self) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in point.items() if key != "sum"}
            for point in self.points("mcp.server.operation.duration")
        ]

    def points(self, name: str) -> list[dict[str, Any]]:
        """What a histogram has counted, by its dimensions."""
        data = self._reader.get_metrics_data()
        assert data is not None
        found = [
            one for one in data.resource_metrics[0].scope_metrics[0].metrics if one.name == name
        ]
        return [
            {
                **(point.attributes or {}),
                "count": point.count,  # type: ignore[union-attr]
                "sum": point.sum,  # type: ignore[union-attr]
                "bounds": point.explicit_bounds,  # type: ignore[union-attr]
            }
            for metric in found
            for point in metric.data.data_points
        ]

    def close(self) -> None:
        self.tracers.shutdown()
        self._meters.shutdown()


@pytest.fixture
def watch() -> Iterator[Watch]:
    one = Watch()
    yield one
    one.close()


def build(watch: Watch) -> MCPServer:
    tools = ToolsRouter()

    @tools.tool
    def add(a: int, b: int) -> int:
        with watch.tracers.get_tracer("own").start_as_current_span("own"):
            return a + b

    @tools.tool
    async def add_twice(ctx: Context, a: int) -> int:
        once = await ctx.call_tool(add, {"a": a, "b": a})
        return await ctx.call_tool(add, {"a": once, "b": a})

    @tools.tool
    def add_twice_plain(ctx: SyncContext, a: int) -> int:
        once = ctx.call_tool(add, {"a": a, "b": a})
        return ctx.call_tool(add, {"a": once, "b": a})

    @tools.tool
    def refuse() -> int:
        raise ToolError("no")

    @tools.tool
    async def crash() -> int:
        raise KeyError("lost")

    @tools.tool(redact="pin")
    def pay(pin: str) -> str:
        return "paid"

    server = MCPServer("watched", telemetry=watch.telemetry)
    server.include_router(tools)

    @server.prompt
    def greet() -> str:
        return "hi"

    @server.resource("text://{name}")
    def text(name: str) -> str:
        return name

    return server


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("mode", ["", "-session"])
@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_tool_call_is_a_span_by_the_conventions(kind: str, mode: str, watch: Watch) -> None:
    from tests.faces import connect_to

    with connect_to(kind + mode, build(watch)) as client:
        client.call_tool("add", {"a": 1, "b": 2})
    span = watch.span("tools/call add")
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    shown = attributes(span)
    assert isinstance(shown.pop("jsonrpc.request.id"), str)
    if mode:
        assert shown.pop("mcp.session.id")
    shown.pop("client.address", None)
    assert shown == {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2025-11-25" if mode else "2026-07-28",
        "gen_ai.tool.name": "add",
        "gen_ai.operation.name": "execute_tool",
        "network.transport": "tcp",
        "network.protocol.name": "http",
    }
    # What the tool itself traces is within.
    own = watch.span("own")
    assert own.parent is not None
    assert span.context is not None
    assert own.parent.span_id == span.context.span_id


def test_prompts_resources_and_lists_have_spans(connect_stateless: Connect, watch: Watch) -> None:
    with connect_stateless(build(watch)) as client:
        client.get_prompt("greet")
        client.read_resource("text://ada")
        client.list_prompts()
    assert attributes(watch.span("prompts/get greet"))["gen_ai.prompt.name"] == "greet"
    # Many URIs would be many names.
    assert attributes(watch.span("resources/read"))["mcp.resource.uri"] == "text://ada"
    assert watch.span("prompts/list").status.status_code is StatusCode.UNSET


def test_a_handshake_has_a_span(watch: Watch) -> None:
    from tests.faces import connect_to

    with connect_to("wsgi-session", build(watch)) as client:
        client.call_tool("add", {"a": 1, "b": 2})
    opening, call = watch.span("initialize"), watch.span("tools/call add")
    assert attributes(opening)["mcp.session.id"] == attributes(call)["mcp.session.id"]


@pytest.mark.parametrize(
    ("tool", "error", "message", "code"),
    [
        ("refuse", "tool_error", None, None),
        ("crash", "KeyError", None, None),
        ("unknown", "-32602", "Unknown tool: unknown", "-32602"),
    ],
)
def test_failures_are_marked(
    tool: str, error: str, message: str | None, code: str | None, connect: Connect, watch: Watch
) -> None:
    from contextlib import suppress

    with connect(build(watch)) as client, suppress(RPCError):
        client.call_tool(tool)
    # A name that a client makes up names no span.
    span = watch.span("tools/call" if tool == "unknown" else f"tools/call {tool}")
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["gen_ai.tool.name"] == tool
    assert span.status.description == message
    assert attributes(span)["error.type"] == error
    assert attributes(span).get("rpc.response.status_code") == code
    assert not span.events


def test_the_trace_of_the_client_is_the_parent(connect: Connect, watch: Watch) -> None:
    with connect(build(watch)) as client:
        params = {"name": "add", "arguments": {"a": 1, "b": 2}}
        client.request("tools/call", {**params, "_meta": {"traceparent": TRACEPARENT}})
    span = watch.span("tools/call add")
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.parent.is_remote


@pytest.mark.parametrize("value", ["", "00-0-0-00", 7, None, ["x"], {"a": 1}])
def test_a_bad_trace_of_a_client_is_no_parent(
    value: Any, connect_stateless: Connect, watch: Watch
) -> None:
    with connect_stateless(build(watch)) as client:
        client.request(
            "tools/call",
            {
                "name": "add",
                "arguments": {"a": 1, "b": 2},
                "_meta": {**meta(), "traceparent": value},
            },
        )
    assert watch.span("tools/call add").parent is None


def test_the_trace_of_the_http_request_counts_without_one_of_the_message(
    connect_stateless: Connect, watch: Watch
) -> None:
    with connect_stateless(build(watch), headers={"traceparent": TRACEPARENT}) as client:
        client.call_tool("add", {"a": 1, "b": 2})
    span = watch.span("tools/call add")
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT


def test_a_span_of_the_http_request_is_linked(watch: Watch) -> None:
    """The host's own instrumentation has begun a span; the message brings its own parent."""
    from tests.faces import connect_to

    tracer = watch.tracers.get_tracer("host")
    server = build(watch)
    params = {"name": "add", "arguments": {"a": 1, "b": 2}}
    with connect_to("wsgi", server) as client, tracer.start_as_current_span("POST /mcp") as host:
        client.request("tools/call", {**params, "_meta": {**meta(), "traceparent": TRACEPARENT}})
        client.request("tools/call", {**params, "_meta": meta()})
    with_parent, without = [one for one in watch.spans() if one.name == "tools/call add"]
    own = host.get_span_context()
    assert with_parent.parent is not None
    assert f"{with_parent.parent.span_id:016x}" == PARENT
    assert [link.context.span_id for link in with_parent.links] == [own.span_id]
    assert without.parent is not None
    assert without.parent.span_id == own.span_id
    assert not without.links
    # It is left as it was.
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("tool", ["add_twice", "add_twice_plain"])
def test_a_chain_is_a_tree(tool: str, connect: Connect, watch: Watch) -> None:
    with connect(build(watch)) as client:
        assert client.call_tool(tool, {"a": 2}).text == "6"
    outer = watch.span(f"tools/call {tool}")
    inner = [one for one in watch.spans() if one.name == "execute_tool add"]
    assert outer.context is not None
    assert [one.kind for one in inner] == [SpanKind.INTERNAL] * 2
    assert {one.parent and one.parent.span_id for one in inner} == {outer.context.span_id}
    assert {one.context and one.context.trace_id for one in inner} == {outer.context.trace_id}
    # One request is one in the metrics.
    calls = [one for one in watch.durations() if "gen_ai.tool.name" in one]
    assert [(one["gen_ai.tool.name"], one["count"]) for one in calls] == [(tool, 1)]


def test_metrics_count_by_method_tool_and_error(connect_stateless: Connect, watch: Watch) -> None:
    with connect_stateless(build(watch)) as client:
        for _ in range(3):
            client.call_tool("add", {"a": 1, "b": 2})
        client.call_tool("refuse")
    found = {
        (one["mcp.method.name"], one.get("gen_ai.tool.name"), one.get("error.type")): one["count"]
        for one in watch.durations()
    }
    assert found[("tools/call", "add", None)] == 3
    assert found[("tools/call", "refuse", "tool_error")] == 1
    assert watch.durations()[0]["bounds"][:3] == (0.01, 0.02, 0.05)


def test_names_that_a_client_makes_up_are_no_dimensions(
    connect_stateless: Connect, watch: Watch
) -> None:
    with connect_stateless(build(watch)) as client:
        for number in range(20):
            with pytest.raises(RPCError):
                client.call_tool(f"made-up-{number}")
    [point] = [one for one in watch.durations() if one.get("error.type") == "-32602"]
    assert point["count"] == 20
    assert "gen_ai.tool.name" not in point


def test_content_is_shown_only_where_it_is_wanted(connect_stateless: Connect) -> None:
    for content in (False, True):
        watch = Watch(content=content)
        with connect_stateless(build(watch)) as client:
            client.call_tool("pay", {"pin": "1234"})
        shown = attributes(watch.span("tools/call pay"))
        watch.close()
        assert ("gen_ai.tool.call.arguments" in shown) is content
        if content:
            assert json.loads(shown["gen_ai.tool.call.arguments"]) == {"pin": "***"}
            result = json.loads(shown["gen_ai.tool.call.result"])
            assert result["content"][0]["text"] == "paid"
        assert "1234" not in str(shown)


def test_over_plain_http_there_is_a_span_too(over_http: Any, watch: Watch) -> None:
    assert over_http(build(watch), "add", {"a": 1, "b": 2}, traceparent=TRACEPARENT).json() == 3
    span = watch.span("tools/call add")
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT


def test_without_telemetry_nothing_is_imported() -> None:
    import subprocess
    import sys

    script = "import sys, mcp_mount; print('mcp_mount.observability.telemetry' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"


@pytest.mark.parametrize("declared", [False, True, "telemetry"])
def test_prometheus_reads_the_metrics(connect_stateless: Connect, declared: Any) -> None:
    from starlette.testclient import TestClient

    from mcp_mount.routes.metrics import PrometheusRouter

    metrics = PrometheusRouter()
    if declared == "telemetry":
        declared = Telemetry(meter_provider=metrics.meter_provider)
    server = MCPServer(telemetry=declared)
    server.include_router(metrics)

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    with connect_stateless(server) as client:
        client.call_tool("add", {"a": 1, "b": 2})
    text = TestClient(server).get("/metrics").text
    metrics.meter_provider.shutdown()
    [line] = [
        one
        for one in text.splitlines()
        if one.startswith("mcp_server_operation_duration_seconds_count")
        and 'mcp_method_name="tools/call"' in one
    ]
    assert 'gen_ai_tool_name="add"' in line
    assert line.endswith(" 1.0")


def test_a_router_that_would_serve_no_metrics_is_refused() -> None:
    from mcp_mount.routes.metrics import PrometheusRouter

    server = MCPServer(telemetry=Telemetry())
    metrics = PrometheusRouter()
    with pytest.raises(DefinitionError, match="would serve no metrics"):
        server.include_router(metrics)
    metrics.meter_provider.shutdown()
