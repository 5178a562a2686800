"""Image generation."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import pytest
from PIL import Image as PILImage

import mcp_mount.routes.images
from mcp_mount import ImageRouter, MCPServer
from tests.requests import ask, call
from tests.routes.test_composition import get


def make(**options: Any) -> MCPServer:
    server = MCPServer()
    server.include_router(ImageRouter(**options))
    return server


def generate(server: MCPServer, **request: Any) -> Any:
    body = {"prompt": "a cat"} | request
    return get(server, "/v1/images/generations", "POST", json=body)


def opened(data: str) -> Any:
    return PILImage.open(BytesIO(base64.b64decode(data)))


def test_the_embedded_backend_draws_a_picture_of_the_size() -> None:
    [block] = call(make(), "generate_image", {"prompt": "a cat", "size": "64x32"})["content"]
    assert (block["type"], block["mimeType"]) == ("image", "image/png")
    assert opened(block["data"]).size == (64, 32)


def test_the_same_prompt_gives_the_same_picture() -> None:
    def draw(prompt: str) -> str:
        return str(generate(make(), prompt=prompt, size="64x64").json()["data"][0]["b64_json"])

    assert draw("a cat") == draw("a cat") != draw("a dog")


def test_images_come_as_base64_or_as_a_url_that_shows_them() -> None:
    server = make()
    answer = generate(server, n=2, size="32x32").json()
    assert len(answer["data"]) == 2
    assert (answer["output_format"], answer["size"]) == ("png", "32x32")
    assert answer["created"] > 1_700_000_000
    url = generate(server, size="32x32", response_format="url").json()["data"][0]["url"]
    assert url.startswith("http://testserver/v1/images/files/")
    shown = get(server, url)
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert PILImage.open(BytesIO(shown.content)).size == (32, 32)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"prompt": ""}, 400),
        ({"prompt": "x" * 40_000}, 400),
        ({"n": 0}, 400),
        ({"n": 11}, 400),
        ({"size": "big"}, 400),
        ({"size": "0x0"}, 400),
        ({"size": "4096x64"}, 400),
        ({"response_format": "gif"}, 400),
    ],
)
def test_a_bad_request_is_refused(request_: Any, status: int) -> None:
    assert generate(make(), **request_).status_code == status


def test_the_tool_tells_a_size_that_is_too_large() -> None:
    result = call(make(), "generate_image", {"prompt": "x", "size": "4096x64"})
    assert result["isError"] is True
    assert "at most 2048x2048" in result["content"][0]["text"]


async def _async_backend(prompt: str, size: tuple[int, int]) -> bytes:
    return b"\xff\xd8\xff" + prompt.encode()


def _backend(prompt: str, size: tuple[int, int]) -> bytes:
    return b"\xff\xd8\xff" + prompt.encode()


@pytest.mark.parametrize("backend", [_backend, _async_backend])
def test_a_backend_of_ones_own(backend: Any) -> None:
    server = make(generate=backend)
    [block] = call(server, "generate_image", {"prompt": "ü"})["content"]
    assert block["mimeType"] == "image/jpeg"
    assert base64.b64decode(block["data"]) == b"\xff\xd8\xff" + "ü".encode()
    assert "b64_json" in generate(server).json()["data"][0]


def test_a_backend_that_fails_says_so_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    def broken(prompt: str, size: tuple[int, int]) -> bytes:
        raise RuntimeError("secret")

    answer = generate(make(generate=broken))
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert "secret" in caplog.text


def test_without_a_backend_the_server_still_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mcp_mount.routes.images, "find_spec", lambda name: None)
    server = make()
    assert "mcp-mount[images]" in caplog.text
    assert ask(server, "tools/list")["result"]["tools"] == []
    assert generate(server).status_code == 503
