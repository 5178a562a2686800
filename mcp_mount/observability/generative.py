"""Spans and metrics of models, by OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics
from pydantic_core import to_json

from mcp_mount.llm.models import traits_of
from mcp_mount.observability import conventions
from mcp_mount.observability.operations import (
    Attributes,
    GenerativeCall,
    GenerativeOperation,
    operation_of,
)
from mcp_mount.observability.records import Redaction

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span

_OWN: Final = "mcp_mount"
"""The provider of models that are functions, or routes to others."""


class GenerativeTrace:
    """The telemetry of one call of a model.

    Args:
        call: The call.
        operation: What it says of itself.

    Attributes:
        name: The name of its span.
        is_client: Whether the model is in another process, of which this one is a client.
        dimensions: The attributes of its span and metrics alike.
    """

    def __init__(self, call: GenerativeCall, operation: GenerativeOperation) -> None:
        backend = operation.backend()
        self.call = call
        self.operation = operation
        self.name = f"{operation.name} {call.model.name}"
        traits = traits_of(backend)
        self.is_client = traits.provider is not None
        self.dimensions: Attributes = {
            conventions.OPERATION: operation.name,
            conventions.PROVIDER: traits.provider or _OWN,
            conventions.REQUEST_MODEL: call.model.name,
        }
        if traits.address is not None:
            host, port = traits.address
            self.dimensions[conventions.SERVER_ADDRESS] = host
            self.dimensions[conventions.SERVER_PORT] = port
        self.first: FirstPiece | None = None

    @classmethod
    def of(cls, call: Any) -> GenerativeTrace | None:
        """That of a call; None if it is none of a model."""
        operation = operation_of(call)
        return None if operation is None else cls(call, operation)


class ModelTelemetry:
    """Notes what models were asked and have answered.

    Args:
        scope: The name of the instrumentation.
        provider: Of the metrics.
        content: Whether spans show what was said.
    """

    def __init__(self, scope: str, provider: MeterProvider | None, *, content: bool) -> None:
        self._content = content
        meter = metrics.get_meter(scope, meter_provider=provider)
        self._duration = meter.create_histogram(
            conventions.DURATION,
            unit="s",
            description="Duration of a request to a model.",
            explicit_bucket_boundaries_advisory=conventions.SECONDS,
        )
        self._tokens = meter.create_histogram(
            conventions.TOKEN_USAGE,
            unit="{token}",
            description="Tokens of requests to models, and of their answers.",
            explicit_bucket_boundaries_advisory=conventions.TOKENS,
        )
        self._first_chunk = meter.create_histogram(
            conventions.TIME_TO_FIRST_CHUNK,
            unit="s",
            description="Time until the first piece of a streamed answer.",
            explicit_bucket_boundaries_advisory=conventions.SECONDS,
        )

    def begin(self, span: Span, trace: GenerativeTrace, redact: Redaction) -> None:
        """Note what a model is asked.

        Args:
            span: The span of the call.
            trace: The call.
            redact: Leaves secrets out of the request.
        """
        operation = trace.operation
        invocation = operation.invocation
        if span.is_recording():
            span.set_attributes(operation.request())
            if self._content:
                span.set_attributes(_json(operation.said_in(redact)))
        if invocation is not None and invocation.request.stream:
            span.set_attribute(conventions.STREAM, True)
            trace.first = invocation.pieces = FirstPiece(invocation.pieces)

    def end(self, span: Span, trace: GenerativeTrace, seconds: float, error: Attributes) -> None:
        """Note what a model has answered.

        Args:
            span: The span of the call.
            trace: The call, which has ended.
            seconds: How long it took.
            error: The attributes of its failure; empty without one.
        """
        operation, dimensions = trace.operation, {**trace.dimensions, **error}
        response = None if error else operation.response()
        usage = None
        after = None if trace.first is None else trace.first.after
        if after is not None:
            span.set_attribute(conventions.FIRST_CHUNK, after)
        if response is not None:
            usage = operation.usage()
            dimensions[conventions.RESPONSE_MODEL] = operation.answerer() or trace.call.model.name
            self._note(span, trace, response)
        if operation.is_within_model:
            # Its tokens and its time are those of the model that has asked it.
            return
        self._duration.record(seconds, dimensions)
        if after is not None:
            self._first_chunk.record(after, dimensions)
        if usage is not None:
            counts = {"input": usage.input_tokens}
            if operation.name != conventions.EMBEDDINGS:
                counts["output"] = usage.output_tokens
            for kind, count in counts.items():
                self._tokens.record(count, {**dimensions, conventions.TOKEN_TYPE: kind})

    def _note(self, span: Span, trace: GenerativeTrace, attributes: Attributes) -> None:
        operation = trace.operation
        answerer = operation.answerer()
        if answerer is not None:
            attributes[conventions.RESPONSE_MODEL] = answerer
        usage = operation.usage()
        if usage is not None:
            attributes[conventions.INPUT_TOKENS] = usage.input_tokens
            if operation.name != conventions.EMBEDDINGS:
                attributes[conventions.OUTPUT_TOKENS] = usage.output_tokens
            if usage.cached_tokens:
                attributes[conventions.CACHED_TOKENS] = usage.cached_tokens
            if usage.reasoning_tokens:
                attributes[conventions.REASONING_TOKENS] = usage.reasoning_tokens
        cost = trace.call.used()[1]
        if cost is not None:
            attributes[conventions.COST] = cost
        if self._content and span.is_recording():
            attributes |= _json(operation.said_out())
        span.set_attributes(attributes)


class FirstPiece:
    """Passes pieces on, and knows when the first one came.

    Args:
        pieces: Takes the pieces, of an answer or of a picture.

    Attributes:
        after: After how many seconds the first one came; None before.
    """

    def __init__(self, pieces: Any) -> None:
        self._pieces = pieces
        self._started = time.perf_counter()
        self.after: float | None = None

    async def put(self, delta: Any) -> None:
        """Take a piece."""
        if self.after is None:
            self.after = time.perf_counter() - self._started
        await self._pieces.put(delta)

    def put_from_thread(self, delta: Any) -> None:
        """Take a piece, on a thread."""
        if self.after is None:
            self.after = time.perf_counter() - self._started
        self._pieces.put_from_thread(delta)


def _json(said: Attributes) -> dict[str, str]:
    """As spans have it: not all backends take values that have a structure, and all take JSON."""
    return {
        name: to_json(value, inf_nan_mode="constants", serialize_unknown=True).decode()
        for name, value in said.items()
    }
