"""Whom a server trusts without credentials: what a local transport vouches for, and nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcp_mount import MCPServer
from mcp_mount.auth import APIKeys
from mcp_mount.protocol import Reply, Request
from tests.requests import stateless


def make(**options: Any) -> MCPServer:
    server = MCPServer("trust", secret_key="k", **options)

    @server.tool(scopes="admin")
    def wipe() -> str:
        return "wiped"

    return server


def call(server: MCPServer, **known: Any) -> tuple[int, Any]:
    headers, body = stateless("tools/call", {"name": "wipe", "arguments": {}})
    reply = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body, **known))
    assert isinstance(reply, Reply)
    return reply.status, json.loads(reply.body)


@pytest.mark.parametrize("mirrors_headers", [True, False])
def test_a_request_of_which_nothing_is_known_is_not_trusted(mirrors_headers: bool) -> None:
    server = make(auth=APIKeys({"ada": "a-long-secret-of-ada"}))
    status, answer = call(server, mirrors_headers=mirrors_headers, address="203.0.113.9")
    assert status == 401
    assert "result" not in answer


@pytest.mark.parametrize("mirrors_headers", [True, False])
def test_scopes_hold_for_a_request_without_mirrored_headers(mirrors_headers: bool) -> None:
    status, _ = call(make(), mirrors_headers=mirrors_headers, address="203.0.113.9")
    assert status == 401


def test_a_request_without_mirrored_headers_comes_by_a_served_host() -> None:
    server = make(allowed_hosts=["api.example.com"])
    status, _ = call(server, mirrors_headers=False)
    assert status == 421


def test_whoever_has_started_the_process_is_trusted() -> None:
    server = make(auth=APIKeys({"ada": "a-long-secret-of-ada"}))
    status, answer = call(server, mirrors_headers=False, is_trusted_local=True)
    assert status == 200
    assert answer["result"]["content"][0]["text"] == "wiped"
