"""WSGI environments (PEP 3333): what transports and hosts read of those that web servers bring, and
those of requests that no web server has brought."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from types import TracebackType
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from mcp_mount.calls.green import is_green
from mcp_mount.transports.scopes import ENDPOINT, MAX_DRAINED
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

Environ: TypeAlias = dict[str, Any]

MOUNTED: Final = "mcp_mount.mounted"
"""The key of a WSGI environment under which a server notes whether it is mounted in anything."""

_LONGEST_LENGTH: Final = 18
"""How many digits a Content-Length may have that some server could serve."""

_DRAINED_AT_ONCE: Final = 64 * 1024


class IncompleteBody(Exception):
    """The body of a request did not come whole, or not in valid chunks."""


def read_headers(environ: Environ) -> dict[str, str]:
    """The headers of a WSGI environment, for `Request`."""
    headers = {
        key[5:].replace("_", "-").lower(): value.strip(" \t")
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    return headers


def endpoint_url(environ: Environ) -> str | None:
    """The URL of the MCP endpoint, as the client of a request wrote it."""
    host = environ.get("HTTP_HOST")
    if not host:
        return None
    path: str = environ.get(ENDPOINT) or environ.get("SCRIPT_NAME") or ""
    if path and f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}" == f"{path}/":
        # Clients compare it with what they were given.
        path += "/"
    scheme = environ.get("wsgi.url_scheme", "http")
    return f"{scheme}://{host}{quote(path.encode('latin-1'))}"


def server_of(environ: Environ) -> tuple[str, int | None]:
    """The address and the port that the web server says it has."""
    port = str(environ.get("SERVER_PORT", ""))
    return environ.get("SERVER_NAME", ""), int(port) if port.isdecimal() else None


def is_multithread(environ: Environ) -> bool:
    """Whether other requests of the process are served while one waits.

    PEP 3333 has a flag for it. Where gevent has replaced threads the flag may say no (uWSGI, and
    gevent's own server), while greenlets are served.
    """
    return bool(environ.get("wsgi.multithread")) or is_green()


def own_environ(environ: Environ) -> Environ:
    """The environment of a request, to be kept for what outlives it: tasks, and calls of clients
    that have left.

    uWSGI empties the dictionary when the request has ended, and fills it for the next one: a task
    would read another caller's headers.
    """
    return dict(environ) if "uwsgi.version" in environ else environ


def read_body(environ: Environ, limit: int) -> bytes | None:
    """The whole body.

    A body that exceeds the limit is read all the same, up to `MAX_DRAINED` bytes, and dropped: many
    clients do not see the response of a server that closes the connection meanwhile.

    Args:
        environ: The WSGI environment.
        limit: In bytes.

    Returns:
        The body; None if it exceeds the limit.

    Raises:
        IncompleteBody: If the client left before the end.
    """
    size = body_length(environ)
    if size is None and not environ.get("wsgi.input_terminated"):
        # PEP 3333: without a length there is no body, unless the server marks its end.
        return b""
    if size is not None and size > limit:
        if "HTTP_EXPECT" not in environ:
            drain(environ["wsgi.input"].read, size)
        return None
    with whole_body():
        body: bytes = environ["wsgi.input"].read(limit + 1 if size is None else size)
    if size is not None and len(body) < size:
        raise IncompleteBody
    if len(body) <= limit:
        return body
    drain(environ["wsgi.input"].read)
    return None


def drain(read: Callable[[int], bytes], size: int = MAX_DRAINED) -> None:
    """Read the rest of a body, up to `size` and `MAX_DRAINED` bytes, and drop it.

    Args:
        read: Reads so many bytes, or fewer.
        size: How long the rest is, if that is known.
    """
    left = min(size, MAX_DRAINED)
    # It is refused anyway.
    with suppress(Exception):
        while left > 0 and (chunk := read(min(left, _DRAINED_AT_ONCE))):
            left -= len(chunk)


def body_length(environ: Environ) -> int | None:
    """The length of the body; None if the client does not say it.

    Args:
        environ: The WSGI environment.

    Raises:
        IncompleteBody: If it is not a length, which some servers pass on (uWSGI).
    """
    length = environ.get("CONTENT_LENGTH") or ""
    if not length:
        return None
    if not (length.isascii() and length.isdecimal()):
        raise IncompleteBody
    # Python refuses to read numbers of thousands of digits.
    return int(length) if len(length) <= _LONGEST_LENGTH else sys.maxsize


class whole_body:
    """Read a body within this: what servers raise then is a fault of the client's.

    Who sends bad chunks or leaves is told by an OSError, or by an exception of the server's own
    (ParseException of gunicorn): no common base class has them all.

    Args:
        others: The exceptions that mean something else.

    Raises:
        IncompleteBody: For all but those.
    """

    __slots__ = ("_others",)

    def __init__(self, *others: type[Exception]) -> None:
        self._others = others

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(
        self, kind: type | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, self._others):
            logger.info("The body of a request could not be read: %r", error)
            raise IncompleteBody from error


def make_environ(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    host: str = "localhost",
    scheme: str = "http",
) -> Environ:
    """The environment of a request of a client on this machine.

    Args:
        method: The HTTP method.
        path: The path, decoded.
        headers: By their names.
        body: As bytes.
        host: The Host header, unless `headers` has one.
        scheme: "http" or "https".
    """
    named: dict[str, Any] = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()
    }
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": "",
        "SERVER_NAME": host,
        "SERVER_PORT": "443" if scheme == "https" else "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": host,
        "CONTENT_TYPE": named.pop("HTTP_CONTENT_TYPE", ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **named,
    }
