"""A client for tests of a Django project: it logs in as a user, and shares the test's transaction.

class StockTests(TestCase):
    def test_a_clerk_sees_the_stock(self):
        with Client(user=self.clerk) as client:
            self.assertEqual(client.call_tool("stock", {"sku": "TEA"}).data, 3)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.test import Client as Browser

import mcp_mount.testing
from mcp_mount.testing.inprocess import WSGIClient

_TOKEN = "t" * 32


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
        self._http = WSGIClient(get_wsgi_application(), path)


def _login(user: Any) -> dict[str, str]:
    """The headers of a browser in which a user has logged in, with a CSRF token."""
    if isinstance(user, str):
        raise TypeError(f"user= is a user of the project, not the name {user!r}")
    browser = Browser()
    browser.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    cookies = f"{name}={browser.cookies[name].value}; {settings.CSRF_COOKIE_NAME}={_TOKEN}"
    header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").lower()
    return {"cookie": cookies, header: _TOKEN}
