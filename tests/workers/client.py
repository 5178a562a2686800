"""A client of which each request has a connection of its own, so that any worker gets it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from tests.requests import JSON_HEADERS, initialize, message, meta, session_headers, stateless

SECONDS = 20
TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}}
CAPABILITIES = {"elicitation": {}, "sampling": {}, "roots": {}}


class Stream:
    """A response, event by event."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self.status = response.status
        self.headers = response.headers
        self.last_id: str | None = None

    def events(self) -> Iterator[Any]:
        """The messages of the events, until the response ends."""
        data = b""
        while line := self._response.readline():
            if line.startswith(b"data: {"):
                data = line[6:]
            elif line.startswith(b"id: "):
                self.last_id = line[4:].decode().strip()
            elif not line.strip() and data:
                yield json.loads(data)
                data = b""

    def body(self) -> Any:
        """The only message of a response that is no stream, or the last one of one that is."""
        if "event-stream" in (self.headers["content-type"] or ""):
            return list(self.events())[-1]
        text = self._response.read()
        return json.loads(text) if text else None

    def close(self) -> None:
        self._response.close()
        self._connection.close()


class Client:
    """Sends requests to a port.

    Args:
        port: Of the workers.
        connect: Makes a connection, where there is something else in front of them.
    """

    def __init__(self, port: int, connect: Callable[[], HTTPConnection] | None = None) -> None:
        self._connect = connect or (lambda: HTTPConnection("127.0.0.1", port, timeout=SECONDS))

    def send(self, method: str, headers: dict[str, str], body: bytes | None = None) -> Stream:
        """Send a request, on a connection of its own."""
        connection = self._connect()
        connection.request(method, "/mcp", body, {**headers, "connection": "close"})
        return Stream(connection, connection.getresponse())

    def post(self, headers: dict[str, str], value: Any) -> Stream:
        return self.send("POST", headers, json.dumps(value).encode())

    def ask(self, headers: dict[str, str], value: Any) -> Any:
        """The answer to a message, whole."""
        stream = self.post(headers, value)
        try:
            return stream.body()
        finally:
            stream.close()

    def open(self) -> dict[str, str]:
        """The headers of a new session."""
        stream = self.send("POST", dict(JSON_HEADERS), initialize(capabilities=CAPABILITIES))
        stream.body()
        stream.close()
        session = session_headers(stream.headers["mcp-session-id"])
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert self.status(session, ready) == 202
        return session

    def status(self, headers: dict[str, str], value: Any) -> int:
        stream = self.post(headers, value)
        stream.close()
        return stream.status

    def stateless(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """The result of a request of 2026-07-28, or its error."""
        given = {"_meta": meta(capabilities=TASKS), **(params or {})}
        stream = self.send("POST", *stateless(method, given))
        try:
            answer = stream.body()
        finally:
            stream.close()
        return answer.get("result", answer)

    def call(self, session: dict[str, str], tool: str, **arguments: Any) -> Stream:
        """The response to a call in a session."""
        meta = {"progressToken": "p"}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        return self.post(session, message("tools/call", params, id=7))

    def task(self, task_id: str, *until: str) -> Any:
        """A task, once it has one of these states."""
        deadline = time.monotonic() + SECONDS
        while True:
            seen = self.stateless("tasks/get", {"taskId": task_id})
            if seen.get("status") in until:
                return seen
            assert "error" not in seen or "status" in seen, seen
            assert time.monotonic() < deadline, seen
            time.sleep(0.02)
