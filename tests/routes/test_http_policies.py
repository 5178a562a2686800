"""Policies of routers and servers around chat models and images: over HTTP as over MCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from mcp_mount import (
    Audit,
    CallRecord,
    ChatRequest,
    CompletionsRouter,
    ImageRouter,
    MCPRouter,
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


def build(models: Any, server: Any = None, router: Any = None, outer: Any = None) -> MCPServer:
    """A server with the routers; options of each level."""
    built = MCPServer("tests", **(server or {}))
    chat = CompletionsRouter(**(router or {}))
    chat.chat("model")(models.answer)
    images = ImageRouter(models.draw, **(router or {}))
    if outer is None:
        built.include_router(chat)
        built.include_router(images)
    else:
        around = MCPRouter(**outer)
        around.include_router(chat)
        around.include_router(images)
        built.include_router(around)
    return built


def send(server: MCPServer, face: str, **more: Any) -> Any:
    with TestClient(server) as client:
        if face == "images":
            return client.post("/v1/images/generations", json={"prompt": "a cat", **more})
        messages = [{"role": "user", "content": "Hello"}]
        body = {"messages": messages, "stream": face != "chat", **more}
        return client.post("/v1/chat/completions", json=body)


def is_good(answer: Any, face: str) -> bool:
    if answer.status_code != 200:
        return False
    if face == "streamed chat":
        return "hello" in answer.text and answer.text.endswith("data: [DONE]\n\n")
    return ("hello" if face == "chat" else "b64_json") in answer.text


LEVELS: list[Callable[[Any], dict[str, Any]]] = [
    lambda options: {"server": options},
    lambda options: {"router": options},
    lambda options: {"outer": options},
]


@pytest.mark.parametrize("level", LEVELS, ids=["server", "router", "outer router"])
@pytest.mark.parametrize("face", FACES)
def test_a_throttle_holds(models: Models, face: str, level: Any) -> None:
    server = build(models, **level({"throttle": "2/minute"}))
    answers = [send(server, face) for _ in range(4)]
    assert [is_good(one, face) for one in answers] == [True, True, False, False]
    refused = answers[-1]
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert models.asked == 2


def test_each_picture_counts_and_both_faces_count_together(models: Models) -> None:
    server = build(models, router={"throttle": Throttle("3/minute", key="everyone")})
    assert [send(server, "images", n=n).status_code for n in (5, 2, 2)] == [400, 200, 429]
    assert models.asked == 2, "where one is refused, none is drawn"
    with Client(server) as client:
        assert not client.call_tool("generate_image", {"prompt": "x"}).is_error
        assert "too often" in client.call_tool("generate_image", {"prompt": "x"}).text


@pytest.mark.parametrize("level", LEVELS, ids=["server", "router", "outer router"])
@pytest.mark.parametrize("face", FACES)
def test_a_limit_of_the_body_holds(models: Models, face: str, level: Any) -> None:
    server = build(models, **level({"max_body_bytes": 200}))
    assert is_good(send(server, face), face)
    answer = send(server, face, user="x" * 300)
    assert answer.status_code == 413
    assert models.asked == 1


@pytest.mark.parametrize("face", FACES)
def test_a_server_reads_no_body_over_its_limit(models: Models, face: str) -> None:
    answer = send(build(models), face, user="x" * 5_000_000)
    assert (answer.status_code, models.asked) == (413, 0)


@pytest.mark.parametrize("level", LEVELS, ids=["server", "router", "outer router"])
@pytest.mark.parametrize("face", FACES)
def test_middleware_observers_and_depth_hold(models: Models, face: str, level: Any) -> None:
    seen: list[str] = []
    records: list[CallRecord] = []

    def middleware(call: Any) -> Any:
        seen.append(f"{call.method} {call.name}")
        return (yield)

    options = level({"call_middleware": middleware})
    options.setdefault("server", {}).update(audit=Audit(after=records.append))
    assert is_good(send(build(models, **options), face), face)
    name = "images/generations image" if face == "images" else "chat/completions model"
    assert seen == [name]
    assert [f"{one.method} {one.name} {one.outcome}" for one in records] == [f"{name} ok"]


@pytest.mark.parametrize("face", FACES)
def test_a_time_limit_holds(face: str) -> None:
    class Slow:
        async def answer(self, request: ChatRequest) -> str:
            await asyncio.sleep(60)
            return "late"

        async def draw(self, prompt: str, size: tuple[int, int]) -> bytes:
            await asyncio.sleep(60)
            return PNG

    answer = send(build(Slow(), router={"timeout": 0.05}), face)
    assert (answer.status_code, "0.05 seconds" in answer.text) == (504, True)


@pytest.mark.parametrize("face", FACES)
def test_concurrency_is_limited(face: str) -> None:
    running: list[int] = [0]
    most: list[int] = []

    class Slow:
        async def answer(self, request: ChatRequest) -> str:
            running[0] += 1
            most.append(running[0])
            await asyncio.sleep(0.01)
            running[0] -= 1
            return "hello"

        async def draw(self, prompt: str, size: tuple[int, int]) -> bytes:
            await self.answer(ChatRequest.model_construct())
            return PNG

    server = build(Slow(), router={"max_concurrency": 1})

    async def many() -> list[int]:
        import httpx2

        transport = httpx2.ASGITransport(app=server)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            path = "/v1/images/generations" if face == "images" else "/v1/chat/completions"
            body: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "prompt": "x"}
            body["stream"] = face == "streamed chat"
            answers = await asyncio.gather(*(client.post(path, json=body) for _ in range(5)))
            return [one.status_code for one in answers]

    assert asyncio.run(many()) == [200] * 5
    assert max(most) == 1


@pytest.mark.parametrize("face", FACES)
def test_a_cache_keeps_answers(models: Models, face: str) -> None:
    server = build(models, router={"cache": 60})
    assert [is_good(send(server, face), face) for _ in range(3)] == [True] * 3
    assert models.asked == 1
    other = send(server, face, **({"prompt": "other"} if face == "images" else {"user": "other"}))
    assert is_good(other, face)
    assert models.asked == 2


@pytest.mark.parametrize("level", LEVELS, ids=["server", "router", "outer router"])
@pytest.mark.parametrize("face", FACES)
def test_rules_hold(models: Models, face: str, level: Any) -> None:
    server = build(models, **level({"permission": lambda request: False}))
    assert send(server, face).status_code == 401
    with TestClient(server) as client:
        assert client.get("/v1/models").status_code == 401
    assert models.asked == 0


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
