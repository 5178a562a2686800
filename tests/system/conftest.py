"""Fixtures: one browser, one page, and the hosts as real processes, for the whole session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sample_projects.processes import Together, free_port, running
from tests.system.browser import ALLOWED, HERE, chromium, missing, pages


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser, Valgrind and the like, end with one line; beside other tests, skip."""
    if not (lacking := missing()):
        return
    words = f"tests/system needs what is not here: {'; '.join(lacking)}"
    own = [item for item in items if HERE in item.path.parents]
    if len(own) == len(items):
        pytest.exit(words, returncode=1)
    for item in own:
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
