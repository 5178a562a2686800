"""Documents of clients from real servers over TLS, of which most want to do harm."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest

from mcp_mount.auth.authorization import fetching
from mcp_mount.auth.authorization.fetching import DocumentRefused, fetch_document
from mcp_mount.auth.authorization.public_addresses import SecondsLeft, connect_publicly
from tests.auth.authorization.tls_server import (
    NAME,
    Authority,
    Server,
    authority,
    raw_serving,
    serving,
)

URL = f"https://{NAME}/oauth/client.json"
DOCUMENT = json.dumps({"client_id": URL, "redirect_uris": ["http://127.0.0.1/callback"]}).encode()
AMPLE = 60.0
"""Seconds that are never needed."""


def answer(
    *headers: str, body: bytes = DOCUMENT, status: str = "200 OK", length: bool = True
) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    if not any(one.lower().startswith("content-type") for one in headers):
        lines.append("Content-Type: application/json")
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def fetch(server: Server, url: str = URL, **options: Any) -> tuple[bytes, float]:
    options = {"deadline": AMPLE, "context": authority().trusting(), **options}
    return fetch_document(url, connect=server.connect, **options)


def refusal(server: Server, **options: Any) -> str:
    with pytest.raises(DocumentRefused) as caught:
        fetch(server, **options)
    return str(caught.value)


def test_a_document_is_fetched() -> None:
    with serving(answer()) as server:
        assert fetch(server) == (DOCUMENT, 3600.0)
        assert fetch(server, f"https://{NAME.upper()}:443/a/b%20c?d=e/../f")[0] == DOCUMENT
    request, other = server.requests
    lines = request.decode().split("\r\n")
    assert lines == [
        "GET /oauth/client.json HTTP/1.1",
        "host: client.example.com",
        "accept: application/json",
        "accept-encoding: identity",
        "connection: close",
        "user-agent: mcp-mount",
        "",
        "",
    ]
    assert other.startswith(b"GET /a/b%20c?d=e/../f HTTP/1.1\r\nhost: client.example.com\r\n")


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[n : n + size] for n in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


CHUNKED = answer("Transfer-Encoding: chunked", body=b"", length=False)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer("Content-Type: Application/JSON; charset=utf-8"), id="charset"),
        pytest.param(answer("Content-Type: application/cimd+json"), id="+json"),
        pytest.param(answer("Content-Encoding: identity"), id="identity"),
        pytest.param(answer(length=False), id="until-it-closes"),
        pytest.param(CHUNKED + chunked(DOCUMENT, 7), id="chunked"),
        pytest.param(CHUNKED + chunked(DOCUMENT, 1), id="chunks-of-one-byte"),
        pytest.param(answer(status="200"), id="no-reason"),
        pytest.param(answer().replace(b"HTTP/1.1", b"HTTP/1.0"), id="http-1.0"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(), id="interim"),
        pytest.param(b"HTTP/1.1 100\r\n\r\nHTTP/1.1 102 \r\n\r\n" + answer(), id="interims"),
        pytest.param(answer("X: " + "y" * 16_000), id="long-headers"),
    ],
)
def test_what_a_server_may_answer(said: bytes) -> None:
    with serving(said) as server:
        assert fetch(server)[0] == DOCUMENT


def test_a_server_need_not_close() -> None:
    closed = threading.Event()

    def say(connection: Any) -> None:
        connection.sendall(answer())
        # Returns when the client goes.
        connection.recv(1)
        closed.set()

    with serving(say) as server:
        assert fetch(server)[0] == DOCUMENT
        assert closed.wait(60)


def test_a_document_of_the_greatest_size_is_fetched() -> None:
    body = b"{" + b" " * 16382 + b"}"
    for said in (answer(body=body), answer(body=body, length=False), CHUNKED + chunked(body, 999)):
        with serving(said) as server:
            assert fetch(server)[0] == body


REFUSED = {
    "The client's server redirects (301)": answer("Location: /other", status="301 Moved"),
    "The client's server redirects (302)": answer(f"Location: {URL}", status="302 Found"),
    "The client's server redirects (307)": answer("Location: http://[::1]/", status="307 T"),
    "The client's server redirects (308)": answer("Location: //evil.com", status="308 P"),
    "The client's server redirects (304)": answer(status="304 Not Modified", body=b""),
    "The client's server answers 101": answer(status="101 Switching Protocols"),
    "The client's server answers 201": answer(status="201 Created"),
    "The client's server answers 204": answer(status="204 No Content", body=b""),
    "The client's server answers 206": answer(status="206 Partial Content"),
    "The client's server answers 404": answer(status="404 Not Found"),
    "The client's server answers 500": answer(status="500 Oops"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_another_status_is_refused(reason: str) -> None:
    with serving(REFUSED[reason]) as server:
        assert refusal(server) == reason
    # Nothing is followed.
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/html",
        "Content-Type: text/json",
        "Content-Type: text/plain; application/json",
        "Content-Type: application/jsonp",
        "Content-Type: application/+json",
        "Content-Type: application/x-json",
        "Content-Type: image/svg+json",
        "Content-Type: application/octet-stream",
        "Content-Type: ",
        "Content-Type: application/json\r\nContent-Type: text/html",
        "Content-Type: text/html\r\nContent-Type: application/json",
        "X-Content-Type: application/json",
    ],
)
def test_another_content_type_is_refused(header: str) -> None:
    said = answer(header).replace(b"X-Content-Type", b"X-Type")
    if header.startswith("X-"):
        said = f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode() + DOCUMENT
    with serving(said) as server:
        assert refusal(server) == "The client's document is not served as application/json"


PACKED = gzip.compress(DOCUMENT)


@pytest.mark.parametrize(
    "said",
    [
        answer("Content-Encoding: gzip", body=PACKED),
        answer("Content-Encoding: GZIP", body=PACKED),
        answer("Content-Encoding: br"),
        answer("Content-Encoding: deflate"),
        answer("Content-Encoding: identity, gzip", body=PACKED),
        answer("Content-Encoding: identity", "Content-Encoding: gzip", body=PACKED),
        answer("Transfer-Encoding: gzip, chunked", body=chunked(PACKED, 99), length=False),
        answer("Transfer-Encoding: gzip", body=PACKED, length=False),
    ],
)
def test_what_is_packed_is_refused(said: bytes) -> None:
    with serving(said) as server:
        assert refusal(server) == "The client's document is packed, which was not asked for"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(body=b"x" * 16385), id="told"),
        pytest.param(answer("Content-Length: 99999999999999", body=b"", length=False), id="huge"),
        pytest.param(answer(body=b"x" * 16385, length=False), id="counted"),
        pytest.param(CHUNKED + chunked(b"x" * 16385, 1000), id="chunked"),
        pytest.param(CHUNKED + b"FFFFFFFF\r\n" + b"x" * 20_000, id="chunk"),
    ],
)
def test_a_document_that_is_too_long_is_refused(said: bytes) -> None:
    with serving(said) as server:
        assert refusal(server) == "The client's document is longer than 16384 bytes"


def test_a_document_without_end_is_refused_after_its_greatest_size() -> None:
    def say(connection: Any) -> None:
        connection.sendall(answer(body=b"", length=False))
        while not server.closing.is_set():
            connection.sendall(b"x" * 10_000)

    with serving(say) as server:
        assert refusal(server) == "The client's document is longer than 16384 bytes"


@pytest.mark.parametrize(
    ("start", "more"),
    [
        pytest.param(CHUNKED, b"1;" + b"e" * 30_000 + b"\r\nx\r\n", id="extensions-of-chunks"),
        pytest.param(CHUNKED + b"0\r\n", b"Trailer: " + b"t" * 1000 + b"\r\n", id="trailers"),
    ],
)
def test_what_surrounds_a_document_has_a_bound(start: bytes, more: bytes) -> None:
    def say(connection: Any) -> None:
        connection.sendall(start)
        while not server.closing.is_set():
            connection.sendall(more)

    with serving(say) as server:
        assert refusal(server) == "The client's server answers too much"


@pytest.mark.parametrize(
    ("start", "more"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n", id="headers"),
        pytest.param(b"HTTP/1.1 200 ", b"x" * 1000, id="line"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="interim"),
    ],
)
def test_headers_without_end_are_refused(start: bytes, more: bytes) -> None:
    def say(connection: Any) -> None:
        connection.sendall(start)
        while not server.closing.is_set():
            connection.sendall(more)

    with serving(say) as server:
        assert refusal(server) == "The client's server answers more than 16384 bytes of headers"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"\r\n\r\n",
        b"\x00" * 100 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.0\r\n\r\n",
        b"HTTP/2 200 OK\r\nContent-Type: application/json\r\n\r\n{}",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n" + DOCUMENT,
        answer(*[f"X-{n}: y" for n in range(200)]),
        answer("Content-Length: -1", length=False),
        answer("Content-Length: +5", length=False),
        answer("Content-Length: 5, 5", length=False),
        answer("Content-Length: 5", "Content-Length: 6", length=False),
        answer("Content-Length: " + "9" * 5000, length=False),
        answer("Content-Length: \xb2", length=False),
        answer("Transfer-Encoding: chunked"),
        CHUNKED + b"zz\r\nx\r\n",
        CHUNKED + b"5\r\nx",
        CHUNKED + b"-5\r\nx\r\n0\r\n\r\n",
        CHUNKED + chunked(DOCUMENT, 9)[:-5],
    ],
)
def test_what_is_no_http_is_refused(said: bytes) -> None:
    with serving(said) as server:
        assert refusal(server) == "The client's server does not answer in HTTP/1.1"


def test_a_document_that_is_cut_off_is_refused() -> None:
    with serving(answer(body=DOCUMENT[:-1]).replace(b"Length: ", b"Length: 1")) as server:
        assert refusal(server) == "The client's document is cut off"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(length=False), id="until-it-closes"),
        pytest.param(answer()[:-1], id="with-its-length"),
        pytest.param(CHUNKED + chunked(DOCUMENT, 9)[:-5], id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", id="headers"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_somebody_else_may_have_cut_off_is_refused(said: bytes) -> None:
    """TLS tells the end: without that, whoever carries the bytes chooses it."""
    with serving(lambda connection: connection.sendall(said)) as server:
        assert refusal(server).startswith("No secure connection to the client's server: ")


@pytest.mark.parametrize(
    ("names", "days", "reason"),
    [
        (("other.example.com",), 1, "Hostname mismatch"),
        (("example.com", "*.client.example.com"), 1, "Hostname mismatch"),
        ((NAME,), -1, "certificate has expired"),
    ],
)
def test_another_certificate_is_refused(names: tuple[str, ...], days: int, reason: str) -> None:
    with serving(answer(), authority().serving(*names, days=days)) as server:
        said = refusal(server)
    assert said.startswith(f"No secure connection to the client's server: {reason}")
    assert server.requests == []


def test_a_certificate_of_an_authority_that_nobody_knows_is_refused() -> None:
    with serving(answer(), Authority().serving(NAME)) as server:
        assert refusal(server).startswith("No secure connection to the client's server: ")
    with serving(answer()) as server:
        # The usual context trusts what this system trusts.
        assert refusal(server, context=None).startswith(
            "No secure connection to the client's server: unable to get local issuer certificate"
        )
    assert server.requests == []


def test_a_server_without_tls_is_refused() -> None:
    with raw_serving(lambda connection: connection.sendall(answer())) as server:
        assert refusal(server).startswith("No secure connection to the client's server: ")


def test_a_server_that_resets_is_refused() -> None:
    def say(connection: socket.socket) -> None:
        connection.recv(1)
        # The end of it is an RST.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with raw_serving(say) as server:
        assert refusal(server) == "The connection to the client's server broke off"


def test_a_handshake_without_end_has_a_bound() -> None:
    def say(connection: socket.socket) -> None:
        # Hello requests are passed over, one by one.
        while not server.closing.is_set():
            connection.sendall(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 100)

    with raw_serving(say) as server:
        assert refusal(server) == "The client's server answers too much"


class Clock:
    """Time that passes whenever somebody looks."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 0.05
        return self._now


LATE = "The client's server takes longer than 5 seconds"


@pytest.mark.parametrize(
    ("start", "drip"),
    [
        pytest.param(b"", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000, id="headers"),
        pytest.param(b"", b"HTTP/1.1 102 \r\n\r\n" * 800, id="interim"),
        pytest.param(answer(body=b"", length=False), b" " * 12_000, id="body"),
        pytest.param(
            answer("Content-Length: 12000", body=b"", length=False), b" " * 12_000, id="length"
        ),
        pytest.param(CHUNKED, b"1\r\nx\r\n" * 2000, id="chunks"),
        pytest.param(CHUNKED, b"0" * 12_000, id="size-of-a-chunk"),
        pytest.param(CHUNKED, b"0\r\n" + b"X: y\r\n" * 2000, id="trailers"),
    ],
)
def test_a_drip_ends_at_the_deadline(start: bytes, drip: bytes) -> None:
    def say(connection: Any) -> None:
        connection.sendall(start)
        server.drip(connection, drip)

    with serving(say) as server:
        assert refusal(server, deadline=5.0, clock=Clock()) == LATE


def test_a_drip_while_tls_begins_ends_at_the_deadline() -> None:
    drip = b"\x16\x03\x03\x40\x00" + b"\x02" * 12_000
    with raw_serving(lambda connection: server.drip(connection, drip)) as server:
        assert refusal(server, deadline=5.0, clock=Clock()) == LATE


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", answer(body=b"", length=False)])
def test_silence_ends_at_the_deadline(start: bytes) -> None:
    def say(connection: Any) -> None:
        connection.sendall(start)
        server.closing.wait()

    with serving(say) as server:
        # Seconds of a real clock, and as few as there may be: nothing else can happen.
        assert "takes longer than 0.2 seconds" in refusal(server, deadline=0.2)


def test_a_name_server_that_hangs_ends_at_the_deadline() -> None:
    gate = threading.Event()

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        gate.wait()
        return []

    try:
        with pytest.raises(DocumentRefused, match=r"takes longer than 0\.1 seconds"):
            fetch_document(URL, deadline=0.1, connect=partial(connect_publicly, resolve=resolve))
    finally:
        gate.set()


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254"])
def test_the_usual_connection_goes_to_public_addresses_alone(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(socket, "socket", None)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
    connect = partial(connect_publicly, resolve=lambda *_, **__: found)
    with pytest.raises(DocumentRefused) as caught:
        fetch_document(URL, connect=connect)
    assert str(caught.value) == "The name of the client's server has no public address"


def test_a_url_that_names_no_client_is_not_asked() -> None:
    def connect(host: str, left: SecondsLeft) -> socket.socket:
        raise AssertionError(host)

    with pytest.raises(DocumentRefused, match="is not a domain name"):
        fetch_document("https://127.0.0.1/a", connect=connect)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((), 3600.0),
        (("Cache-Control: max-age=600",), 600.0),
        (("Cache-Control: public, MAX-AGE=600, must-revalidate",), 600.0),
        (('Cache-Control: max-age="600"',), 600.0),
        (("Cache-Control: max-age=600", "Age: 200"), 400.0),
        (("Cache-Control: max-age=600", "Age: 900"), 60.0),
        (("Cache-Control: max-age=600", "Age: soon"), 600.0),
        (("Cache-Control: max-age=600", "Age: " + "9" * 5000), 60.0),
        (("Cache-Control: max-age=0",), 60.0),
        (("Cache-Control: max-age=59",), 60.0),
        (("Cache-Control: max-age=-1",), 60.0),
        (("Cache-Control: max-age=1e9",), 60.0),
        (("Cache-Control: max-age",), 60.0),
        (("Cache-Control: max-age=9000, max-age=90",), 90.0),
        (("Cache-Control: max-age=9000", "Cache-Control: max-age=90"), 90.0),
        (("Cache-Control: max-age=31536000",), 86400.0),
        (("Cache-Control: max-age=" + "9" * 5000,), 86400.0),
        (("Cache-Control: no-store",), 60.0),
        (("Cache-Control: no-cache, max-age=600",), 60.0),
        (("Cache-Control: private",), 3600.0),
        (("Cache-Control: s-maxage=600",), 3600.0),
    ],
)
def test_how_long_a_document_may_be_kept(headers: tuple[str, ...], seconds: float) -> None:
    with serving(answer(*headers)) as server:
        assert fetch(server)[1] == seconds


class Crowd:
    """Counts who has come to wait, so that a test can go on when all have."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self._lock = threading.Lock()
        self.complete = threading.Event()

    def come(self) -> None:
        with self._lock:
            self._missing -= 1
            if self._missing == 0:
                self.complete.set()


def followers(monkeypatch: pytest.MonkeyPatch, size: int) -> Crowd:
    """Those who wait for what another fetches."""
    crowd, shared = Crowd(size), fetching._shared

    def come(*arguments: Any) -> Any:
        crowd.come()
        return shared(*arguments)

    monkeypatch.setattr(fetching, "_shared", come)
    return crowd


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_those_who_ask_at_once_share_one_answer(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    crowd, context = followers(monkeypatch, 9), authority().trusting()

    def say(connection: Any) -> None:
        crowd.complete.wait(60)
        connection.sendall(answer(status=status))

    def one() -> str:
        try:
            return fetch(server, context=context)[0].decode()
        except DocumentRefused as error:
            return str(error)

    with serving(say) as server, ThreadPoolExecutor(10) as pool:
        answers = {done.result() for done in [pool.submit(one) for _ in range(10)]}
        assert answers == {
            DOCUMENT.decode() if status == "200 OK" else "The client's server answers 404"
        }
        assert len(server.requests) == 1
        # The next one asks again.
        one()
        assert len(server.requests) == 2
    assert fetching._flights == {}


def test_what_ends_one_thread_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = followers(monkeypatch, 1)

    def connect(host: str, left: SecondsLeft) -> socket.socket:
        crowd.complete.wait(60)
        raise KeyboardInterrupt

    def one() -> str:
        try:
            fetch_document(URL, deadline=AMPLE, connect=connect)
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
        return ""

    with ThreadPoolExecutor(2) as pool:
        ends = sorted(done.result() for done in [pool.submit(one) for _ in range(2)])
    assert ends == [
        "DocumentRefused: The client's document could not be fetched",
        "KeyboardInterrupt: ",
    ]
    assert fetching._flights == {}


def test_one_who_waits_for_another_waits_until_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd, gate = followers(monkeypatch, 1), threading.Event()

    def connect(host: str, left: SecondsLeft) -> socket.socket:
        gate.wait(60)
        raise TimeoutError

    def one() -> str:
        with pytest.raises(DocumentRefused) as caught:
            fetch_document(URL, deadline=0.1, connect=connect)
        return str(caught.value)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(one) for _ in range(2)]
        assert crowd.complete.wait(60)
        # One of them has ended, with the other still at it.
        wait(both, return_when=FIRST_COMPLETED)
        gate.set()
        assert {done.result() for done in both} == {
            "The client's server takes longer than 0.1 seconds"
        }


def test_four_are_fetched_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slots, context = fetching._slots, authority().trusting()
    # Each has come who is being answered or waits for a turn; nobody is let go before.
    crowd = Crowd(10)

    class Slots:
        def acquire(self, timeout: float) -> bool:
            if slots.acquire(blocking=False):
                return True
            crowd.come()
            return slots.acquire(timeout=timeout)

        def release(self) -> None:
            slots.release()

    monkeypatch.setattr(fetching, "_slots", Slots())
    lock = threading.Lock()
    under_way: list[int] = [0, 0]

    def say(connection: Any) -> None:
        with lock:
            under_way[0] += 1
            under_way[1] = max(under_way)
        crowd.come()
        crowd.complete.wait(60)
        with lock:
            under_way[0] -= 1
        connection.sendall(answer())

    with serving(say) as server, ThreadPoolExecutor(10) as pool:
        urls = [f"{URL}?{n}" for n in range(10)]
        ask: Callable[[str], Any] = partial(fetch, server, context=context)
        assert {body for body, _ in pool.map(ask, urls)} == {DOCUMENT}
    assert under_way == [0, 4]


def test_one_that_has_no_turn_within_its_deadline_is_refused() -> None:
    for _ in range(fetching.MAX_FETCHES):
        fetching._slots.acquire()
    try:
        with pytest.raises(DocumentRefused, match="Too many"):
            fetch_document(URL, deadline=0.05)
    finally:
        fetching._slots.release(fetching.MAX_FETCHES)
