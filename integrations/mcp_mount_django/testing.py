"""A client for tests of a Django project: it logs in as a user, and shares the test's transaction.

class StockTests(TestCase):
    def test_a_clerk_sees_the_stock(self):
        with Client(user=self.clerk) as client:
            self.assertEqual(client.call_tool("stock", {"sku": "TEA"}).structured, 3)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client as Browser

import mcp_mount.testing
from mcp_mount.testing.conversation import HTTPRequest
from mcp_mount.testing.inprocess import Opened, WSGIClient

_TOKEN = "t" * 32
_SIGNALS = (request_started, request_finished)


class Client(mcp_mount.testing.Client):
    """`mcp_mount.testing.Client` of the project, under WSGI, on the thread of the test.

    user: who has logged in, as with `force_login`. path: of the server. Other arguments are those
    of `mcp_mount.testing.Client`.
    """

    def __init__(
        self,
        *,
        user: Any = None,
        path: str = "/mcp",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        own = {"host": "testserver", **(headers or {})}
        if user is not None:
            own |= _login(user)
        super().__init__(None, path=path, headers=own, **options)

    def _connect(self, app: Any, path: str) -> None:
        self._http = _Project(get_wsgi_application(), path)


def _login(user: Any) -> dict[str, str]:
    """The headers of a browser in which a user has logged in, with a CSRF token."""
    browser = Browser()
    browser.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    cookies = f"{name}={browser.cookies[name].value}; {settings.CSRF_COOKIE_NAME}={_TOKEN}"
    header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").lower()
    return {"cookie": cookies, header: _TOKEN}


class _Project(WSGIClient):
    """The project, whose requests leave the connection of the test open, as in Django's client."""

    _depth = 0

    @contextmanager
    def open(self, request: HTTPRequest) -> Iterator[Opened]:
        self._depth += 1
        for signal in _SIGNALS:
            signal.disconnect(close_old_connections)
        try:
            with super().open(request) as opened:
                yield opened
        finally:
            self._depth -= 1
            if not self._depth:
                for signal in _SIGNALS:
                    signal.connect(close_old_connections)
