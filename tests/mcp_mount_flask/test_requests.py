"""The request of Flask as a parameter of handlers."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Header
from flask import Flask
from flask import Request as FlaskRequest
from starlette.requests import Request

from mcp_mount import DefinitionError, MCPServer
from mcp_mount.testing import Client
from mcp_mount_flask import MCPMount


def test_a_handler_gets_flasks_own_request() -> None:
    app = Flask("tests")
    mcp = MCPMount(app)

    @mcp.tool
    def name(request: FlaskRequest) -> str:
        return f"{type(request).__name__} {request.headers['x-name']}"

    with Client(app, headers={"x-name": "Ada"}) as client:
        assert client.call_tool("name").text == "Request Ada"


def test_a_handler_that_needs_the_request_of_another_framework_is_refused() -> None:
    def starlettes(request: Request) -> str:
        return ""

    def fastapis(x_name: Annotated[str, Header()] = "nobody") -> str:
        return x_name

    for function in (starlettes, fastapis):
        mcp = MCPMount(Flask("tests"))
        with pytest.raises(DefinitionError, match=r"requests of this host are flask\.\w+\.Request"):
            mcp.tool(function)
        server = MCPServer("tests")
        server.tool(function)
        with pytest.raises(DefinitionError, match=r"needs a starlette\.requests\.Request"):
            MCPMount(Flask("tests"), server=server)


def test_the_configuration_has_extra_arguments_dropped() -> None:
    app = Flask("tests")
    app.config["MCP_EXTRA_ARGUMENTS"] = "ignore"
    mcp = MCPMount(app)

    @mcp.tool
    def weather(city: str) -> str:
        return city

    with Client(app) as client:
        assert client.call_tool("weather", {"city": "Rome", "toolCallId": 1}).text == "Rome"
