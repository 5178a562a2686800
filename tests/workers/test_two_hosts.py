"""Workers at two addresses that share a Redis, as on two machines: their clocks are minutes
apart."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.valkey import Valkey
from tests.workers.client import Client
from tests.workers.hosts import workers
from tests.workers.test_any_worker import ROWS, every_time

ADDRESSES = ("127.0.0.1", "127.0.0.2")
AHEAD = (0.0, 1500.0, -240.0, 600.0)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="127.0.0.2 is no address of other systems by itself"
)


@pytest.fixture(params=["uvicorn x 4", "gunicorn -w 4, Flask"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with (
        Valkey() as server,
        workers(request.param, server.url, addresses=ADDRESSES, ahead=AHEAD) as running,
    ):
        yield Client(running.port)


def created(client: Client) -> float:
    made = client.stateless("tools/call", {"name": "job", "arguments": {"word": ""}})
    return datetime.fromisoformat(made["createdAt"]).timestamp()


def test_any_of_them_serves_the_clients_of_another(client: Client) -> None:
    times = [created(client) for _ in range(4)]
    assert max(times) - min(times) > 1400
    for row in ROWS:
        every_time(client, row)
