"""Where `mount` puts a server among the routes of an application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from mcp_mount import DefinitionError, MCPServer, mount_asgi, mount_wsgi
from mcp_mount.auth import APIKeys
from mcp_mount.testing import Client
from mcp_mount_starlette import mount
from tests.requests import stateless


def build(name: str = "shop", **options: Any) -> MCPServer:
    server = MCPServer(name, **options)

    @server.tool(annotations={"readOnlyHint": True})
    def tenant(request: Request) -> str:
        return str(request.path_params.get("tenant"))

    return server


def catch_all(app: Any) -> None:
    app.router.routes.append(Route("/{rest:path}", _page, methods=["GET", "POST"]))


def included_catch_all(app: Any) -> None:
    router = APIRouter()
    router.add_api_route("/front/{rest:path}", lambda rest: rest, methods=["GET"])
    router.add_api_route("/{rest:path}", lambda rest: rest, methods=["GET", "POST"])
    app.include_router(router)


def files(app: Any, folder: Path = Path(__file__).parent) -> None:
    app.mount("/", StaticFiles(directory=folder, html=True))


async def _page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("page")


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        (Starlette, catch_all),
        (FastAPI, catch_all),
        (FastAPI, included_catch_all),
        (Starlette, files),
        (FastAPI, files),
    ],
)
def test_a_server_is_reached_although_a_route_before_it_takes_everything(
    kind: Any, first: Any
) -> None:
    app = kind()
    first(app)
    mount(app, "/mcp", build())
    with Client(app) as client:
        assert client.call_tool("tenant").text == "None"


def test_metadata_are_reached_although_a_route_before_them_takes_everything() -> None:
    app = FastAPI()
    catch_all(app)
    mount(app, "/mcp", build(auth=APIKeys({"ci": "k" * 32})))
    answer = TestClient(app).get("/.well-known/oauth-protected-resource/mcp")
    assert answer.status_code == 404
    assert answer.text != "page"


def test_what_a_catch_all_took_besides_it_still_takes() -> None:
    app = FastAPI()
    catch_all(app)
    mount(app, "/mcp", build())
    assert TestClient(app).get("/mcpx").text == "page"


def test_a_route_for_the_very_path_keeps_its_method() -> None:
    app = Starlette(routes=[Route("/mcp", _page, methods=["GET"])])
    mount(app, "/mcp", build())
    assert TestClient(app).get("/mcp").text == "page"
    with Client(app) as client:
        assert len(client.list_tools()) == 1


def test_a_server_below_another_one_is_reached() -> None:
    app = Starlette()
    mount(app, "/mcp", build("outer"))
    mount(app, "/mcp/inner", build("inner"))
    for path, name in (("/mcp", "outer"), ("/mcp/inner", "inner")):
        with Client(app, path=path) as client:
            info = client.call_tool("tenant").meta["io.modelcontextprotocol/serverInfo"]
        assert info["name"] == name


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
def test_a_second_server_at_a_path_is_refused(kind: Any) -> None:
    app = kind()
    mount(app, "/mcp", build())
    with pytest.raises(DefinitionError, match="a server is already mounted at '/mcp'"):
        mount(app, "/mcp/", build())


def test_a_server_where_an_application_is_mounted_is_refused() -> None:
    app = Starlette()
    app.mount("/mcp", Starlette())
    with pytest.raises(DefinitionError, match="an application is already mounted at '/mcp'"):
        mount(app, "/mcp", build())


async def _asgi(scope: Any, receive: Any, send: Any) -> None: ...


def _wsgi(environ: Any, start_response: Any) -> Any: ...


@pytest.mark.parametrize(("kind", "app"), [(mount_asgi, _asgi), (mount_wsgi, _wsgi)])
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
def test_a_second_server_beside_an_application_is_refused(kind: Any, app: Any, path: str) -> None:
    first = kind(app, "/mcp", MCPServer())
    with pytest.raises(DefinitionError, match="a server is mounted at '/mcp' already"):
        kind(first, path, MCPServer())


@pytest.mark.parametrize(("kind", "app"), [(mount_asgi, _asgi), (mount_wsgi, _wsgi)])
def test_a_server_before_one_that_it_would_hide_is_refused(kind: Any, app: Any) -> None:
    first = kind(app, "/mcp/inner", MCPServer())
    with pytest.raises(DefinitionError, match="mount the longer path last"):
        kind(first, "/mcp", MCPServer())
    kind(kind(app, "/mcp", MCPServer()), "/mcp/inner", MCPServer())


@pytest.mark.parametrize(("kind", "app"), [(mount_asgi, _asgi), (mount_wsgi, _wsgi)])
def test_a_path_with_parameters_is_refused_beside_an_application(kind: Any, app: Any) -> None:
    with pytest.raises(ValueError, match=r"'/t/\{tenant\}/mcp' has parameters"):
        kind(app, "/t/{tenant}/mcp", MCPServer())


@pytest.mark.parametrize("path", ["/t/ada/mcp", "/t/ada/mcp/"])
def test_a_mount_point_may_have_parameters(path: str) -> None:
    app = FastAPI()
    mount(app, "/t/{tenant}/mcp", build())
    answer = TestClient(app).post(path, json={}, follow_redirects=False)
    assert answer.status_code == 400
    with Client(app, path=path) as client:
        assert client.call_tool("tenant").text == "ada"


def test_parameters_of_a_mount_point_are_converted() -> None:
    app = FastAPI()
    mount(app, "/t/{tenant:int}/mcp", build())
    with Client(app, path="/t/07/mcp") as client:
        assert client.call_tool("tenant").text == "7"
    assert TestClient(app).post("/t/ada/mcp", json={}).status_code == 404


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
@pytest.mark.parametrize(("has_pages", "without_slash"), [(False, 307), (True, 405)])
def test_a_bare_mount_answers_with_a_slash_at_its_end(
    kind: Any, has_pages: bool, without_slash: int
) -> None:
    """As docs/hosts.md says, of plugins of Airflow, too."""
    app = kind()
    app.mount("/plugin", MCPServer("shop", open=True))
    if has_pages:
        app.router.routes.append(Route("/{rest:path}", _page, methods=["GET"]))
    headers, body = stateless("tools/list")
    client = TestClient(app, base_url="http://localhost", follow_redirects=False)
    statuses = [
        client.post(path, headers=headers, content=body).status_code
        for path in ("/plugin/", "/plugin")
    ]
    assert statuses == [200, without_slash]
