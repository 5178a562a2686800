"""Routers of chat models and images in a Flask application."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import pytest
from flask import Flask, g

from mcp_mount import ChatRequest, CompletionsRouter, ImageRouter
from mcp_mount.images import ImageRequest
from mcp_mount_flask import MCPMount

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(params=["before the application", "after it"])
def client(request: pytest.FixtureRequest) -> Any:
    app = Flask("shop")
    app.secret_key = "k"
    is_first = request.param.startswith("before")
    mcp = MCPMount(None if is_first else app, open=True, max_body_bytes=2000)

    @app.before_request
    def user() -> None:
        g.user = "ann"

    models, images = CompletionsRouter(), ImageRouter()

    @models.chat("echo")
    def echo(request: ChatRequest) -> str:
        return f"{g.user}: {request.text}"

    @images.backend("painter", edits=True)
    def paint(request: ImageRequest) -> bytes:
        given = b"".join(one.data[8:] for one in request.images)
        return PNG + f"{g.user}: {request.prompt}".encode() + given

    mcp.include_router(models)
    mcp.include_router(images)
    if is_first:
        mcp.init_app(app)
    return app.test_client()


def test_a_chat_model_answers_below_the_path_of_the_server(client: Any) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    answer = client.post("/mcp/v1/chat/completions", json=body)
    assert answer.json["choices"][0]["message"]["content"] == "ann: hi"


def test_pictures_are_drawn_edited_and_shown(client: Any) -> None:
    body = {"prompt": "a cat"}
    answer = client.post("/mcp/v1/images/generations", json=body)
    assert base64.b64decode(answer.json["data"][0]["b64_json"]) == PNG + b"ann: a cat"
    form = {"prompt": "a hat", "response_format": "url", "image": (BytesIO(PNG + b"!"), "a.png")}
    answer = client.post("/mcp/v1/images/edits", data=form)
    assert answer.status_code == 200, answer.text
    url = answer.json["data"][0]["url"]
    assert url.startswith("http://localhost/mcp/v1/images/files/")
    shown = client.get(url)
    assert (shown.data, shown.mimetype) == (PNG + b"ann: a hat!", "image/png")


def test_a_form_that_is_too_large_is_refused(client: Any) -> None:
    form = {"prompt": "a hat", "image": (BytesIO(PNG + b"x" * 3000), "a.png")}
    assert client.post("/mcp/v1/images/edits", data=form).status_code == 413
