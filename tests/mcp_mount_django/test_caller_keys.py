"""By whose key, and in what language, a Django server keeps results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount.testing import Client

pytestmark = pytest.mark.usefixtures("project")


def tenant(request: Any) -> str | None:
    name = request.headers.get("X-Tenant")
    return name and f"{name}:{request.user.pk}"


@pytest.fixture
def server(project: None, settings_of_mcp: Any) -> Iterator[Any]:
    from mcp_mount_django import MCPServer
    from mcp_mount_django.servers import servers

    own = MCPServer("keys")
    runs = iter(range(100))

    @own.tool(cache=60)
    def report() -> int:
        return next(runs)

    @own.tool(cache=60)
    async def report_async() -> int:
        return next(runs)

    yield own
    servers.discard(own)


@pytest.fixture(params=[None, "tests.mcp_mount_django.test_caller_keys.tenant"])
def settings_of_mcp(request: pytest.FixtureRequest, project: None) -> Iterator[Any]:
    from django.test import override_settings

    with override_settings(MCP_MOUNT={"CALLER": request.param} if request.param else {}):
        yield request.param


@pytest.fixture
def ask(server: Any) -> Any:
    from django.core.wsgi import get_wsgi_application
    from django.test import override_settings
    from django.urls import clear_url_caches

    from tests.mcp_mount_django import keyed_urls

    keyed_urls.put(server)

    def run(tool: str, **headers: str) -> Any:
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        with Client(
            get_wsgi_application(), path="/mcp", headers={"host": "localhost", **own}
        ) as client:
            return client.call_tool(tool).data

    with override_settings(ROOT_URLCONF="tests.mcp_mount_django.keyed_urls"):
        clear_url_caches()
        yield run
    clear_url_caches()


@pytest.mark.parametrize("tool", ["report", "report_async"])
def test_results_are_kept_apart_by_tenant_language_and_time_zone(
    tool: str, ask: Any, settings_of_mcp: Any
) -> None:
    usual = {"x_tenant": "acme", "accept_language": "en", "x_time_zone": "Europe/Berlin"}
    first = ask(tool, **usual)
    assert ask(tool, **usual) == first
    for other in (
        {"accept_language": "de"},
        {"x_time_zone": "Asia/Tokyo"},
        {"host": "ledger.example"},
        *([{"x_tenant": "other"}] if settings_of_mcp else []),
    ):
        assert ask(tool, **{**usual, **other}) != first, other


@pytest.mark.parametrize("tool", ["report", "report_async"])
def test_headers_that_change_nothing_share_a_result(tool: str, ask: Any) -> None:
    first = ask(tool, x_tenant="acme", accept_language="en")
    assert ask(tool, x_tenant="acme", accept_language="en-GB, en;q=0.8") == first
