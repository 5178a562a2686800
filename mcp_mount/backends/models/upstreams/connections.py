"""Connections to upstreams: how they are reached, and one client for each event loop."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, TypedDict
from weakref import WeakKeyDictionary

from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount.schemas.values import filled, flag, kind_of, mapping, or_none, seconds, whole

_IDLE_SECONDS: Final = 4.0
"""How long unused connections are kept: many servers close theirs after 5 seconds, and a request
that meets that moment fails."""

_MAX_IDLE: Final = 100

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110, 5.6.2)."""


class ConnectionOptions(TypedDict, total=False):
    """How an upstream is reached."""

    headers: Mapping[str, str]
    """Headers of each request."""
    timeout: float
    """After how many seconds without a byte from the upstream to give up; by default 600, since
    models that reason may think for minutes before a whole answer. How long a whole call may take
    is for the policy `timeout=` of the model."""
    connect_timeout: float
    """After how many seconds to give up connecting; by default 10."""
    max_connections: int
    """How many requests may be under way at one time in each event loop; by default 1000. Others
    wait for `connect_timeout` seconds."""
    max_answer_bytes: int
    """How large an answer may be; by default 32 MiB."""
    proxy: str | None
    """The URL of a proxy."""
    trust_env: bool
    """Whether the environment may name proxies (`HTTPS_PROXY`), certificates (`SSL_CERT_FILE`) and
    passwords (`.netrc`); by default not."""
    verify: bool | ssl.SSLContext
    """How the certificate of the upstream is checked: an SSL context for an authority of your own,
    False for no check."""


_CHECKS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "headers": mapping,
    "timeout": seconds,
    "connect_timeout": seconds,
    "max_connections": whole(1),
    "max_answer_bytes": whole(1),
    "proxy": or_none(filled),
    "trust_env": flag,
    "verify": lambda name, value: value if isinstance(value, ssl.SSLContext) else flag(name, value),
}


class Connections:
    """The connections to an upstream. They belong to their event loop, and are closed with it; a
    forked process has loops of its own.

    Args:
        name: What it is, for errors.
        url: Its URL, a `httpx2.URL`.
        options: How it is reached.

    Attributes:
        headers: Those of each request.
        max_bytes: How large an answer may be.

    Raises:
        DefinitionError: For an option that cannot be.
    """

    def __init__(self, name: str, url: Any, options: Mapping[str, Any]) -> None:
        import httpx2

        refuse_unknown(f"{name} has no option", options, ConnectionOptions.__annotations__)
        known = {option: _CHECKS[option](option, value) for option, value in options.items()}
        given = known.pop("headers", {})
        self.headers = {_header_name(one): header(text) for one, text in given.items()}
        self.max_bytes: int = known.pop("max_answer_bytes", 32 * 1024 * 1024)
        connect = known.pop("connect_timeout", 10.0)
        timeout = httpx2.Timeout(known.pop("timeout", 600.0), connect=connect, pool=connect)
        limits = httpx2.Limits(
            max_connections=known.pop("max_connections", 1000),
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=_IDLE_SECONDS,
        )
        if url.scheme == "http":
            # Reading the certificates of all authorities takes 20 ms, for nothing.
            known.setdefault("verify", False)
        if known.get("proxy") is not None:
            try:
                known["proxy"] = httpx2.Proxy(known["proxy"])
            except (httpx2.InvalidURL, ValueError) as error:
                raise DefinitionError(f"proxy is the URL of a proxy: {error}") from None
        self._options = {"trust_env": False, **known, "timeout": timeout, "limits": limits}
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _OpenClient] = WeakKeyDictionary()

    async def client(self) -> Any:
        """The client of the running event loop."""
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            here = self._loops[loop] = _OpenClient(self._connected())
            await anext(here.closing)
        return here.client

    def _connected(self) -> Any:
        import httpx2

        # Nothing packed: a small answer can be a large one when it is unpacked.
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": "mcp-mount",
        }
        # What one caller's answer sets must not go with the request of another.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        return httpx2.AsyncClient(headers=headers, cookies=cookies, **self._options)


class _OpenClient:
    """A client of one event loop.

    Attributes:
        closing: An asynchronous generator at its `yield`: an event loop closes those that are left
            when it ends, or when nobody has them any more.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.closing = _closing(client)


async def _closing(client: Any) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()


def _header_name(name: Any) -> str:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise DefinitionError(f"headers: {name!r} is no name of a header")
    # Ours are in lower case, and give way to the user's.
    return name.lower()


def header(text: Any) -> str:
    """A text that a header can have.

    Raises:
        DefinitionError: If it cannot be one; it is not shown, since it may be secret.
    """
    if not isinstance(text, str):
        raise DefinitionError(f"a header is a text, not {kind_of(text)}")
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise DefinitionError(
            "a key or header has a character that cannot be sent, such as a line break at its end"
        )
    return text
