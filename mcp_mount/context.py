"""What a handler may ask for while it runs: progress, log messages, the request, the client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from mcp_mount.protocol.calls import LOG_LEVELS, AsyncChannel, Incoming, SyncChannel
from mcp_mount.protocol.errors import ClientError
from mcp_mount.protocol.messages import MessageId, encode_notification
from mcp_mount.protocol.questions import Dialogue, Inquiry

_RANK: Final = {level: rank for rank, level in enumerate(LOG_LEVELS)}


T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Elicited(Generic[T]):
    """A person's answer. action: "accept", "decline" or "cancel"; data: what was accepted."""

    action: str
    data: T | None = None


class _Call:
    """What both kinds of context know about the call."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._asked = 0

    @property
    def request_id(self) -> MessageId:
        """The JSON-RPC id of the request."""
        return self._incoming.id

    @property
    def request(self) -> Any:
        """The host framework's own request: Django's, Flask's, Starlette's."""
        return self._incoming.request.native()

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers, names in lower case."""
        return self._incoming.request.headers

    @property
    def protocol_version(self) -> str:
        """The revision in use, such as "2026-07-28"."""
        return self._incoming.revision.name

    @property
    def client_info(self) -> Mapping[str, Any]:
        """Name and version that the client gave; unverified."""
        return self._incoming.client.info

    @property
    def client_capabilities(self) -> Mapping[str, Any]:
        return self._incoming.client.capabilities

    @property
    def meta(self) -> Mapping[str, Any]:
        """The request's `_meta`."""
        return self._incoming.meta

    def _progress(self, progress: float, total: float | None, message: str | None) -> bytes | None:
        token = self._incoming.meta.get("progressToken")
        if not isinstance(token, str | int):
            return None
        params: dict[str, Any] = {"progressToken": token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        return encode_notification("notifications/progress", params)

    def _log(self, level: str, data: Any, logger_name: str | None) -> bytes | None:
        if level not in _RANK:
            raise ValueError(f"level must be one of {', '.join(LOG_LEVELS)}, not {level!r}")
        least = self._incoming.log_level
        if least is None or _RANK[level] < _RANK[least]:
            return None
        params: dict[str, Any] = {"level": level, "data": data}
        if logger_name is not None:
            params["logger"] = logger_name
        return encode_notification("notifications/message", params)

    def _dialogue(self) -> Dialogue:
        if self._incoming.dialogue is None:
            raise ClientError("Over plain HTTP there is no client to ask")
        return self._incoming.dialogue

    def _key(self, key: str | None, kind: str) -> str:
        """The key of a question: stable from one run of the handler to the next."""
        self._asked += 1
        return key or f"{kind}-{self._asked}"


class Context(_Call):
    """The context of an `async def` handler: ask for it with a parameter `ctx: Context`.

    What it sends reaches the client at once, if the client takes an event stream; the reply then
    becomes one. A message that the client did not ask for is dropped.
    """

    def __init__(self, incoming: Incoming, channel: AsyncChannel) -> None:
        super().__init__(incoming)
        self._channel = channel

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far the call is; `progress` must grow from one report to the next."""
        await self._send(self._progress(progress, total, message))

    async def log(self, level: str, data: Any, *, logger_name: str | None = None) -> None:
        """Send a log message. Raises ValueError for a level that the protocol does not have."""
        await self._send(self._log(level, data, logger_name))

    async def debug(self, data: Any) -> None:
        await self.log("debug", data)

    async def info(self, data: Any) -> None:
        await self.log("info", data)

    async def warning(self, data: Any) -> None:
        await self.log("warning", data)

    async def error(self, data: Any) -> None:
        await self.log("error", data)

    async def elicit(self, message: str, schema: type[T], *, key: str | None = None) -> Elicited[T]:
        """Ask the person at the client to fill in `schema`, a flat pydantic model.

        In 2026-07-28 the handler ends here, and runs again from its start when the answer has
        come: what it does above a question, it does again. key: the name of the question on the
        wire, by default its number. Raises ClientError if the client cannot, or does not, answer.
        """
        key = self._key(key, "elicitation")
        answer: Elicited[T] = (await self.ask({key: elicitation(message, schema)}))[key]
        return answer

    async def sample(
        self, message: str, *, max_tokens: int = 1024, key: str | None = None
    ) -> Mapping[str, Any]:
        """Ask the client's model to answer a message; at most `max_tokens` tokens.

        Returns the `CreateMessageResult`; all else is as with `elicit`.
        """
        key = self._key(key, "sampling")
        answer: Mapping[str, Any] = (
            await self.ask({key: sampling(message, max_tokens=max_tokens)})
        )[key]
        return answer

    async def list_roots(self, *, key: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Ask the client for its roots; all else is as with `elicit`."""
        key = self._key(key, "roots")
        answer: Sequence[Mapping[str, Any]] = (await self.ask({key: roots()}))[key]
        return answer

    async def ask(self, inquiries: Mapping[str, Inquiry[Any]]) -> dict[str, Any]:
        """Put several questions, made by `elicitation`, `sampling` and `roots`, at once.

        Returns the answers by their keys; all else is as with `elicit`.
        """
        dialogue = self._dialogue()
        known = dialogue.known(inquiries)
        if known is not None:
            return known
        answers: dict[str, Any] = {}
        for key, inquiry in inquiries.items():
            question = dialogue.put(inquiry)
            try:
                await self._channel.ask(question)
                answers[key] = question.result()
            finally:
                question.close()
        return answers

    async def _send(self, message: bytes | None) -> None:
        if message is not None:
            await self._channel.send(message)


class SyncContext(_Call):
    """The context of a `def` handler: ask for it with a parameter `ctx: SyncContext`.

    Its methods are those of `Context`, as plain calls.
    """

    def __init__(self, incoming: Incoming, channel: SyncChannel) -> None:
        super().__init__(incoming)
        self._channel = channel

    @property
    def cancelled(self) -> bool:
        """Whether the client has left, so that nobody waits for the result.

        A long-running function looks here, for a thread cannot be stopped. Under WSGI the server
        finds out at the next write only, which then ends the function.
        """
        return self._channel.closed

    def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far the call is; `progress` must grow from one report to the next."""
        self._send(self._progress(progress, total, message))

    def log(self, level: str, data: Any, *, logger_name: str | None = None) -> None:
        """Send a log message. Raises ValueError for a level that the protocol does not have."""
        self._send(self._log(level, data, logger_name))

    def debug(self, data: Any) -> None:
        self.log("debug", data)

    def info(self, data: Any) -> None:
        self.log("info", data)

    def warning(self, data: Any) -> None:
        self.log("warning", data)

    def error(self, data: Any) -> None:
        self.log("error", data)

    def elicit(self, message: str, schema: type[T], *, key: str | None = None) -> Elicited[T]:
        """Ask the person at the client to fill in `schema`, a flat pydantic model.

        In 2026-07-28 the handler ends here, and runs again from its start when the answer has
        come: what it does above a question, it does again. key: the name of the question on the
        wire, by default its number. Raises ClientError if the client cannot, or does not, answer.
        In the handshake revisions the answer is another HTTP request: under WSGI, the web server
        needs more than one thread.
        """
        key = self._key(key, "elicitation")
        answer: Elicited[T] = self.ask({key: elicitation(message, schema)})[key]
        return answer

    def sample(
        self, message: str, *, max_tokens: int = 1024, key: str | None = None
    ) -> Mapping[str, Any]:
        """Ask the client's model to answer a message; at most `max_tokens` tokens.

        Returns the `CreateMessageResult`; all else is as with `elicit`.
        """
        key = self._key(key, "sampling")
        answer: Mapping[str, Any] = self.ask({key: sampling(message, max_tokens=max_tokens)})[key]
        return answer

    def list_roots(self, *, key: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Ask the client for its roots; all else is as with `elicit`."""
        key = self._key(key, "roots")
        answer: Sequence[Mapping[str, Any]] = self.ask({key: roots()})[key]
        return answer

    def ask(self, inquiries: Mapping[str, Inquiry[Any]]) -> dict[str, Any]:
        """Put several questions, made by `elicitation`, `sampling` and `roots`, at once.

        Returns the answers by their keys; all else is as with `elicit`.
        """
        dialogue = self._dialogue()
        known = dialogue.known(inquiries)
        if known is not None:
            return known
        answers: dict[str, Any] = {}
        for key, inquiry in inquiries.items():
            question = dialogue.put(inquiry)
            try:
                self._channel.ask(question)
                answers[key] = question.result()
            finally:
                question.close()
        return answers

    def _send(self, message: bytes | None) -> None:
        if message is not None:
            self._channel.send(message)


def elicitation(message: str, schema: type[T]) -> Inquiry[Elicited[T]]:
    """A question to the person: a message, and a flat pydantic model to fill in."""

    def read(answer: Any) -> Elicited[T]:
        result = _object(answer)
        action = result.get("action")
        if action not in ("accept", "decline", "cancel"):
            raise ClientError("The client's answer has no valid action")
        if action != "accept":
            return Elicited(action)
        try:
            return Elicited(action, schema.model_validate(result.get("content") or {}))
        except ValidationError as error:
            raise ClientError(f"The client's answer does not fit: {error}") from None

    params = {"mode": "form", "message": message, "requestedSchema": _flat_schema(schema)}
    return Inquiry("elicitation/create", params, "elicitation", read)


def sampling(message: str, *, max_tokens: int = 1024) -> Inquiry[Mapping[str, Any]]:
    """A question to the client's model."""
    content = {"type": "text", "text": message}
    params = {"messages": [{"role": "user", "content": content}], "maxTokens": max_tokens}
    return Inquiry("sampling/createMessage", params, "sampling", _object)


def roots() -> Inquiry[Sequence[Mapping[str, Any]]]:
    """The question for the client's roots."""

    def read(answer: Any) -> Sequence[Mapping[str, Any]]:
        listed = _object(answer).get("roots")
        if not isinstance(listed, list):
            raise ClientError("The client's answer has no roots")
        return listed

    return Inquiry("roots/list", {}, "roots", read)


def _flat_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The schema of a form: an object of simple fields, without references."""
    whole = schema.model_json_schema()
    definitions = whole.get("$defs", {})
    properties = {
        name: _inlined(field, definitions) for name, field in whole.get("properties", {}).items()
    }
    flat: dict[str, Any] = {"type": "object", "properties": properties}
    if "required" in whole:
        flat["required"] = whole["required"]
    return flat


def _inlined(field: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A field with the definition that it refers to in its place (an enum, say)."""
    own = dict(field)
    reference = own.pop("$ref", None)
    if reference is not None:
        own = {**definitions[reference.removeprefix("#/$defs/")], **own}
    if isinstance(own.get("items"), dict):
        own["items"] = _inlined(own["items"], definitions)
    return own


def _object(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise ClientError("The client's answer is not an object")
    return answer
