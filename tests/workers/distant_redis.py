"""A Valkey server that is far away: each of its replies comes later."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue

from tests.valkey import Valkey

_Replies = SimpleQueue[tuple[float, bytes]]


class DistantValkey(Valkey):
    """A server whose URL leads through a proxy that holds each reply back for some time."""

    def __init__(self) -> None:
        super().__init__()
        self._delay = 0.0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"

    def __enter__(self) -> DistantValkey:
        super().__enter__()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        super().__exit__(None, None, None)

    @contextmanager
    def later(self, seconds: float) -> Iterator[None]:
        """Hold replies back, those that are on their way included."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            client,
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port)) as server,
        ):
            replies: _Replies = SimpleQueue()
            held = threading.Thread(target=self._hold, args=(replies, client), daemon=True)
            read = threading.Thread(target=_read, args=(server, replies), daemon=True)
            held.start()
            read.start()
            with suppress(OSError):
                while data := client.recv(65536):
                    server.sendall(data)
                server.shutdown(socket.SHUT_RDWR)
            read.join()
            held.join()

    def _hold(self, replies: _Replies, client: socket.socket) -> None:
        with suppress(OSError):
            while True:
                came, data = replies.get()
                # The delay may change meanwhile.
                while data and (left := came + self._delay - time.monotonic()) > 0:
                    time.sleep(min(0.01, left))
                if not data:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


def _read(server: socket.socket, replies: _Replies) -> None:
    """Note what comes, and when; nothing at the end."""
    data = b"-"
    while data:
        data = b""
        with suppress(OSError):
            data = server.recv(65536)
        replies.put((time.monotonic(), data))
