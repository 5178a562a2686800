"""Code of others: the blog of Flask's tutorial, mounted as the docs say."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from pydantic import BaseModel

from mcp_mount.testing import Client
from mcp_mount_flask import MCPMount, expose
from tests.mcp_mount_flask.flaskr import SCHEMA, create_app, get_db


class Post(BaseModel):
    title: str
    body: str = ""


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    database = tmp_path / "flaskr.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    app = create_app(str(database))
    mcp = MCPMount(app, "/mcp")

    @mcp.tool(permission=lambda request: g.user is not None)
    def my_posts() -> list[str]:
        """The titles of the caller's posts."""
        query = "SELECT title FROM post WHERE author_id = ?"
        return [row["title"] for row in get_db().execute(query, (g.user["id"],))]

    expose(
        app,
        mcp.server,
        blueprints=["blog"],
        exclude=["get_create"],
        names={"index": "read_blog", "post_create": "write_post", "delete": "delete_post"},
        models={"blog.create": {"form": Post}},
        login="auth.login",
    )
    return app


def cookie_of(app: Flask, name: str) -> dict[str, str]:
    """Register, log in as a browser does, and take its cookie."""
    browser = app.test_client()
    form = {"username": name, "password": "secret"}
    assert browser.post("/auth/register", data=form).status_code == 302
    assert browser.post("/auth/login", data=form).status_code == 302
    cookie: Any = browser.get_cookie("session")
    return {"cookie": f"session={cookie.value}"}


def test_the_blog_is_read_and_written_by_its_own_rules(app: Flask) -> None:
    with Client(app) as nobody:
        assert [tool["name"] for tool in nobody.list_tools()] == [
            "read_blog",
            "write_post",
            "delete_post",
        ]
        assert nobody.call_tool("write_post", {"title": "x"}).text == "Authentication required"
    with Client(app, headers=cookie_of(app, "ada")) as ada:
        assert ada.call_tool("write_post", {"title": "A & B", "body": "ä"}).text == "Done; see /"
        assert "Title is required." in ada.call_tool("write_post", {"title": ""}).text
        assert ada.call_tool("my_posts").data == ["A & B"]
        assert "A &amp; B</h1> by ada <p>ä" in ada.call_tool("read_blog").text
    with Client(app, headers=cookie_of(app, "bob")) as bob:
        assert bob.call_tool("my_posts").data == []
        refused = bob.call_tool("delete_post", {"id": 1})
        assert refused.is_error
        assert refused.text.startswith("403 Forbidden Forbidden")
        missing = bob.call_tool("delete_post", {"id": 9})
        assert "Post id 9 doesn't exist." in missing.text
