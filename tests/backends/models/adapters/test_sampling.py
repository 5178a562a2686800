"""The model of the connected MCP client as a model of the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mcp_mount import CompletionsRouter, Context, MCPServer, SyncContext
from mcp_mount.models import Route, Sampling
from mcp_mount.testing import Client
from tests.backends.models.asking import tool
from tests.routes.test_chat import ask

REVISIONS = ("2025-06-18", "2026-07-28")
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def build(question: Any = "How are you?", **options: Any) -> MCPServer:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()
    router.add_model("client", Sampling(max_tokens=77))

    @router.chat("local")
    def local(request: Any) -> str:
        return "local"

    router.add_model("either", Route(["client"], "local"))
    server.include_router(router)

    @server.tool
    async def ask_model(ctx: Context, model: str = "client") -> dict[str, Any]:
        first = await ctx.complete(question, model=model, **options)
        second = await ctx.complete("And now?", model=model)
        return {"text": first.text, "finish": first.finish, "second": second.text}

    @server.tool
    def ask_plainly(ctx: SyncContext) -> str:
        return ctx.complete(question, model="client", **options).text

    return server


class Answering:
    """The model of a client, which notes what it is asked."""

    def __init__(self, answer: Any = "Fine") -> None:
        self.answer = answer
        self.asked: list[Mapping[str, Any]] = []

    def __call__(self, params: Mapping[str, Any]) -> Any:
        self.asked.append(params)
        return self.answer


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_model_of_the_client_answers(revision: str) -> None:
    model = Answering()
    with Client(build(), sample=model, revision=revision) as client:
        said = client.call_tool("ask_model").structured
        assert said == {"text": "Fine", "finish": "stop", "second": "Fine"}
        assert client.call_tool("ask_plainly").text == "Fine"
    assert model.asked[0]["maxTokens"] == 77


def test_the_client_is_asked_for_what_the_handler_has_asked() -> None:
    model = Answering()
    question = [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]},
        {"role": "assistant", "content": "A cat"},
    ]
    server = build(question, max_tokens=5, temperature=0.5, stop=["x"])
    with Client(server, sample=model) as client:
        client.call_tool("ask_model")
    assert model.asked[0] == {
        "systemPrompt": "Be brief",
        "maxTokens": 5,
        "temperature": 0.5,
        "stopSequences": ["x"],
        "messages": [
            {"role": "user", "content": {"type": "text", "text": "What is it?"}},
            {"role": "user", "content": {"type": "image", "data": "AA==", "mimeType": "image/png"}},
            {"role": "assistant", "content": {"type": "text", "text": "A cat"}},
        ],
    }


@pytest.mark.parametrize("model", ["client", "either"])
def test_a_client_without_a_model_is_a_clear_error(model: str) -> None:
    with Client(build()) as client:
        result = client.call_tool("ask_model", {"model": model})
    if model == "either":
        assert result.structured["text"] == "local"
    else:
        assert result.is_error
        assert "The MCP client answers for no model" in result.text


def test_over_plain_http_there_is_no_client() -> None:
    answer = ask(build(), model="client")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "no_client_model"


def test_the_model_of_the_client_may_call_tools() -> None:
    use = {"type": "tool_use", "id": "1", "name": "look", "input": {"at": "it"}}
    model = Answering({"role": "assistant", "model": "m", "content": [use]})
    server = build(tools=[tool("look", at={"type": "string"})], tool_choice="required")
    with Client(server, sample=model) as client:
        assert client.call_tool("ask_model").structured["finish"] == "tool_calls"
    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    assert model.asked[0]["tools"] == [{"name": "look", "inputSchema": schema}]
    assert model.asked[0]["toolChoice"] == {"mode": "required"}


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "custom"}]}, "tools"),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "messages"),
        (
            {"tools": [tool("a")], "tool_choice": {"function": {"name": "a"}}},
            "tool_choice",
        ),
    ],
)
def test_what_the_client_cannot_be_asked_is_refused(options: dict[str, Any], param: str) -> None:
    answer = ask(build(), model="client", **options)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
