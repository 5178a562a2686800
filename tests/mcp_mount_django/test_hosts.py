"""The hosts that Django lets in, worked out once for each."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import DisallowedHost
from django.test import RequestFactory, override_settings

from mcp_mount_django.hosts import AllowedHosts

pytestmark = pytest.mark.usefixtures("project")


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_host_is_known_once_it_was_let_in(kind: Any) -> None:
    hosts = AllowedHosts()
    request = RequestFactory(HTTP_HOST="shop.example").get("/")
    with override_settings(ALLOWED_HOSTS=kind(["shop.example"])):
        assert not hosts.has("shop.example")
        assert hosts.host_of(request) == "shop.example"
        assert hosts.has("shop.example")
    with override_settings(ALLOWED_HOSTS=kind(["other.example"])):
        assert not hosts.has("shop.example")
        with pytest.raises(DisallowedHost):
            hosts.host_of(request)


def test_a_list_that_is_changed_counts_as_it_is() -> None:
    hosts, allowed = AllowedHosts(), ["shop.example"]
    with override_settings(ALLOWED_HOSTS=allowed):
        hosts.host_of(RequestFactory(HTTP_HOST="shop.example").get("/"))
        allowed.clear()
        assert not hosts.has("shop.example")
