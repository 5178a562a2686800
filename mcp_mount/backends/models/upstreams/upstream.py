"""Servers of model providers over HTTP: requests to them, and what may go wrong."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any, Final, TypeAlias

from typing_extensions import Unpack

from mcp_mount.backends.models.upstreams.connections import ConnectionOptions, Connections, header
from mcp_mount.backends.models.upstreams.failures import refusal
from mcp_mount.backends.models.upstreams.responses import UpstreamResponse
from mcp_mount.llm.errors import ModelError
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.values import filled, kind_of
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

Key: TypeAlias = str | Callable[[], str | Awaitable[str]] | None
"""What authenticates this server: a text, or a function that returns one for each request."""

FormFiles: TypeAlias = Sequence[tuple[str, tuple[str, bytes, str]]]
"""Files of a form: the name of the field, and the name, content and media type of the file."""

_OK: Final = 200
_SERVER_ERROR: Final = 500
_MAX_ERROR_BYTES: Final = 64 * 1024
_ENDPOINTS: Final = (
    *("/chat/completions", "/completions", "/responses", "/embeddings", "/v1/messages"),
    *("/images/generations", "/images/edits"),
)
"""What documentation of providers has after the base URL."""


class Upstream:
    """The server of a provider.

    Args:
        name: What it is, for errors and logs.
        base_url: Its URL.
        key_header: The header that has the key, and what stands before the key there.
        key: The key.
        options: How it is reached.

    Attributes:
        url: Its URL, a `httpx2.URL`.
        has_key: Whether requests have a key, or headers that may be one.

    Raises:
        DefinitionError: For a URL, key or option that cannot be.
        MissingExtra: If httpx2 is not installed.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        key_header: tuple[str, str],
        key: Key,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        with requires("llm", f"{name}(…)"):
            import httpx2
        try:
            url = httpx2.URL(filled("base_url", base_url))
        except httpx2.InvalidURL as error:
            raise DefinitionError(f"base_url is no URL: {error}") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise DefinitionError("base_url begins with https:// or http:// and a host")
        if url.userinfo:
            raise DefinitionError("base_url has a password in it: use key= or headers= for it")
        _refuse_endpoint(url)
        self.url = url
        self.has_key = key is not None or bool(options.get("headers"))
        self._name = name
        self._key_header = key_header
        self._key = key if key is None or callable(key) else _checked(key)
        self._connections = Connections(name, url, options)

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        known = {"https": 443, "http": 80}
        return self.url.host, self.url.port or known[self.url.scheme]

    def __repr__(self) -> str:
        return f"{self._name}({str(self.url.copy_with(query=None))!r})"

    @asynccontextmanager
    async def ask(
        self, path: str, body: Mapping[str, Any], files: FormFiles | None = None, /, **headers: str
    ) -> AsyncIterator[UpstreamResponse]:
        """Post a request, and read the answer within the block; what ends the block closes the
        connection, unless the answer was read to its end.

        Args:
            path: Below the base URL.
            body: The request, in JSON form.
            files: Files of a form, whose other fields are the request: their names, and of each the
                file name, the content and the media type.
            headers: Of the request, with `_` for `-`.

        Raises:
            ModelError: If there is no answer, for any reason.
        """
        import httpx2

        client = await self._connections.client()
        url = self.url.copy_with(path=self.url.path.rstrip("/") + path)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        key = await self._current_key()
        if key is not None:
            name, before = self._key_header
            sent[name] = before + key
        sent |= self._connections.headers
        content: dict[str, Any] = {"content": _encoded(body)}
        if files is not None:
            sent["content-type"] = f"multipart/form-data; boundary={token_hex(16)}"
            content = {"data": {name: _field(one) for name, one in body.items()}, "files": files}
        refused = None
        try:
            async with client.stream("POST", url, headers=sent, **content) as response:
                reply = UpstreamResponse(response, self._connections.max_bytes)
                if reply.status == _OK:
                    yield reply
                else:
                    refused = await self._refusal(reply, key)
        except httpx2.PoolTimeout:
            message = "Too many requests are waiting for the upstream model"
            raise ModelError(message, status=503, retry_after=1.0) from None
        except httpx2.TimeoutException as error:
            self._log(f"no answer in time ({type(error).__name__})")
            raise ModelError("The upstream model does not answer in time", status=504) from None
        except httpx2.HTTPError as error:
            self._log(f"{type(error).__name__}: {error}")
            what = "cannot be reached" if isinstance(error, httpx2.ConnectError) else "breaks off"
            raise ModelError(f"The upstream model {what}") from None
        except ModelError as error:
            if error.status >= _SERVER_ERROR:
                self._log(str(error))
            raise
        try:
            if refused is not None:
                raise refused
        finally:
            # Its traceback holds this frame: the frame must not hold it.
            refused = None

    async def _refusal(self, reply: UpstreamResponse, key: str | None) -> ModelError:
        """The error for a response that is no answer."""
        try:
            body = await reply.body(_MAX_ERROR_BYTES)
        except ModelError:
            body = b""
        error, logged = refusal(reply.status, reply.headers, body, secret=key)
        if logged:
            self._log(logged)
        return error

    def _log(self, what: str) -> None:
        logger.warning("%s: %s", repr(self), what)

    async def _current_key(self) -> str | None:
        if not callable(self._key):
            return self._key
        key = self._key()
        return _checked(await key if inspect.isawaitable(key) else key)


def _refuse_endpoint(url: Any) -> None:
    """Raise an error for the URL of an endpoint: the path of one would be appended to it."""
    path = url.path.rstrip("/")
    for endpoint in _ENDPOINTS:
        if path.endswith(endpoint):
            base = url.copy_with(path=path.removesuffix(endpoint), query=None)
            shown = str(base).rstrip("/") + ("?…" if url.query else "")
            raise DefinitionError(
                f"base_url is the URL before {endpoint!r}, which is appended to it: write {shown!r}"
            )


def _field(value: Any) -> str:
    """A field of a form, for a value in JSON form."""
    return value if isinstance(value, str) else _encoded(value).decode()


def _encoded(body: Any) -> bytes:
    try:
        return encode(body)
    except ValueError as error:
        raise ModelError(f"The request has no JSON form: {error}", status=400) from None


def _checked(key: Any) -> str:
    """A key that a header can have.

    Raises:
        DefinitionError: If it cannot be one; it is not shown.
    """
    if not isinstance(key, str) or not key:
        what = "an empty one" if key == "" else kind_of(key)
        raise DefinitionError(f"key is a text, or a function that returns one, not {what}")
    return header(key)
