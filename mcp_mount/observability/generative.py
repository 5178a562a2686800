"""Spans and metrics of chat models, by OpenTelemetry's conventions for generative AI.

The conventions are in development: all their names stand in this module.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics
from pydantic_core import to_json

from mcp_mount.features.models import ModelCall
from mcp_mount.llm.answers import ChatCompletion, Delta
from mcp_mount.llm.models import Pieces

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span

_OPERATION: Final = "gen_ai.operation.name"
_PROVIDER: Final = "gen_ai.provider.name"
_REQUEST_MODEL: Final = "gen_ai.request.model"
_RESPONSE_MODEL: Final = "gen_ai.response.model"
_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
_CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
_COST: Final = "operation.cost"
"""No attribute of the conventions: it is what Logfire shows."""
_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105
_INPUT_MESSAGES: Final = "gen_ai.input.messages"
_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"

_OPTIONS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "stop": "gen_ai.request.stop_sequences",
    "seed": "gen_ai.request.seed",
}
"""The attributes of options of a request."""

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)

_OWN: Final = "mcp_mount"
"""The provider of models that are functions, or routes to others."""


def name_of(call: ModelCall) -> str:
    """The name of the span of a call."""
    return f"chat {call.model.name}"


def dimensions_of(call: ModelCall) -> dict[str, Any]:
    """The attributes of the spans and metrics of a call alike."""
    return {
        _OPERATION: "chat",
        _PROVIDER: getattr(call.model.model, "provider", _OWN),
        _REQUEST_MODEL: call.model.name,
    }


def is_client(call: ModelCall) -> bool:
    """Whether the model is in another process, of which this one is a client."""
    return hasattr(call.model.model, "provider")


class ModelTelemetry:
    """Notes what chat models were asked and have answered.

    Args:
        scope: The name of the instrumentation.
        provider: Of the metrics.
        content: Whether spans show what was said.
    """

    def __init__(self, scope: str, provider: MeterProvider | None, *, content: bool) -> None:
        self._content = content
        meter = metrics.get_meter(scope, meter_provider=provider)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="Duration of a request to a model.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of requests to models, and of their answers.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="Time until the first piece of a streamed answer.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    def begin(self, span: Span, call: ModelCall) -> FirstPiece | None:
        """Note what a model is asked.

        Args:
            span: The span of the call.
            call: The call.

        Returns:
            What knows when the first piece of a streamed answer comes.
        """
        request = call.asked.request
        for option, attribute in _OPTIONS.items():
            value = getattr(request, option)
            if value is not None:
                span.set_attribute(attribute, value)
        if self._content and span.is_recording():
            span.set_attribute(_INPUT_MESSAGES, to_json(request.dumped_messages()).decode())
        if not request.stream:
            return None
        first = FirstPiece(call.asked.pieces)
        call.asked.pieces = first
        return first

    def end(
        self,
        span: Span,
        call: ModelCall,
        seconds: float,
        first: FirstPiece | None,
        error: dict[str, Any],
    ) -> None:
        """Note what a model has answered.

        Args:
            span: The span of the call.
            call: The call, which has ended.
            seconds: How long it took.
            first: What `begin` has returned.
            error: The attributes of its failure; empty without one.
        """
        dimensions = {**dimensions_of(call), **error}
        completion = None if error else call.known_completion()
        if completion is not None:
            dimensions[_RESPONSE_MODEL] = completion.model or call.model.name
            self._note(span, completion, call.used()[1])
        if call.is_within_model:
            # Its tokens and its time are those of the model that has asked it.
            return
        self._duration.record(seconds, dimensions)
        if first is not None and first.after is not None:
            self._first_chunk.record(first.after, dimensions)
        if completion is not None and completion.usage is not None:
            for kind, count in (
                ("input", completion.usage.input_tokens),
                ("output", completion.usage.output_tokens),
            ):
                self._tokens.record(count, {**dimensions, _TOKEN_TYPE: kind})

    def _note(self, span: Span, completion: ChatCompletion, cost: float | None) -> None:
        attributes: dict[str, Any] = {
            _FINISH_REASONS: [one.finish for one in completion.choices],
        }
        if completion.model is not None:
            attributes[_RESPONSE_MODEL] = completion.model
        usage = completion.usage
        if usage is not None:
            attributes[_INPUT_TOKENS] = usage.input_tokens
            attributes[_OUTPUT_TOKENS] = usage.output_tokens
            if usage.cached_tokens:
                attributes[_CACHED_TOKENS] = usage.cached_tokens
        if cost is not None:
            attributes[_COST] = cost
        if self._content and span.is_recording():
            said = [
                {
                    "role": "assistant",
                    "content": one.text,
                    "tool_calls": [[call.name, call.arguments] for call in one.tool_calls],
                }
                for one in completion.choices
            ]
            attributes[_OUTPUT_MESSAGES] = to_json(said).decode()
        span.set_attributes(attributes)


class FirstPiece:
    """Passes pieces on, and knows when the first one came.

    Args:
        pieces: Takes the pieces.

    Attributes:
        after: After how many seconds the first one came; None before.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._started = time.perf_counter()
        self.after: float | None = None

    async def put(self, delta: Delta) -> None:
        """Take a piece."""
        if self.after is None:
            self.after = time.perf_counter() - self._started
        await self._pieces.put(delta)

    def put_from_thread(self, delta: Delta) -> None:
        """Take a piece, on a thread."""
        if self.after is None:
            self.after = time.perf_counter() - self._started
        self._pieces.put_from_thread(delta)
