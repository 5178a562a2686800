"""Clients of Redis while its server is restarted, silent, busy or replaced: real Valkey servers."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from mcp_mount.backends.redis_clients import RedisClients
from tests.valkey import Valkey, Watched, cluster, cluster_url, watched

Try = Callable[[str], Awaitable[Any]]


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


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
def test_a_silent_server_is_given_up(kind: str, valkey: Valkey) -> None:
    async def run() -> None:
        clients = clients_of(valkey.url + "?socket_timeout=0.2")
        command = on(kind, clients)
        await command("get", "x")
        with valkey.silent(), pytest.raises(clients.errors):
            await asyncio.wait_for(command("get", "x"), 10)
        assert await command("get", "x") is None

    asyncio.run(run())


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
        clients = clients_of(valkey.url)
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
    async def run(nodes: list[Valkey]) -> None:
        clients = clients_of(cluster_url(nodes))
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
        asyncio.run(run(nodes))


def test_a_fail_over_of_sentinels_fails_no_command() -> None:
    async def run(servers: Watched) -> None:
        clients = clients_of(servers.url)
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
        asyncio.run(run(servers))
