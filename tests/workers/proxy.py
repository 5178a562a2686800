"""A proxy without stickiness."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import count


class RoundRobin:
    """A proxy in front of several servers: each request goes to the next one.

    It asks clients and servers to use no connection twice.

    Args:
        places: Their addresses and ports.
    """

    def __init__(self, places: Sequence[tuple[str, int]]) -> None:
        self._places = places
        self._turns = count()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = _head(client)
            server = self._connect()
            if server is None or not head:
                return
            with server:
                server.sendall(head)
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()

    def _connect(self) -> socket.socket | None:
        """A connection to the next server that takes one. Each is tried, whatever other requests
        do meanwhile."""
        turn = next(self._turns)
        for number in range(len(self._places)):
            place = self._places[(turn + number) % len(self._places)]
            with suppress(OSError):
                return socket.create_connection(place)
        return None


def _head(client: socket.socket) -> bytes:
    """The head of a request, and what has come after it."""
    read = b""
    while b"\r\n\r\n" not in read:
        more = client.recv(65536)
        if not more:
            return b""
        read += more
    head, end, body = read.partition(b"\r\n\r\n")
    lines = [one for one in head.split(b"\r\n") if not one.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"connection: close"]) + end + body


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
