"""Direct calls and chats in Django: requests that the view answers on the spot.

They are those of mcp_mount/protocol/direct.py that have nothing of Django around their handlers
either: no transaction, and no receiver of `call_finished`. Host, size, authentication and CSRF
token are checked as for any other request, by the view. Whatever is unusual goes the long way.
Tests hold both ways together (tests/mcp_mount_django/test_direct.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async

from mcp_mount.base import MCPServer
from mcp_mount.calls.catalogue import DirectTool
from mcp_mount.calls.results import Result
from mcp_mount.protocol import Reply, Request
from mcp_mount.protocol.direct import DirectCall, Resumed, resumed
from mcp_mount.protocol.exchange import Exchange
from mcp_mount.transports.direct_wsgi import WSGIDirectCalls
from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.transports.short_ways import DirectRequest, DirectRequests
from mcp_mount.transports.threads import PLAIN
from mcp_mount_django.calls import has_nothing_around


class Outcome(NamedTuple):
    """What the handler of a call has done.

    Attributes:
        reply: The body of the reply, if the handler has returned what fits.
        rest: Its result, or what goes on with it the long way.
        is_late: Whether it goes on so long that the response is to begin now.
    """

    reply: bytes | None
    rest: Result | Resumed
    is_late: bool = False


class DirectRouteCall(NamedTuple):
    """A request to an HTTP route that needs nothing but its handler.

    Attributes:
        direct: Runs it.
        asked: What it asks.
    """

    direct: DirectRequests
    asked: DirectRequest

    def run(self) -> bytes | Resumed:
        """Run the handler here: the body of the reply, or what goes on with it the long way."""
        return self.direct.run(self.asked)

    async def run_on_thread(self) -> bytes | Resumed:
        """Run a plain function where Django runs a plain view."""
        running = keep(asyncio.create_task(sync_to_async(self.run, thread_sensitive=True)()))
        # If the client has left: what the request has is the handler's until it has ended.
        if (cancellation := await wait_until_done(running)) is not None:
            raise cancellation
        return running.result()


class DjangoDirectCalls:
    """Finds direct calls among the requests of one server, and runs them.

    Args:
        server: The server.
    """

    def __init__(self, server: MCPServer) -> None:
        self._server = server
        self._protocol = server.core.protocol
        # Under ASGI, too: Django makes a META of every request.
        self._calls = WSGIDirectCalls(self._protocol, PLAIN)

    def find(self, meta: Mapping[str, Any], host: str) -> DirectTool | None:
        """The tool that the headers of a request name, if it may be a direct call.

        Args:
            meta: The META of Django's request to the endpoint.
            host: What it says by `get_host`; another one than the Host header goes the long way.
        """
        asked = self._calls.find(meta, stands_alone=False, with_coroutines=True)
        if (
            asked is None
            or not self._server.core.allows_direct_calls
            or meta.get("HTTP_HOST") != host
            or not has_nothing_around(asked.function)
        ):
            return None
        return asked

    def read(self, asked: DirectTool, body: bytes) -> DirectCall | None:
        """The call in the body of a request, with validated arguments; None for the long way.

        Args:
            asked: The tool that its headers name.
            body: Its body.
        """
        call = self._calls.read(asked, body)
        if call is not None:
            try:
                call.validated = asked.validate(call.arguments)
            except Exception:
                # Once more the long way, which knows what to tell the client.
                return None
        return call

    def run(self, call: DirectCall) -> Outcome:
        """Run the plain function of a call here."""
        return Outcome(*self._protocol.direct.run(call))

    async def run_on_thread(self, call: DirectCall) -> Outcome:
        """Run the plain function of a call where Django runs a plain view: one hop, as it costs the
        view.

        If it takes so long that the response is to begin, what goes on with it waits there.
        """
        outcomes: list[Outcome] = []

        def run() -> None:
            outcomes.append(self.run(call))

        running = keep(asyncio.create_task(sync_to_async(run, thread_sensitive=True)()))
        try:
            await asyncio.wait([running], timeout=self._protocol.settings.begin_after)
        except asyncio.CancelledError:
            # The client has left. What the request has is the handler's until it has ended.
            await wait_until_done(running)
            raise
        if not running.done():
            # It is called on the same thread, so after this function.
            return Outcome(None, lambda: resumed(outcomes[0].rest)(), is_late=True)
        running.result()
        return outcomes[0]

    def find_route(
        self, meta: Mapping[str, Any], host: str, rest: str, body: bytes
    ) -> DirectRouteCall | None:
        """What a request to an HTTP route asks, if it needs nothing but the handler of that.

        Args:
            meta: As for `find`.
            host: As for `find`.
            rest: The path below the server.
            body: Its body.
        """
        short = self._server.core.short_way(f"/{rest}")
        direct = None if short is None else short.direct
        if (
            direct is None
            or meta.get("HTTP_HOST") != host
            or not direct.find(meta, stands_alone=False)
        ):
            return None
        asked: DirectRequest | None = direct.read(body, meta)
        if asked is None or not has_nothing_around(asked.function):
            return None
        return DirectRouteCall(direct, asked)

    def open(self, call: DirectCall, read: Request, outcome: Outcome | None) -> Reply | Exchange:
        """Open a direct call for the long way.

        Args:
            call: The call.
            read: The request that brought it.
            outcome: What its handler has done, if it has run.
        """
        opened = self._protocol.open_direct(call, read)
        if outcome is not None:
            assert isinstance(opened, Exchange), "its arguments have been validated"
            opened.calls[0].resume(resumed(outcome.rest))
        return opened
