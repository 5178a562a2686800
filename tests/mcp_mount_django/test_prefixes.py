"""URLs behind a prefix: in derived requests, links, and what the server says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.requests import stateless

pytestmark = pytest.mark.usefixtures("project", "own_servers")


@pytest.fixture
def urls() -> Iterator[None]:
    """A server with an exposed view and a tool that tell where they are."""
    from django.http import HttpRequest, JsonResponse
    from django.test import override_settings
    from django.urls import include, path, reverse

    from mcp_mount.auth import JWT
    from mcp_mount_django import MCPServer

    def where(request: HttpRequest) -> dict[str, Any]:
        return {
            "url": request.build_absolute_uri(),
            "link": request.build_absolute_uri(reverse("ä", args=["ö"])),
            "info": request.path_info,
        }

    def view(request: HttpRequest, name: str = "") -> Any:
        return JsonResponse(where(request))

    server = MCPServer("prefixed", open=True)
    server.add_view(view, name="view")
    server.tool(name="tool")(where)
    guarded = MCPServer("guarded", auth=JWT("https://login.example.com"))

    class Urls:
        urlpatterns = (
            path("mcp", include(server.urls)),
            path("guarded", include(guarded.urls)),
            path("ä/<str:name>", view, name="ä"),
        )

    with override_settings(ROOT_URLCONF=Urls):
        yield


async def ask_asgi(path: str, root: str, content: bytes, headers: dict[str, str]) -> Any:
    import httpx2
    from django.core.asgi import get_asgi_application

    transport = httpx2.ASGITransport(get_asgi_application(), root_path=root)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(path, content=content, headers=headers)


def ask_wsgi(path: str, root: str, content: bytes, headers: dict[str, str]) -> Any:
    import httpx2
    from django.core.wsgi import get_wsgi_application

    transport = httpx2.WSGITransport(get_wsgi_application(), script_name=root)
    with httpx2.Client(transport=transport, base_url="http://localhost") as client:
        return client.post(path, content=content, headers=headers)


def ask(interface: str, way: str, server: str, method: str, name: str = "", **more: str) -> Any:
    """Ask the server behind a prefix that the web server, or the project, knows of."""
    from django.test import override_settings

    headers, body = stateless(method, {"name": name, "arguments": {}} if name else {})
    headers = {"host": "localhost", **headers, **more}
    root, forced = ("/pre", None) if way == "SCRIPT_NAME" else ("", "/pre")
    with override_settings(FORCE_SCRIPT_NAME=forced, USE_X_FORWARDED_HOST=True):
        if interface == "wsgi":
            return ask_wsgi(server, root, body, headers)
        # ASGI servers have the prefix in the path; a proxy may have taken it away.
        path = server if way == "stripped" else f"/pre{server}"
        return asyncio.run(ask_asgi(path, root, body, headers))


WAYS = [
    (interface, way)
    for interface in ("wsgi", "asgi")
    for way in ("SCRIPT_NAME", "FORCE_SCRIPT_NAME")
]


@pytest.mark.parametrize(("interface", "way"), WAYS)
@pytest.mark.parametrize("tool", ["view", "tool"])
def test_handlers_see_the_prefix_once(urls: None, interface: str, way: str, tool: str) -> None:
    answer = ask(
        interface, way, "/mcp", "tools/call", tool, **{"x-forwarded-host": "ledger.example"}
    ).json()["result"]
    assert answer["structuredContent"] == {
        "url": "http://ledger.example/pre/mcp",
        "link": "http://ledger.example/pre/%C3%A4/%C3%B6",
        "info": "/mcp",
    }


@pytest.mark.parametrize(("interface", "way"), [*WAYS, ("asgi", "stripped")])
def test_a_challenge_names_the_metadata_below_the_prefix(
    urls: None, interface: str, way: str
) -> None:
    answer = ask(interface, way, "/guarded", "tools/list")
    assert answer.status_code == 401
    assert (
        "http://localhost/pre/guarded/.well-known/oauth-protected-resource"
        in (answer.headers["www-authenticate"])
    )
