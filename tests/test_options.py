"""The options of a server: declared once, known to every host by the same name."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from flask import Flask

from mcp_mount import DefinitionError, MCPServer
from mcp_mount.auth import APIKey, APIKeys
from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.backends.stores import MemoryStore
from mcp_mount.options import DEFAULTS, OPTIONS
from mcp_mount.policies.chain import READERS
from mcp_mount.policies.options import (
    CHECKS,
    RULES,
    PolicyOptions,
    PromptPolicies,
    ResourcePolicies,
    RouterPolicies,
)
from mcp_mount.routes.options import APIRouterOptions, FastAPIOptions, IncludeOptions
from mcp_mount.schemas.names import keywords_of
from mcp_mount.testing import Client, RPCError
from mcp_mount_django.options import OPTIONS as DJANGO_KEYS
from mcp_mount_flask import MCPMount
from tests.values import VALUES


def shop(**options: Any) -> MCPServer:
    server = MCPServer(**{"open": True, **options})
    server.add_tool(lambda: 1, name="one")
    return server


def ask(server: MCPServer) -> None:
    """Ask what every client asks first, in both ways of connecting."""
    for revision in ("2026-07-28", "2025-11-25"):
        try:
            with Client(server, revision=revision) as client:
                client.request("tools/list")
        except RPCError as error:
            # A guard, a list of hosts or a limit may keep this client out.
            if not re.search("required|not served|exceeds", str(error)):
                raise


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_checked_where_it_is_given_or_works(name: str) -> None:
    for value in VALUES:
        changed = shop()
        with suppress(DefinitionError, ValueError):
            ask(shop(**{name: value}))
        with suppress(DefinitionError, ValueError):
            changed.configure(**{name: value})
        ask(changed)


WRONG: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("version", "name"), (None, 5, "")),
    **dict.fromkeys(("display_name", "description", "instructions", "website_url"), (5, object())),
    **dict.fromkeys(("auth_required", "open", "list_step_up", "log_calls"), (None, "no", 5, 1.0)),
    "docs": ("no", 5),
    "icons": (None, 5, "x", ["x"], [{"href": "x"}], [{"src": "x", "sizes": object()}]),
    "auth": (5, "x", [5], APIKeys, object(), []),
    "resource": (5, "x", "http://shop.example/mcp"),
    "scope_hierarchy": (5, "x", {5: "x"}, {"x": 5}),
    "telemetry": (None, "yes", 5, object()),
    "audit": (5, object(), lambda call: None),
    "store": (5, object(), MemoryStore, "foo://x"),
    "backplane": (5, "foo://x", "x", object(), MemoryBackplane),
    "redact": (5, [5], object()),
    "allowed_hosts": (5, "x", [5]),
    "allowed_origins": (5, "x", [5]),
    **dict.fromkeys(("session_ttl", "keep_alive", "timeout"), (float("nan"), float("inf"), 0)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_another_kind_is_refused_in_words_that_name_the_option(name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises((DefinitionError, ValueError), match=name):
            MCPServer(**{name: value})
        with pytest.raises((DefinitionError, ValueError), match=name):
            MCPServer().configure(**{name: value})


def test_flask_refuses_to_open_a_server_by_an_empty_value() -> None:
    app = Flask("shop")
    app.config.update(MCP_AUTH=APIKeys([APIKey("ada", "k" * 32)]), MCP_AUTH_REQUIRED=None)
    with pytest.raises(DefinitionError, match="MCP_AUTH_REQUIRED is True or False, not None"):
        MCPMount(app, "/mcp")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("MCP_TIMEOUT", "5", "MCP_TIMEOUT is a number of seconds above 0, not '5'"),
        ("MCP_THROTTLE", "often", "MCP_THROTTLE is a rate such as"),
        ("MCP_PAGE_SIZE", "5", "MCP_PAGE_SIZE is a number from 1 on, not '5'"),
        ("MCP_SCOPES", [], r"MCP_SCOPES=\[\] names nothing"),
        ("MCP_PERMISSION", 5, "MCP_PERMISSION: a permission is a name, or a function"),
        ("MCP_STORE", "memcached://x", "MCP_STORE is memory:// or the URL of a Redis"),
        ("MCP_RESOURCE", "nope", "MCP_RESOURCE must be an https:// URL"),
        ("MCP_ALLOWED_ORIGINS", "https://a.b", "MCP_ALLOWED_ORIGINS is a list of origins"),
    ],
)
def test_flask_names_the_key_of_a_value_that_it_cannot_have(
    key: str, value: Any, words: str
) -> None:
    app = Flask("shop")
    app.config[key] = value
    with pytest.raises(DefinitionError, match=f"^{words}"):
        MCPMount(app, "/mcp")


def test_a_server_does_not_ask_for_credentials_that_nothing_verifies() -> None:
    words = "^{} asks for access tokens .* set auth= or permission="
    with pytest.raises(DefinitionError, match=words.format("auth_required=True")):
        MCPServer(auth_required=True)
    server = MCPServer(auth_required=False)
    with pytest.raises(DefinitionError, match=words.format("auth_required=True")):
        server.configure(auth_required=True)
    server.configure(auth=APIKeys([APIKey("ada", "k" * 32)]), auth_required=True)
    app = Flask("shop")
    app.config["MCP_AUTH_REQUIRED"] = True
    with pytest.raises(DefinitionError, match=words.format("MCP_AUTH_REQUIRED")):
        MCPMount(app, "/mcp")
    # The server may have what the configuration asks for.
    MCPMount(app, "/mcp", server)


def test_keys_of_flasks_configuration_may_begin_otherwise() -> None:
    app = Flask("shop")
    app.config.update(MCP_SERVER_URL="https://elsewhere.example/mcp", SHOP_MCP_NAME="the shop")
    with pytest.raises(DefinitionError, match=r"no key 'MCP_SERVER_URL'(.|\n)*config_prefix="):
        MCPMount(app, "/mcp")
    assert MCPMount(app, "/mcp", config_prefix="SHOP_MCP_").title == "the shop"
    app.config["SHOP_MCP_NMAE"] = "x"
    with pytest.raises(DefinitionError, match="'SHOP_MCP_NMAE'; did you mean 'SHOP_MCP_NAME'"):
        MCPMount(app, "/other", config_prefix="SHOP_MCP_")


@pytest.mark.parametrize("prefix", ["", "shop_", "SHOP", None])
def test_a_prefix_that_no_key_of_flask_has_is_refused(prefix: Any) -> None:
    with pytest.raises(DefinitionError, match="config_prefix is "):
        MCPMount(config_prefix=prefix)


def test_the_table_has_every_policy_that_a_server_may_declare() -> None:
    policies = set(PolicyOptions.__annotations__) - set(CHECKS)
    assert policies <= set(OPTIONS)


@pytest.mark.parametrize("kind", [PolicyOptions, ResourcePolicies, PromptPolicies, RouterPolicies])
def test_every_policy_is_read_in_one_way(kind: type) -> None:
    assert set(kind.__annotations__) - set(CHECKS) - set(RULES) <= set(READERS)


def test_the_arguments_of_fastapi_are_those_that_it_has() -> None:
    for typed, real in (
        (FastAPIOptions, FastAPI.__init__),
        (APIRouterOptions, APIRouter.__init__),
        (IncludeOptions, APIRouter.include_router),
    ):
        # Those that a server or a router gives by itself, or refuses.
        own = {"title", "version", "description", "dependencies", "max_body_size", "router"}
        # What FastAPI got after the oldest version that we support.
        newer = {"form_limits", "strict_content_type", "telemetry", "max_body_size"}
        assert set(typed.__annotations__) ^ set(keywords_of(real)) <= own | newer


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_a_key_of_flask_and_of_django(name: str) -> None:
    value = "x" if name in ("name", "version") else DEFAULTS.get(name)
    app = Flask("shop")
    if name == "auth_required":
        app.config["MCP_AUTH"] = APIKeys([APIKey("ada", "k" * 32)])
    app.config[f"MCP_{name.upper()}"] = value
    MCPMount(app, "/mcp")
    if name == "allowed_hosts":
        # A setting of Django's own.
        assert name.upper() not in DJANGO_KEYS
    else:
        assert DJANGO_KEYS[name.upper()] == name


def test_lists_are_answered_as_the_configuration_says() -> None:
    app = Flask("shop")
    app.config.update(SECRET_KEY="k", MCP_PAGE_SIZE=1, MCP_LIST_TTL_MS=7, MCP_LIST_STEP_UP=True)
    mcp = MCPMount(app, "/mcp")
    mcp.tool(name="one")(lambda: 1)
    mcp.tool(name="two", scopes="orders")(lambda: 2)
    with Client(app) as client:
        first = client.request("tools/list")
        assert ([tool["name"] for tool in first["tools"]], first["ttlMs"]) == (["one"], 7)
        second = client.request("tools/list", {"cursor": first["nextCursor"]})
        assert [tool["name"] for tool in second["tools"]] == ["two"]


def test_a_list_setting_changes_what_was_encoded_before() -> None:
    server = MCPServer("shop", secret_key="k")
    server.tool(name="one")(lambda: 1)
    server.tool(name="two")(lambda: 2)
    with Client(server) as client:
        assert len(client.request("tools/list")["tools"]) == 2
        server.configure(page_size=1, list_ttl_ms=0)
        assert len(client.request("tools/list")["tools"]) == 1


@pytest.mark.parametrize(
    ("keys", "readers"),
    [
        (b"key", ["key", ["new", b"key"]]),
        ([b"new", "old"], [("old", b"new"), "new"]),
        ("", [None, b""]),
        (b"\xed\xb2\x80", ["\udc80"]),
    ],
)
def test_a_secret_key_may_be_bytes(
    monkeypatch: pytest.MonkeyPatch, keys: Any, readers: list[Any]
) -> None:
    monkeypatch.setenv("MCP_MOUNT_SECRET_KEY", "from-the-environment")
    server = MCPServer("shop", secret_key=keys, page_size=1)
    twins = []
    for key in readers:
        app = Flask("shop")
        app.config.update(MCP_SECRET_KEY=key, MCP_NAME="shop", MCP_PAGE_SIZE=1)
        twins.append((MCPMount(app, "/mcp").server, MCPServer("shop", page_size=1)))
        twins[-1][1].configure(secret_key=key)
    for one in (server, *(twin for pair in twins for twin in pair)):
        one.tool(name="one")(lambda: 1)
        one.tool(name="two")(lambda: 2)
    with Client(server) as client:
        cursor = client.request("tools/list")["nextCursor"]
    for pair in twins:
        for twin in pair:
            with Client(twin) as client:
                rest = client.request("tools/list", {"cursor": cursor})
                assert [tool["name"] for tool in rest["tools"]] == ["two"]
