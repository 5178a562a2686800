"""ToolsRouter: registered tools, over MCP and as plain HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import compress
from typing import Any

from fastapi import Depends, HTTPException, Request, Response
from pydantic_core import from_json
from typing_extensions import Unpack

from mcp_mount.calls.call import Call
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.features import Tool, ToolError
from mcp_mount.features.registry import body_limit
from mcp_mount.routes.gate import (
    checked,
    gate,
    gated_body,
    hooks_of,
    http_error,
    incoming_of,
    runner_of,
    usual_body_limit,
)
from mcp_mount.routes.options import NamedRouterOptions
from mcp_mount.routes.parts import parts_of, protocol_of, registry_of
from mcp_mount.routes.router import MCPRouter
from mcp_mount.schemas.arguments import InvalidArguments
from mcp_mount.schemas.values import flag
from mcp_mount.transports.attending import run_calls
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import read_headers, request_of
from mcp_mount.wire.encoding import NotFinite, encode, without_surrogates
from mcp_mount.wire.errors import (
    INVALID_PARAMS,
    CallRejected,
    ProtocolError,
    ResourceNotFoundError,
)
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.revisions import Revision

logger = own_logger("mcp_mount")

_JSON = "application/json"


class ToolsRouter(MCPRouter):
    """Tools: register them with `@router.tool`, include the router in an MCPServer.

    Each one is called by models over MCP, and as plain HTTP: `GET /tools` lists them,
    `POST /tools/{name}` with the arguments as a JSON object calls one. Several routers at one path
    show their tools together.

    Args:
        http: Whether the tools are served as plain HTTP, too.
        options: Those of a router (`RouterOptions`) and of FastAPI's APIRouter.

    Raises:
        DefinitionError: If there is no such option, or a value is not valid.
    """

    def __init__(self, *, http: bool = True, **options: Unpack[NamedRouterOptions]) -> None:
        super().__init__(**options)
        if not flag("http", http):
            return
        self.tools_path = "/tools"
        self.add_api_route(
            "/tools",
            self.list_tools,
            methods=["GET"],
            dependencies=[Depends(gate)],
            tags=["tools"],
            summary="List the tools",
            description="The tools at this path, with their schemas, as MCP lists them.",
            response_model=list[dict[str, Any]],
        )
        self.add_api_route(
            "/tools/{name}",
            self.call_tool,
            methods=["POST"],
            dependencies=[Depends(gate)],
            # MCPServer.openapi writes an operation for each tool instead.
            include_in_schema=False,
            response_model=None,
        )

    async def list_tools(self, request: Request) -> Response:
        """The tools at this path, with their schemas, as MCP lists them.

        Args:
            request: The request.
        """
        tools = list(self._tools(request, route_path(request.scope)))
        if any(tool.rules for tool in tools):
            incoming = self._incoming(request)
            listing = registry_of(request, self.registry).listing
            permitted = [partial(listing.shows, tool, incoming) for tool in tools]
            seen = await checked(request, lambda: [one() for one in permitted])
            tools = list(compress(tools, seen))
        return Response(encode([tool.definition() for tool in tools]), media_type=_JSON)

    async def call_tool(self, name: str, request: Request) -> Response:
        """Call a tool with the arguments in the body.

        A structured result is the body of the reply; content blocks come as `{"content": […]}`.
        422 names arguments that do not fit, 400 carries what a tool says of its failure.

        Args:
            name: The name of the tool.
            request: The request, whose body has the arguments.
        """
        path = route_path(request.scope).rstrip("/").rpartition("/")[0]
        tool = next((one for one in self._tools(request, path) if one.name == name), None)
        incoming = self._incoming(request, name)
        unknown = ProtocolError(INVALID_PARAMS, f"Unknown tool: {name}", status=404)
        if tool is None:
            raise HTTPException(404, unknown.message)
        if tool.rules:
            try:
                await checked(request, partial(incoming.require, tool.rules, unknown))
            except ProtocolError as error:
                server = protocol_of(request)
                raise http_error(server, error, incoming.request) from None
        body = incoming.request.body = await gated_body(
            request, body_limit(tool.policies, usual_body_limit(request))
        )
        arguments = _arguments(body)
        outcome = _Outcome(tool)
        try:
            call = outcome.call(incoming, arguments)
        except InvalidArguments as error:
            raise HTTPException(422, str(error)) from None
        if not await run_calls([call], runner_of(request), request.receive):
            # Nobody reads it: the client has left.
            return Response(status_code=499)
        return outcome.response(call)

    def _incoming(self, request: Request, name: str = "") -> IncomingRequest:
        read = request_of(request.scope, read_headers(request.scope))
        registry = registry_of(request, self.registry)
        return incoming_of(read, name, registry, hooks_of(request))

    def _tools(self, request: Request, path: str) -> Iterable[Tool]:
        server = parts_of(request)
        faces = {} if server is None else server.http_tool_paths
        whole = registry_of(request, self.registry)
        for registry in faces.get(path.rstrip("/"), [self.registry]):
            for name in registry.tools:
                # As the server has it: with the permissions of all that is around it.
                yield whole.tools[name]


def _arguments(body: bytes) -> dict[str, Any]:
    try:
        arguments = from_json(body or b"{}", allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(400, f"The body is not valid JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise HTTPException(400, "The body must be a JSON object: the arguments by name")
    return arguments


class _Outcome:
    """A tool call over plain HTTP, and the response for how it ended."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        self._failure: HTTPException | None = None

    def call(self, incoming: IncomingRequest, arguments: dict[str, Any]) -> Call:
        return self._tool.call(incoming, arguments, encode=self._encode, recover=self._recover)

    def response(self, call: Call) -> Response:
        try:
            result = call.finish()
        except ProtocolError:
            raise HTTPException(500, f"The tool {self._tool.name!r} failed") from None
        if self._failure is not None:
            raise self._failure
        return Response(result.members, media_type=_JSON)

    def _encode(self, value: Any, revision: Revision) -> Result:
        if self._tool.output.schema is not None:
            return Result(self._tool.output.encode_data(value))
        return Result(b"{%b}" % self._tool.output.encode(value, revision).members)

    def _recover(self, call: Call, error: Exception) -> Result:
        if isinstance(error, NotFinite):
            call.report(error)
            self._failure = HTTPException(500, f"The tool {self._tool.name!r} failed. {error}.")
            return Result(b"", failed=True)
        if not isinstance(error, ToolError | InvalidArguments):
            raise error
        status, headers = 422 if isinstance(error, InvalidArguments) else 400, {}
        if isinstance(error, ResourceNotFoundError):
            status = 404
        if isinstance(error, CallRejected):
            status = error.status
            if error.retry_after is not None:
                headers["Retry-After"] = f"{error.retry_after:.0f}"
        message = without_surrogates(str(error)) or "The tool failed"
        self._failure = HTTPException(status, message, headers)
        return Result(b"", failed=True)
