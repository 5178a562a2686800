"""Which operations are chosen: values that the options cannot have, and why nothing is chosen."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask

from mcp_mount import DefinitionError, MCPServer
from mcp_mount.openapi.options import ExposeOptions
from mcp_mount.testing import Client
from mcp_mount_fastapi import as_tool, expose
from mcp_mount_flask import MCPMount
from mcp_mount_flask import as_tool as as_tool_in_flask
from mcp_mount_flask.exposing import FlaskExposeOptions
from tests.values import VALUES


def api_of(mark: Any = None) -> FastAPI:
    api = FastAPI()

    def endpoint() -> int:
        return 1

    api.get("/x", tags=["t"], operation_id="x")(endpoint if mark is None else mark(endpoint))
    return api


def flask_of(mark: Any = None) -> Flask:
    app = Flask("shop")

    def view() -> str:
        return "1"

    app.add_url_rule("/x", "x", view if mark is None else mark(view))
    return app


def works(host: Any) -> None:
    with Client(host) as client:
        client.request("tools/list")


@pytest.mark.parametrize("option", ["forward", "login", *ExposeOptions.__annotations__])
def test_an_option_of_expose_is_checked_or_works(option: str) -> None:
    for value in VALUES:
        server = MCPServer("shop", open=True)
        options: dict[str, Any] = {"paths": "/x", option: value}
        try:
            expose(api_of(), server, **options)
        except (DefinitionError, ValueError):
            assert not server.registry.tools
        works(server)


@pytest.mark.parametrize("option", FlaskExposeOptions.__annotations__)
def test_an_option_of_expose_in_flask_is_checked_or_works(option: str) -> None:
    for value in VALUES:
        app, later = flask_of(), flask_of()
        mcp, early = MCPMount(app), MCPMount()
        options: dict[str, Any] = {"paths": "/x", option: value}
        with suppress(DefinitionError, ValueError):
            mcp.expose(**options)
        works(app)
        with suppress(DefinitionError, ValueError):
            early.expose(**options)
            early.init_app(later)
            works(later)


@pytest.mark.parametrize("option", ["name", "description", "annotations"])
def test_a_mark_is_checked_or_works(option: str) -> None:
    for value in VALUES:
        if option == "name" and callable(value):
            continue  # A mark without parentheses.
        given: dict[str, Any] = {option: value}
        server = MCPServer("shop", open=True)
        with suppress(DefinitionError, ValueError):
            expose(api_of(as_tool(**given)), server)
        works(server)
        with suppress(DefinitionError, ValueError):
            app = flask_of(as_tool_in_flask(**given))
            MCPMount(app).expose()
            works(app)


NOTHING: dict[str, tuple[dict[str, Any], str]] = {
    "excluded": (
        {"paths": "/*", "exclude": "/x"},
        "that are selected are left out by exclude=",
    ),
    "by tag": ({"tags": "t", "exclude_tags": "t"}, "selected are left out by exclude_tags="),
    "by method": ({"operations": "x", "methods": "post"}, "selected are left out by methods="),
    "by several": (
        {"operations": "x", "methods": "post", "exclude": "x"},
        "left out by exclude= and methods=",
    ),
    "no method": ({"paths": "/x", "methods": None}, "methods=None names no method: leave it out"),
    "no methods": ({"paths": "/x", "methods": []}, r"methods=\[\] names no method: leave it out"),
    "marks": ({}, "name some with operations= or paths=, or mark them with as_tool"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_it_is_told_why_nothing_is_chosen(case: str) -> None:
    options, words = NOTHING[case]
    with pytest.raises(DefinitionError, match=words):
        expose(api_of(), MCPServer("shop"), **options)


def test_it_is_told_that_what_is_marked_is_left_out() -> None:
    with pytest.raises(DefinitionError, match="marked with as_tool are left out by exclude="):
        expose(api_of(as_tool), MCPServer("shop"), exclude="/x")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"operations": 5}, "operations= is a name, or a list of names, not 5"),
        ({"prefix": None}, "prefix= is a text, not None"),
        ({"output_schemas": "no"}, "output_schemas= is True or False, not 'no'"),
        ({"names": ["x"]}, r"names= is a dict, not \['x'\]"),
        ({"descriptions": {"x": 5}}, r"descriptions\['x'\] is a text, not 5"),
        ({"forward": 5}, "forward= is a name, or a list of names, not 5"),
    ],
)
def test_an_option_of_another_kind_is_refused_by_its_name(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DefinitionError, match=words):
        expose(api_of(), MCPServer("shop"), **{"paths": "/x", **options})
