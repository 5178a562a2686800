"""Clients for your own tests: they call an application in this process, with or without sessions.

    with Client(app, elicit=lambda question: {"sure": True}) as client:
        assert client.call_tool("close_ticket", {"number": 7}).text == "Closed"

`app` is an MCPServer, or the application that it is mounted in: Django's, Flask's, Starlette's,
for WSGI or for ASGI. No network, no server process: `Client` calls a WSGI application, and a
server alone, on the thread of the test, so that they share its database transaction; an ASGI
application runs on a loop in the background. `AsyncClient` is for tests that are coroutines.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any

from typing_extensions import Self

from mcp_mount.base import MCPServer
from mcp_mount.calls.flows import awaited
from mcp_mount.testing.conversation import (
    LATEST,
    Ask,
    Conversation,
    EventDecoder,
    Flow,
    Functions,
    HTTPError,
    HTTPRequest,
    HTTPResponse,
    RPCError,
    ToolResult,
)
from mcp_mount.testing.inprocess import (
    ASGIClient,
    BlockingASGIClient,
    Running,
    RunningElsewhere,
    WSGIClient,
    path_of,
    takes_asgi,
)
from mcp_mount.transports import background
from mcp_mount.wire.tokens import AccessToken, tokens_of_tests

__all__ = ["AsyncClient", "Client", "HTTPError", "RPCError", "ToolResult"]


class _Token:
    """What a client sends for its caller, and how a server of this process knows it."""

    def __init__(self, token: str | AccessToken | None) -> None:
        self._own = None
        if isinstance(token, AccessToken):
            self._own = f"{secrets.token_urlsafe(32)}"
            tokens_of_tests[self._own] = token
            token = self._own
        self.headers = {} if token is None else {"authorization": f"Bearer {token}"}

    def forget(self) -> None:
        """Let nobody in by it any more."""
        if self._own is not None:
            tokens_of_tests.pop(self._own, None)


class _Client:
    """What both kinds of client are made of."""

    def __init__(
        self,
        app: Any,
        *,
        path: str | None = None,
        revision: str = LATEST.name,
        headers: Mapping[str, str] | None = None,
        token: str | AccessToken | None = None,
        log_level: str | None = None,
        tasks: bool = False,
        elicit: Callable[[Mapping[str, Any]], Any] | None = None,
        sample: Callable[[Mapping[str, Any]], Any] | None = None,
        roots: Sequence[str] | None = None,
    ) -> None:
        self._functions = Functions(elicit, sample, roots)
        self._token = _Token(token)
        self._conversation = Conversation(
            revision=revision,
            headers={**self._token.headers, **(headers or {})},
            capabilities=self._functions.capabilities(tasks=tasks),
            log_level=log_level,
        )
        self._app = app
        self._connect(app, path_of(app) if path is None else path)

    def _connect(self, app: Any, path: str) -> None:
        raise NotImplementedError

    def _complete(
        self, reference: str, argument: str, value: str, context: Mapping[str, str] | None
    ) -> Flow:
        is_template = "://" in reference
        params: dict[str, Any] = {
            "ref": {"type": "ref/resource", "uri": reference}
            if is_template
            else {"type": "ref/prompt", "name": reference},
            "argument": {"name": argument, "value": value},
        }
        if context:
            params["context"] = {"arguments": dict(context)}
        result = yield from self._conversation.request("completion/complete", params)
        return result["completion"]["values"]

    def _read(self, uri: str) -> Flow:
        result = yield from self._conversation.request("resources/read", {"uri": uri})
        return result["contents"]

    def _get_prompt(self, name: str, arguments: Mapping[str, str] | None) -> Flow:
        params = {"name": name, "arguments": dict(arguments or {})}
        result = yield from self._conversation.request("prompts/get", params)
        return result["messages"]


class Client(_Client):
    """A client for tests that are plain functions.

    Within `with`, the lifespan of an ASGI application, and of a server, runs.

    Args:
        app: The application.
        path: Where MCP is in it; by default "/mcp".
        revision: The revision of the protocol.
        headers: Sent with each request, such as "Authorization" or "Cookie".
        token: An access token or API key, or an `AccessToken`, which servers with `auth=` accept
            without verification.
        log_level: The lowest level of log messages to receive.
        tasks: Whether the client supports tasks, for which it then waits.
        elicit: Answers forms: takes the parameters of the question, and returns its content, or
            None to decline; plain or coroutine function. Without it the client does not declare
            elicitation.
        sample: Answers for the model: takes the parameters, and returns a text; likewise.
        roots: The URIs of the client's roots; likewise.
    """

    def _connect(self, app: Any, path: str) -> None:
        self._http: WSGIClient | BlockingASGIClient
        if isinstance(app, MCPServer):
            self._http = WSGIClient(app.wsgi, path)
        elif takes_asgi(app):
            self._http = BlockingASGIClient(app, path, lambda: self._running.state)
        else:
            self._http = WSGIClient(app, path)

    @cached_property
    def _running(self) -> RunningElsewhere:
        return RunningElsewhere(self._app)

    def __enter__(self) -> Self:
        self._running.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session, if there is one, and the lifespan of the application."""
        try:
            self._run(self._conversation.close())
        finally:
            self._token.forget()
            self._running.stop()

    def list_tools(self) -> list[dict[str, Any]]:
        return list(self._run(self._conversation.list_all("tools/list", "tools")))

    def list_resources(self) -> list[dict[str, Any]]:
        return list(self._run(self._conversation.list_all("resources/list", "resources")))

    def list_resource_templates(self) -> list[dict[str, Any]]:
        flow = self._conversation.list_all("resources/templates/list", "resourceTemplates")
        return list(self._run(flow))

    def list_prompts(self) -> list[dict[str, Any]]:
        return list(self._run(self._conversation.list_all("prompts/list", "prompts")))

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Call a tool and wait for its result, through all questions.

        Args:
            name: The name of the tool.
            arguments: By their names.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        result: ToolResult = self._run(self._conversation.call_tool(name, arguments or {}))
        return result

    def read_resource(self, uri: str) -> list[dict[str, Any]]:
        """The contents of a resource, each with its "text" or "blob".

        Args:
            uri: Its URI.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return list(self._run(self._read(uri)))

    def get_prompt(
        self, name: str, arguments: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """The messages of a prompt.

        Args:
            name: Its name.
            arguments: By their names.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return list(self._run(self._get_prompt(name, arguments)))

    def complete(
        self,
        reference: str,
        argument: str,
        value: str,
        context: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Suggestions for an argument of a prompt, or of a resource template (by its URI)."""
        return list(self._run(self._complete(reference, argument, value, context)))

    def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send any other request; its result.

        Args:
            method: The method of the protocol.
            params: Its parameters.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return dict(self._run(self._conversation.request(method, params or {})))

    def _run(self, flow: Flow) -> Any:
        value: Any = None
        while True:
            try:
                step = flow.send(value)
            except StopIteration as end:
                return end.value
            value = None
            if isinstance(step, HTTPRequest):
                value = self._send(step)
            elif isinstance(step, Ask):
                value = self._answer(step)
            else:
                time.sleep(step.seconds)

    def _send(self, request: HTTPRequest) -> HTTPResponse:
        messages: list[dict[str, Any]] = []
        with self._http.open(request) as opened:
            decoder = EventDecoder(opened.headers)
            for chunk in opened.chunks:
                for message in decoder.feed(chunk):
                    self._hear(message)
                    messages.append(message)
            messages += decoder.end()
        return HTTPResponse(opened.status, opened.headers, messages, decoder.text, decoder.event_id)

    def _hear(self, message: dict[str, Any]) -> None:
        ask = self._conversation.hear(message)
        if ask is not None:
            self._send(self._conversation.answer(message, self._answer(ask)))

    def _answer(self, ask: Ask) -> Any:
        value = self._functions.call(ask)
        if inspect.isawaitable(value):
            value = background.spawn(awaited(value))[0].result()
        return self._functions.result(ask, value)


class AsyncClient(_Client):
    """`Client`, with its arguments, for tests that are coroutines.

    `elicit` and `sample` may be coroutine functions.
    """

    def _connect(self, app: Any, path: str) -> None:
        self._http = ASGIClient(app, path, lambda: self._running.state)

    @cached_property
    def _running(self) -> Running:
        return Running(self._app)

    async def __aenter__(self) -> Self:
        await self._running.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session, if there is one, and the lifespan of the application."""
        try:
            await self._run(self._conversation.close())
        finally:
            self._token.forget()
            await self._http.close()
            await self._running.stop()

    async def list_tools(self) -> list[dict[str, Any]]:
        return list(await self._run(self._conversation.list_all("tools/list", "tools")))

    async def list_resources(self) -> list[dict[str, Any]]:
        return list(await self._run(self._conversation.list_all("resources/list", "resources")))

    async def list_resource_templates(self) -> list[dict[str, Any]]:
        flow = self._conversation.list_all("resources/templates/list", "resourceTemplates")
        return list(await self._run(flow))

    async def list_prompts(self) -> list[dict[str, Any]]:
        return list(await self._run(self._conversation.list_all("prompts/list", "prompts")))

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Call a tool: see `Client.call_tool`."""
        result: ToolResult = await self._run(self._conversation.call_tool(name, arguments or {}))
        return result

    async def read_resource(self, uri: str) -> list[dict[str, Any]]:
        """Read a resource: see `Client.read_resource`."""
        return list(await self._run(self._read(uri)))

    async def get_prompt(
        self, name: str, arguments: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Get a prompt: see `Client.get_prompt`."""
        return list(await self._run(self._get_prompt(name, arguments)))

    async def complete(
        self,
        reference: str,
        argument: str,
        value: str,
        context: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Suggestions for an argument of a prompt, or of a resource template (by its URI)."""
        return list(await self._run(self._complete(reference, argument, value, context)))

    async def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send any other request: see `Client.request`."""
        return dict(await self._run(self._conversation.request(method, params or {})))

    async def _run(self, flow: Flow) -> Any:
        value: Any = None
        while True:
            try:
                step = flow.send(value)
            except StopIteration as end:
                return end.value
            value = None
            if isinstance(step, HTTPRequest):
                value = await self._send(step)
            elif isinstance(step, Ask):
                value = await self._answer(step)
            else:
                await asyncio.sleep(step.seconds)

    async def _send(self, request: HTTPRequest) -> HTTPResponse:
        messages: list[dict[str, Any]] = []
        async with self._http.open(request) as opened:
            decoder = EventDecoder(opened.headers)
            async for chunk in opened.chunks:
                for message in decoder.feed(chunk):
                    await self._hear(message)
                    messages.append(message)
            messages += decoder.end()
        return HTTPResponse(opened.status, opened.headers, messages, decoder.text, decoder.event_id)

    async def _hear(self, message: dict[str, Any]) -> None:
        ask = self._conversation.hear(message)
        if ask is not None:
            await self._send(self._conversation.answer(message, await self._answer(ask)))

    async def _answer(self, ask: Ask) -> Any:
        value = self._functions.call(ask)
        if inspect.isawaitable(value):
            value = await value
        return self._functions.result(ask, value)
