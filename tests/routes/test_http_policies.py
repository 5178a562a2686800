"""Limits that hold for several calls of a request, and streams that fail. Policies are in
tests/policies/test_every_face.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from mcp_mount import (
    ChatRequest,
    CompletionsRouter,
    ImageRouter,
    MCPServer,
    Throttle,
)
from mcp_mount.testing import Client

PNG = b"\x89PNG\r\n\x1a\n"
FACES = ("chat", "streamed chat", "images")


class Models:
    """A chat model and an image backend, and how often they were asked."""

    def __init__(self) -> None:
        self.asked = 0

    def answer(self, request: ChatRequest) -> str:
        self.asked += 1
        return "hello"

    def draw(self, prompt: str, size: tuple[int, int]) -> bytes:
        self.asked += 1
        return PNG


@pytest.fixture
def models() -> Models:
    return Models()


def build(models: Any, **options: Any) -> MCPServer:
    """A server with the routers, which have options."""
    server = MCPServer("tests", open=True)
    chat = CompletionsRouter(**options)
    chat.chat("model")(models.answer)
    server.include_router(chat)
    server.include_router(ImageRouter(models.draw, **options))
    return server


def send(server: MCPServer, face: str, **more: Any) -> Any:
    with TestClient(server) as client:
        if face == "images":
            return client.post("/v1/images/generations", json={"prompt": "a cat", **more})
        messages = [{"role": "user", "content": "Hello"}]
        body = {"messages": messages, "stream": face != "chat", **more}
        return client.post("/v1/chat/completions", json=body)


def test_each_picture_counts_and_both_faces_count_together(models: Models) -> None:
    server = build(models, throttle=Throttle("3/minute", key="everyone"))
    assert [send(server, "images", n=n).status_code for n in (5, 2, 2)] == [400, 200, 429]
    assert models.asked == 2, "where one is refused, none is drawn"
    with Client(server) as client:
        assert not client.call_tool("generate_image", {"prompt": "x"}).is_error
        assert "too often" in client.call_tool("generate_image", {"prompt": "x"}).text


@pytest.mark.parametrize("face", FACES)
def test_a_server_reads_no_body_over_its_limit(models: Models, face: str) -> None:
    answer = send(build(models), face, user="x" * 5_000_000)
    assert (answer.status_code, models.asked) == (413, 0)


def test_a_stream_that_fails_ends_with_an_error_and_pieces_come_in_order() -> None:
    class Broken:
        async def _pieces(self) -> AsyncIterator[str]:
            for number in range(100):
                yield f"<{number}>"
            raise RuntimeError("secret")

        async def answer(self, request: ChatRequest) -> AsyncIterator[str]:
            return self._pieces()

        def draw(self, prompt: str, size: tuple[int, int]) -> bytes:
            return PNG

    text = send(build(Broken()), "streamed chat").text
    places = [text.index(f"<{number}>") for number in range(100)]
    assert places == sorted(places)
    assert '"error"' in text
    assert "secret" not in text


def test_a_plain_model_may_give_pieces() -> None:
    class Plain:
        def answer(self, request: ChatRequest) -> Iterator[str]:
            return iter(["he", "llo"])

        def draw(self, prompt: str, size: tuple[int, int]) -> bytes:
            return PNG

    assert "hello" in send(build(Plain()), "chat").text
