"""Embeddings over HTTP, as OpenAI's clients ask for them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from mcp_mount import ChatRequest, CompletionsRouter, DefinitionError, MCPServer
from mcp_mount.models import Embeddings, ModelError, Usage
from tests.routes.test_composition import get

URL = "/v1/embeddings"


def build(function: Any, **options: Any) -> MCPServer:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()
    router.embedding("lengths", **options)(function)
    server.include_router(router)
    return server


def ask(function: Any, /, **request: Any) -> Any:
    return get(build(function), URL, "POST", json={"input": "abc"} | request)


def lengths(texts: list[str]) -> list[list[float]]:
    return [[len(text), 0.5] for text in texts]


async def coroutine(texts: list[str]) -> list[list[float]]:
    return lengths(texts)


@pytest.mark.parametrize("function", [lengths, coroutine])
def test_each_text_has_a_vector(function: Any) -> None:
    assert ask(function, model="lengths", input=["abc", "a"]).json() == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [3, 0.5]},
            {"object": "embedding", "index": 1, "embedding": [1, 0.5]},
        ],
        "model": "lengths",
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
    }


def test_a_vector_may_be_written_in_base64() -> None:
    [one] = ask(lengths, encoding_format="base64").json()["data"]
    assert struct.unpack("<2f", base64.b64decode(one["embedding"])) == (3.0, 0.5)


def test_the_usage_and_the_answering_model_are_told() -> None:
    def function(texts: list[str]) -> Embeddings:
        return Embeddings([(1.0,)], Usage(4), "small")

    whole = ask(function).json()
    assert (whole["model"], whole["usage"]) == ("small", {"prompt_tokens": 4, "total_tokens": 4})


def test_rows_of_an_array_are_vectors() -> None:
    class Row:
        def tolist(self) -> list[float]:
            return [1.0, 2.0]

    [one] = ask(lambda texts: [Row()]).json()["data"]
    assert one["embedding"] == [1.0, 2.0]


def test_a_function_may_take_the_number_of_dimensions() -> None:
    def function(texts: list[str], dimensions: int | None) -> list[list[float]]:
        return [[0.0] * (dimensions or 4) for _ in texts]

    assert len(ask(function, dimensions=3).json()["data"][0]["embedding"]) == 3
    assert len(ask(function).json()["data"][0]["embedding"]) == 4


def test_dimensions_that_a_client_leaves_out_are_the_default_of_the_function() -> None:
    def function(texts: list[str], dimensions: int = 5) -> list[list[float]]:
        return [[0.0] * dimensions for _ in texts]

    assert len(ask(function).json()["data"][0]["embedding"]) == 5


def test_dimensions_that_the_vectors_do_not_have_are_refused() -> None:
    assert ask(lengths, dimensions=2).status_code == 200
    answer = ask(lengths, dimensions=3)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "dimensions")


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"input": [1, 2]}, "check_embedding_ctx_length=False"),
        ({"input": [[1]]}, "check_embedding_ctx_length=False"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
    ],
)
def test_what_is_not_supported_is_refused(request_: dict[str, Any], word: str) -> None:
    answer = ask(lengths, **request_)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert word in error["message"]


@pytest.mark.parametrize("returned", [[[1.0], [2.0]], "text", 3, None, [["a"]]])
def test_what_is_no_list_of_vectors_is_an_error(returned: Any) -> None:
    answer = ask(lambda texts: returned, encoding_format="base64")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "api_error")


def test_an_error_of_a_model_has_its_status_and_words() -> None:
    def busy(texts: list[str]) -> None:
        raise ModelError("Come later", status=503, retry_after=2)

    answer = ask(busy)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["error"]["message"] == "Come later"


class Both:
    """A model that answers and represents texts by vectors."""

    is_async = True
    wants_context = False

    async def answer(self, asked: Any) -> Any:
        from mcp_mount.models import ChatCompletion

        return ChatCompletion("both")

    async def embed(self, texts: Sequence[Any], options: Mapping[str, Any]) -> Embeddings:
        return Embeddings([[1.0] for _ in texts])


def test_models_of_both_kinds_have_one_list_of_names() -> None:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()
    router.embedding("vectors", aliases=["v"])(lengths)

    @router.chat("talk")
    def talk(request: ChatRequest) -> str:
        return "talk"

    router.add_model("both", Both())
    server.include_router(router)
    listed = get(server, "/v1/models").json()["data"]
    assert [one["id"] for one in listed] == ["vectors", "v", "talk", "both"]

    def embed(**request: Any) -> Any:
        return get(server, URL, "POST", json={"input": "abc"} | request)

    def chat(**request: Any) -> Any:
        body = {"messages": [{"role": "user", "content": "hi"}]} | request
        return get(server, "/v1/chat/completions", "POST", json=body)

    assert [embed(model=name).json()["model"] for name in ("v", "both")] == ["vectors", "both"]
    assert embed().json()["model"] == "vectors"
    assert chat().json()["model"] == "talk"
    assert chat(model="both").json()["choices"][0]["message"]["content"] == "both"
    for answer in (embed(model="talk"), chat(model="vectors")):
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    refused = chat(model="vectors", stream=True)
    assert refused.json()["error"]["message"] == "The model 'vectors' answers no conversations"
    assert embed(model="nobody").json()["error"]["code"] == "model_not_found"


def test_who_may_not_ask_a_model_is_not_told_of_what_kind_it_is() -> None:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()
    router.embedding("vectors", permission=lambda request: False)(lengths)
    router.chat("talk")(lambda request: "talk")
    server.include_router(router)
    body = {"model": "vectors", "messages": [{"role": "user", "content": "hi"}]}
    answer = get(server, "/v1/chat/completions", "POST", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_server_with_vectors_alone_has_a_stand_in_for_conversations() -> None:
    server = build(lengths)
    body = {"messages": [{"role": "user", "content": "hi"}]}
    answer = get(server, "/v1/chat/completions", "POST", json=body).json()
    assert answer["model"] == "stand-in"


@pytest.mark.parametrize(
    "register",
    [
        lambda router: router.embedding("a", tools="auto")(lengths),
        lambda router: router.embedding("a", throtle="1/hour")(lengths),
        lambda router: router.embedding("a")(lambda: []),
        lambda router: router.embedding("a")(lambda texts, other: []),
        lambda router: router.embedding("taken")(lengths),
    ],
)
def test_what_cannot_be_a_model_is_refused(register: Any) -> None:
    router = CompletionsRouter()
    router.chat("taken")(lambda request: "x")
    with pytest.raises(DefinitionError):
        register(router)
    assert "a" not in router.registry.models
