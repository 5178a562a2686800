"""Names that people look for in the wrong place: the error says where they are."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from flask import Flask
from mcp.server.mcpserver import Image as SDKImage
from mcp.server.mcpserver import UserMessage as SDKUserMessage
from pydantic import create_model

import mcp_mount
from mcp_mount import DefinitionError, MCPServer
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount.testing import Client
from mcp_mount_django import MCPServer as ProjectServer
from mcp_mount_flask import MCPMount


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run_async", r"uvicorn module:server.*server.run\(\)"),
        ("run_stdio_async", "python -m mcp_mount stdio module:server"),
        ("streamable_http_app", "the server itself is the application"),
        ("expose", "write expose\\(api, server"),
        ("custom_route", "request: Request"),
        ("settings", "options are arguments of MCPServer"),
        ("from_fastapi", "write expose\\(api, server"),
    ],
)
def test_an_attribute_of_another_library_names_ours(name: str, words: str) -> None:
    server: Any = MCPServer("shop")
    with pytest.raises(AttributeError, match=words):
        getattr(server, name)
    assert not hasattr(server, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mount", "has no 'mount': it is that of your framework: mcp_mount_fastapi"),
        ("FastMCP", "write 'from mcp_mount import MCPServer'"),
        ("APIKeys", "it is in mcp_mount.auth"),
        ("Client", "mcp_mount.testing"),
        ("Depends", "it is FastAPI's"),
        ("types", "mcp_types"),
        ("prompts", "from mcp_mount import UserMessage"),
    ],
)
def test_an_import_from_the_wrong_place_names_the_right_one(name: str, words: str) -> None:
    with pytest.raises(ImportError, match=words):
        exec(f"from mcp_mount import {name}")


@pytest.mark.parametrize("name", ["as_proxy", "from_fastapi", "from_openapi"])
def test_a_class_method_of_another_library_names_ours(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'MCPServer' has no attribute '{name}': "):
        getattr(MCPServer, name)
    assert not hasattr(MCPServer, name)


def test_the_messages_of_prompts_are_looked_for_in_base() -> None:
    from mcp_mount import base

    with pytest.raises(ImportError, match="write 'from mcp_mount import UserMessage'"):
        exec("from mcp_mount.base import UserMessage")
    assert not hasattr(base, "nothing_at_all")


def entry(what: str, **options: Any) -> Any:
    """A decorator of a server, with options that it may not have."""
    server: Any = MCPServer("shop")
    return {"tool": server.tool, "prompt": server.prompt}.get(
        what, lambda **others: server.resource("shop://all", **others)
    )(**options)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("structured_output", "write output_schema=False"),
        ("tags", "write permission=, scopes= or roles="),
        ("enabled", "remove_tool"),
        ("rate_limit", 'write throttle="10/minute"'),
        ("readOnlyHint", 'write annotations={"readOnlyHint": ...}'),
        ("read_only", 'write annotations={"readOnlyHint": ...}'),
        ("login_required", "write permission="),
        ("auth", "write scopes="),
    ],
)
@pytest.mark.parametrize("what", ["tool", "prompt", "resource"])
def test_an_option_of_another_librarys_decorator_names_ours(
    what: str, option: str, words: str
) -> None:
    with pytest.raises(DefinitionError, match=f"a {what} has no option '{option}'; .*{words}"):
        entry(what, **{option: True})(lambda: "")


@pytest.mark.parametrize("make", [MCPServer, MCPMount])
def test_an_option_of_djangos_server_names_what_others_have(make: Any) -> None:
    words = "no option 'login_required'; .* mcp_mount_django; elsewhere write auth="
    with pytest.raises(DefinitionError, match=words):
        make(login_required=True)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("MCP_LOGIN_REQUIRED", "it is a key of Django's; in Flask write MCP_PERMISSION with a"),
        ("MCP_AUTHENTICATION", "MCP_AUTH verifies access tokens"),
        ("MCP_PATH", r"it is an argument: MCPMount\(app, '/mcp'\)"),
        ("MCP_MOUNT", "it is the name of Django's setting"),
        ("MCP_RATE_LIMIT", "write throttle="),
    ],
)
def test_a_key_that_flask_does_not_have_names_what_to_write(key: str, words: str) -> None:
    app = Flask("shop")
    app.config[key] = True
    with pytest.raises(DefinitionError, match=f"no key '{key}'; .*{words}"):
        MCPMount(app, "/mcp")


@pytest.mark.parametrize("make", [MCPServer, MCPMount, ProjectServer])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("json_response", "leave it out"),
        ("stateless_http", "secret_key="),
        ("token_verifier", r"write auth=TokenVerifier\(function\)"),
        ("host", r"server\.run\('streamable-http'"),
        ("port", r"server\.run\('streamable-http'"),
        ("mask_error_details", "leave it out"),
        ("on_duplicate_tools", "a name that is taken is refused"),
        ("title", "write display_name="),
        ("rate_limit", 'write throttle="10/minute"'),
        ("cors", "write allowed_origins="),
        ("tags", "write permission="),
    ],
)
def test_an_option_of_another_librarys_server_names_ours(
    make: Any, option: str, words: str
) -> None:
    with pytest.raises(DefinitionError, match=f"has no option '{option}'; .*{words}"):
        make(**{option: 1})


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("path", r"write MCPServer\(path="),
        ("log_level", "the logger 'mcp_mount'"),
        ("json_response", "leave it out"),
        ("prot", "did you mean 'port'"),
        ("transprt", "did you mean 'transport'"),
    ],
)
def test_an_option_of_another_librarys_run_names_ours(option: str, words: str) -> None:
    server: Any = MCPServer("shop")
    with pytest.raises(DefinitionError, match=f"run has no option '{option}'; .*{words}"):
        server.run(transport="http", **{option: 1})


def test_a_name_that_is_no_text_is_refused_as_one_that_does_not_exist() -> None:
    given: Any = [["pay"]]
    with pytest.raises(DefinitionError, match=r"there is no tool \['pay'\]; there are: refund"):
        refuse_unknown("there is no tool", given, {"refund"}, {"pay": "write refund"})


def test_mounting_a_server_as_in_fastmcp_names_ours() -> None:
    server: Any = MCPServer("shop")
    for arguments in ((MCPServer("other"),), ("other", MCPServer("other"))):
        with pytest.raises(DefinitionError, match=r"server\.include_router\(tools\)"):
            server.mount(*arguments)


@pytest.mark.parametrize(
    "returned", [SDKImage, list[SDKImage], SDKImage | None, tuple[str, SDKImage]]
)
def test_a_picture_of_the_official_sdk_names_ours(returned: Any) -> None:
    def draw() -> Any: ...

    draw.__annotations__["return"] = returned
    words = "draw .* returns the Image of the official SDK; write 'from mcp_mount import Image'"
    with pytest.raises(DefinitionError, match=words):
        MCPServer("shop").tool(draw)


def test_a_result_of_fastmcp_names_ours_although_it_is_a_model() -> None:
    kind = create_model("ToolResult", __module__="fastmcp.tools.tool", content=(list[str], []))

    def draw() -> Any: ...

    draw.__annotations__["return"] = kind
    with pytest.raises(DefinitionError, match=r"ToolResult of FastMCP; .* import CallToolResult"):
        MCPServer("shop").tool(draw)


@pytest.mark.parametrize("module", ["mcp", "fastmcp"])
def test_a_message_of_a_users_own_module_of_that_name_is_taken(module: str) -> None:
    kind = create_model("Message", __module__=module, words=(str, "hello"))
    server = MCPServer("shop", open=True)

    def greet() -> Any:
        return kind()

    greet.__annotations__["return"] = kind
    server.tool(greet)
    with Client(server) as client:
        assert client.call_tool("greet").structured == {"words": "hello"}


def test_a_message_of_the_official_sdk_names_ours() -> None:
    def ask() -> list[SDKUserMessage]: ...

    with pytest.raises(DefinitionError, match="write 'from mcp_mount import UserMessage'"):
        MCPServer("shop").prompt(ask)


def test_other_names_are_missing_as_anywhere() -> None:
    assert not hasattr(mcp_mount, "nothing_at_all")
    with pytest.raises(AttributeError, match="has no attribute 'nothing_at_all'"):
        _ = MCPServer("shop").nothing_at_all  # type: ignore[attr-defined]


@pytest.mark.parametrize(("package", "name"), [("flask", "Flask"), ("django", "Django")])
def test_an_integration_without_its_framework_says_what_to_install(package: str, name: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; import mcp_mount_{package}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"mcp_mount_{package} needs {name}: pip install 'mcp-mount[{package}]'" in last


def test_a_result_of_the_wrong_type_is_logged_in_the_users_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = MCPServer("shop", open=True)

    @server.tool
    def count() -> dict[str, int]:
        return {"apples": "many"}  # type: ignore[dict-item]

    with Client(server) as client:
        assert client.call_tool("count").is_error
    assert "count (" in caplog.text
    assert f"{__file__}:" in caplog.text
    assert "has returned what is no dict[str, int]" in caplog.text
    assert "apples: Input should be a valid integer" in caplog.text
