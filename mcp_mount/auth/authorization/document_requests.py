"""One request for a document over TLS, within a time and a number of bytes.

Sections are those of draft-ietf-oauth-client-id-metadata-document-02.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import Any, Final
from urllib.parse import SplitResult

from mcp_mount.auth.authorization.client_urls import DocumentRefused
from mcp_mount.auth.authorization.public_addresses import SecondsLeft

MAX_HEAD_BYTES: Final = 16 * 1024
"""How long the status line and the headers of an answer may be."""

_HANDSHAKE_BYTES: Final = 128 * 1024
"""What TLS needs besides: OpenSSL takes certificates of 100 KB at most."""

_RECEIVED_AT_ONCE: Final = 16 * 1024

_INTERIM: Final = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}(?![0-9])")
_JSON: Final = re.compile(r"application/(?:[a-z0-9!#$&^_.+-]+\+)?json")


def request_document(
    parts: SplitResult,
    connection: socket.socket,
    context: ssl.SSLContext,
    left: SecondsLeft,
    max_bytes: int,
) -> tuple[HTTPMessage, bytes]:
    """Ask for a document.

    Args:
        parts: Its URL.
        connection: A connection to the server, without TLS.
        context: How TLS is spoken.
        left: The time for it.
        max_bytes: How long the document may be.

    Returns:
        The headers of the answer, and the document.

    Raises:
        DocumentRefused: If the answer has none, or more than may be.
        OSError: If the connection breaks off, or is not secure (`ssl.SSLError`).
        TimeoutError: If time runs out.
    """
    host = str(parts.hostname)
    # Chunks may be small, and each has its length before it.
    most = _HANDSHAKE_BYTES + MAX_HEAD_BYTES + 4 * max_bytes
    secured = _Secured(connection, host, context, left, most)
    secured.send(_request(parts, host))
    secured.put_back(_final_head(secured))
    # An answer is read as http.client does it, which never has more than `_Secured` lets through.
    try:
        # Closed here: from Python 3.13 on the garbage collector may close it in a wrong order.
        with HTTPResponse(secured) as response:  # type: ignore[arg-type]
            response.begin()
            headers = response.headers
            _check_status(response.status)
            _check_type(headers)
            length = _length(headers, max_bytes)
            body = response.read(max_bytes + 1)
    except HTTPException as error:
        raise _no_http() from error
    except ValueError as error:
        if isinstance(error, OSError):  # errors of certificates are both
            raise
        raise _no_http() from error
    if len(body) > max_bytes:
        raise _too_long(max_bytes)
    if length is not None and len(body) != length:
        raise DocumentRefused("The client's document is cut off")
    return headers, body


def joined(headers: HTTPMessage, name: str) -> str:
    """The values of a header in lower case (RFC 9110, section 5.3)."""
    return ", ".join(headers.get_all(name, [])).strip().lower()


def _request(parts: SplitResult, host: str) -> bytes:
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return (
        f"GET {target} HTTP/1.1\r\n"
        f"host: {host}\r\n"
        "accept: application/json\r\n"
        # Nothing packed: a small document can be a large one when it is unpacked.
        "accept-encoding: identity\r\n"
        "connection: close\r\n"
        "user-agent: mcp-mount\r\n\r\n"
    ).encode("ascii")


_IGNORES_UNEXPECTED_EOF: Final = getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)


class _Secured(io.RawIOBase):
    """What a server says over TLS.

    A timeout of a socket begins anew with each byte that comes, and so may one of `ssl` (gevent's
    does). Here each step waits for what is left of the whole time.
    """

    def __init__(
        self,
        connection: socket.socket,
        host: str,
        context: ssl.SSLContext,
        left: SecondsLeft,
        most: int,
    ) -> None:
        self._connection = connection
        self._left = left
        self._most = most
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        # Some versions of Python 3.11 (3.11.2, which Debian 12 has) take any end for one that the
        # server has said.
        context.options &= ~_IGNORES_UNEXPECTED_EOF
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._again = b""
        self._do(self._tls.do_handshake)

    def send(self, data: bytes) -> None:
        self._do(lambda: self._tls.write(data))

    def receive(self, size: int = _RECEIVED_AT_ONCE) -> bytes:
        """The next bytes; none at the end.

        Raises:
            OSError: If the connection ends before the server has said so: what has come may be a
                part.
        """
        data: bytes = self._do(lambda: self._tls.read(size))
        return data

    def put_back(self, data: bytes) -> None:
        """Let these bytes be read first."""
        self._again = data

    def makefile(self, mode: str) -> io.BufferedReader:
        """What `HTTPResponse` asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._again[: len(buffer)] or self.receive(len(buffer))
        self._again = self._again[len(data) :]
        buffer[: len(data)] = data
        return len(data)

    def _do(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                # The alert says to the server what is wrong with its certificate.
                self._flush()
                raise
            else:
                self._flush()
                return done

    def _fill(self) -> None:
        self._connection.settimeout(self._left())
        data = self._connection.recv(_RECEIVED_AT_ONCE)
        self._most -= len(data)
        if self._most < 0:
            raise DocumentRefused("The client's server answers too much")
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        data = self._outgoing.read()
        while data:
            self._connection.settimeout(self._left())
            data = data[self._connection.send(data) :]


def _final_head(secured: _Secured) -> bytes:
    """What has come when the status line and the headers are there, without interim responses."""
    data, counted = b"", 0
    while True:
        head, end, rest = data.partition(b"\r\n\r\n")
        if counted + len(head) + len(end) > MAX_HEAD_BYTES:
            raise DocumentRefused(
                f"The client's server answers more than {MAX_HEAD_BYTES} bytes of headers"
            )
        if not end:
            more = secured.receive()
            if not more:
                raise _no_http()
            data += more
        elif _INTERIM.match(head):
            counted += len(head) + len(end)
            data = rest
        else:
            return data


def _check_status(status: int) -> None:
    """Check that there is a document.

    "MUST use the 200 OK HTTP status code", "MUST NOT automatically follow HTTP redirects"
    (section 5).
    """
    if 300 <= status < 400:
        raise DocumentRefused(f"The client's server redirects ({status})")
    if status != 200:
        raise DocumentRefused(f"The client's server answers {status}")


def _check_type(headers: HTTPMessage) -> None:
    """Check that a body is JSON: `application/json` or `application/…+json` (section 4)."""
    types = headers.get_all("content-type", [])
    if len(types) != 1 or not _JSON.fullmatch(headers.get_content_type()):
        raise DocumentRefused("The client's document is not served as application/json")


def _length(headers: HTTPMessage, max_bytes: int) -> int | None:
    """The length of the body, as far as it is told beforehand."""
    coding = joined(headers, "transfer-encoding")
    if joined(headers, "content-encoding") not in ("", "identity") or coding not in ("", "chunked"):
        raise DocumentRefused("The client's document is packed, which was not asked for")
    text = joined(headers, "content-length")
    if not text:
        return None
    # With both, two lengths are told (RFC 9112, section 6.3).
    if coding or not re.fullmatch("[0-9]{1,18}", text):
        raise _no_http()
    if int(text) > max_bytes:
        raise _too_long(max_bytes)
    return int(text)


def _too_long(max_bytes: int) -> DocumentRefused:
    return DocumentRefused(f"The client's document is longer than {max_bytes} bytes")


def _no_http() -> DocumentRefused:
    return DocumentRefused("The client's server does not answer in HTTP/1.1")
