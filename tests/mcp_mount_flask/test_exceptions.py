"""Exceptions in the handlers of a Flask application: its own words for clients, and who hears."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from flask import Flask, abort, got_request_exception, jsonify, redirect, request
from flask_login import LoginManager, login_required
from werkzeug.exceptions import HTTPException, InternalServerError, TooManyRequests

from mcp_mount import MCPServer
from mcp_mount.testing import Client, RPCError
from mcp_mount_flask import MCPMount, mount, mount_asgi


class OrderMissing(Exception):
    pass


class Broken(Exception):
    pass


def build(**options: Any) -> tuple[Flask, MCPMount]:
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"
    return app, MCPMount(app, "/mcp", **options)


def register(server: Any, function: Callable[[], Any], *, is_async: bool) -> None:
    def plain() -> Any:
        return function()

    async def awaited() -> Any:
        return function()

    handler = awaited if is_async else plain
    server.tool(name="tool")(handler)
    server.resource("orders://7")(handler)


WORDS: list[tuple[Callable[[], Any], str]] = [
    (lambda: abort(404, "No order 7"), "No order 7"),
    (lambda: abort(404), "Not Found"),
    (lambda: abort(401), "Authentication required"),
    (lambda: abort(403), "Permission denied"),
    (lambda: abort(403, "Only for staff"), "Only for staff"),
    (lambda: abort(409, "Already sent"), "Already sent"),
    (lambda: abort(503, "Closed on Sundays"), "Closed on Sundays"),
    (lambda: raising(TooManyRequests("Slowly", retry_after=7)), "Slowly"),
    (lambda: abort(jsonify_error("Not yours", 403)), "Not yours"),
    (lambda: jsonify_error("Not yours", 403), "Not yours"),
]


def raising(error: Exception) -> Any:
    raise error


def jsonify_error(words: str, status: int) -> Any:
    response = jsonify(error=words)
    response.status_code = status
    return response


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("raises", "words"), WORDS)
def test_the_application_says_in_its_own_words_why_a_tool_cannot_do_it(
    raises: Callable[[], Any], words: str, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app, mcp = build()
    register(mcp, raises, is_async=is_async)
    with caplog.at_level(logging.ERROR), Client(app) as client:
        result = client.call_tool("tool")
        assert (result.is_error, result.text) == (True, words)
        with pytest.raises(RPCError, match=words):
            client.read_resource("orders://7")
    assert not caplog.records


@pytest.mark.parametrize("host", ["mount", "mount_asgi"])
def test_beside_the_application_its_exceptions_have_their_words_as_well(host: str) -> None:
    app, server = Flask("shop"), MCPServer("beside")
    register(server, lambda: abort(404, "No order 7"), is_async=False)
    whole: Any = {"mount": mount, "mount_asgi": mount_asgi}[host](app, "/mcp", server)
    with Client(whole) as client:
        assert client.call_tool("tool").text == "No order 7"


@pytest.mark.parametrize("view", ["login", "/login", "https://sso.example.org/login", None])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_login_that_a_tool_needs_is_told_of(view: str | None, is_async: bool) -> None:
    app, mcp = build()
    manager = LoginManager(app)
    manager.request_loader(lambda request: None)
    manager.login_view = view
    app.add_url_rule("/login", "login", lambda: "")

    def plain() -> str:
        return "in"

    async def awaited() -> str:
        return "in"

    mcp.tool(name="tool")(login_required(awaited if is_async else plain))
    with Client(app) as client:
        result = client.call_tool("tool")
    words = "Authentication required"
    assert (result.is_error, result.text) == (True, words)


def test_a_decorator_of_plain_code_may_answer_in_place_of_a_coroutine() -> None:
    app, mcp = build()

    def refuse(function: Any) -> Any:
        @wraps(function)
        def decorated() -> Any:
            return redirect("/login?next=/mcp") if "x-user" not in request.headers else function()

        return decorated

    @mcp.tool
    @refuse
    async def greet() -> str:
        return "hello"

    with Client(app) as client:
        assert client.call_tool("greet").text == "Authentication required"
    with Client(app, headers={"x-user": "ada"}) as client:
        assert client.call_tool("greet").text == "hello"


def test_a_response_that_a_tool_returns_is_its_value() -> None:
    app, mcp = build()
    mcp.tool(name="tool")(lambda: jsonify(number=7))
    with Client(app) as client:
        assert client.call_tool("tool").structured == {"number": 7}


@pytest.mark.parametrize("is_async", [False, True])
def test_without_a_key_for_sessions_a_response_refuses_in_its_own_words(is_async: bool) -> None:
    app = Flask("shop", static_folder=None)
    mcp = MCPMount(app, "/mcp", secret_key="of the server alone", open=True)
    register(mcp, lambda: app.make_response(("no such order", 404)), is_async=is_async)
    with Client(app) as client:
        result = client.call_tool("tool")
    assert result.is_error
    assert result.text == "no such order"


def test_the_applications_own_error_handler_has_the_words() -> None:
    app, mcp = build()
    heard: list[Exception] = []

    @app.errorhandler(OrderMissing)
    def missing(error: OrderMissing) -> Any:
        heard.append(error)
        return jsonify(error=f"There is no order {error}"), 404

    @mcp.tool
    def order() -> str:
        raise OrderMissing("7")

    with Client(app) as client:
        result = client.call_tool("order")
    assert (result.is_error, result.text) == (True, "There is no order 7")
    assert len(heard) == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_a_failure_is_heard_by_the_application_once(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app, mcp = build(log_calls=True)
    heard: list[Any] = []

    @app.errorhandler(500)
    def failed(error: InternalServerError) -> Any:
        heard.append(error.original_exception)
        return "A page", 500

    def hear(sender: Flask, exception: Exception) -> None:
        heard.append(exception)

    error = Broken("the disk")

    def broken() -> str:
        raise error

    register(mcp, broken, is_async=is_async)
    with got_request_exception.connected_to(hear, app), Client(app) as client:
        result = client.call_tool("tool")
        assert heard == [error, error]
        with pytest.raises(RPCError, match="failed to answer"):
            client.read_resource("orders://7")
        assert heard == [error] * 4
    assert (result.is_error, result.text) == (
        True,
        "The tool 'tool' failed. The server has logged the reason.",
    )
    assert "Tool 'tool' failed" in caplog.text


def test_what_the_application_says_on_purpose_is_no_failure() -> None:
    app, mcp = build()
    heard: list[Any] = []

    def hear(sender: Flask, exception: Exception) -> None:
        heard.append(exception)

    mcp.tool(name="tool")(lambda: abort(404))
    with got_request_exception.connected_to(hear, app), Client(app) as client:
        client.call_tool("tool")
    assert not heard


def test_a_handler_of_all_http_exceptions_does_not_hide_their_words() -> None:
    app, mcp = build()
    app.register_error_handler(HTTPException, lambda error: ("A page", error.code))
    mcp.tool(name="tool")(lambda: abort(404, "No order 7"))
    with Client(app) as client:
        assert client.call_tool("tool").text == "No order 7"


def test_a_redirect_is_no_value() -> None:
    app, mcp = build()
    mcp.tool(name="tool")(lambda: redirect("/login?next=/mcp"))
    app.add_url_rule("/login", "login", lambda: "")
    LoginManager(app).login_view = "login"
    with Client(app) as client:
        assert client.call_tool("tool").is_error


@pytest.mark.parametrize("is_async", [False, True])
def test_an_exception_that_is_made_once_has_an_answer_for_each_caller(is_async: bool) -> None:
    app, mcp = build()
    once = OrderMissing("7")
    register(mcp, lambda: raising(once), is_async=is_async)

    @app.errorhandler(OrderMissing)
    def missing(error: OrderMissing) -> Any:
        return jsonify_error(f"nothing for {request.headers['x-user']}", 404)

    def told(name: str) -> str:
        with Client(app, headers={"x-user": name}) as client:
            return client.call_tool("tool").text

    assert [told("ada"), told("bob")] == ["nothing for ada", "nothing for bob"]
