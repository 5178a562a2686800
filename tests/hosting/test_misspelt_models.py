"""Models that ask others by a name that no model has: on each host, before anything is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mcp_mount import (
    ChatRequest,
    CompletionsRouter,
    DefinitionError,
    ImageRouter,
    MCPServer,
    mount_asgi,
    mount_wsgi,
)
from mcp_mount.models import Route
from mcp_mount.testing import Client
from mcp_mount_fastapi import mount as mount_fastapi
from mcp_mount_flask import MCPMount
from mcp_mount_starlette import mount as mount_starlette

QUESTION = {"messages": [{"role": "user", "content": "Hello"}]}
TOLD = "the model 'smart' asks 'clade', which is no model of this server; did you mean 'claude'?"


def echo(request: ChatRequest) -> str:
    return request.text


def build(member: str = "clade") -> MCPServer:
    """A server whose route is declared before its member, in another router."""
    server = MCPServer("tests", open=True)
    routes, models = CompletionsRouter(), CompletionsRouter()
    routes.add_model("smart", Route({member: 1}))
    server.include_router(routes)
    models.add_model("claude", echo)
    server.include_router(models)
    return server


def on_starlette(server: MCPServer) -> Any:
    return mount_starlette(Starlette(), "/mcp", server)


def on_fastapi(server: MCPServer) -> Any:
    return mount_fastapi(FastAPI(), "/mcp", server)


def in_front(server: MCPServer) -> Any:
    return mount_asgi(Starlette(), "/mcp", server)


ASGI: list[tuple[Callable[[MCPServer], Any], str]] = [
    (lambda server: server, ""),
    (on_starlette, "/mcp"),
    (on_fastapi, "/mcp"),
    (in_front, "/mcp"),
]


@pytest.mark.parametrize(("host", "prefix"), ASGI)
def test_an_application_with_a_misspelt_model_does_not_start(
    host: Callable[[MCPServer], Any], prefix: str
) -> None:
    with pytest.raises(DefinitionError) as caught, TestClient(host(build())):
        pass
    assert TOLD in str(caught.value)


@pytest.mark.parametrize(("host", "prefix"), ASGI)
def test_a_model_may_be_declared_after_the_route_to_it(
    host: Callable[[MCPServer], Any], prefix: str
) -> None:
    with TestClient(host(build("claude"))) as client:
        answer = client.post(f"{prefix}/v1/chat/completions", json={"model": "smart", **QUESTION})
    assert answer.json()["choices"][0]["message"]["content"] == "Hello"


def as_flask(server: MCPServer) -> Any:
    app = Flask("shop")
    MCPMount(app, "/mcp", server=server)
    return app


def as_wsgi(server: MCPServer) -> Any:
    return mount_wsgi(Flask("shop"), "/mcp", server)


def alone(server: MCPServer) -> Any:
    return server.wsgi


@pytest.mark.parametrize(("host", "prefix"), [(as_flask, "/mcp"), (as_wsgi, "/mcp"), (alone, "")])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/tools"])
def test_where_nobody_starts_it_no_request_is_answered(
    host: Callable[[MCPServer], Any], prefix: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    from werkzeug.test import Client as WSGIClient

    client = WSGIClient(host(build()))
    answer = client.get(prefix + path, headers={"host": "127.0.0.1"})
    assert answer.status_code == 503
    assert "clade" not in answer.text
    assert f"The server 'tests' cannot start: {TOLD}" in caplog.text


def test_no_mcp_request_is_answered_either(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Exception, match="could not start"):
        Client(build().wsgi, path="/mcp").list_tools()
    assert TOLD in caplog.text


def test_a_server_answers_once_the_model_is_there(caplog: pytest.LogCaptureFixture) -> None:
    server = build()
    client = TestClient(server)
    asked = {"json": {"model": "smart", **QUESTION}}
    assert client.post("/v1/chat/completions", **asked).status_code == 503
    late = CompletionsRouter()
    late.add_model("clade", echo)
    server.include_router(late)
    assert client.post("/v1/chat/completions", **asked).status_code == 200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clade", "'alias' asks 'clade', which is no model of this server"),
        ("words", "'alias' asks 'words', which answers no conversations"),
        ("drawn", "'alias' asks 'drawn', which answers no conversations"),
        ("stand-in", "'alias' asks 'stand-in', which is no model of this server"),
    ],
)
def test_other_names_and_tools_are_checked_too(name: str, words: str) -> None:
    server = build("claude")
    router, images = CompletionsRouter(), ImageRouter()
    router.embedding("words")(lambda texts: [[1.0] for _ in texts])
    router.add_model("alias", name, tools="auto")
    server.include_router(router)

    @images.backend("drawn")
    def draw(request: Any) -> bytes:
        raise AssertionError

    server.include_router(images)
    with pytest.raises(DefinitionError, match=words):
        server.registry.check_models()


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"r": Route(["r"])}, "the model 'r' asks itself: r → r"),
        ({"r": Route("claude", "r")}, "the model 'r' asks itself: r → r"),
        ({"r": "r"}, "the model 'r' asks itself: r → r"),
        ({"r": Route("also-r")}, "the model 'r' asks itself: r → r"),
        ({"a": "b", "b": Route("claude", "r"), "r": "a"}, "'a' asks itself: a → b → r → a"),
    ],
)
def test_a_model_that_asks_itself_keeps_the_server_from_starting(
    models: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, router = build("claude"), CompletionsRouter()
    for name, model in models.items():
        router.add_model(name, model, aliases=["also-r"] if name == "r" else ())
    server.include_router(router)
    with pytest.raises(DefinitionError) as caught, TestClient(server):
        pass
    assert str(caught.value).endswith(words)
    asked = TestClient(server).get("/v1/models")
    assert asked.status_code == 503
    assert words in caplog.text


def test_models_that_are_asked_on_two_ways_are_no_circle() -> None:
    server, router = build("claude"), CompletionsRouter()
    router.add_model("a", Route("b", "smart"))
    router.add_model("b", Route("smart", "claude"))
    server.include_router(router)
    server.registry.check_models()


def test_all_that_does_not_fit_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    server, router = build(), CompletionsRouter()
    router.add_model("self", Route("self"))
    server.include_router(router)
    assert TestClient(server).get("/v1/models").status_code == 503
    [line] = [one.getMessage() for one in caplog.records if "cannot start" in one.getMessage()]
    assert "There are: claude, self. Besides, the model 'self' asks itself" in line
    assert "\n" not in line
    assert "\\n" not in line


def test_the_stand_in_may_be_named_as_long_as_it_is_there() -> None:
    server = MCPServer("tests", open=True)
    server.include_router(CompletionsRouter())
    server.registry.check_models()
