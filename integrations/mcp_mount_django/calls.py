"""How Django runs a tool call: in transactions, with connections looked after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections, transaction
from django.utils import timezone, translation

from mcp_mount.protocol.calls import Call
from mcp_mount.tasks.contexts import context_without


def run_call(call: Call) -> None:
    """Run a plain function in one transaction per database that has ATOMIC_REQUESTS.

    The call is the unit, not the HTTP request: a tool that fails leaves no writes, and its answer
    still goes out.
    """
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


def run_outside_request(call: Call) -> None:
    """Run a plain function on a thread that Django knows no request on.

    Connections are looked after as Django does around a request: broken and expired ones go.
    """
    close_old_connections()
    try:
        run_call(call)
    finally:
        close_old_connections()


def detach(call: Call) -> Context:
    """Prepare a task: it keeps language and time zone, not the threads of its request."""
    language, time_zone = translation.get_language(), timezone.get_current_timezone()

    @contextmanager
    def manner() -> Iterator[None]:
        with translation.override(language), timezone.override(time_zone):
            yield

    call.surround(manner)
    return context_without(
        "asgiref.", "thread_sensitive_context", "deadlock_context", "async_single_thread_context"
    )


async def run_in_request_thread(function: Callable[[], None]) -> None:
    """Run a plain function on the thread that Django uses for this request under ASGI."""
    await sync_to_async(function, thread_sensitive=True)()


def atomic_aliases() -> list[str]:
    """The databases that have ATOMIC_REQUESTS."""
    return [alias for alias in connections if connections.settings[alias]["ATOMIC_REQUESTS"]]
