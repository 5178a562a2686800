"""What an MCP client sends and receives: written once, for both kinds of client.

Each request is an operation (`mcp_mount.context.operations`): a generator that yields what its
steps return, plain outcomes for `Client` and awaitables for `AsyncClient`.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from mcp_mount.context.operations import Operation
from mcp_mount.protocol.sessions import SESSION_HEADER
from mcp_mount.protocol.stateless import (
    CAPABILITIES_META,
    CLIENT_INFO_META,
    LOG_LEVEL_META,
    VERSION_META,
)
from mcp_mount.schemas.mirrored import mirrored_parameters
from mcp_mount.testing.answers import Functions
from mcp_mount.testing.http import (
    EventDecoder,
    HTTPError,
    HTTPRequest,
    HTTPResponse,
    RPCError,
    has_answer,
    result_in,
)
from mcp_mount.testing.steps import LoopSteps, ThreadSteps
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
    """The state of one client, and the operations of its requests.

    Args:
        steps: How the client sends requests and waits.
        functions: How the user answers the server's questions.
        revision: The revision of the protocol.
        headers: Sent with each request.
        capabilities: What the client declares.
        log_level: The lowest level of log messages to receive.

    Raises:
        ValueError: If there is no such revision.
    """

    def __init__(
        self,
        *,
        steps: ThreadSteps | LoopSteps,
        functions: Functions,
        revision: str,
        headers: Mapping[str, str],
        capabilities: Mapping[str, Any],
        log_level: str | None,
    ) -> None:
        if revision not in REVISIONS:
            raise ValueError(f"revision must be one of {', '.join(REVISIONS)}, not {revision!r}")
        self.revision = REVISIONS[revision]
        self._steps = steps
        self._functions = functions
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

    def close(self) -> Operation[None]:
        """End the session, if there is one."""
        if self._session is not None:
            yield from self._exchange("DELETE", self._headers())
            self._session = None

    def list_all(self, method: str, member: str) -> Operation[list[dict[str, Any]]]:
        """All entries of a list, page by page.

        Args:
            method: The method of the protocol.
            member: The member of its result that has the entries.
        """
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        while True:
            result = yield from self.request(method, params)
            found += result[member]
            if result.get("nextCursor") is None:
                return found
            params = {"cursor": result["nextCursor"]}

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None) -> Operation[ToolResult]:
        """Call a tool, with its questions, to the end of its task if it becomes one."""
        self._heard = []
        arguments = arguments or {}
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

    def read_resource(self, uri: str) -> Operation[list[dict[str, Any]]]:
        """Read a resource; its contents."""
        result = yield from self.request("resources/read", {"uri": uri})
        return list(result["contents"])

    def get_prompt(
        self, name: str, arguments: Mapping[str, str] | None
    ) -> Operation[list[dict[str, Any]]]:
        """Get a prompt; its messages."""
        params = {"name": name, "arguments": dict(arguments or {})}
        result = yield from self.request("prompts/get", params)
        return list(result["messages"])

    def complete(
        self, reference: str, argument: str, value: str, context: Mapping[str, str] | None
    ) -> Operation[list[str]]:
        """Ask for suggestions (2026-07-28, server/utilities/completion); their values."""
        is_template = "://" in reference
        params: dict[str, Any] = {
            "ref": {"type": "ref/resource", "uri": reference}
            if is_template
            else {"type": "ref/prompt", "name": reference},
            "argument": {"name": argument, "value": value},
        }
        if context:
            params["context"] = {"arguments": dict(context)}
        result = yield from self.request("completion/complete", params)
        return list(result["completion"]["values"])

    def _data(self, name: str, structured: Any) -> Operation[Any]:
        """The value in structured content: wrapped where the schema of the tool says so."""
        if not isinstance(structured, dict) or structured.keys() != {"result"}:
            return structured
        tool = yield from self._tool(name)
        is_wrapped = (tool or {}).get("outputSchema", {}).get("x-fastmcp-wrap-result")
        return structured["result"] if is_wrapped else structured

    def request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        extra: Mapping[str, str] | None = None,
    ) -> Operation[dict[str, Any]]:
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
            result = yield from self._send(method, {**(params or {}), **further}, extra or {})
            if result.get("resultType") != "input_required":
                return result
            responses = yield from self._answers(result["inputRequests"])
            further = {"inputResponses": responses}
            if "requestState" in result:
                further["requestState"] = result["requestState"]
        raise RuntimeError(f"{method} asks without end")

    def _answers(self, requests: Mapping[str, Any]) -> Operation[dict[str, Any]]:
        answers: dict[str, Any] = {}
        for key, request in requests.items():
            answers[key] = yield from self._answer(request)
        return answers

    def _finish_task(self, task: Mapping[str, Any]) -> Operation[dict[str, Any]]:
        params = {"taskId": task["taskId"]}
        answered: set[str] = set()
        while True:
            state = yield from self.request("tasks/get", params)
            if state["status"] == "completed":
                return dict(state["result"])
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
                yield self._steps.pause(min(0.02, state.get("pollIntervalMs", 1000) / 1000))

    def _mirrored(self, name: str, arguments: Mapping[str, Any]) -> Operation[dict[str, str]]:
        """The headers that mirror arguments (2026-07-28), by the definition of the tool."""
        if not self.revision.stateless:
            return {}
        tool = yield from self._tool(name)
        return _mirror(tool["inputSchema"], arguments) if tool is not None else {}

    def _tool(self, name: str) -> Operation[dict[str, Any] | None]:
        """The definition of a tool, if there is one of that name."""
        if self._tools is None or name not in self._tools:
            tools = yield from self.list_all("tools/list", "tools")
            self._tools = {tool["name"]: tool for tool in tools}
        return self._tools.get(name)

    def _initialize(self) -> Operation[None]:
        params = {
            "protocolVersion": self.revision.name,
            "capabilities": self._capabilities,
            "clientInfo": _INFO,
        }
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        response = yield from self._exchange("POST", self._headers(), body)
        result = result_in(response, 0)
        if result["protocolVersion"] != self.revision.name:
            raise RuntimeError(f"The server answers in {result['protocolVersion']}")
        self._session = response.headers[SESSION_HEADER]
        done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        yield from self._exchange("POST", self._headers(), done)
        if self._log_level is not None:
            yield from self._send("logging/setLevel", {"level": self._log_level}, {})

    def _send(
        self, method: str, params: Mapping[str, Any], extra: Mapping[str, str]
    ) -> Operation[dict[str, Any]]:
        message_id = next(self._ids)
        headers = {**self._headers(), **extra}
        if self.revision.stateless:
            params = {**params, "_meta": {**params.get("_meta", {}), **self._meta()}}
            headers |= {"mcp-method": method, "mcp-protocol-version": self.revision.name}
            if method in _NAMES:
                headers["mcp-name"] = _header_value(str(params[_NAMES[method]]))
        body = {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}
        response = yield from self._exchange("POST", headers, body)
        while response.event_id is not None and not has_answer(response, message_id):
            # The server has closed the stream, for its client to resume (2025-11-25,
            # basic/transports, "Resumability and Redelivery").
            yield self._steps.pause(0.01)
            resumed = {**headers, "last-event-id": response.event_id}
            response = yield from self._exchange("GET", resumed)
        return result_in(response, message_id)

    def _exchange(
        self, method: str, headers: dict[str, str], body: Mapping[str, Any] | None = None
    ) -> Operation[HTTPResponse]:
        """One HTTP request and its whole response; questions in it are answered as they come."""
        encoded = b"" if body is None else json.dumps(body).encode()
        messages: list[dict[str, Any]] = []
        manager, opened = yield self._steps.open(HTTPRequest(method, headers, encoded))
        try:
            decoder = EventDecoder(opened.headers)
            while (chunk := (yield self._steps.read(opened))) is not None:
                for message in decoder.feed(chunk):
                    yield from self._receive(message)
                    messages.append(message)
            messages += decoder.end()
        except BaseException:
            yield self._steps.leave(manager, *sys.exc_info())
            raise
        yield self._steps.leave(manager, None, None, None)
        return HTTPResponse(opened.status, opened.headers, messages, decoder.text, decoder.event_id)

    def _receive(self, message: dict[str, Any]) -> Operation[None]:
        """Keep a notification; answer a request of the server by an HTTP request of its own."""
        if "method" not in message:
            return
        if "id" not in message:
            self._heard.append(message)
            return
        value = yield from self._answer(message)
        body = {"jsonrpc": "2.0", "id": message["id"], "result": value}
        yield from self._exchange("POST", self._headers(), body)

    def _answer(self, question: Mapping[str, Any]) -> Operation[Any]:
        """The user's answer to a request of the server, as the protocol has it."""
        method, params = question["method"], question.get("params", {})
        value = yield self._steps.value_of(self._functions.call(method, params))
        return self._functions.result(method, params, value)

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


__all__ = ["LATEST", "Conversation", "HTTPError", "HTTPRequest", "RPCError", "ToolResult"]
