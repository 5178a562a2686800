"""What providers want back of their reasoning, with the results of tools.

The stand-in of `tests/reasoning.py` refuses the results of tools without it.
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from flask import Flask

from mcp_mount import CompletionsRouter, MCPServer
from mcp_mount.llm.answers import join_details
from mcp_mount.models import ClientModel, Route
from mcp_mount.routes.openai.response_reasoning import details_in, written
from mcp_mount_flask import MCPMount
from tests.backends.models.asking import ask, model_of
from tests.reasoning import ITEMS, THINKING
from tests.routes.test_chat import events
from tests.routes.test_composition import get
from tests.upstream import Upstream

UPSTREAMS = [("anthropic", "signed"), ("openai", "signed"), ("openai", "named"), ("openai", "none")]
STREAMS = [False, True]
FUNCTION = {"type": "function", "function": {"name": "beep", "parameters": {"type": "object"}}}
QUESTION = {"role": "user", "content": "Which order?"}
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def build(kind: str, name: str, upstream: Upstream) -> MCPServer:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()

    @server.tool
    def find(number: int) -> int:
        """Find an order."""
        return number

    router.add_model("gpt", model_of(kind, upstream, name))
    router.add_model("clerk", "gpt", tools="auto")
    server.include_router(router)
    return server


def told(server: MCPServer, *, stream: bool) -> dict[str, Any]:
    """The first answer to a question with a tool of the client, as a message to send back."""
    request: dict[str, Any] = {"model": "gpt", "messages": [QUESTION], "tools": [FUNCTION]}
    if not stream:
        message: dict[str, Any] = get(server, CHAT, "POST", json=request).json()["choices"][0][
            "message"
        ]
        return message
    message, details = {"role": "assistant", "content": None, "tool_calls": []}, []
    for chunk in events(server, **request):
        [choice] = chunk["choices"]
        details += choice["delta"].get("reasoning_details", [])
        for call in choice["delta"].get("tool_calls", []):
            if call.get("id"):
                message["tool_calls"].append(call)
            else:
                known = message["tool_calls"][call["index"]]["function"]
                known["arguments"] += call["function"]["arguments"]
    items: list[dict[str, Any]] = []
    join_details(items, details)
    return {**message, "reasoning_details": items} if items else message


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("kind", "name"), UPSTREAMS)
def test_a_model_that_uses_tools_of_the_server_has_its_reasoning_back(
    kind: str, name: str, stream: bool, upstream: Upstream
) -> None:
    server = build(kind, name, upstream)
    request = {"model": "clerk", "stream": stream, "messages": [QUESTION]}
    answer = get(server, CHAT, "POST", json=request)
    assert answer.status_code == 200, answer.text
    assert "is 7." in answer.text
    assert len(upstream.requests) == 2
    assert upstream.requests[1]["body"]["messages"][-1]["role"] in ("tool", "user")


@pytest.mark.parametrize("name", ["signed", "named"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_under_wsgi_too(kind: str, name: str, upstream: Upstream) -> None:
    app = Flask("shop")
    MCPMount(app, "/mcp", server=build(kind, name, upstream))
    request = {"model": "clerk", "stream": True, "messages": [QUESTION]}
    assert "is 7." in app.test_client().post("/mcp/v1/chat/completions", json=request).text


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("kind", "name"), UPSTREAMS)
def test_a_client_that_runs_the_tool_sends_it_back_with_the_message(
    kind: str, name: str, stream: bool, upstream: Upstream
) -> None:
    server = build(kind, name, upstream)
    message = told(server, stream=stream)
    [call] = message["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "7"}
    request = {"model": "gpt", "messages": [QUESTION, message, result], "tools": [FUNCTION]}
    answer = get(server, CHAT, "POST", json=request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "It is 7."


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("kind", "name"), UPSTREAMS)
def test_a_client_of_responses_sends_it_back_as_encrypted_content(
    kind: str, name: str, stream: bool, upstream: Upstream
) -> None:
    server = build(kind, name, upstream)
    tool = {"type": "function", "name": "beep", "parameters": {"type": "object"}}
    asked: dict[str, Any] = {"model": "gpt", "tools": [tool], "stream": stream}
    asked["include"] = ["reasoning.encrypted_content"]
    question = {"role": "user", "content": "Which order?"}
    first = get(server, RESPONSES, "POST", json={**asked, "input": [question]})
    if stream:
        import json

        found = [json.loads(one[6:]) for one in first.text.split("\n") if one[:6] == "data: "]
        done = [one["item"] for one in found if one["type"] == "response.output_item.done"]
        output = found[-1]["response"]["output"]
        assert output == done
    else:
        output = first.json()["output"]
    result = {"type": "function_call_output", "call_id": output[-1]["call_id"], "output": "7"}
    second = get(server, RESPONSES, "POST", json={**asked, "input": [question, *output, result]})
    assert second.status_code == 200, second.text
    assert "is 7." in second.text


def test_it_is_left_out_of_a_response_that_does_not_ask_for_it(upstream: Upstream) -> None:
    server = build("anthropic", "signed", upstream)
    answer = get(server, RESPONSES, "POST", json={"model": "gpt", "input": "Hello"})
    assert "encrypted_content" not in answer.text


@pytest.mark.parametrize(
    "content", [None, 5, "gAAAAABo", "mcpm1.", "mcpm1.ü", "mcpm1.e30=", "mcpm1.WzFd"]
)
def test_encrypted_content_of_others_is_left_out(content: Any, upstream: Upstream) -> None:
    server = build("openai", "ok", upstream)
    item = {"type": "reasoning", "summary": [], "encrypted_content": content}
    request = {"model": "gpt", "input": [item, {"role": "user", "content": "Hello"}]}
    assert get(server, RESPONSES, "POST", json=request).status_code == 200
    assert details_in(content) == []


def test_encrypted_content_is_read_as_it_was_written() -> None:
    assert details_in(written(ITEMS)) == ITEMS


@pytest.mark.parametrize("host", ["api.openai.com", "shop.openai.azure.com"])
def test_reasoning_of_others_does_not_go_to_openai(host: str, upstream: Upstream) -> None:
    from mcp_mount.backends.models.upstreams.openai_reasoning import messages_of
    from mcp_mount.llm.requests import chat_request

    said: dict[str, Any] = {
        "role": "assistant",
        "content": "7",
        "reasoning": "a",
        "reasoning_content": "a",
    }
    # OpenAI has no pictures in the messages of an assistant either.
    said["images"] = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    request = chat_request([QUESTION, {**said, "reasoning_details": ITEMS}])
    assert messages_of(request, host) == [QUESTION, {"role": "assistant", "content": "7"}]


def test_reasoning_of_others_does_not_go_to_anthropic(upstream: Upstream) -> None:
    said = {"role": "assistant", "content": "7", "reasoning_details": ITEMS}
    ask(model_of("anthropic", upstream), [QUESTION, said])
    [_, message] = upstream.requests[0]["body"]["messages"]
    assert message["content"] == [{"type": "text", "text": "7"}]


@pytest.mark.parametrize("stream", STREAMS)
def test_another_member_of_a_route_may_answer_after_the_tool(
    stream: bool, upstream: Upstream
) -> None:
    """Where the first member fails then, the next one gets no reasoning that it cannot read."""
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()

    @server.tool
    def find(number: int) -> int:
        return number

    router.add_model("claude", model_of("anthropic", upstream, "signed,500"))
    router.add_model("local", model_of("openai", upstream, "ok"))
    router.add_model("clerk", Route(["claude"], "local"), tools="auto")
    server.include_router(router)
    request = {"model": "clerk", "stream": stream, "messages": [QUESTION]}
    answer = get(server, CHAT, "POST", json=request)
    assert answer.status_code == 200
    assert "7" in answer.text


def test_clients_of_providers_keep_it_too(upstream: Upstream) -> None:
    class Messages:
        async def create(self, *, extra_body: dict[str, Any], **given: Any) -> Any:
            async with httpx2.AsyncClient() as client:
                body = {**given, **extra_body}
                answer = await client.post(f"{upstream.url}/v1/messages", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

    class AnthropicClient:
        messages = Messages()

        async def __aenter__(self) -> None: ...

    server = MCPServer("tests", open=True)
    router = CompletionsRouter()

    @server.tool
    def find(number: int) -> int:
        return number

    router.add_model("clerk", ClientModel(AnthropicClient(), "signed"), tools="auto")
    server.include_router(router)
    request = {"model": "clerk", "messages": [QUESTION]}
    assert "is 7." in get(server, CHAT, "POST", json=request).text


def test_a_signature_ends_its_item() -> None:
    known: list[dict[str, Any]] = []
    first = {"type": "reasoning.text", "text": "a", "signature": "s"}
    join_details(known, [{"type": "reasoning.text", "text": "b"}, {**first, "text": "c"}, first])
    assert [one["text"] for one in known] == ["bc", "a"]


def test_the_whole_answer_and_its_cached_copy_have_it(upstream: Upstream) -> None:
    from mcp_mount.llm.answers import from_data, to_data

    said = ask(model_of("anthropic", upstream, "signed"))
    assert [one["type"] for one in said.reasoning_details] == [
        "reasoning.text",
        "reasoning.encrypted",
        "reasoning.text",
    ]
    assert said.reasoning == THINKING[0]["thinking"]
    assert from_data(to_data(said)) == said
