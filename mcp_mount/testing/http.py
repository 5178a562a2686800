"""Requests and responses of the clients for tests, and what JSON-RPC messages are in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_mount.wire.messages import EVENT_STREAM, JSON


class RPCError(Exception):
    """A JSON-RPC error that the server answered with."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error.get('message')} ({error.get('code')})")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


class HTTPError(Exception):
    """An HTTP response that is no answer: a login page, a 404, a 500.

    Attributes:
        status: The HTTP status.
        headers: By names in lower case.
        body: As text.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        hint = " (is MCP there? path= says where it is)" if status == 404 else ""
        super().__init__(f"HTTP {status}{hint}: {body[:200]}")
        self.status = status
        self.headers = headers
        self.body = body


@dataclass(slots=True)
class HTTPRequest:
    """A request, to the path that its client is for."""

    method: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(slots=True)
class HTTPResponse:
    """A finished response: the messages that came in it, or its text if it had none.

    Attributes:
        event_id: The id of its last event, from which its stream can be resumed.
    """

    status: int
    headers: Mapping[str, str]
    messages: list[dict[str, Any]]
    text: str = ""
    event_id: str | None = None


@dataclass(slots=True)
class Opened:
    """A response that has begun."""

    status: int
    headers: dict[str, str]
    chunks: Any


class EventDecoder:
    """Takes the chunks of a response apart into JSON-RPC messages."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._kind = headers.get("content-type", "").partition(";")[0]
        self._rest = b""
        self.text = ""
        self.event_id: str | None = None

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are complete with this chunk."""
        self._rest += chunk
        while self._kind == EVENT_STREAM and b"\n\n" in self._rest:
            event, _, self._rest = self._rest.partition(b"\n\n")
            for line in event.splitlines():
                name, _, value = line.partition(b":")
                if name == b"id":
                    self.event_id = value.strip().decode()
                if name == b"data" and value.strip():
                    yield json.loads(value)

    def end(self) -> Iterator[dict[str, Any]]:
        """The message of a response that is no stream; `text` has what is none."""
        if self._kind == JSON and self._rest:
            value = json.loads(self._rest)
            if isinstance(value, dict) and "jsonrpc" in value:
                yield value
                return
        self.text = self._rest.decode(errors="replace")


def has_answer(response: HTTPResponse, message_id: int) -> bool:
    return any("method" not in one and one.get("id") == message_id for one in response.messages)


def result_in(response: HTTPResponse, message_id: int) -> dict[str, Any]:
    """The result with an id among the messages.

    Raises:
        RPCError: If the server answered with a JSON-RPC error.
        HTTPError: If the response has no such message.
    """
    for message in response.messages:
        if "method" in message or message.get("id") not in (message_id, None):
            continue
        if "error" in message:
            raise RPCError(message["error"])
        result: dict[str, Any] = message["result"]
        return result
    raise HTTPError(response.status, response.headers, response.text)
