"""Prompts, argument completion, chat models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import mcp_types
import pytest
from pydantic import Field

from mcp_mount import (
    ChatRequest,
    Completion,
    CompletionsRouter,
    DefinitionError,
    Image,
    MCPServer,
    Message,
)
from tests.requests import Session, ask
from tests.routes.test_composition import get


@pytest.fixture
def router() -> CompletionsRouter:
    return CompletionsRouter()


@pytest.fixture
def server(router: CompletionsRouter) -> MCPServer:
    server = MCPServer()
    server.include_router(router)
    return server


def prompt(server: MCPServer, prompt_name: str, /, **arguments: str) -> Any:
    return ask(server, "prompts/get", {"name": prompt_name, "arguments": arguments})


def test_a_prompt_is_listed_with_its_arguments(
    server: MCPServer, router: CompletionsRouter
) -> None:
    @router.prompt(title="Greet", icons=[{"src": "data:,"}], meta={"x/y": 1})
    def greet(name: Annotated[str, Field(description="Whom")], style: str = "warm") -> str:
        """Greet somebody."""
        return f"Greet {name}, {style}."

    assert ask(server, "prompts/list")["result"]["prompts"] == [
        {
            "name": "greet",
            "title": "Greet",
            "description": "Greet somebody.",
            "arguments": [
                {"name": "name", "description": "Whom", "required": True},
                {"name": "style", "required": False},
            ],
            "icons": [{"src": "data:,"}],
            "_meta": {"x/y": 1},
        }
    ]
    [older] = Session(server, "2025-03-26").ask("prompts/list")["result"]["prompts"]
    assert set(older) == {"name", "description", "arguments"}
    result = prompt(server, "greet", name="Ada")["result"]
    assert result["description"] == "Greet somebody."
    assert result["messages"] == [
        {"role": "user", "content": {"type": "text", "text": "Greet Ada, warm."}}
    ]


def test_a_prompt_may_be_of_many_messages(server: MCPServer, router: CompletionsRouter) -> None:
    @router.prompt
    async def talk() -> list[Any]:
        text = mcp_types.TextContent(type="text", text="c")
        return [
            "a",
            Message("b", role="assistant"),
            Message(Image(b"\x89PNG\r\n\x1a\n")),
            mcp_types.PromptMessage(role="assistant", content=text),
        ]

    messages = prompt(server, "talk")["result"]["messages"]
    assert [one["role"] for one in messages] == ["user", "assistant", "user", "assistant"]
    assert [one["content"]["type"] for one in messages] == ["text", "text", "image", "text"]


def test_a_prompt_that_cannot_be_given_is_an_error(
    server: MCPServer, router: CompletionsRouter
) -> None:
    @router.prompt
    def strict(name: str) -> str:
        raise RuntimeError("secret")

    assert prompt(server, "nothing")["error"]["code"] == -32602
    assert "missing, but required" in prompt(server, "strict")["error"]["message"]
    failed = prompt(server, "strict", name="x")["error"]
    assert failed["code"] == -32603
    assert "secret" not in str(failed)


def complete(server: MCPServer, **changes: Any) -> Any:
    params = {
        "ref": {"type": "ref/prompt", "name": "greet"},
        "argument": {"name": "name", "value": "a"},
    }
    return ask(server, "completion/complete", params | changes)


def test_an_argument_is_completed_with_the_others_at_hand(
    server: MCPServer, router: CompletionsRouter
) -> None:
    seen: list[Completion] = []

    @router.completion("greet", "name")
    async def suggest(completion: Completion) -> list[str]:
        seen.append(completion)
        return [f"a{number}" for number in range(150)]

    result = complete(server, context={"arguments": {"style": "cold"}})["result"]["completion"]
    assert len(result["values"]) == 100
    assert (result["total"], result["hasMore"]) == (150, True)
    assert seen == [Completion("greet", "name", "a", {"style": "cold"})]
    nobody = complete(server, argument={"name": "other", "value": ""})
    assert nobody["result"]["completion"]["values"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"ref": None},
        {"ref": {"type": "ref/unknown", "name": "x"}},
        {"ref": {"type": "ref/prompt"}},
        {"argument": {"name": "x"}},
        {"argument": []},
        {"context": 3},
        {"context": {"arguments": []}},
    ],
)
def test_a_malformed_completion_is_refused(
    server: MCPServer, router: CompletionsRouter, changes: Any
) -> None:
    router.completion("greet", "name")(lambda completion: [])
    assert complete(server, **changes)["error"]["code"] == -32602


def chat(server: MCPServer, **request: Any) -> Any:
    body = {"messages": [{"role": "user", "content": "one two"}]} | request
    return get(server, "/v1/chat/completions", "POST", json=body)


def words(request: ChatRequest) -> Iterator[str]:
    for word in request.messages[-1].text.split():
        yield word + "."


async def async_words(request: ChatRequest) -> AsyncIterator[str]:
    async def pieces() -> AsyncIterator[str]:
        for word in words(request):
            yield word

    return pieces()


async def text(request: ChatRequest) -> str:
    return "".join(words(request))


@pytest.mark.parametrize("model", [words, async_words, text])
def test_a_function_is_a_chat_model(
    server: MCPServer, router: CompletionsRouter, model: Any
) -> None:
    router.chat("mine")(model)
    answer = chat(server, model="mine").json()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "mine"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "one.two.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    streamed = chat(server, stream=True)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *events, last = [line[6:] for line in streamed.text.split("\n\n") if line]
    assert last == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events]
    assert "".join(one["delta"].get("content", "") for one in choices) == "one.two."
    assert [one["finish_reason"] for one in choices][-1] == "stop"


def test_models_are_listed_and_must_exist(server: MCPServer, router: CompletionsRouter) -> None:
    assert [one["id"] for one in get(server, "/v1/models").json()["data"]] == ["stand-in"]
    router.chat(words)
    assert get(server, "/v1/models").json()["data"][0]["id"] == "words"
    unknown = chat(server, model="gpt-9")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "model_not_found"
    with pytest.raises(DefinitionError, match="already defined"):
        router.chat(words)


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_says_so_and_no_more(
    server: MCPServer, router: CompletionsRouter, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @router.chat
    def broken(request: ChatRequest) -> Iterator[str]:
        yield "a"
        raise RuntimeError("secret")

    answer = chat(server, stream=stream)
    assert answer.status_code == (200 if stream else 500)
    assert "failed" in answer.text
    assert "secret" not in answer.text
    assert "secret" in caplog.text


def test_a_foreign_page_cannot_use_the_models(server: MCPServer, router: CompletionsRouter) -> None:
    router.chat(words)
    foreign = {"origin": "https://evil.example"}
    body = {"messages": [{"role": "user", "content": "x"}]}
    url = "/v1/chat/completions"
    assert get(server, url, "POST", json=body, headers=foreign).status_code == 403
    plain = {"content-type": "text/plain"}
    assert get(server, url, "POST", content=json.dumps(body), headers=plain).status_code == 415
    assert get(server, url, "POST", json={"messages": []}).status_code == 400
