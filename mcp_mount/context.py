"""What a handler may ask for while it runs: progress, log messages, the request, the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from mcp_mount.protocol.calls import LOG_LEVELS, AsyncChannel, Incoming, SyncChannel
from mcp_mount.protocol.errors import ClientError
from mcp_mount.protocol.messages import MessageId, encode_notification
from mcp_mount.protocol.questions import CAPABILITIES, Question

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

    @property
    def request_id(self) -> MessageId:
        """The JSON-RPC id of the request."""
        return self._incoming.id

    @property
    def request(self) -> Any:
        """The host framework's own request: Django's, Flask's, Starlette's."""
        return self._incoming.request.native

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

    def _ask(self, method: str, params: Mapping[str, Any]) -> Question:
        """A question for the client; raises ClientError if it cannot be asked."""
        capability = CAPABILITIES[method]
        if self._incoming.ask is None:
            raise ClientError(
                f"Revision {self.protocol_version} has no live requests to clients, and this "
                f"version of mcp-mount does not ask by multi round-trip results yet"
            )
        if capability not in self.client_capabilities:
            raise ClientError(f"The client does not support {capability}")
        return self._incoming.ask(method, params)


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

    async def elicit(self, message: str, schema: type[T]) -> Elicited[T]:
        """Ask the person at the client to fill in `schema`, a flat pydantic model.

        Handshake revisions only, so far. Raises ClientError if the client cannot, or does not,
        answer, or answers with what does not fit the schema.
        """
        question = self._ask("elicitation/create", elicitation_params(message, schema))
        return read_elicitation(await self._answer(question), schema)

    async def sample(self, message: str, *, max_tokens: int = 1024) -> Mapping[str, Any]:
        """Ask the client's model to answer a message; at most `max_tokens` tokens.

        Returns the `CreateMessageResult`. Handshake revisions only, so far. Raises ClientError if
        the client cannot, or does not, answer.
        """
        question = self._ask("sampling/createMessage", sampling_params(message, max_tokens))
        return read_object(await self._answer(question))

    async def _answer(self, question: Question) -> Any:
        try:
            await self._channel.ask(question)
            return question.result()
        finally:
            question.close()

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

    def elicit(self, message: str, schema: type[T]) -> Elicited[T]:
        """Ask the person at the client to fill in `schema`, a flat pydantic model.

        Handshake revisions only, so far. Raises ClientError if the client cannot, or does not,
        answer, or answers with what does not fit the schema. Under WSGI the answer is another
        request: the web server needs more than one thread.
        """
        question = self._ask("elicitation/create", elicitation_params(message, schema))
        return read_elicitation(self._answer(question), schema)

    def sample(self, message: str, *, max_tokens: int = 1024) -> Mapping[str, Any]:
        """Ask the client's model to answer a message; at most `max_tokens` tokens.

        Returns the `CreateMessageResult`. Handshake revisions only, so far. Raises ClientError if
        the client cannot, or does not, answer.
        """
        question = self._ask("sampling/createMessage", sampling_params(message, max_tokens))
        return read_object(self._answer(question))

    def _answer(self, question: Question) -> Any:
        try:
            self._channel.ask(question)
            return question.result()
        finally:
            question.close()

    def _send(self, message: bytes | None) -> None:
        if message is not None:
            self._channel.send(message)


def elicitation_params(message: str, schema: type[BaseModel]) -> dict[str, Any]:
    return {"message": message, "requestedSchema": schema.model_json_schema()}


def read_elicitation(answer: Any, schema: type[T]) -> Elicited[T]:
    result = read_object(answer)
    action = result.get("action")
    if action not in ("accept", "decline", "cancel"):
        raise ClientError("The client's answer has no valid action")
    if action != "accept":
        return Elicited(action)
    try:
        return Elicited(action, schema.model_validate(result.get("content") or {}))
    except ValidationError as error:
        raise ClientError(f"The client's answer does not fit: {error}") from None


def sampling_params(message: str, max_tokens: int) -> dict[str, Any]:
    content = {"type": "text", "text": message}
    return {"messages": [{"role": "user", "content": content}], "maxTokens": max_tokens}


def read_object(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise ClientError("The client's answer is not an object")
    return answer
