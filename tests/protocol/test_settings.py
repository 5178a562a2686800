"""Origins and hosts: who may call from a browser."""

from __future__ import annotations

import pytest

from mcp_mount.options import protocol_settings
from mcp_mount.protocol import Request
from mcp_mount.wire.host_names import parse_authority


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("http://localhost:6274", True),
        ("https://127.0.0.1:8000", True),
        ("http://127.8.9.10", True),
        ("http://[::1]:3000", True),
        ("https://app.example", True),
        ("https://app.example:444", False),
        ("http://app.example", False),
        ("https://localhost.evil.example", False),
        ("https://127.evil.example", False),
        ("file://localhost", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_loopback_and_configured_origins_may_call(origin: str, allowed: bool) -> None:
    settings = protocol_settings(allowed_origins=frozenset({"https://app.example"}))
    assert settings.allows_origin(origin, "testserver") is allowed


@pytest.mark.parametrize(
    ("hosts", "host", "origin", "allowed"),
    [
        (["shop.example"], "shop.example", "https://shop.example", True),
        (["shop.example"], "shop.example:8443", "https://shop.example:8443", True),
        ([".example"], "shop.example", "https://shop.example", True),
        (["shop.example"], "shop.example", "https://other.example", False),
        (["other.example"], "shop.example", "https://shop.example", False),
        (["*"], "shop.example", "https://shop.example", False),
        ([], "shop.example", "https://shop.example", False),
    ],
)
def test_a_page_of_the_host_may_call_where_somebody_vouches_for_its_name(
    hosts: list[str], host: str, origin: str, allowed: bool
) -> None:
    vouched_by_framework = protocol_settings(host_names=lambda: hosts)
    configured = protocol_settings(allowed_hosts=frozenset(hosts))
    assert vouched_by_framework.allows_origin(origin, host) is allowed
    assert configured.allows_origin(origin, host) is allowed


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("shop.example", True),
        ("SHOP.example:80", True),
        ("a.b.example.org", True),
        ("example.org", True),
        ("notexample.org", False),
        ("[::1]:80", True),
        ("evil.example", False),
        ("", False),
    ],
)
def test_hosts_are_checked_when_they_are_set(host: str, allowed: bool) -> None:
    settings = protocol_settings(allowed_hosts=frozenset({"shop.example", ".example.org", "::1"}))
    authority, request = parse_authority(host), Request("POST", {})
    assert settings.allows_host(authority, request) is allowed
    assert protocol_settings().allows_host(authority, request) is True
    assert protocol_settings(allowed_hosts=frozenset({"*"})).allows_host(authority, request) is True
