"""Pictures of an ImageRouter in a storage of Django: files of MEDIA_ROOT, S3, and all others."""

from __future__ import annotations

import inspect
import time
from contextlib import suppress

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from mcp_mount.backends.images.stores import expiry_of, is_current
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.values import filled, flag
from mcp_mount.wire.logs import own_logger

__all__ = ["StorageImages"]

logger = own_logger("mcp_mount")

_SWEEP_SECONDS = 600.0


class StorageImages:
    """Keeps the pictures that clients want as URLs in a storage of Django.

    Clients get signed URLs of the server, which reads the storage for them, so that the storage
    needs no public URL; or they get the URLs of the storage.

    Args:
        storage: A storage, or its name in the setting STORAGES.
        folder: Where in the storage.
        deletes_expired: Whether what has expired is deleted when another picture is saved, which
            lists the folder every ten minutes. A bucket may have a lifecycle rule in its place.
        storage_urls: Whether clients get `storage.url(…)`, and read the pictures from there. Those
            of S3 and Azure are signed, for as long as the URLs of the router last; how long others
            last is up to the storage.

    Raises:
        DefinitionError: For an argument that cannot be.
    """

    def __init__(
        self,
        storage: Storage | str = "default",
        *,
        folder: str = "mcp-images",
        deletes_expired: bool = True,
        storage_urls: bool = False,
    ) -> None:
        if not isinstance(storage, Storage | str):
            raise DefinitionError(
                f"storage is a storage of Django or its name in STORAGES, not {storage!r}"
            )
        self._given = storage
        self._folder = filled("folder", folder).strip("/")
        self._deletes = flag("deletes_expired", deletes_expired)
        self._gives_urls = flag("storage_urls", storage_urls)
        self._swept_at = float("-inf")

    def save(self, name: str, data: bytes) -> None:
        """Keep a picture."""
        self._storage.save(self._path(name), ContentFile(data))
        now = time.monotonic()
        if self._deletes and now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            try:
                self._sweep()
            except Exception:
                # The picture is kept, which is what the client waits for.
                logger.exception("Pictures that have expired could not be deleted")

    def load(self, name: str) -> bytes | None:
        """A picture; None if there is none of this name."""
        if not is_current(name):
            return None
        try:
            with self._storage.open(self._path(name)) as file:
                data: bytes = file.read()
                return data
        except FileNotFoundError:
            return None

    def url(self, name: str, seconds: float) -> str | None:
        """Where the storage shows a picture; None if the server is to show it."""
        if not self._gives_urls:
            return None
        storage = self._storage
        takes = inspect.signature(storage.url).parameters
        options = {"expire": int(seconds)} if "expire" in takes else {}
        url: str = storage.url(self._path(name), **options)
        return url

    @property
    def _storage(self) -> Storage:
        # A name is looked up when it is used: settings may change it, as those of tests do.
        return storages[self._given] if isinstance(self._given, str) else self._given

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _sweep(self) -> None:
        # A storage need not be able to list or delete.
        with suppress(NotImplementedError, FileNotFoundError):
            for name in self._storage.listdir(self._folder)[1]:
                expires = expiry_of(name)
                if expires is not None and expires < time.time():
                    self._storage.delete(self._path(name))
