"""What an MCP client says and hears, without I/O: one description for both kinds of client.

A flow is a generator: it yields what it needs (an HTTP request, an answer, a pause), gets it sent,
and returns its result.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from mcp_mount.protocol.sessions import SESSION_HEADER
from mcp_mount.protocol.stateless import (
    CAPABILITIES_META,
    CLIENT_INFO_META,
    LOG_LEVEL_META,
    VERSION_META,
)
from mcp_mount.schemas.mirrored import mirrored_parameters
from mcp_mount.wire.extensions import TASKS
from mcp_mount.wire.messages import EVENT_STREAM, JSON, plain
from mcp_mount.wire.revisions import LATEST, REVISIONS

_INFO: Final = {"name": "mcp_mount.testing", "version": "1"}
_NAMES: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
_MAX_ROUNDS: Final = 20


class RPCError(Exception):
    """A JSON-RPC error that the server answered with."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error.get('message')} ({error.get('code')})")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


class HTTPError(Exception):
    """An HTTP response that is no answer: a login page, a 404, a 500."""

    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        hint = " (is MCP there? path= says where it is)" if status == 404 else ""
        super().__init__(f"HTTP {status}{hint}: {body[:200]}")
        self.status = status
        self.headers = headers
        self.body = body


@dataclass(slots=True)
class HTTPRequest:
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
class Ask:
    """A question of the server, for the functions that the user of the client gave."""

    method: str
    params: Mapping[str, Any]


@dataclass(slots=True)
class Sleep:
    seconds: float


Flow: TypeAlias = Generator[HTTPRequest | Ask | Sleep, Any, Any]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered.

    Attributes:
        content: The content blocks, as data.
        structured: The structured content, always an object.
        is_error: Whether the tool reported a failure.
        meta: The `_meta` of the result.
        notifications: The progress and log messages that came meanwhile.
        data: The value that the tool returned, without the object that wraps a value which is not
            an object.
    """

    content: list[dict[str, Any]]
    structured: Any = None
    is_error: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)
    notifications: Sequence[Mapping[str, Any]] = ()
    data: Any = None

    @property
    def text(self) -> str:
        """All text blocks, line by line."""
        return "\n".join(block["text"] for block in self.content if block["type"] == "text")

    @property
    def progress(self) -> list[float]:
        """The progress that was reported."""
        return [
            one["params"]["progress"]
            for one in self.notifications
            if one["method"] == "notifications/progress"
        ]

    @property
    def logs(self) -> list[tuple[str, Any]]:
        """The log messages, as level and data."""
        return [
            (one["params"]["level"], one["params"]["data"])
            for one in self.notifications
            if one["method"] == "notifications/message"
        ]


class Conversation:
    """The state of one client, and the flows of its requests."""

    def __init__(
        self,
        *,
        revision: str,
        headers: Mapping[str, str],
        capabilities: Mapping[str, Any],
        log_level: str | None,
    ) -> None:
        if revision not in REVISIONS:
            raise ValueError(f"revision must be one of {', '.join(REVISIONS)}, not {revision!r}")
        self.revision = REVISIONS[revision]
        self._own_headers = {name.lower(): value for name, value in headers.items()}
        self._capabilities = dict(capabilities)
        self._log_level = log_level
        self._session: str | None = None
        self._ids = count(1)
        self._tools: dict[str, dict[str, Any]] | None = None
        self._heard: list[dict[str, Any]] = []

    def send_always(self, headers: Mapping[str, str]) -> None:
        """Send more headers with each request; those that were given come first."""
        lowered = {name.lower(): value for name, value in headers.items()}
        self._own_headers = {**lowered, **self._own_headers}

    def close(self) -> Flow:
        """End the session, if there is one."""
        if self._session is not None:
            yield HTTPRequest("DELETE", self._headers())
            self._session = None

    def hear(self, message: dict[str, Any]) -> Ask | None:
        """Take a message in; what must be asked the user of the client to answer it."""
        if "method" not in message:
            return None
        if "id" in message:
            return Ask(message["method"], message.get("params", {}))
        self._heard.append(message)
        return None

    def answer(self, message: Mapping[str, Any], value: Any) -> HTTPRequest:
        """The request that brings the answer to a question of the server."""
        body = {"jsonrpc": "2.0", "id": message["id"], "result": value}
        return HTTPRequest("POST", self._headers(), json.dumps(body).encode())

    def list_all(self, method: str, member: str) -> Flow:
        """All entries of a list, page by page."""
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        while True:
            result = yield from self.request(method, params)
            found += result[member]
            if result.get("nextCursor") is None:
                return found
            params = {"cursor": result["nextCursor"]}

    def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Flow:
        self._heard = []
        extra = yield from self._mirrored(name, arguments)
        params = {"name": name, "arguments": plain(arguments), "_meta": {"progressToken": 1}}
        result = yield from self.request("tools/call", params, extra)
        if result.get("resultType") == "task":
            result = yield from self._finish_task(result)
        return ToolResult(
            result.get("content", []),
            result.get("structuredContent"),
            result.get("isError", False),
            result.get("_meta", {}),
            tuple(self._heard),
            (yield from self._data(name, result.get("structuredContent"))),
        )

    def _data(self, name: str, structured: Any) -> Flow:
        """The value in structured content: wrapped where the schema of the tool says so."""
        if not isinstance(structured, dict) or structured.keys() != {"result"}:
            return structured
        tool = yield from self._tool(name)
        is_wrapped = (tool or {}).get("outputSchema", {}).get("x-fastmcp-wrap-result")
        return structured["result"] if is_wrapped else structured

    def request(
        self, method: str, params: Mapping[str, Any], extra: Mapping[str, str] | None = None
    ) -> Flow:
        """The result of a request, after as many rounds as it takes.

        Args:
            method: The method of the protocol.
            params: Its parameters.
            extra: Additional headers.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        if not self.revision.stateless and self._session is None:
            yield from self._initialize()
        further: dict[str, Any] = {}
        for _ in range(_MAX_ROUNDS):
            result = yield from self._send(method, {**params, **further}, extra or {})
            if result.get("resultType") != "input_required":
                return result
            responses = yield from self._answers(result["inputRequests"])
            further = {"inputResponses": responses}
            if "requestState" in result:
                further["requestState"] = result["requestState"]
        raise RuntimeError(f"{method} asks without end")

    def _answers(self, requests: Mapping[str, Any]) -> Flow:
        answers: dict[str, Any] = {}
        for key, request in requests.items():
            answers[key] = yield Ask(request["method"], request["params"])
        return answers

    def _finish_task(self, task: Mapping[str, Any]) -> Flow:
        params = {"taskId": task["taskId"]}
        answered: set[str] = set()
        while True:
            state = yield from self.request("tasks/get", params)
            if state["status"] == "completed":
                return state["result"]
            if state["status"] == "failed":
                raise RPCError(state["error"])
            if state["status"] == "cancelled":
                raise RuntimeError("The task was cancelled")
            requests = state.get("inputRequests", {})
            fresh = {key: requests[key] for key in requests if key not in answered}
            if fresh:
                answered |= set(fresh)
                responses = yield from self._answers(fresh)
                yield from self.request("tasks/update", {**params, "inputResponses": responses})
            else:
                yield Sleep(min(0.02, state.get("pollIntervalMs", 1000) / 1000))

    def _mirrored(self, name: str, arguments: Mapping[str, Any]) -> Flow:
        """The headers that mirror arguments (2026-07-28), by the definition of the tool."""
        if not self.revision.stateless:
            return {}
        tool = yield from self._tool(name)
        return _mirror(tool["inputSchema"], arguments) if tool is not None else {}

    def _tool(self, name: str) -> Flow:
        """The definition of a tool, if there is one of that name."""
        if self._tools is None or name not in self._tools:
            tools = yield from self.list_all("tools/list", "tools")
            self._tools = {tool["name"]: tool for tool in tools}
        return self._tools.get(name)

    def _initialize(self) -> Flow:
        params = {
            "protocolVersion": self.revision.name,
            "capabilities": self._capabilities,
            "clientInfo": _INFO,
        }
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        response = yield HTTPRequest("POST", self._headers(), json.dumps(body).encode())
        result = _result(response, 0)
        if result["protocolVersion"] != self.revision.name:
            raise RuntimeError(f"The server answers in {result['protocolVersion']}")
        self._session = response.headers[SESSION_HEADER]
        done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        yield HTTPRequest("POST", self._headers(), json.dumps(done).encode())
        if self._log_level is not None:
            yield from self._send("logging/setLevel", {"level": self._log_level}, {})

    def _send(self, method: str, params: Mapping[str, Any], extra: Mapping[str, str]) -> Flow:
        message_id = next(self._ids)
        headers = {**self._headers(), **extra}
        if self.revision.stateless:
            params = {**params, "_meta": {**params.get("_meta", {}), **self._meta()}}
            headers |= {"mcp-method": method, "mcp-protocol-version": self.revision.name}
            if method in _NAMES:
                headers["mcp-name"] = _header_value(str(params[_NAMES[method]]))
        body = {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}
        response = yield HTTPRequest("POST", headers, json.dumps(body).encode())
        while response.event_id is not None and not _has_answer(response, message_id):
            # The server has sent its client away, to come back.
            yield Sleep(0.01)
            response = yield HTTPRequest("GET", {**headers, "last-event-id": response.event_id})
        return _result(response, message_id)

    def _meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = {
            VERSION_META: self.revision.name,
            CAPABILITIES_META: self._capabilities,
            CLIENT_INFO_META: _INFO,
        }
        if self._log_level is not None:
            meta[LOG_LEVEL_META] = self._log_level
        return meta

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": JSON, "accept": f"{JSON}, {EVENT_STREAM}", **self._own_headers}
        if self._session is not None:
            headers |= {
                SESSION_HEADER: self._session,
                "mcp-protocol-version": self.revision.name,
            }
        return headers


@dataclass(frozen=True, slots=True)
class Functions:
    """How the user of a client answers questions; a client cannot be asked what is None.

    Attributes:
        elicit: Gets the parameters of the question; returns the content of the form (a mapping or a
            pydantic model), None to decline, or a whole result with an "action".
        sample: Gets the parameters; returns a text or a whole result.
        roots: URIs.
    """

    elicit: Callable[[Mapping[str, Any]], Any] | None = None
    sample: Callable[[Mapping[str, Any]], Any] | None = None
    roots: Sequence[str] | None = None

    def capabilities(self, *, tasks: bool) -> dict[str, Any]:
        """What a client with these functions declares."""
        declared: dict[str, Any] = {}
        if self.elicit is not None:
            declared["elicitation"] = {"form": {}, "url": {}}
        if self.sample is not None:
            declared["sampling"] = {"tools": {}}
        if self.roots is not None:
            declared["roots"] = {}
        if tasks:
            declared["extensions"] = {TASKS: {}}
        return declared

    def call(self, ask: Ask) -> Any:
        """What the function for a question returns: perhaps an awaitable."""
        if ask.method == "elicitation/create" and self.elicit is not None:
            return self.elicit(ask.params)
        if ask.method == "sampling/createMessage" and self.sample is not None:
            return self.sample(ask.params)
        if ask.method == "roots/list" and self.roots is not None:
            return self.roots
        raise RuntimeError(f"The server asks {ask.method}, which this client has no function for")

    @staticmethod
    def result(ask: Ask, value: Any) -> Any:
        """The result on the wire for what a function returned."""
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", by_alias=True)
        if ask.method == "roots/list":
            return {"roots": [{"uri": uri} for uri in value]}
        if ask.method == "sampling/createMessage":
            if isinstance(value, str):
                content = {"type": "text", "text": value}
                return {"role": "assistant", "model": "test", "content": content}
            return value
        if value is None:
            return {"action": "decline"}
        if "action" in value and set(value) <= {"action", "content"}:
            return value
        if ask.params.get("mode") == "url":
            return {"action": "accept"}
        return {"action": "accept", "content": value}


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


def _has_answer(response: HTTPResponse, message_id: int) -> bool:
    return any("method" not in one and one.get("id") == message_id for one in response.messages)


def _result(response: HTTPResponse, message_id: int) -> dict[str, Any]:
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


def _mirror(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for parameter in mirrored_parameters(schema):
        value: Any = arguments
        for name in parameter.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            headers[parameter.header] = _header_value(text)
    return headers


def _header_value(text: str) -> str:
    """A value as a header has it: what no header can hold, in Base64 (2026-07-28)."""
    fits = text.isascii() and text.isprintable() and text == text.strip(" ")
    if fits and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


__all__ = ["LATEST", "Conversation", "Functions", "HTTPError", "RPCError", "ToolResult"]
