"""Clients for tests of a Django project, which log in as a user and share the test's transaction.

class StockTests(TestCase):
    def test_a_clerk_sees_the_stock(self):
        with Client(user=self.clerk) as client:
            self.assertEqual(client.call_tool("stock", {"sku": "TEA"}).data, 3)

    async def test_a_coroutine(self):
        async with AsyncClient(user=self.clerk) as client:
            self.assertFalse((await client.call_tool("stock", {"sku": "TEA"})).is_error)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import Client as Browser
from django.utils.module_loading import import_string
from typing_extensions import Self, Unpack

import mcp_mount.testing
from mcp_mount.testing import ClientOptions
from mcp_mount_django.authentication import USER_OF_TEST

__all__ = ["AsyncClient", "Client"]

_TOKEN = "t" * 32
_HOST = {"host": "testserver"}


class Client(mcp_mount.testing.Client):
    """A `mcp_mount.testing.Client` of the project, under WSGI, on the thread of the test.

    Args:
        user: The caller. The project's middleware sees the user as logged in (with a session, if
            the project has sessions), and the server accepts it, whatever authenticators it has.
        headers: Additional headers of each request.
        options: See `mcp_mount.testing.ClientOptions`.
    """

    def __init__(
        self,
        *,
        user: Any = None,
        headers: Mapping[str, str] | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        _check(user)
        super().__init__(
            _wsgi(user),
            headers={**_HOST, **_login(user), **(headers or {})},
            **options,
        )


class AsyncClient(mcp_mount.testing.AsyncClient):
    """A `mcp_mount.testing.AsyncClient` of the project, under ASGI, for coroutine tests.

    Args:
        user: The caller. The project's middleware sees the user as logged in (with a session, if
            the project has sessions), and the server accepts it, whatever authenticators it has.
        headers: Additional headers of each request.
        options: See `mcp_mount.testing.ClientOptions`.
    """

    def __init__(
        self,
        *,
        user: Any = None,
        headers: Mapping[str, str] | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        _check(user)
        self._user = user
        super().__init__(
            _asgi(user),
            headers={**_HOST, **(headers or {})},
            **options,
        )

    async def __aenter__(self) -> Self:
        # The session of a login is a row in the database.
        login = await sync_to_async(_login)(self._user)
        self._conversation.send_always(login)
        return await super().__aenter__()


def _check(user: Any) -> None:
    if isinstance(user, str):
        raise TypeError(f"user= must be a user of the project, not the name {user!r}")


def _wsgi(user: Any) -> Any:
    application: Any = get_wsgi_application()
    if user is None:
        return application

    def as_user(environ: Mapping[str, Any], start_response: Any) -> Any:
        return application({**environ, USER_OF_TEST: user}, start_response)

    return as_user


def _asgi(user: Any) -> Any:
    application: Any = get_asgi_application()
    if user is None:
        return application

    async def as_user(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await application({**scope, USER_OF_TEST: user}, receive, send)

    return as_user


def _login(user: Any) -> dict[str, str]:
    """Return the headers of a browser in which a user has logged in, with a CSRF token; none in a
    project without sessions.
    """
    if user is None or not _has_sessions():
        return {}
    browser = Browser()
    browser.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    cookies = f"{name}={browser.cookies[name].value}; {settings.CSRF_COOKIE_NAME}={_TOKEN}"
    header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").lower()
    return {"cookie": cookies, header: _TOKEN}


def _has_sessions() -> bool:
    every = (import_string(one) for one in settings.MIDDLEWARE)
    return any(isinstance(one, type) and issubclass(one, SessionMiddleware) for one in every)
