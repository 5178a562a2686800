"""What web servers tell of a client that has left."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from mcp_mount.transports import departures
from mcp_mount.transports.departures import departure_of

pytestmark = pytest.mark.skipif(departures._CLOSED is None, reason="Linux tells it")


@pytest.mark.parametrize("name", ["gunicorn.socket", "werkzeug.socket"])
@pytest.mark.parametrize("sends", [b"", b"GET /next HTTP/1.1"])
def test_a_connection_that_is_closed_is_seen(name: str, sends: bytes) -> None:
    server, client = socket.socketpair()
    with server:
        has_left = departure_of({name: server})
        assert has_left is not None
        assert not has_left()
        # The next request of a connection is no departure.
        client.sendall(sends)
        assert not has_left()
        client.close()
        assert has_left()
        # Nothing has been read.
        assert server.recv(100) == sends
    assert has_left()


def test_a_server_may_tell_it_by_a_function() -> None:
    told = [False]
    has_left = departure_of({"waitress.client_disconnected": lambda: told[0]})
    assert has_left is not None
    assert not has_left()
    told[0] = True
    assert has_left()


@pytest.mark.parametrize("environ", [{}, {"gunicorn.socket": object()}])
def test_others_tell_nothing(environ: dict[str, Any]) -> None:
    assert departure_of(environ) is None


def test_systems_without_such_an_event_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "_CLOSED", None)
    server, client = socket.socketpair()
    with server, client:
        assert departure_of({"gunicorn.socket": server}) is None
