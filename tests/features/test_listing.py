"""Lists in pages."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount import DefinitionError, MCPServer
from tests.requests import Session, ask


def make(**options: Any) -> MCPServer:
    server = MCPServer("tests", secret_key="k", **options)
    for number in range(5):
        server.tool(name=f"tool{number}")(lambda: "x")
        server.prompt(name=f"prompt{number}")(lambda: "x")
        server.resource(f"test://{number}", name=f"resource{number}")(lambda: "x")
        server.resource(f"test://{number}/{{id}}", name=f"template{number}")(lambda id: "x")
    return server


LISTS = [
    ("tools/list", "tools", "tool"),
    ("prompts/list", "prompts", "prompt"),
    ("resources/list", "resources", "resource"),
    ("resources/templates/list", "resourceTemplates", "template"),
]


@pytest.mark.parametrize("stateless", [True, False])
@pytest.mark.parametrize(("method", "member", "name"), LISTS)
def test_pages_together_have_all_in_order(
    method: str, member: str, name: str, stateless: bool
) -> None:
    server = make(page_size=2)
    session = Session(server, "2025-11-25")
    pages: list[list[str]] = []
    params: dict[str, Any] = {}
    while True:
        reply = ask(server, method, params) if stateless else session.ask(method, params)
        pages.append([entry["name"] for entry in reply["result"][member]])
        if "nextCursor" not in reply["result"]:
            break
        params = {"cursor": reply["result"]["nextCursor"]}
    assert pages == [[f"{name}0", f"{name}1"], [f"{name}2", f"{name}3"], [f"{name}4"]]


@pytest.mark.parametrize("page_size", [2, None])
@pytest.mark.parametrize("cursor", ["", "x", 7, "of another list"])
def test_a_cursor_that_is_not_ours_is_refused(page_size: int | None, cursor: Any) -> None:
    server = make(page_size=page_size)
    if cursor == "of another list" and page_size is not None:
        cursor = ask(server, "prompts/list")["result"]["nextCursor"]
    assert ask(server, "tools/list", {"cursor": cursor})["error"]["code"] == -32602


def test_another_process_continues_a_list() -> None:
    cursor = ask(make(page_size=3), "tools/list")["result"]["nextCursor"]
    page = ask(make(page_size=3), "tools/list", {"cursor": cursor})["result"]["tools"]
    assert [tool["name"] for tool in page] == ["tool3", "tool4"]


def test_a_page_without_entries_is_none() -> None:
    with pytest.raises(DefinitionError, match="page_size is a number from 1 on, not 0"):
        MCPServer("tests", page_size=0)
