"""The shop behind a real web server in a thread of this process: uvicorn, and Starlette."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette

from mcp_mount.auth.authorization.accounts import Person
from mcp_mount.wire.messages import Reply
from mcp_mount_starlette import mount
from tests.auth.authorization.shop import BASE, Shop

OF_SERVERS = ("date", "server", "content-length")


class Street:
    """A web server for one shop after another."""

    def __init__(self) -> None:
        self.app: Any = None
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        user = headers.get(b"x-user")
        await self.app({**scope, "user": user and user.decode()}, receive, send)


@contextmanager
def street() -> Iterator[Street]:
    """Run the web server."""
    made = Street()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        made.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # As behind a proxy, whose headers uvicorn takes from this machine.
        config = uvicorn.Config(made, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield made
        finally:
            server.should_exit = True
            thread.join()


@dataclass
class ServedShop(Shop):
    """A shop whose requests come by HTTP."""

    street: Street = field(default_factory=Street)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.street.app = mount(Starlette(), "/mcp", self.mcp)

    def reply(
        self,
        method: str,
        place: str,
        query: str,
        body: bytes,
        headers: Mapping[str, str],
        user: str | Person | None,
        base: str,
    ) -> Reply:
        if base != BASE or len(query) > 60_000 or not query.isascii() or method == "get":
            pytest.skip("web servers refuse that themselves")
        sent = {
            **headers,
            "host": "shop.example",
            "x-forwarded-proto": "https",
            "x-forwarded-for": "192.0.2.1",
            **({} if user is None else {"x-user": str(user)}),
        }
        if any(one != one.strip() or not one.isprintable() for one in sent.values()):
            pytest.skip("web servers and clients refuse such a header")
        try:
            raw = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
        except UnicodeEncodeError:
            pytest.skip("no header has that")
        target = f"/mcp/assistants{place}" + (f"?{query}" if query else "")
        with httpx2.Client(base_url=self.street.url, timeout=60) as client:
            request = client.build_request(method, "/", content=body, headers=raw)
            request.extensions["target"] = target.encode()
            answer = client.send(request)
        kept = [
            (name, value) for name, value in answer.headers.multi_items() if name not in OF_SERVERS
        ]
        return Reply(answer.status_code, answer.content, kept)
