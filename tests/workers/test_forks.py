"""Workers that were forked from a process that has made the application, or has served with it, and
workers whose requests run in greenlets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.valkey import Valkey
from tests.workers.client import Client
from tests.workers.hosts import FORKED, GREEN, workers
from tests.workers.test_any_worker import (
    cancelled,
    elicit,
    elicit_async,
    every_time,
    list_changed,
    task_update,
)


@pytest.fixture(scope="module", params=[*FORKED, *GREEN])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with Valkey() as server, workers(request.param, server.url) as running:
        yield Client(running.port)


@pytest.mark.parametrize(
    "row",
    [elicit, elicit_async, list_changed, cancelled, task_update],
    ids=lambda row: row.__name__,
)
def test_each_worker_has_a_name_and_connections_of_its_own(
    client: Client, row: Callable[[Client, int], None]
) -> None:
    every_time(client, row)
