"""What calls of models say of themselves, in the words of OpenTelemetry's conventions: a class for
each kind of call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from mcp_mount.calls.call import Call
from mcp_mount.features.chat import ChatCall
from mcp_mount.features.embeddings import EmbeddingCall
from mcp_mount.features.images import ImageCall, usage_of
from mcp_mount.llm.answers import Usage
from mcp_mount.llm.models import traits_of
from mcp_mount.observability import conventions, conversations
from mcp_mount.observability.records import Redaction

GenerativeCall: TypeAlias = ChatCall | EmbeddingCall | ImageCall

Attributes: TypeAlias = dict[str, Any]


class GenerativeOperation(Protocol):
    """A call of a model.

    Attributes:
        name: The name of the operation.
        asked: What takes the pieces of the answer, as `asked.pieces`; None if it has none.
        is_within_model: Whether another model asks it, for its own answer.
    """

    name: str
    invocation: Any
    is_within_model: bool

    def backend(self) -> Any:
        """What answers."""

    def request(self) -> Attributes:
        """What is asked."""

    def response(self) -> Attributes | None:
        """What was answered, but for its tokens; None if the model has given no answer."""

    def usage(self) -> Usage | None:
        """The tokens of the answer, if they are known."""

    def answerer(self) -> str | None:
        """The name of the model that has answered, if it is another one than was asked."""

    def said_in(self, redact: Redaction) -> Attributes:
        """What was said to the model, as values of JSON."""

    def said_out(self) -> Attributes:
        """What it has said, as values of JSON."""


class _Chat:
    name = conventions.CHAT

    def __init__(self, call: ChatCall) -> None:
        self._call = call
        self.invocation = call.invocation
        self.is_within_model = call.is_within_model

    def backend(self) -> Any:
        return self._call.model.chat

    def request(self) -> Attributes:
        request = self.invocation.request
        given = {**(request.model_extra or {}), **{name: getattr(request, name) for name in _OWN}}
        attributes = {
            attribute: given[option]
            for option, attribute in conventions.REQUEST_OPTIONS.items()
            if isinstance(given.get(option), int | float | list)
        }
        if request.n != 1:
            attributes[conventions.CHOICES] = request.n
        wanted = (request.response_format or {}).get("type")
        if wanted in conventions.OUTPUT_TYPES:
            attributes[conventions.OUTPUT_TYPE] = conventions.OUTPUT_TYPES[wanted]
        return attributes

    def response(self) -> Attributes | None:
        completion = self._call.known_answer()
        if completion is None:
            return None
        return {conventions.FINISH_REASONS: [one.finish for one in completion.choices]}

    def usage(self) -> Usage | None:
        completion = self._call.known_answer()
        return None if completion is None else completion.usage

    def answerer(self) -> str | None:
        completion = self._call.known_answer()
        return None if completion is None else completion.model

    def said_in(self, redact: Redaction) -> Attributes:
        request, said = self.invocation.request, Attributes()
        given = redact({"messages": request.dumped_messages(), "tools": request.tools or []})
        messages, tools = given["messages"], given["tools"]
        if isinstance(messages, list):
            # Those that are part of the conversation belong to it, say the conventions.
            is_apart = traits_of(self.backend()).has_system_apart
            said[conventions.INPUT_MESSAGES] = conversations.input_messages(
                messages, with_system=not is_apart
            )
            instructions = conversations.instructions_in(messages) if is_apart else []
            if instructions:
                said[conventions.INSTRUCTIONS] = instructions
        if tools and isinstance(tools, list):
            said[conventions.TOOL_DEFINITIONS] = conversations.tool_definitions(tools)
        return said

    def said_out(self) -> Attributes:
        completion = self._call.known_answer()
        if completion is None:
            return {}
        return {conventions.OUTPUT_MESSAGES: conversations.output_messages(completion)}


_OWN: Final = ("temperature", "top_p", "max_tokens", "stop", "seed")
"""The options that have an attribute of a request."""


class _Embedding:
    """The conventions record no texts of such calls."""

    name = conventions.EMBEDDINGS
    invocation = None
    is_within_model = False

    def __init__(self, call: EmbeddingCall) -> None:
        self._call = call

    def backend(self) -> Any:
        return self._call.model.embedding

    def request(self) -> Attributes:
        wanted = (self._call.arguments or {}).get("dimensions")
        return {conventions.DIMENSIONS: wanted} if isinstance(wanted, int) else {}

    def response(self) -> Attributes | None:
        known = self._call.known_answer()
        if known is None:
            return None
        return {conventions.DIMENSIONS: len(known.vectors[0])} if known.vectors else {}

    def usage(self) -> Usage | None:
        known = self._call.known_answer()
        return None if known is None else known.usage

    def answerer(self) -> str | None:
        known = self._call.known_answer()
        return None if known is None else known.model

    def said_in(self, redact: Redaction) -> Attributes:
        return {}

    def said_out(self) -> Attributes:
        return {}


class _Image:
    name = conventions.IMAGE
    is_within_model = False

    def __init__(self, call: ImageCall) -> None:
        self._call = call
        self.invocation = call.invocation

    def backend(self) -> Any:
        backend = self._call.model.image
        return getattr(backend, "backend", backend)

    def request(self) -> Attributes:
        return {conventions.OUTPUT_TYPE: conventions.OUTPUT_TYPES["image"]}

    def response(self) -> Attributes | None:
        return None if self._call.known_answer() is None else {}

    def usage(self) -> Usage | None:
        picture = self._call.known_answer()
        used = None if picture is None else usage_of(picture)
        return used if used != Usage() else None

    def answerer(self) -> str | None:
        return None

    def said_in(self, redact: Redaction) -> Attributes:
        request = self.invocation.request
        given: Mapping[str, Any] = redact({"prompt": request.prompt})
        shown = conversations.picture_asked(given["prompt"], request.images)
        return {conventions.INPUT_MESSAGES: shown}

    def said_out(self) -> Attributes:
        picture = self._call.known_answer()
        if picture is None:
            return {}
        return {conventions.OUTPUT_MESSAGES: conversations.picture_drawn(picture)}


def operation_of(call: Call) -> GenerativeOperation | None:
    """What a call of a model says of itself; None for other calls."""
    if isinstance(call, ChatCall):
        return _Chat(call)
    if isinstance(call, EmbeddingCall):
        return _Embedding(call)
    return _Image(call) if isinstance(call, ImageCall) else None
