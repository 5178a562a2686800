"""Spans and metrics by OpenTelemetry's semantic conventions for MCP and generative AI.

The trace context that a client sends in `_meta` (SEP-414) is the parent of the request's span; the
one of the HTTP request is linked, or is the parent where there is no other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry import context, metrics, propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from pydantic_core import to_json

from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Flow, proceed
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.llm.errors import ModelError
from mcp_mount.observability import conventions
from mcp_mount.observability.generative import GenerativeTrace, ModelTelemetry
from mcp_mount.observability.records import CallOutcome, Redaction
from mcp_mount.schemas.names import naming_options
from mcp_mount.schemas.values import flag
from mcp_mount.wire.errors import ProtocolError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

_SCOPE: Final = "mcp_mount"

_PROPAGATED: Final = ("traceparent", "tracestate", "baggage")

_TARGETS: Final = {"tools/call": conventions.TOOL_NAME, "prompts/get": conventions.PROMPT_NAME}

Target: TypeAlias = tuple[str, str]
"""An attribute and its value."""


class _Strings(Getter[Mapping[str, Any]]):
    """Reads what is a string; a client may send anything."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        value = carrier.get(key)
        return [value] if isinstance(value, str) else None

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return [key for key in carrier if isinstance(key, str)]


_STRINGS: Final = _Strings()


class Telemetry:
    """OpenTelemetry spans and metrics of all requests to a server.

    Args:
        content: Whether spans show arguments (without secrets) and results.
        tracer_provider: By default the global one.
        meter_provider: By default the global one.

    Raises:
        DefinitionError: If `content` is neither True nor False.
    """

    @naming_options
    def __init__(
        self,
        *,
        content: bool = False,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._content = flag("content", content)
        self.models = ModelTelemetry(_SCOPE, meter_provider, content=self._content)
        self.meter_provider = meter_provider
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            conventions.MCP_DURATION,
            unit="s",
            description="Duration of an MCP request as the server sees it.",
            explicit_bucket_boundaries_advisory=conventions.MCP_SECONDS,
        )

    def around(self, redact: Redaction) -> Traced:
        """The policy that traces the calls of an entry.

        Args:
            redact: Removes secrets from what spans show.
        """
        return Traced(self, redact)

    def on_request(
        self,
        incoming: IncomingRequest,
        started: float,
        result: Result | None,
        error: ProtocolError | None,
    ) -> None:
        """Record a request that was answered without a handler.

        Args:
            incoming: The request.
            started: When it came, by `time.perf_counter`.
            result: Its result, if it has one.
            error: The error it was answered with, if it was.
        """
        nanoseconds = time.time_ns() - int((time.perf_counter() - started) * 1e9)
        # A name that was refused may be one that the client made up: it must not become a
        # dimension, of which a client could make as many as it likes.
        target = None if error is not None else _target(incoming)
        with self.span(incoming, target, start=nanoseconds) as (span, dimensions):
            if error is not None:
                self.end(span, dimensions, started, CallOutcome.of_error(error), error)
            else:
                assert result is not None, "it is one or the other"
                self.end(span, dimensions, started, CallOutcome.of(result))

    @contextmanager
    def span(
        self, incoming: IncomingRequest, target: Target | None, *, start: int | None = None
    ) -> Iterator[tuple[Span, dict[str, Any]]]:
        """The span of a request, current in what runs in it, and its dimensions in the metrics.

        Args:
            incoming: The request.
            target: What the request is for, if that is known.
            start: When it began, in nanoseconds since the epoch; by default now.
        """
        inner = bool(incoming.path)
        parent, links = (None, []) if inner else _origin(incoming)
        dimensions = _dimensions(incoming, target)
        token = None if parent is None else context.attach(parent)
        try:
            with self._tracer.start_as_current_span(
                _name(incoming, target, inner=inner),
                kind=SpanKind.INTERNAL if inner else SpanKind.SERVER,
                attributes={**dimensions, **_details(incoming)},
                links=links,
                start_time=start,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                # A call within another is part of one request.
                yield span, {} if inner else dimensions
        finally:
            if token is not None:
                context.detach(token)

    @contextmanager
    def model_span(self, traced: GenerativeTrace) -> Iterator[Span]:
        """The span of a call of a model, current in what runs in it.

        Args:
            traced: The call.
        """
        incoming = traced.call.incoming
        parent, links = (None, []) if incoming.path else _origin(incoming)
        token = None if parent is None else context.attach(parent)
        try:
            with self._tracer.start_as_current_span(
                traced.name,
                kind=SpanKind.CLIENT if traced.is_client else SpanKind.INTERNAL,
                attributes=traced.dimensions,
                links=links,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                yield span
        finally:
            if token is not None:
                context.detach(token)

    def end(
        self,
        span: Span,
        dimensions: dict[str, Any],
        started: float,
        outcome: CallOutcome,
        error: BaseException | None = None,
    ) -> None:
        """Note on its span, and in the metrics, how a request ended.

        Args:
            span: The span of the request.
            dimensions: The attributes of its metrics; empty if it is not measured.
            started: When it began, as `time.perf_counter` has it.
            outcome: How it ended.
            error: What it failed with, if that is known.
        """
        further: dict[str, Any] = {}
        if outcome.error is not None:
            further[conventions.ERROR_TYPE] = outcome.error
            message = str(error) if isinstance(error, ProtocolError) else None
            span.set_status(Status(StatusCode.ERROR, message))
        if isinstance(error, ProtocolError):
            further[conventions.RPC_STATUS] = str(error.kind.code)
        span.set_attributes(further)
        if dimensions:
            self._duration.record(time.perf_counter() - started, {**dimensions, **further})

    def show_arguments(self, span: Span, call: Call, redact: Redaction) -> None:
        """Put the arguments of a tool call on its span, if this telemetry shows content.

        Args:
            span: The span of the call.
            call: The call.
            redact: Removes secrets from what spans show.
        """
        if self._content and span.is_recording() and call.method == "tools/call":
            span.set_attribute(conventions.TOOL_ARGUMENTS, to_json(redact(call.arguments)).decode())

    def show_result(self, span: Span, call: Call, result: Result) -> None:
        """Put the result of a tool call on its span, if this telemetry shows content.

        Args:
            span: The span of the call.
            call: The call.
            result: What the tool returned.
        """
        if self._content and span.is_recording() and call.method == "tools/call":
            shown = b"{%b}" % result.members
            span.set_attribute(conventions.TOOL_RESULT, shown.decode())


class Traced:
    """The telemetry around calls."""

    def __init__(self, telemetry: Telemetry, redact: Redaction) -> None:
        self._telemetry = telemetry
        self._redact = redact

    def flow(self, call: Call) -> Flow[Result]:
        generative = GenerativeTrace.of(call)
        if generative is not None:
            return (yield from self._model_flow(call, generative))
        started, telemetry = time.perf_counter(), self._telemetry
        with telemetry.span(call.incoming, _target(call.incoming)) as (span, dimensions):
            telemetry.show_arguments(span, call, self._redact)
            try:
                result = yield from proceed()
            except BaseException as error:
                told = call.recognised(error)
                telemetry.end(span, dimensions, started, CallOutcome.of_error(told), told)
                raise
            telemetry.show_result(span, call, result)
            if "cache" in call.state:
                span.set_attribute("mcp_mount.cache", call.state["cache"])
            telemetry.end(span, dimensions, started, CallOutcome.of(result))
        return result

    def _model_flow(self, call: Call, traced: GenerativeTrace) -> Flow[Result]:
        started, telemetry = time.perf_counter(), self._telemetry
        with telemetry.model_span(traced) as span:
            telemetry.models.begin(span, traced, self._redact)
            further: dict[str, Any] = {}
            try:
                result = yield from proceed()
            except BaseException as error:
                told = call.recognised(error)
                kind = CallOutcome.of_error(told).error
                if kind is not None:
                    # What is refused by an upstream has a number of its own.
                    kind = str(told.status) if isinstance(told, ModelError) else kind
                    further[conventions.ERROR_TYPE] = kind
                    span.set_status(Status(StatusCode.ERROR))
                    span.set_attributes(further)
                telemetry.models.end(span, traced, time.perf_counter() - started, further)
                raise
            telemetry.models.end(span, traced, time.perf_counter() - started, further)
        return result


def _origin(incoming: IncomingRequest) -> tuple[context.Context | None, list[Link]]:
    """The context of the client, if it sends one, and a link to that of the HTTP request."""
    ambient = trace.get_current_span().get_span_context()
    sent = {key: incoming.meta[key] for key in _PROPAGATED if key in incoming.meta}
    if "traceparent" in sent:
        parent = propagate.extract(sent, getter=_STRINGS)
        if trace.get_current_span(parent).get_span_context().is_valid:
            return parent, [Link(ambient)] if ambient.is_valid else []
    if ambient.is_valid or "traceparent" not in incoming.request.headers:
        return None, []
    return propagate.extract(incoming.request.headers, getter=_STRINGS), []


def _target(incoming: IncomingRequest) -> Target | None:
    """What a request is for, as an attribute, if that has few values."""
    attribute = _TARGETS.get(incoming.method)
    name = incoming.params.get("name")
    return (attribute, name) if attribute is not None and isinstance(name, str) else None


def _name(incoming: IncomingRequest, target: Target | None, *, inner: bool) -> str:
    method = incoming.method
    if inner and method == "tools/call":
        method = conventions.EXECUTE_TOOL
    return method if target is None else f"{method} {target[1]}"


def _dimensions(incoming: IncomingRequest, target: Target | None) -> dict[str, Any]:
    """The attributes of spans and metrics alike: each has few values."""
    dimensions: dict[str, Any] = {
        conventions.MCP_METHOD: incoming.method,
        conventions.MCP_REVISION: incoming.revision.name,
        conventions.TRANSPORT: "pipe" if incoming.request.is_trusted_local else "tcp",
    }
    if not incoming.request.is_trusted_local:
        dimensions[conventions.PROTOCOL] = "http"
    if target is not None:
        dimensions[target[0]] = target[1]
    if incoming.method == "tools/call":
        dimensions[conventions.OPERATION] = conventions.EXECUTE_TOOL
    return dimensions


def _details(incoming: IncomingRequest) -> dict[str, Any]:
    """The attributes of spans alone."""
    details: dict[str, Any] = {conventions.RPC_ID: str(incoming.id)}
    named = _target(incoming)
    if named is not None:
        details[named[0]] = named[1]
    uri = incoming.params.get("uri")
    if isinstance(uri, str):
        details[conventions.MCP_RESOURCE] = uri
    if incoming.session is not None:
        details[conventions.MCP_SESSION] = incoming.session
    if incoming.request.address is not None:
        details[conventions.CLIENT_ADDRESS] = incoming.request.address
    return details
