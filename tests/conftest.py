"""Fixtures: the fixture server in every host, as real processes that run for the whole session."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import cache
from inspect import signature

import django
import httpcore2
import httpx2
import pytest
from hypothesis import settings

from sample_projects import processes
from sample_projects.processes import Together, free_port, running
from tests import prepared
from tests.conformance.hosts import HOSTS
from tests.conformance.serve import command
from tests.django_versions import reason_to_skip
from tests.faces import connect as connect
from tests.faces import connect_stateless as connect_stateless
from tests.faces import over_http as over_http
from tests.leftovers import give_up_messages
from tests.upstream import served_upstream as served_upstream
from tests.upstream import upstream as upstream

MODES = ("auto", "legacy")

# Each run has the same examples: a new one must not fail an unrelated change.
settings.register_profile("same", derandomize=True, database=None)
settings.load_profile("same")


@pytest.fixture(scope="session", autouse=True)
def shared_certificates() -> Iterator[None]:
    """The certificates of authorities are read once: each client of httpx2 would read them anew,
    20 ms of computing for requests that are plain HTTP."""
    name = "default_ssl_context"
    with pytest.MonkeyPatch.context() as patch:
        # Older versions read them elsewhere.
        if hasattr(httpcore2, name):
            patch.setattr(httpcore2, name, cache(getattr(httpcore2, name)))
        yield


@pytest.fixture(scope="session", autouse=True)
def patient_clients() -> Iterator[None]:
    """A client that is given no timeout waits for longer than five seconds: a server may not have
    had its turn on a busy machine."""
    default = signature(httpx2.Client).parameters["timeout"].default
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("connect", "read", "write", "pool"):
            patch.setattr(default, kind, 60.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def prepared_servers() -> Iterator[None]:
    """Servers start with what they import already there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "start_server", prepared.start)
        yield


@pytest.fixture(autouse=True)
def messages_end_with_their_test() -> Iterator[None]:
    """What a server of a test tells others is not told during the next one."""
    yield
    give_up_messages()


@pytest.fixture(scope="session")
def serve_host() -> Iterator[Callable[[str], str]]:
    """Return the base URL of a host, which is started when it is first asked for."""
    urls: dict[str, str] = {}
    with Together() as stack:

        def serve(host: str) -> str:
            if host not in urls:
                port = free_port()
                stack.enter_context(running(command(host, port), port))
                urls[host] = f"http://127.0.0.1:{port}"
            return urls[host]

        yield serve


@pytest.fixture(params=list(HOSTS))
def host_url(request: pytest.FixtureRequest, serve_host: Callable[[str], str]) -> str:
    """The base URL of each host in turn."""
    return serve_host(request.param)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """The official client's mode: stateless ("auto"), or with a session ("legacy")."""
    mode: str = request.param
    return mode


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What collection makes lasts as long as the run. Nobody looks through it for garbage: it is so
    much that each `gc.collect()` of a test would take half a second of computing. (Hypothesis,
    imported later, would look for what refers to its generators of numbers, and not find it.)"""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what an old Django cannot do, and say why (`pytest -rs`)."""
    version = django.VERSION[:2]
    for item in items:
        reason = reason_to_skip(item.nodeid, version)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
