"""Fixtures: one browser, one page, and the hosts as real processes, for the whole session."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from sample_projects.processes import Together, free_port, running
from tests.system.browser import ALLOWED, HERE, chromium, missing, pages
from tests.system.proxy import Proxy


def lacking() -> str:
    """What is not here and needed: a browser, Valgrind and the like; empty if all is there."""
    if not (found := missing()):
        return ""
    return f"tests/system needs what is not here: {'; '.join(found)}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Asked for these tests alone, end with one line."""
    paths = [Path(one.partition("::")[0]).resolve() for one in session.config.args]
    if all(path.is_relative_to(HERE) for path in paths) and (words := lacking()):
        pytest.exit(words, returncode=1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Beside other tests, skip."""
    if words := lacking():
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=words))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="session")
def page_port() -> Iterator[int]:
    with pages() as port:
        yield port


@pytest.fixture(scope="session")
def serve(page_port: int) -> Iterator[Callable[[str], str]]:
    """Return the base URL of a host, which is started when it is first asked for."""
    from tests.system.hosts import command

    urls: dict[str, str] = {}
    origin = {"PAGE_ORIGIN": f"http://{ALLOWED}:{page_port}"}
    with Together() as stack:

        def start(host: str) -> str:
            if host not in urls:
                port = free_port()
                words = command(host, port)
                stack.enter_context(running(words, port, environment=origin))
                urls[host] = f"http://127.0.0.1:{port}"
            return urls[host]

        yield start


@pytest.fixture
def to_proxy(monkeypatch: pytest.MonkeyPatch) -> Callable[[Proxy], None]:
    """Leads connections of this process to the name of the proxy there, whatever their port."""

    def lead(proxy: Proxy) -> None:
        plain, later = socket.create_connection, anyio.connect_tcp

        def connect(address: tuple[str, int], *given: Any, **named: Any) -> Any:
            own = ("127.0.0.1", proxy.port) if address[0] == ALLOWED else address
            return plain(own, *given, **named)

        async def connect_later(remote_host: str, remote_port: int, **named: Any) -> Any:
            if remote_host == ALLOWED:
                remote_host, remote_port = "127.0.0.1", proxy.port
            return await later(remote_host, remote_port, **named)

        monkeypatch.setattr(socket, "create_connection", connect)
        monkeypatch.setattr(anyio, "connect_tcp", connect_later)

    return lead
