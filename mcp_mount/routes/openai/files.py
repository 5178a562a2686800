"""`/v1/images/files/{name}`: pictures at signed URLs that expire."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final
from urllib.parse import urljoin
from weakref import WeakKeyDictionary

from fastapi import Request, Response

from mcp_mount.backends.images.stores import (
    ImageStore,
    LinkingStore,
    expiry_of,
    is_current,
    new_name,
)
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.images import Picture
from mcp_mount.routes.errors import failed, openai_error
from mcp_mount.routes.gate import checked, signed
from mcp_mount.routes.parts import ServerParts, parts_of
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.sealing import CLOCKS_APART, TokenRefused, TokenSealer

logger = own_logger("mcp_mount")

_FILES: Final = "/v1/images/files/"
_PURPOSE: Final = "image"
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


class ImageFiles:
    """Pictures that clients get as URLs.

    The name in a URL is sealed with the secret key of the server: whoever has the URL may see the
    picture until it expires, and nobody can make another one.

    Args:
        store: Keeps the pictures.
        seconds: For how long.
        base_url: What URLs begin with, before `/v1/images/files/`; by default as the client has
            asked for the picture.
    """

    def __init__(self, store: ImageStore, seconds: float, base_url: str | None) -> None:
        self._store = store
        self._seconds = seconds
        self._base_url = base_url
        self._alone = TokenSealer(_PURPOSE, lambda: ())
        self._sealers: WeakKeyDictionary[ServerParts, TokenSealer] = WeakKeyDictionary()

    def save(self, picture: Picture) -> str:
        """Keep a picture; its name.

        Raises:
            ModelError: If the store has failed, which the log has.
        """
        name = new_name(picture, self._seconds)
        try:
            self._store.save(name, picture.data)
        except Exception as error:
            raise _failed("The picture could not be kept", error) from error
        return name

    def load(self, name: str) -> bytes | None:
        """A picture by its name; None if there is none, or it has expired.

        Raises:
            ModelError: If the store has failed, which the log has.
        """
        try:
            return self._store.load(name) if is_current(name) else None
        except Exception as error:
            raise _failed("The picture could not be read", error) from error

    async def url_of(self, picture: Picture, request: Request) -> str:
        """Keep a picture; its URL.

        Args:
            picture: The picture.
            request: The request that it answers.
        """
        kept: tuple[str, str | None] = await checked(request, partial(self._kept, picture))
        name, link = kept
        if link is not None:
            return urljoin(str(request.url), link)
        base = self._base_url
        if base is None:
            url = request.url
            path = url.path.rpartition("/v1/images/")[0]
            base = str(url.replace(path=path, query="", fragment=""))
        token = self._sealer(request).seal(name.partition(".")[0])
        return f"{base.rstrip('/')}{_FILES}{token}.{name.partition('.')[2]}"

    def _kept(self, picture: Picture) -> tuple[str, str | None]:
        """Keep a picture; its name, and its URL if that is one of the store."""
        name = self.save(picture)
        store = self._store
        return name, store.url(name, self._seconds) if isinstance(store, LinkingStore) else None

    @signed
    async def show(self, name: str, request: Request) -> Response:
        """Show a picture whose URL a client was given."""
        token, _, ending = name.rpartition(".")
        try:
            claims, _ = self._sealer(request).open(token, ttl=self._seconds + 1)
        except TokenRefused:
            return _missing()
        kept = f"{claims}.{ending}"
        expires = expiry_of(kept)
        if expires is None or expires <= time.time():
            return _missing()
        try:
            data = await checked(request, partial(self.load, kept))
        except ModelError as error:
            return failed(error, "The picture")
        if data is None:
            return _missing()
        age = max(0, int(expires - time.time()))
        headers = {**_HEADERS, "Cache-Control": f"private, max-age={age}"}
        return Response(data, media_type=f"image/{ending}", headers=headers)

    def _sealer(self, request: Request) -> TokenSealer:
        parts = parts_of(request)
        if parts is None:
            return self._alone
        found = self._sealers.get(parts)
        if found is None:
            settings: Any = parts.protocol.settings
            found = self._sealers[parts] = TokenSealer(
                _PURPOSE, parts.secret_keys, server=lambda: settings.name, ahead=CLOCKS_APART
            )
        return found


def _failed(message: str, error: Exception) -> ModelError:
    """The error for a store that has failed: its words are for the log."""
    logger.error("The store of pictures has failed", exc_info=error)
    return ModelError(message, status=500, again=False)


def _missing() -> Response:
    return openai_error(404, "not_found", "There is no such picture, or its URL has expired")
