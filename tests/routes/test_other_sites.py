"""Requests without Origin, of which the browser says from what site they come."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from mcp_mount import CompletionsRouter, MCPServer, ToolsRouter
from tests.auth import apps

OWN = ["same-origin", "same-site", "none", None]


@pytest.fixture
def client() -> TestClient:
    tools = ToolsRouter()

    @tools.tool
    def price(sku: str) -> int:
        return len(sku)

    server = MCPServer("shop", docs=True, open=True)
    server.include_router(tools)
    server.include_router(CompletionsRouter())
    return TestClient(server, base_url="http://localhost")


def sent(site: str | None, **headers: str) -> dict[str, str]:
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    return own if site is None else {**own, "sec-fetch-site": site}


@pytest.mark.parametrize("site", ["cross-site", *OWN])
@pytest.mark.parametrize("mode", ["no-cors", "navigate"])
def test_only_another_site_is_kept_from_tools(
    client: TestClient, site: str | None, mode: str
) -> None:
    headers = sent(site, sec_fetch_mode=mode)
    answer = client.post("/tools/price", json={"sku": "tea"}, headers=headers)
    assert answer.status_code == (403 if site == "cross-site" else 200)


@pytest.mark.parametrize("site", ["cross-site", *OWN])
@pytest.mark.parametrize("path", ["/tools", "/v1/models", "/docs", "/openapi.json"])
def test_only_another_site_is_kept_from_lists_and_documents(
    client: TestClient, site: str | None, path: str
) -> None:
    answer = client.get(path, headers=sent(site, sec_fetch_mode="no-cors"))
    assert answer.status_code == (403 if site == "cross-site" else 200)


def test_a_link_of_another_site_leads_to_the_documents(client: TestClient) -> None:
    headers = sent("cross-site", sec_fetch_mode="navigate")
    assert client.get("/docs", headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["standalone", "starlette", "fastapi", "bare"])
def test_another_site_may_read_how_to_log_in(host: str) -> None:
    mount = "/mcp" if host == "standalone" else "/api/mcp"
    client = TestClient(getattr(apps, host)(), base_url="http://localhost")
    headers = sent("cross-site", sec_fetch_mode="no-cors")
    path = f"{mount}/.well-known/oauth-protected-resource"
    assert client.get(path, headers=headers).json()["resource"] == f"http://localhost{mount}"
