"""Dependencies that MCP requests cannot satisfy, and background tasks."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Body, Depends, FastAPI, Response, WebSocket
from starlette.requests import Request

from mcp_mount import Context, DefinitionError, MCPServer
from mcp_mount.testing import Client
from mcp_mount_fastapi import mount


def needs_query(page: int) -> int:
    return page


def needs_it_below(page: Annotated[int, Depends(needs_query)]) -> int:
    return page


async def needs_body(page: Annotated[int, Body()]) -> int:
    return page


def needs_context(ctx: Context) -> int:
    return 1


def needs_that_below(page: int = Depends(needs_context)) -> int:
    return page


@pytest.mark.parametrize(
    ("dependency", "message"),
    [
        (needs_query, "needs_query .*: its parameter 'page' is taken from the query"),
        (needs_it_below, "needs_query .*: its parameter 'page' is taken from the query"),
        (needs_body, "needs_body .*: its parameter 'page' is taken from the body"),
        (needs_context, "needs_context .*: its parameter 'ctx' is a context"),
        (needs_that_below, "needs_context .*: its parameter 'ctx' is a context"),
    ],
)
@pytest.mark.parametrize("kind", ["tool", "prompt"])
def test_what_no_mcp_request_has_is_refused_at_registration(
    kind: str, dependency: Any, message: str
) -> None:
    server = MCPServer("shop")

    def orders(page: Annotated[int, Depends(dependency)]) -> str:
        return ""

    with pytest.raises(DefinitionError, match=message) as caught:
        getattr(server, kind)(orders)
    assert "a dependency of" in str(caught.value)
    assert "orders" in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Response, "is a Response, and a handler has none: return the value"),
        (Annotated[Response, "marked"], "is a Response, and a handler has none"),
        (WebSocket, "is a WebSocket, which there is none of here"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(annotation: Any, message: str) -> None:
    def tool(response: Any) -> str:
        return ""

    tool.__annotations__["response"] = annotation
    with pytest.raises(DefinitionError, match=message):
        MCPServer("shop").tool(tool)


def test_background_tasks_run_after_the_handler() -> None:
    server, log = MCPServer("shop", open=True), []

    def noted(tasks: BackgroundTasks, page: int = 3) -> int:
        tasks.add_task(log.append, "dependency")
        return page

    @server.tool
    def plain(tasks: BackgroundTasks, number: int) -> str:
        tasks.add_task(log.append, "plain")
        log.append("called")
        return str(number)

    @server.tool
    async def coroutine(page: Annotated[int, Depends(noted)], tasks: BackgroundTasks) -> str:
        tasks.add_task(log.append, "coroutine")
        return str(page)

    with Client(server) as client:
        assert client.call_tool("plain", {"number": 7}).text == "7"
        assert client.call_tool("coroutine").text == "3"
        properties = client.list_tools()[0]["inputSchema"]["properties"]
    assert log == ["called", "plain", "dependency", "coroutine"]
    assert list(properties) == ["number"]


def test_dependencies_see_the_parameters_of_the_mount_point() -> None:
    server, api = MCPServer("shop", open=True), FastAPI()

    def tenant(request: Request) -> str:
        return str(request.path_params["tenant"])

    @server.tool
    def whose(found: Annotated[str, Depends(tenant)]) -> str:
        return found

    mount(api, "/t/{tenant}/mcp", server)
    with Client(api, path="/t/ada/mcp") as client:
        assert client.call_tool("whose").text == "ada"
