"""How Django runs a call: in transactions, with connections looked after, and told to the audit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context
from typing import Any, Final

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import connections, transaction
from django.utils import timezone, translation

from mcp_mount.protocol.calls import Call
from mcp_mount.tasks.contexts import context_without
from mcp_mount.transports.threads import run_in_thread
from mcp_mount_django.signals import call_finished

_AUDITED: Final = ("tools/call", "prompts/get", "resources/read", "completion/complete")


class Calls:
    """The calls of one server."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def run(self, call: Call) -> None:
        """Run a plain function in one transaction per database that has ATOMIC_REQUESTS.

        The call is the unit, not the HTTP request: a tool that fails leaves no writes, and its
        answer still goes out.
        """
        started = time.perf_counter()
        aliases = atomic_aliases()
        try:
            with ExitStack() as stack:
                for alias in aliases:
                    stack.enter_context(transaction.atomic(using=alias))
                call.run()
                if call.failed:
                    for alias in aliases:
                        transaction.set_rollback(True, using=alias)
        except Exception as error:
            # A transaction that cannot begin or commit (a deferred constraint, a lock), or an
            # on_commit function: whatever the tool returned, it has not done its work.
            call.fail(error)
        if self._is_audited(call):
            self._tell(call, _outcome(call), started)

    def run_outside_request(self, call: Call) -> None:
        """Run a plain function on a thread that Django knows no request on.

        Connections are looked after as Django does around a request: broken and expired ones go.
        """
        with fresh_connections():
            self.run(call)

    async def run_async(self, call: Call) -> None:
        """Run a coroutine. Its queries have a thread of their own where Django has none for them:
        under WSGI and in a task they would share one with all others, and never close its
        connections."""
        started = time.perf_counter()
        outcome = "cancelled"
        async with ThreadSensitiveContext() as own:
            try:
                await call.run_async()
                outcome = _outcome(call)
            finally:
                if own in SyncToAsync.context_to_thread_executor:
                    await asyncio.shield(sync_to_async(connections.close_all)())
                if self._is_audited(call):
                    await asyncio.shield(sync_to_async(self._tell)(call, outcome, started))

    def _is_audited(self, call: Call) -> bool:
        return call_finished.has_listeners(self._server) and call.incoming.method in _AUDITED

    def _tell(self, call: Call, outcome: str, started: float) -> None:
        params = call.incoming.params
        call_finished.send_robust(
            self._server,
            request=call.incoming.request.native(),
            method=call.incoming.method,
            name=params.get("name") or params.get("uri"),
            arguments=params.get("arguments") or {},
            outcome=outcome,
            seconds=time.perf_counter() - started,
        )


def _outcome(call: Call) -> str:
    if call.result is not None and call.result.suspended is not None:
        return "suspended"
    return "failed" if call.failed else "ok"


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Look after the connections of a thread, as Django does around a request.

    One that is in a transaction (a test's, say) is somebody's who needs it still.
    """

    def close_old() -> None:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()

    close_old()
    try:
        yield
    finally:
        close_old()


async def run_off_loop(function: Callable[[], None]) -> None:
    """Run a plain function on a thread of a pool, with connections looked after."""

    def run() -> None:
        with fresh_connections():
            function()

    await run_in_thread(run)


async def run_in_request_thread(function: Callable[[], None]) -> None:
    """Run a plain function on the thread that Django uses for this request under ASGI."""
    run: Callable[[], Awaitable[None]] = sync_to_async(function, thread_sensitive=True)
    await run()


def detach(call: Call) -> Context:
    """Prepare a task: it keeps language and time zone, not the threads of its request."""
    keep_language(call)
    return context_without(
        "asgiref.", "thread_sensitive_context", "deadlock_context", "async_single_thread_context"
    )


def keep_language(call: Call) -> None:
    """Let a call that leaves this thread keep its language and time zone."""
    language, time_zone = translation.get_language(), timezone.get_current_timezone()

    @contextmanager
    def kept() -> Iterator[None]:
        with translation.override(language), timezone.override(time_zone):
            yield

    call.surround(kept)


def active_variant() -> str:
    """What the results of this request depend on: its language and its time zone."""
    return f"{translation.get_language()} {timezone.get_current_timezone_name()}"


def atomic_aliases() -> list[str]:
    """The databases that have ATOMIC_REQUESTS, in the order in which Django's views begin their
    transactions: in any other, the two could wait for each other."""
    every = [alias for alias in connections if connections.settings[alias]["ATOMIC_REQUESTS"]]
    return every[::-1]
