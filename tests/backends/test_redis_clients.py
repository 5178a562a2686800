"""Clients of Redis while its server is restarted, silent, busy or replaced: real Valkey servers."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from mcp_mount.backends.redis_clients import RedisClients
from mcp_mount.backends.redis_pauses import RetryPauses
from sample_projects.processes import free_port
from tests.valkey import Named, Valkey, Watched, cluster, cluster_url, named, watched

Try = Callable[[str], Awaitable[Any]]


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


PATIENT = "?socket_connect_timeout=60&socket_timeout=60"
"""Where nothing is silent: a loop with much to do on a busy machine may come to it late."""


def clients_of(url: str) -> RedisClients:
    return RedisClients(url, wanted_by="a test")


def on(kind: str, clients: RedisClients) -> Callable[..., Awaitable[Any]]:
    """Runs a command on a thread or on the running loop."""

    async def command(name: str, *args: Any) -> Any:
        if kind == "loop":
            return await getattr(await clients.async_client(), name)(*args)
        return await asyncio.to_thread(lambda: getattr(clients.client(), name)(*args))

    return command


async def many(command: Callable[..., Awaitable[Any]], *words: Any, count: int = 32) -> set[Any]:
    """Runs a command often at once: all connections of the pool are made."""
    return set(await asyncio.gather(*(command(*words) for _ in range(count))))


@pytest.mark.parametrize("kind", ["thread", "loop"])
@pytest.mark.parametrize("what", ["restarted", "killed", "cut off"])
def test_connections_that_were_lost_fail_no_command(kind: str, what: str, valkey: Valkey) -> None:
    async def run() -> None:
        command = on(kind, clients_of(valkey.url))
        await many(command, "get", "x")
        if what == "cut off":
            valkey.cut_off()
        else:
            valkey.stop() if what == "restarted" else valkey.kill()
            valkey.start()
        assert await many(command, "set", "x", "1") == {True}

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_a_server_that_is_away_is_an_error(kind: str, valkey: Valkey) -> None:
    async def run() -> None:
        clients = clients_of(valkey.url)
        command = on(kind, clients)
        assert await command("set", "x", "1")
        valkey.stop()
        with pytest.raises(clients.errors):
            await command("get", "x")

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_tries_leave_the_numbers_of_an_application_alone_that_has_seeded_them(
    kind: str, valkey: Valkey
) -> None:
    async def run() -> None:
        clients = clients_of(valkey.url)
        valkey.stop()
        seeded = random.getstate()
        with pytest.raises(clients.errors):
            await on(kind, clients)("get", "x")
        assert random.getstate() == seeded

    asyncio.run(run())


def test_pauses_become_longer_up_to_a_limit() -> None:
    pauses = RetryPauses(1, 4)
    for failures, longest in enumerate([1, 2, 4, 4]):
        assert longest / 2 <= pauses.compute(failures) <= longest


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_a_silent_server_is_given_up(kind: str, valkey: Valkey) -> None:
    async def run() -> None:
        clients = clients_of(valkey.url + "?socket_timeout=1")
        command = on(kind, clients)
        await command("get", "x")
        with valkey.silent(), pytest.raises(clients.errors):
            await asyncio.wait_for(command("get", "x"), 60)
        assert await command("get", "x") is None

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["threads", "loop"])
def test_it_is_told_why_no_sentinel_names_the_master(kind: str) -> None:
    async def find(url: str) -> Any:
        if kind == "loop":
            async with clients_of(url).connect_async() as client:
                return await client.connection_pool.sentinel_manager.discover_master("main")
        with clients_of(url).connect() as client:
            return client.connection_pool.sentinel_manager.discover_master("main")

    def problem(url: str) -> str:
        with pytest.raises(clients_of(url).errors) as caught:
            asyncio.run(find(url))
        return str(caught.value)

    with named() as site:
        away, sentinel = free_port(), f"127.0.0.1:{site.sentinel.port}"
        url = f"redis+sentinel://:secret@127.0.0.1:{away},{sentinel}/main/0"
        assert asyncio.run(find(url)) == ("127.0.0.1", site.master.port)
        with site.sentinel.admin() as client:
            client.sentinel_remove("main")
        said = problem(url)
        assert said.startswith("No Sentinel names a master 'main' that is up (")
        assert f"(127.0.0.1:{away}: " in said
        assert sentinel not in said
        wrong = f"redis+sentinel://{sentinel}/main/0?sentinel_username=joe&sentinel_password=secret"
        assert f"({sentinel}: " in problem(wrong)
        assert "secret" not in problem(wrong)


@pytest.mark.parametrize("kind", ["threads", "loop"])
def test_the_timeout_is_two_seconds_unless_the_url_says_otherwise(kind: str) -> None:
    connect = "connect" if kind == "threads" else "connect_async"
    for url, expected in [
        ("redis://x", 2.0),
        ("redis://x?socket_timeout=7", 7.0),
        ("unix:///tmp/x", 2.0),
        ("redis+sentinel://x/main", 2.0),
    ]:
        pool = getattr(clients_of(url), connect)().connection_pool
        assert pool.connection_kwargs["socket_timeout"] == expected
        assert pool.connection_kwargs["socket_connect_timeout"] == 2.0
    own = getattr(clients_of("redis://x"), connect)(timeout=40, max_connections=1).connection_pool
    assert (own.connection_kwargs["socket_timeout"], own.max_connections) == (40, 1)


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_a_thousand_commands_at_once_share_few_connections(kind: str, valkey: Valkey) -> None:
    async def run() -> None:
        clients = clients_of(valkey.url + PATIENT)
        command = on(kind, clients)
        assert await many(command, "get", "x", count=1000) == {None}
        with valkey.admin() as admin:
            assert len(admin.client_list()) <= 17

    asyncio.run(run())


def test_a_task_that_is_cancelled_gives_its_connection_back(valkey: Valkey) -> None:
    async def run() -> None:
        client = await clients_of(valkey.url + "?max_connections=1").async_client()
        task = asyncio.create_task(client.blpop("nothing", 1))
        await asyncio.sleep(0.1)
        # As while others wait for a connection, and one of them looks whether it is free.
        async with client.connection_pool._condition:
            # The second time while it gives the connection back.
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0.1)
        await asyncio.gather(task, return_exceptions=True)
        assert await asyncio.wait_for(client.get("x"), 2) is None

    with warnings.catch_warnings():
        # Before version 8, redis-py does not close what is cancelled while it is closed.
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(run())
        gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_has_connections_of_its_own(valkey: Valkey) -> None:
    clients = clients_of(valkey.url)
    assert clients.client().set("who", "parent")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(clients.client().client_id()).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader) as said:
        assert int(said.read()) != clients.client().client_id()
    assert clients.client().get("who") == b"parent"


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_a_cluster_is_found_by_some_of_its_nodes(kind: str) -> None:
    async def run(nodes: list[Valkey], clients: RedisClients) -> None:
        command = on(kind, clients)
        for key in "abcdef":
            assert await command("set", key, key)
        for node in nodes:
            node.cut_off()
        assert [await command("get", key) for key in "abcdef"] == [key.encode() for key in "abcdef"]
        assert await many(command, "get", "a", count=200) == {b"a"}
        for node in nodes:
            with node.admin() as admin:
                assert admin.dbsize()

    with cluster() as nodes:
        # An application keeps them for longer than its event loop runs, which closes them.
        clients = clients_of(cluster_url(nodes))
        asyncio.run(run(nodes, clients))


def test_a_fail_over_of_sentinels_fails_no_command() -> None:
    async def run(servers: Watched, clients: RedisClients) -> None:
        commands = [on(kind, clients) for kind in ("thread", "loop")]
        for command in commands:
            await many(command, "incr", "warm")
        await asyncio.to_thread(servers.fail_over)
        counted = 0
        while not await asyncio.to_thread(servers.has_failed_over):
            for command in commands:
                await command("incr", "n")
                counted += 1
        for command in commands:
            await many(command, "incr", "after")
        with servers.replica.admin(password="secret") as admin:
            assert admin.get("after") == "64"
        assert counted

    with watched() as servers:
        clients = clients_of(servers.url + PATIENT)
        asyncio.run(run(servers, clients))


@pytest.mark.parametrize("kind", ["thread", "loop"])
@pytest.mark.parametrize("reads", ["stale", "refused"])
def test_a_master_that_was_demoted_is_looked_for_anew(kind: str, reads: str) -> None:
    async def run(servers: Named, clients: RedisClients) -> None:
        command = on(kind, clients)
        await many(command, "incr", "warm")
        servers.demote(reads_stale=reads == "stale")
        servers.name(servers.other)
        assert await many(command, "set", "x", "1") == {True}
        with servers.other.admin() as admin:
            assert admin.get("x") == "1"

    with named() as servers:
        clients = clients_of(servers.url + PATIENT)
        asyncio.run(run(servers, clients))


@pytest.mark.parametrize("kind", ["thread", "loop"])
@pytest.mark.parametrize("master", ["demoted", "away"])
def test_commands_wait_until_sentinels_name_another_master(
    kind: str, master: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They wait for the count below, however slow this machine is.
    monkeypatch.setattr("mcp_mount.backends.redis_clients._FAIL_OVER_SECONDS", 60.0)

    async def run(servers: Named, clients: RedisClients) -> None:
        command = on(kind, clients)
        await many(command, "incr", "warm")
        if master == "demoted":
            servers.demote(reads_stale=True)
        else:
            servers.master.kill()
        before = servers.asked()
        # More than have a connection: the others wait for one.
        waiting = asyncio.ensure_future(many(command, "set", "x", "1"))
        # More often than each of them was tried, when tries were counted.
        while servers.asked() < before + 9 * 16:
            await asyncio.wait([waiting], timeout=0.05)
            assert not waiting.done()
        servers.name(servers.other)
        assert await waiting == {True}
        with servers.other.admin() as admin:
            assert admin.get("x") == "1"

    with named() as servers:
        clients = clients_of(servers.url + PATIENT)
        asyncio.run(run(servers, clients))


@pytest.mark.parametrize("kind", ["thread", "loop"])
@pytest.mark.parametrize("master", ["demoted", "away", "unknown"])
def test_a_fail_over_without_end_is_an_error(
    kind: str, master: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_mount.backends.redis_clients._FAIL_OVER_SECONDS", 0.5)

    async def run(servers: Named, clients: RedisClients) -> None:
        command = on(kind, clients)
        assert await command("set", "x", "1")
        if master == "demoted":
            servers.demote(reads_stale=True)
        else:
            servers.master.kill()
        if master == "unknown":
            servers.sentinel.kill()
        with pytest.raises(clients.errors):
            await command("set", "x", "1")

    with named() as servers:
        clients = clients_of(servers.url + PATIENT)
        asyncio.run(run(servers, clients))


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_no_sentinel_is_forgotten_that_was_away(kind: str) -> None:
    async def run(servers: Named, clients: RedisClients) -> None:
        command = on(kind, clients)
        # All connections at once ask the one that answers, after the one that does not.
        await many(command, "incr", "n")
        client = clients.client() if kind == "thread" else await clients.async_client()
        sentinels = client.connection_pool.sentinel_manager.sentinels
        ports = [one.connection_pool.connection_kwargs["port"] for one in sentinels]
        assert ports[0] == servers.sentinel.port
        assert len(set(ports)) == 2

    with named() as servers:
        clients = clients_of(servers.url + PATIENT)
        asyncio.run(run(servers, clients))
