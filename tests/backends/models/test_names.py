"""The name of the model in an answer: one, and the same whether the answer is streamed or not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcp_mount import CompletionsRouter, MCPServer
from mcp_mount.models import Anthropic, ClientModel, OpenAI, Route, Tools
from tests.backends.models.adapters.test_clients import SomeAsyncClient, SomeClient
from tests.routes.test_composition import get
from tests.upstream import OpenAIForm, Upstream

TOLD = "stand-in-tools,ok"


def build(upstream: Upstream) -> MCPServer:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()

    @server.tool
    def find() -> str:
        return "found"

    @router.chat
    def function(request: Any) -> str:
        return "ok"

    url, tools = f"{upstream.url}/v1", Tools()
    direct = OpenAI(url, "tools,ok")
    router.add_model("direct", OpenAI(url, "ok"))
    router.add_model("anthropic", Anthropic("ok", base_url=upstream.url, key="k"))
    router.add_model("client", ClientModel(SomeAsyncClient(OpenAIForm), "ok"))
    router.add_model("blocking", ClientModel(SomeClient(OpenAIForm), "ok"))
    router.add_model("other", "function")
    router.add_model("named", "direct")
    router.add_model("route", Route(["function"]))
    router.add_model("with_tools", direct, tools=tools)
    router.add_model("callable", direct)
    router.add_model("named_with_tools", "callable", tools=tools)
    router.add_model("route_with_tools", Route(["callable"]), tools=tools)
    router.add_model("route_to_tools", Route(["with_tools"]))
    server.include_router(router)
    return server


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("function", "function"),
        ("direct", "stand-in-ok"),
        ("anthropic", "stand-in-ok"),
        ("client", "stand-in-ok"),
        ("blocking", "stand-in-ok"),
        ("other", "function"),
        ("named", "stand-in-ok"),
        ("route", "function"),
        ("with_tools", TOLD),
        ("named_with_tools", TOLD),
        ("route_with_tools", "callable"),
        ("route_to_tools", "with_tools"),
    ],
)
@pytest.mark.parametrize("path", ["chat/completions", "responses", "completions"])
def test_an_answer_has_one_name_streamed_or_not(
    path: str, model: str, name: str, upstream: Upstream
) -> None:
    server = build(upstream)
    asked: dict[str, Any] = {
        "chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
        "responses": {"input": "hi"},
        "completions": {"prompt": "hi"},
    }[path]
    whole = get(server, f"/v1/{path}", "POST", json={**asked, "model": model})
    assert whole.status_code == 200, whole.text
    assert whole.json()["model"] == name
    upstream.reset()
    answer = get(server, f"/v1/{path}", "POST", json={**asked, "model": model, "stream": True})
    data = [one.partition("data: ")[2] for one in answer.text.split("\n\n")]
    found = [json.loads(one) for one in data if one.startswith("{")]
    named = [one.get("response", one).get("model") for one in found]
    assert {one for one in named if one is not None} == {name}
