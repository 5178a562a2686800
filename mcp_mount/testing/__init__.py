"""Clients for your own tests: they call an application in this process, with or without sessions.

    with Client(app, elicit=lambda question: {"sure": True}) as client:
        assert client.call_tool("close_ticket", {"number": 7}).text == "Closed"

`app` is an MCPServer, or the application that it is mounted in: Django's, Flask's, Starlette's,
for WSGI or for ASGI. No network, no server process: `Client` calls a WSGI application, and a
server alone, on the thread of the test, so that they share its database transaction; an ASGI
application runs on a loop in the background. `AsyncClient` is for tests that are coroutines.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypedDict

from typing_extensions import Self, Unpack

from mcp_mount.base import MCPServer
from mcp_mount.context.operations import perform, perform_async
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount.testing.answers import Functions
from mcp_mount.testing.conversation import (
    LATEST,
    Conversation,
    HTTPError,
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
from mcp_mount.testing.steps import LoopSteps, ThreadSteps
from mcp_mount.wire.tokens import AccessToken, tokens_of_tests

__all__ = ["AsyncClient", "Client", "ClientOptions", "HTTPError", "RPCError", "ToolResult"]


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


class ClientOptions(TypedDict, total=False):
    """What every client for tests takes besides its application and `headers`.

    Attributes:
        path: Where MCP is in the application; by default "/mcp".
        revision: The revision of the protocol.
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

    path: str
    revision: str
    token: str | AccessToken | None
    log_level: str | None
    tasks: bool
    elicit: Callable[[Mapping[str, Any]], Any] | None
    sample: Callable[[Mapping[str, Any]], Any] | None
    roots: Sequence[str] | None


class _Client:
    """What both kinds of client are made of."""

    def __init__(
        self,
        app: Any,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        refuse_unknown("A client for tests has no option", options, ClientOptions.__annotations__)
        functions = Functions(options.get("elicit"), options.get("sample"), options.get("roots"))
        path = options.get("path")
        self._app = app
        self._token = _Token(options.get("token"))
        self._conversation = Conversation(
            steps=self._steps_to(app, path_of(app) if path is None else path),
            functions=functions,
            revision=options.get("revision", LATEST.name),
            headers={**self._token.headers, **(headers or {})},
            capabilities=functions.capabilities(tasks=options.get("tasks", False)),
            log_level=options.get("log_level"),
        )

    def _steps_to(self, app: Any, path: str) -> ThreadSteps | LoopSteps:
        raise NotImplementedError


class Client(_Client):
    """A client for tests that are plain functions.

    Within `with`, the lifespan of an ASGI application, and of a server, runs.

    Args:
        app: The application.
        headers: Sent with each request, such as "Authorization" or "Cookie".
        options: See `ClientOptions`.

    Raises:
        DefinitionError: If there is no such option.
    """

    def _steps_to(self, app: Any, path: str) -> ThreadSteps:
        if isinstance(app, MCPServer):
            return ThreadSteps(WSGIClient(app.wsgi, path))
        if takes_asgi(app):
            return ThreadSteps(BlockingASGIClient(app, path, lambda: self._running.state))
        return ThreadSteps(WSGIClient(app, path))

    @cached_property
    def _running(self) -> RunningElsewhere:
        return RunningElsewhere(self._app)

    def __enter__(self) -> Self:
        self._running.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, if there is one, and the lifespan of the application."""
        try:
            perform(self._conversation.close())
        finally:
            self._token.forget()
            self._running.stop()

    def list_tools(self) -> list[dict[str, Any]]:
        """List the tools of the server, from all pages (2026-07-28, server/tools).

        Returns:
            The definitions as on the wire, each with its "name".

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return perform(self._conversation.list_all("tools/list", "tools"))

    def list_resources(self) -> list[dict[str, Any]]:
        """List the resources of the server, from all pages (2026-07-28, server/resources).

        Returns:
            The definitions as on the wire, each with its "uri".

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return perform(self._conversation.list_all("resources/list", "resources"))

    def list_resource_templates(self) -> list[dict[str, Any]]:
        """List the resource templates of the server, from all pages (2026-07-28, server/resources).

        Returns:
            The definitions as on the wire, each with its "uriTemplate".

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        operation = self._conversation.list_all("resources/templates/list", "resourceTemplates")
        return perform(operation)

    def list_prompts(self) -> list[dict[str, Any]]:
        """List the prompts of the server, from all pages (2026-07-28, server/prompts).

        Returns:
            The definitions as on the wire, each with its "name".

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return perform(self._conversation.list_all("prompts/list", "prompts"))

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Call a tool and wait for its result, through all questions.

        Args:
            name: The name of the tool.
            arguments: By their names.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return perform(self._conversation.call_tool(name, arguments))

    def read_resource(self, uri: str) -> list[dict[str, Any]]:
        """The contents of a resource, each with its "text" or "blob".

        Args:
            uri: Its URI.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return perform(self._conversation.read_resource(uri))

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
        return perform(self._conversation.get_prompt(name, arguments))

    def complete(
        self,
        reference: str,
        argument: str,
        value: str,
        context: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Suggest values of an argument (2026-07-28, server/utilities/completion).

        Args:
            reference: The name of a prompt, or the URI template of a resource template.
            argument: The name of the argument.
            value: What has been typed so far.
            context: The other arguments that have values already.

        Returns:
            The suggested values.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return perform(self._conversation.complete(reference, argument, value, context))

    def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send any other request; its result.

        Args:
            method: The method of the protocol.
            params: Its parameters.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return perform(self._conversation.request(method, params))


class AsyncClient(_Client):
    """`Client`, with its arguments, for tests that are coroutines.

    `elicit` and `sample` may be coroutine functions.
    """

    def _steps_to(self, app: Any, path: str) -> LoopSteps:
        self._http = ASGIClient(app, path, lambda: self._running.state)
        return LoopSteps(self._http)

    @cached_property
    def _running(self) -> Running:
        return Running(self._app)

    async def __aenter__(self) -> Self:
        await self._running.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session, if there is one, and the lifespan of the application."""
        try:
            await perform_async(self._conversation.close())
        finally:
            self._token.forget()
            await self._http.close()
            await self._running.stop()

    async def list_tools(self) -> list[dict[str, Any]]:
        """List the tools of the server, from all pages (2026-07-28, server/tools).

        Returns:
            The definitions as on the wire, each with its "name".

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return await perform_async(self._conversation.list_all("tools/list", "tools"))

    async def list_resources(self) -> list[dict[str, Any]]:
        """List the resources of the server, from all pages (2026-07-28, server/resources).

        Returns:
            The definitions as on the wire, each with its "uri".

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return await perform_async(self._conversation.list_all("resources/list", "resources"))

    async def list_resource_templates(self) -> list[dict[str, Any]]:
        """List the resource templates of the server, from all pages (2026-07-28, server/resources).

        Returns:
            The definitions as on the wire, each with its "uriTemplate".

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        operation = self._conversation.list_all("resources/templates/list", "resourceTemplates")
        return await perform_async(operation)

    async def list_prompts(self) -> list[dict[str, Any]]:
        """List the prompts of the server, from all pages (2026-07-28, server/prompts).

        Returns:
            The definitions as on the wire, each with its "name".

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return await perform_async(self._conversation.list_all("prompts/list", "prompts"))

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Call a tool and wait for its result, through all questions.

        Args:
            name: The name of the tool.
            arguments: By their names.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return await perform_async(self._conversation.call_tool(name, arguments))

    async def read_resource(self, uri: str) -> list[dict[str, Any]]:
        """The contents of a resource, each with its "text" or "blob".

        Args:
            uri: Its URI.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return await perform_async(self._conversation.read_resource(uri))

    async def get_prompt(
        self, name: str, arguments: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """The messages of a prompt.

        Args:
            name: Its name.
            arguments: By their names.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return await perform_async(self._conversation.get_prompt(name, arguments))

    async def complete(
        self,
        reference: str,
        argument: str,
        value: str,
        context: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Suggest values of an argument (2026-07-28, server/utilities/completion).

        Args:
            reference: The name of a prompt, or the URI template of a resource template.
            argument: The name of the argument.
            value: What has been typed so far.
            context: The other arguments that have values already.

        Returns:
            The suggested values.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return await perform_async(self._conversation.complete(reference, argument, value, context))

    async def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send any other request; its result.

        Args:
            method: The method of the protocol.
            params: Its parameters.

        Raises:
            RPCError: If the server answers with a JSON-RPC error.
        """
        return await perform_async(self._conversation.request(method, params))
