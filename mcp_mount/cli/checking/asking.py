"""Requests as clients send them: no redirect is followed, and nothing is believed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Timer
from time import monotonic
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from pydantic_core import from_json

SECONDS: Final = 10.0
"""How long Claude.ai waits for an answer."""

AGENT: Final = "python-httpx/0.28.1"
"""How Claude.ai and clients with the Python SDK introduce themselves."""

_LONGEST: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered to a request.

    Attributes:
        method: The method of the request.
        url: Its URL.
        status: The status; 0 if there was no answer.
        headers: The headers, their names in lower case.
        body: The body, or its beginning.
        problem: Why there was no answer.
    """

    method: str
    url: str
    status: int = 0
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    problem: str = ""

    def header(self, name: str) -> str | None:
        """The values of a header, joined; None if it is not there."""
        values = [value for one, value in self.headers if one == name]
        return ", ".join(values) if values else None

    def values(self, name: str) -> list[str]:
        """The values of a header, one for each line."""
        return [value for one, value in self.headers if one == name]

    @property
    def is_redirect(self) -> bool:
        """Whether it leads elsewhere."""
        return 300 <= self.status < 400 and self.header("location") is not None

    @property
    def location(self) -> str:
        """The URL that it leads to."""
        named = self.header("location") or ""
        try:
            return urljoin(self.url, named)
        except ValueError:
            # No URL, such as "http://[": whoever asks there is told so.
            return named

    @property
    def json(self) -> Any:
        """The JSON of its body; None if it has none."""
        if "json" not in (self.header("content-type") or ""):
            return None
        try:
            # Not by the module `json`, which reads halves of characters, and none too deep a list.
            return from_json(self.body)
        except ValueError:
            return None

    @property
    def document(self) -> Mapping[str, Any] | None:
        """The JSON object of a successful answer; None for anything else."""
        found = self.json if self.status == 200 else None
        return found if isinstance(found, dict) else None

    def __str__(self) -> str:
        if self.problem:
            return f"{self.method} {self.url} gets no answer ({self.problem})"
        kind = (self.header("content-type") or "no content type").partition(";")[0]
        to = f" to {self.location}" if self.is_redirect else ""
        return f"{self.method} {self.url} answers {self.status}{to} ({kind})"


@dataclass
class Asker:
    """Sends requests, and remembers what GET has answered.

    Attributes:
        context: How TLS is spoken.
        asked: All that was asked by GET.
    """

    context: ssl.SSLContext
    asked: dict[tuple[str, str], Answered] = field(default_factory=dict)

    def get(self, url: str, *, agent: str = AGENT) -> Answered:
        """Ask by GET, once.

        Args:
            url: The URL.
            agent: How the client introduces itself.
        """
        key = (url, agent)
        if key not in self.asked:
            headers = {"accept": "application/json, */*", "user-agent": agent}
            self.asked[key] = self.send("GET", url, headers)
        return self.asked[key]

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answered:
        """Send a request.

        Args:
            method: The method.
            url: The URL.
            headers: The headers.
            body: The body.
        """
        until = monotonic() + SECONDS
        try:
            parts = urlsplit(url)
            connection = self._connection(parts.scheme, parts.hostname or "", parts.port)
        except (ValueError, HTTPException) as error:
            return Answered(method, url, problem=str(error))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.connect()
            with _cut_off(connection.sock, until):
                connection.request(method, target, body, {"user-agent": AGENT, **headers})
                answer = connection.getresponse()
                # Not the whole of a stream, which does not end.
                is_stream = "event-stream" in (answer.getheader("content-type") or "")
                read = b"" if is_stream else answer.read(_LONGEST)
            if monotonic() >= until:
                raise TimeoutError
        except (OSError, HTTPException, ValueError) as error:
            late = monotonic() >= until
            words = f"none within {SECONDS:.0f} seconds" if late else str(error) or repr(error)
            return Answered(method, url, problem=words)
        finally:
            connection.close()
        pairs = [(name.lower(), value) for name, value in answer.getheaders()]
        return Answered(method, url, answer.status, pairs, read)

    def _connection(self, scheme: str, host: str, port: int | None) -> HTTPConnection:
        if scheme == "https":
            return HTTPSConnection(host, port, timeout=SECONDS, context=self.context)
        if scheme == "http":
            return HTTPConnection(host, port, timeout=SECONDS)
        raise ValueError("no URL of http or https")


@contextmanager
def _cut_off(connection: socket.socket, until: float) -> Iterator[None]:
    """Shut a connection down at a time: a timeout of a socket begins anew with each byte."""

    def cut() -> None:
        with suppress(OSError):
            # Not the method of TLS, which another thread is reading by.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = Timer(max(0.0, until - monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
