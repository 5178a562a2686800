"""What users may say of an entry: a value that an option cannot have is refused by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from mcp_mount import DefinitionError, MCPRouter, MCPServer
from mcp_mount.policies.options import RouterPolicies
from mcp_mount.routes.options import PageOptions, PromptOptions, ResourceOptions, ToolOptions
from mcp_mount.testing import Client, RPCError
from tests.values import VALUES


def text_of() -> str:
    return "x"


def add_resource(server: MCPServer, **options: Any) -> None:
    server.resource("a://b", **options)(text_of)


def add_router(server: MCPServer, **options: Any) -> None:
    router = MCPRouter(**options)
    router.add_tool(text_of)
    server.include_router(router)


ENTRIES: dict[str, tuple[Callable[..., Any], type]] = {
    "tool": (lambda server, **options: server.add_tool(text_of, **options), ToolOptions),
    "resource": (
        lambda server, **given: server.resource("a://b", **given)(text_of),
        ResourceOptions,
    ),
    "page": (lambda server, **options: server.add_page("ui://x", "x", **options), PageOptions),
    "prompt": (lambda server, **options: server.add_prompt(text_of, **options), PromptOptions),
    "router": (add_router, RouterPolicies),
}

METHODS = (
    ("tools", "tools/call", ["name"]),
    ("resources", "resources/read", ["uri"]),
    ("prompts", "prompts/get", ["name"]),
)

OPTIONS = [(entry, name) for entry, (_, kind) in ENTRIES.items() for name in kind.__annotations__]


@pytest.mark.parametrize(("entry", "name"), [*OPTIONS, ("tool", "name"), ("prompt", "name")])
def test_an_option_is_checked_where_it_is_given_or_works(entry: str, name: str) -> None:
    for value in VALUES:
        server = MCPServer("shop", open=True)
        # Without any a server has no such list.
        server.add_tool(text_of, name="another")
        server.add_prompt(text_of, name="another")
        server.resource("another://x")(text_of)
        with suppress(DefinitionError, ValueError):
            ENTRIES[entry][0](server, **{name: value})
        with Client(server) as client:
            for kind, method, keys in METHODS:
                for one in client.request(f"{kind}/list")[kind]:
                    texts = [one.get(key, "") for key in ("name", "title", "description")]
                    assert all(isinstance(shown, str) for shown in texts)
                    try:
                        client.request(method, {key: one[key] for key in keys})
                    except RPCError as error:
                        # A guard or a limit may refuse the call.
                        if not re.search("required|bytes", str(error)):
                            raise


@pytest.mark.parametrize(
    ("entry", "options", "words"),
    [
        ("tool", {"title": 5}, "text_of .*: title is a text, not 5"),
        ("prompt", {"description": 5}, "text_of .*: description is a text, not 5"),
        ("tool", {"icons": 5}, "icons is a list of URLs"),
        ("tool", {"icons": "https://x.example/i.png"}, "icons is a list of URLs"),
        ("resource", {"icons": [{"href": "x"}]}, "icons is a list of URLs"),
        ("tool", {"meta": "x"}, "meta is a dict, not 'x'"),
        ("tool", {"annotations": "x"}, "annotations is a dict"),
        ("tool", {"input_schema": 5}, "input_schema is a JSON Schema, as a dict, not int"),
        ("tool", {"output_schema": ""}, "output_schema is a type, a JSON Schema"),
        ("tool", {"page": 5}, "page is a text, not 5"),
        ("tool", {"app_only": "no"}, "app_only is True or False, not 'no'"),
        ("resource", {"size": -1}, "size is a number from 0 on, not -1"),
        ("resource", {"ttl_ms": None}, "ttl_ms is a number from 0 on, not None"),
        ("resource", {"cache_scope": "all"}, 'cache_scope is "private" or "public", not'),
        ("resource", {"mime_type": 5}, "mime_type is a text, not 5"),
        ("page", {"connect": 5}, "connect is a name, or a list of names, not 5"),
        ("page", {"border": "no"}, "border is True or False, not 'no'"),
        ("page", {"permissions": [5]}, "permissions is a name, or a list of names"),
    ],
)
def test_a_value_of_another_kind_is_refused(
    entry: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DefinitionError, match=words):
        ENTRIES[entry][0](MCPServer("shop"), **options)


def test_a_uri_is_a_text() -> None:
    wrong: Any = 5
    with pytest.raises(DefinitionError, match="uri is a text, not 5"):
        MCPServer("shop").resource(wrong)(text_of)
    with pytest.raises(DefinitionError, match="uri is a text, not 5"):
        MCPServer("shop").page(wrong)(text_of)
