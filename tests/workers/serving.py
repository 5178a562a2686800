"""One server process, or four that share a backplane behind a proxy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from sample_projects.processes import free_port, running
from tests.valkey import Valkey
from tests.workers.proxy import RoundRobin

WORKERS = 4


def serve(command: Callable[[int], list[str]], stack: ExitStack, *, workers: bool) -> int:
    """Start a server, or several.

    Args:
        command: Returns the command line of one at a port. The variable BACKPLANE of its
            environment is the URL that several share.
        stack: Ends them.
        workers: Whether there are several.

    Returns:
        The port.
    """
    environment = {"BACKPLANE": stack.enter_context(Valkey()).url} if workers else {}
    ports = [free_port() for _ in range(WORKERS if workers else 1)]
    for port in ports:
        stack.enter_context(running(command(port), port, environment=environment))
    if not workers:
        return ports[0]
    proxy = RoundRobin([("127.0.0.1", port) for port in ports])
    stack.callback(proxy.close)
    return proxy.port
