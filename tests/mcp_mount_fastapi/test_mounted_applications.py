"""Endpoints of applications that are mounted in one another, and the guards on the way to them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount

from mcp_mount import MCPServer
from mcp_mount.testing import Client
from mcp_mount_fastapi import expose, mount

ADA = {"x-user": "ada"}


class Guard:
    """Pure ASGI middleware that lets a path below `prefix` be used by ada only."""

    def __init__(self, app: Any, prefix: str = "/sub") -> None:
        self.app = app
        self._prefix = prefix

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        closed = scope["type"] == "http" and scope["path"].startswith(self._prefix)
        if closed and headers.get(b"x-user") != b"ada":
            await JSONResponse({"detail": "Only for ada"}, 401)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def sub_application() -> FastAPI:
    sub = FastAPI()

    @sub.get("/orders/{number}", tags=["orders"])
    async def order(number: int, request: Request) -> dict[str, Any]:
        """An order."""
        return {"number": number, "path": request.url.path, "root": request.scope["root_path"]}

    return sub


def call(app: Any, tool: str, headers: Any = None, path: str = "/mcp", **arguments: Any) -> Any:
    with Client(app, path=path, headers=headers or {}) as client:
        return client.call_tool(tool, arguments)


EXPECTED = {"number": 7, "path": "/sub/orders/7", "root": "/sub"}


def assert_guarded(app: Any, path: str = "/mcp") -> None:
    refused = call(app, "order", path=path, number=7)
    assert (refused.is_error, refused.text) == (True, "Only for ada")
    assert call(app, "order", ADA, path=path, number=7).data == EXPECTED


def test_a_call_passes_the_application_that_the_endpoints_is_mounted_in() -> None:
    api, sub, server = FastAPI(), sub_application(), MCPServer("s", secret_key="k")
    api.add_middleware(Guard)
    api.mount("/sub", sub)
    mount(api, "/mcp", server)
    assert expose(sub, server, tags="orders", forward="x-user").tools == ["order"]
    assert_guarded(api)


def test_also_where_that_is_mounted_later_and_by_a_router_or_a_list_of_routes() -> None:
    sub, server = sub_application(), MCPServer("s", secret_key="k")
    expose(sub, server, tags="orders", forward="x-user")
    app = Starlette(routes=[Mount("/sub", sub)], middleware=[Middleware(Guard)])
    mount(app, "/mcp", server)
    assert_guarded(app)


def test_a_guard_around_the_mounted_application_holds_too() -> None:
    api, server = FastAPI(), MCPServer("s", secret_key="k")
    api.mount("/sub", Guard(sub_application(), prefix="/sub"))
    mount(api, "/mcp", server)
    assert expose(api, server, paths="/sub/*", forward="x-user").tools == ["order"]
    assert_guarded(api)


def test_endpoints_of_mounted_applications_are_seen_under_their_prefix() -> None:
    api, inner, server = FastAPI(), FastAPI(), MCPServer("s", secret_key="k")
    api.add_middleware(Guard, prefix="/v1/sub")

    @api.get("/top")
    async def top() -> int:
        return 1

    inner.mount("/sub", sub_application())
    api.mount("/v1", inner)
    mount(api, "/mcp", server)
    assert expose(api, server, paths="*", forward="x-user").tools == ["top", "order"]
    assert call(api, "order", number=7).text == "Only for ada"
    told = call(api, "order", ADA, number=7).data
    assert told == {"number": 7, "path": "/v1/sub/orders/7", "root": "/v1/sub"}


def test_tools_of_one_name_in_several_applications_are_called_by_method_and_path() -> None:
    api, server = FastAPI(), MCPServer("s")
    api.mount("/v1", sub_application())
    api.mount("/v2", sub_application())
    assert expose(api, server, paths="*").tools == [
        "get_v1_orders_number",
        "get_v2_orders_number",
    ]
    assert expose(api, MCPServer("t"), paths="/v2/*").tools == ["order"]


def test_the_parameters_of_a_mount_point_are_arguments() -> None:
    api, sub, server = FastAPI(), sub_application(), MCPServer("s", secret_key="k")
    api.mount("/t/{tenant}", sub)
    mount(api, "/mcp", server)
    expose(api, server, paths="*")
    told = call(api, "order", number=7, tenant="acme").data
    assert told["path"] == "/t/acme/orders/7"
    assert call(api, "order", number=7, tenant="..").is_error
    other = MCPServer("other")
    mount(api, "/other", other)
    expose(sub, other, paths="*")
    assert call(api, "order", path="/other", number=7).is_error


def test_a_call_begins_where_the_request_came_in() -> None:
    api, sub, server = FastAPI(), sub_application(), MCPServer("s", secret_key="k")
    # By path: what it says of /sub/mcp is not what it says of the endpoints.
    api.add_middleware(Guard, prefix="/sub/orders")
    mount(sub, "/mcp", server)
    api.mount("/sub", sub)
    expose(sub, server, tags="orders", forward="x-user")
    assert_guarded(api, "/sub/mcp")


def test_a_mount_point_with_parameters_is_that_of_the_request() -> None:
    api, sub, server = FastAPI(), sub_application(), MCPServer("s", secret_key="k")
    api.add_middleware(Guard, prefix="/t/acme/orders")
    mount(sub, "/mcp", server)
    api.mount("/t/{tenant}", sub)
    expose(sub, server, tags="orders", forward="x-user")
    assert call(api, "order", path="/t/acme/mcp", number=7).text == "Only for ada"
    told = call(api, "order", path="/t/other/mcp", number=7).data
    assert told["path"] == "/t/other/orders/7"


def test_the_routes_of_servers_are_no_endpoints() -> None:
    api, server = FastAPI(), MCPServer("s")
    server.get("/health")(lambda: "well")
    api.get("/top")(lambda: 1)
    mount(api, "/mcp", server)
    other = MCPServer("other")
    names = expose(api, other, paths="*").tools
    assert len(names) == 1


def test_the_guards_of_what_is_exposed_hold_for_its_tools() -> None:
    def only_ada(x_user: str = Header("")) -> None:
        if x_user != "ada":
            raise HTTPException(403, "Only for ada")

    by_router = APIRouter(prefix="/router", dependencies=[Depends(only_ada)])
    by_inclusion = APIRouter(prefix="/inclusion")
    plain = APIRouter(prefix="/endpoint")

    @by_router.get("/x")
    async def of_router() -> str:
        return "in"

    @by_inclusion.get("/x")
    def of_inclusion() -> str:
        return "in"

    @plain.get("/x", dependencies=[Depends(only_ada)])
    async def of_endpoint() -> str:
        return "in"

    api, server = FastAPI(), MCPServer("s", secret_key="k")
    api.include_router(by_router)
    api.include_router(by_inclusion, dependencies=[Depends(only_ada)])
    api.include_router(plain)
    sub = FastAPI(dependencies=[Depends(only_ada)])

    @sub.get("/x")
    async def of_application() -> str:
        return "in"

    api.mount("/sub", sub)
    mount(api, "/mcp", server)
    forward = ["x-user"]
    names = expose(api, server, paths="*", forward=forward).tools
    assert names == ["of_router", "of_inclusion", "of_endpoint", "of_application"]
    for name in names:
        refused = call(api, name)
        assert (name, refused.is_error, refused.text) == (name, True, "Only for ada")
        assert call(api, name, ADA).text == "in"
