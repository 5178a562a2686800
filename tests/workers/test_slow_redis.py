"""Workers whose Redis answers late."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.workers.client import Client
from tests.workers.distant_redis import DistantValkey
from tests.workers.hosts import workers
from tests.workers.test_any_worker import ROWS
from tests.workers.test_faults import eventually, goes_on_without_redis

OF_ITSELF = ("xread", "expire", "xrange", "xrevrange", "client", "hello", "select", "ping", "info")
"""What a process asks Redis without any request, or to connect."""


class Site:
    """Four workers, the Redis that they share, and what they log."""

    def __init__(self, client: Client, server: DistantValkey, folder: Path) -> None:
        self.client = client
        self.server = server
        self._folder = folder

    def log(self) -> str:
        return "".join(one.read_text(errors="replace") for one in self._folder.iterdir())

    def do_all(self) -> None:
        """Do all that needs the other workers, at the same time."""
        with ThreadPoolExecutor(len(ROWS)) as pool:
            for done in [pool.submit(row, self.client, 0) for row in ROWS]:
                done.result()

    def commands(self) -> int:
        """How many commands Redis has got for requests so far."""
        with self.server.admin() as redis:
            known: dict[str, Any] = redis.info("commandstats")
        found = {name.partition("_")[2].partition("|")[0]: one for name, one in known.items()}
        return sum(one["calls"] for name, one in found.items() if name not in OF_ITSELF)


@pytest.fixture(scope="module", params=["uvicorn x 4", "gunicorn -w 4, Flask"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("slow")
    with (
        DistantValkey() as server,
        workers(request.param, server.url, log=folder / "log") as running,
    ):
        yield Site(Client(running.port), server, folder)


@pytest.mark.parametrize("seconds", [0.05, 0.3])
def test_any_worker_serves_any_client_though_redis_is_slow(site: Site, seconds: float) -> None:
    with site.server.later(seconds):
        site.do_all()


def test_stateless_calls_ask_nothing_of_redis(site: Site) -> None:
    site.do_all()
    before = site.commands()
    for _ in range(20):
        site.client.stateless("tools/list")
        site.client.stateless("tools/call", {"name": "where", "arguments": {}})
    # What the calls before have left to do may come meanwhile.
    assert site.commands() < before + 20


@pytest.mark.parametrize("site", ["uvicorn x 4"], indirect=True)
def test_a_redis_that_is_slower_than_its_time_limit_counts_as_away(site: Site) -> None:
    site.do_all()
    goes_on_without_redis(site.client, site.server.later(3))
    site.do_all()
    with site.server.admin() as redis:
        kept = {key: redis.ttl(key) > 0 for key in redis.scan_iter()}
        assert [key for key, ends in kept.items() if not ends] == ["mcp-mount:1:{shop}:changes"]
        eventually(lambda: len(list(redis.scan_iter("*:n:*"))) == 4)
        # 18 of each worker, as docs/deployment.md has it, and this one.
        eventually(lambda: len(redis.client_list()) <= 4 * 18 + 1)
    assert "Traceback" not in site.log()
