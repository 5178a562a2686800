"""Client ID Metadata Documents, fetched from the URLs that name clients.

A stranger chooses the URL, and this server asks there. So the URL, the address behind it, the time
and the answer have narrow bounds. Nothing here reads the document.

Sections are those of draft-ietf-oauth-client-id-metadata-document-02.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache
from http.client import HTTPMessage
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult

from mcp_mount.auth.authorization.client_urls import DocumentRefused, check_document_url
from mcp_mount.auth.authorization.document_requests import joined, request_document
from mcp_mount.auth.authorization.public_addresses import (
    NoPublicServer,
    SecondsLeft,
    connect_publicly,
)

__all__ = ["DocumentRefused", "check_document_url", "fetch_document"]

MAX_FETCHES: Final = 4
"""How many documents are fetched at a time."""

MIN_KEPT: Final = 60.0
MAX_KEPT: Final = 24 * 60 * 60.0
"""For how many seconds a document is kept (section 5.2 leaves the bounds to the server)."""

_USUALLY_KEPT: Final = 60 * 60.0

_MAX_AGE: Final = re.compile(r'max-age\s*=\s*"?([0-9]+)"?')

Connect: TypeAlias = Callable[[str, SecondsLeft], socket.socket]
"""Makes a connection to a host within a time."""

_Fetched: TypeAlias = tuple[bytes, float]

_slots = threading.BoundedSemaphore(MAX_FETCHES)
_flights: dict[tuple[Any, ...], Future[_Fetched]] = {}
_lock = threading.Lock()


def fetch_document(
    url: str,
    *,
    deadline: float = 5.0,
    max_bytes: int = 16384,
    connect: Connect = connect_publicly,
    context: ssl.SSLContext | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[bytes, float]:
    """Fetch a client's document. It blocks: call it on a thread.

    Those who ask for the same document meanwhile have the answer of the first.

    Args:
        url: The URL of the client.
        deadline: How many seconds it may take in all, by the clock.
        max_bytes: How long the document may be (section 8.7 recommends 5 KB, which clients with
            keys and many addresses exceed).
        connect: Makes the connection to the host.
        context: How TLS is spoken; by default with certificates that this system trusts.
        clock: The time in seconds.

    Returns:
        The document, and for how many seconds it may be kept.

    Raises:
        DocumentRefused: If the URL is not one of a client, or there is no document in time. This
            must not be kept (section 5.2).
    """
    parts = check_document_url(url)
    until = clock() + deadline

    def left() -> float:
        seconds = until - clock()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    key = (url, deadline, max_bytes, connect, context)
    with _lock:
        flight = _flights.get(key)
        is_first = flight is None
        if flight is None:
            flight = _flights[key] = Future()
    try:
        if not is_first:
            return _shared(flight, left)
        try:
            fetched = _fetch(parts, max_bytes, connect, context, left)
        except BaseException as error:
            _land(key)
            flight.set_exception(error)
            raise
        _land(key)
        flight.set_result(fetched)
        return fetched
    except TimeoutError:
        raise DocumentRefused(
            f"The client's server takes longer than {deadline:g} seconds"
        ) from None


def _land(key: tuple[Any, ...]) -> None:
    with _lock:
        del _flights[key]


def _shared(flight: Future[_Fetched], left: SecondsLeft) -> _Fetched:
    """What another thread fetches."""
    try:
        failed = flight.exception(left())
    except FutureTimeout:  # before Python 3.11 no TimeoutError
        raise TimeoutError from None
    if failed is None:
        return flight.result()
    if isinstance(failed, TimeoutError):
        raise TimeoutError
    if isinstance(failed, DocumentRefused):
        # An exception of its own, as it is raised on another thread.
        raise DocumentRefused(str(failed))
    # What ended that thread, such as KeyboardInterrupt, is not for this one.
    raise DocumentRefused("The client's document could not be fetched")


@cache
def _usual_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _fetch(
    parts: SplitResult,
    max_bytes: int,
    connect: Connect,
    context: ssl.SSLContext | None,
    left: SecondsLeft,
) -> _Fetched:
    if not _slots.acquire(timeout=left()):
        raise DocumentRefused("Too many clients' documents are being fetched")
    try:
        with connect(str(parts.hostname), left) as connection:
            headers, body = request_document(
                parts, connection, context or _usual_context(), left, max_bytes
            )
        return body, _kept(headers)
    except NoPublicServer as error:
        raise DocumentRefused(str(error)) from error
    except ssl.SSLError as error:
        # Certificates are public, and so is what is wrong with one.
        reason = getattr(error, "verify_message", None) or error.reason or "TLS failed"
        raise DocumentRefused(f"No secure connection to the client's server: {reason}") from error
    except TimeoutError:
        raise
    except OSError as error:
        raise DocumentRefused("The connection to the client's server broke off") from error
    finally:
        _slots.release()


def _kept(headers: HTTPMessage) -> float:
    """For how long a document may be kept: "SHOULD respect HTTP cache headers" (section 5.2)."""
    directives = [one.strip() for one in joined(headers, "cache-control").split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return MIN_KEPT
    found = [_MAX_AGE.fullmatch(one) for one in directives if one.startswith("max-age")]
    if not found:
        return _USUALLY_KEPT
    # Of several the least counts, and what is no number is none (RFC 9111, section 4.2.1).
    fresh = min(float(one[1]) if one is not None else 0.0 for one in found)
    age = joined(headers, "age")
    if re.fullmatch("[0-9]+", age):
        fresh -= min(float(age), MAX_KEPT)
    return max(MIN_KEPT, min(MAX_KEPT, fresh))
