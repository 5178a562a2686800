"""HTTP routes of ours as calls: what is declared around a router holds there as over MCP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import Request
from pydantic_core import from_json

from mcp_mount.calls.call import Call, Policy
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.features import Registry, Tool, ToolError
from mcp_mount.routes.gate import hooks_of, incoming_of, runner_of
from mcp_mount.routes.parts import registry_of
from mcp_mount.schemas.arguments import InvalidArguments
from mcp_mount.transports.asgi import run_calls
from mcp_mount.transports.scopes import read_headers, request_of
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.revisions import Revision


class HTTPCall:
    """One call of an HTTP route, within all that is declared around it, and how it ended.

    Its value is data in JSON form, so that a cache can keep it.
    """

    def __init__(self, request: Request, method: str, name: str, registry: Registry) -> None:
        """Prepare a call.

        Args:
            request: What is answered.
            method: How logs and audits name the kind of call, such as "images/generations".
            name: Of what is called.
            registry: That of the router.
        """
        self.failure: Exception | None = None
        self._request = request
        self._method = method
        self._name = name
        self._whole = registry_of(request, registry)
        self._own = registry

    async def function(
        self, function: Callable[[], Awaitable[Any]], arguments: Mapping[str, Any]
    ) -> Any:
        """What a coroutine function returns that is no entry of the registry.

        Raises whatever ends the call.
        """
        incoming = await self._incoming()
        call = Call(
            incoming,
            function,
            is_async=True,
            encode=partial(self._encode, lambda value: value),
            recover=self._recover,
            policies=self._policies(),
            arguments=arguments,
        )
        return await self._run(call)

    async def tool(self, arguments: Mapping[str, Any], shape: Callable[[Any], Any]) -> Any:
        """The value of a tool, which `shape` brings into JSON form. Raises whatever ends the
        call."""
        tool: Tool = self._whole.tools[self._name]
        incoming = await self._incoming()
        encode_value = partial(self._encode, shape)
        call = tool.call(incoming, arguments, encode=encode_value, recover=self._recover)
        return await self._run(call)

    async def _incoming(self) -> IncomingRequest:
        read = request_of(self._request.scope, read_headers(self._request.scope))
        read.body = await self._request.body()
        incoming = incoming_of(read, self._name, self._whole, hooks_of(self._request))
        return replace(incoming, method=self._method)

    def _policies(self) -> Sequence[Policy]:
        declared = self._own.policies_within(self._whole)
        return () if declared is None else declared.chain

    async def _run(self, call: Call) -> Any:
        await run_calls([call], runner_of(self._request), self._request.receive)
        if call.result is None and call.failure is None and call.error is None:
            raise ToolError("The client has left")
        result = call.finish()
        if self.failure is not None:
            raise self.failure
        return from_json(b"{%b}" % result.members)["value"]

    def _encode(self, shape: Callable[[Any], Any], value: Any, revision: Revision) -> Result:
        return Result(b'"value":%b' % encode(shape(value)))

    def _recover(self, call: Call, error: Exception) -> Result:
        self.failure = error
        if not isinstance(error, ToolError | InvalidArguments):
            # The log has it from whoever answers.
            call.incoming.hooks.failed(call, error)
        return Result(b"", failed=True)
