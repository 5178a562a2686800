"""Where pictures are kept that clients get as URLs."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from mcp_mount.backends.images.pictures import MEDIA_TYPES
from mcp_mount.llm.images import Picture
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.values import whole

_NAME: Final = re.compile(r"([0-9a-f]{1,12})-[0-9a-f]{32}\.(png|jpeg|webp)")
_SWEEP_SECONDS: Final = 60.0


class ImageStore(Protocol):
    """Keeps pictures under names that this library makes: letters, digits, "-" and ".".

    Its methods run where plain functions do, and from several threads at a time. Names tell when
    they expire: see `expiry_of`.
    """

    def save(self, name: str, data: bytes) -> None:
        """Keep a picture.

        Args:
            name: A name that is not there yet.
            data: The picture.
        """

    def load(self, name: str) -> bytes | None:
        """A picture; None if there is none of this name.

        Args:
            name: Its name.
        """


@runtime_checkable
class LinkingStore(ImageStore, Protocol):
    """A store that shows pictures itself, at URLs of its own."""

    def url(self, name: str, seconds: float) -> str | None:
        """Where a picture is shown, absolute or on the host of the server.

        Args:
            name: The name of a picture that is kept.
            seconds: For how long.

        Returns:
            The URL; None if the server is to show the picture.
        """


def new_name(picture: Picture, seconds: float) -> str:
    """A name for a picture, which nobody can guess.

    Args:
        picture: The picture.
        seconds: For how long it is to be kept.
    """
    expires = int(time.time() + seconds) + 1
    return f"{expires:x}-{secrets.token_hex(16)}.{MEDIA_TYPES[picture.media_type]}"


def expiry_of(name: str) -> float | None:
    """When a picture expires, in seconds since 1970; None for what is no name of a picture."""
    found = _NAME.fullmatch(name)
    return None if found is None else int(found[1], 16)


def is_current(name: str) -> bool:
    """Whether a text is the name of a picture that has not expired."""
    expires = expiry_of(name)
    return expires is not None and expires > time.time()


class MemoryImages:
    """Keeps pictures in the memory of this process; the oldest ones go where there are too many.

    Args:
        max_files: How many are kept.
        max_bytes: How many bytes they have together.

    Raises:
        DefinitionError: For a limit that is none.
    """

    def __init__(self, *, max_files: int = 1000, max_bytes: int = 256 * 1024 * 1024) -> None:
        self._max_files = whole(1)("max_files", max_files)
        self._max_bytes = whole(1)("max_bytes", max_bytes)
        self._lock = threading.Lock()
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def save(self, name: str, data: bytes) -> None:
        """Keep a picture.

        Args:
            name: A name that is not there yet.
            data: The picture.
        """
        with self._lock:
            for other in [one for one in self._files if not is_current(one)]:
                self._bytes -= len(self._files.pop(other))
            self._files[name] = data
            self._bytes += len(data)
            while len(self._files) > self._max_files or (
                self._bytes > self._max_bytes and len(self._files) > 1
            ):
                _, dropped = self._files.popitem(last=False)
                self._bytes -= len(dropped)

    def load(self, name: str) -> bytes | None:
        """A picture; None if there is none of this name.

        Args:
            name: Its name.
        """
        with self._lock:
            return self._files.get(name) if is_current(name) else None


class DirectoryImages:
    """Keeps pictures as files of a directory, which several processes may share. What has expired
    is deleted when another picture is saved.

    Args:
        path: The directory; made if it is not there.

    Raises:
        DefinitionError: If it cannot be one.
    """

    def __init__(self, path: str | Path) -> None:
        if not isinstance(path, str | Path) or not str(path):
            raise DefinitionError(f"the directory of a store is a path, not {path!r}")
        self._path = Path(path)
        if self._path.exists() and not self._path.is_dir():
            raise DefinitionError(f"{str(path)!r} is no directory")
        self._swept_at = float("-inf")

    def save(self, name: str, data: bytes) -> None:
        """Keep a picture.

        Args:
            name: A name that is not there yet.
            data: The picture.
        """
        self._path.mkdir(parents=True, exist_ok=True)
        begun = self._path / f".{name}"
        begun.write_bytes(data)
        # Nobody reads half a picture.
        os.replace(begun, self._path / name)
        self._sweep()

    def load(self, name: str) -> bytes | None:
        """A picture; None if there is none of this name.

        Args:
            name: Its name.
        """
        if not is_current(name):
            return None
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = now
        for file in self._path.iterdir():
            expires = expiry_of(file.name.removeprefix("."))
            if expires is not None and expires < time.time():
                with suppress(FileNotFoundError):
                    file.unlink()
