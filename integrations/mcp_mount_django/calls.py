"""How Django runs calls: in transactions, with managed connections, and followed by a signal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import Context, ContextVar
from functools import partial
from typing import Any, Final, TypeVar, overload

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils import timezone, translation
from greenlet import getcurrent

from mcp_mount.backends.tasks.contexts import Around, context_without
from mcp_mount.calls.call import Call
from mcp_mount.schemas.names import refuse_unknown, several_names
from mcp_mount.transports.driving import turns
from mcp_mount.transports.executor import thread_of, waiting_thread
from mcp_mount.transports.lasting import wait_until_done
from mcp_mount.transports.threads import run_in_thread, running_functions
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.wire.logs import own_logger
from mcp_mount_django.signals import call_finished

logger = own_logger("mcp_mount")

F = TypeVar("F", bound=Callable[..., Any])

WITHOUT_CONTEXT: Final = (
    "set TASK_CONTEXT in MCP_MOUNT (or task_context= of the server) to a function of the request "
    "whose context manager restores what your middleware sets (a tenant, a connection), or to "
    "'contextlib.nullcontext' if it sets nothing that tasks need"
)
"""The message for servers with tasks but without a task context."""

_AUDITED: Final = ("tools/call", "prompts/get", "resources/read", "completion/complete")


class Calls:
    """Runs the calls of one server.

    Args:
        server: The server.
    """

    def __init__(self, server: Any) -> None:
        self._server = server

    def run(self, call: Call) -> None:
        """Run a plain function in a transaction on each database that has ATOMIC_REQUESTS, or that
        the function is `atomic` for.

        The transaction belongs to the call and not to the HTTP request: a tool that fails leaves no
        writes, and its answer is still sent.
        """
        started = time.perf_counter()
        try:
            with _Transactions(call):
                call.run()
        except Exception as error:
            # A transaction cannot begin or commit (a deferred constraint, a lock), or an on_commit
            # function has raised: whatever the tool returned, its work is not done.
            call.fail(error)
        if self._is_audited(call):
            self._tell(call, _outcome(call), started)

    def run_outside_request(self, call: Call) -> None:
        """Run a plain function on a thread on which Django has no request.

        Broken and expired connections are closed, as Django does around a request.
        """
        with fresh_connections():
            self.run(call)

    async def run_async(self, call: Call) -> None:
        """Run a coroutine. Its queries, its transactions and the signal run on the thread of the
        request, as those of a plain function do.
        """
        activity = running_functions.get()
        if activity is None:
            await self._run_async(call)
            return
        activity.begin()
        try:
            await self._run_async(call)
        finally:
            activity.end()

    async def _run_async(self, call: Call) -> None:
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            await self._run_in_transactions(call)
            outcome = _outcome(call)
        finally:
            if self._is_audited(call):
                await to_its_end(partial(self._tell, call, outcome, started))

    async def _run_in_transactions(self, call: Call) -> None:
        if not _aliases_of(call.function):
            await call.run_async()
            return
        transactions = _Transactions(call)
        turn = turns.set(asyncio.Lock())
        try:
            try:
                # If the call is cancelled meanwhile, the transactions have begun nevertheless.
                await to_its_end(transactions.__enter__)
                await call.run_async()
            except BaseException as error:
                # The client has disconnected: roll back what was written so far.
                exit_ = partial(transactions.__exit__, type(error), error, error.__traceback__)
                await to_its_end(exit_)
                raise
            await to_its_end(partial(transactions.__exit__, None, None, None))
        except Exception as error:
            call.fail(error)
        finally:
            turns.reset(turn)

    def around_task(self, call: Call) -> Around:
        """Return the context of a task: what the server's `task_context` restores of the request.

        Raises:
            ProtocolError: If the server has no `task_context`.
        """
        task_context = self._server.task_context
        if task_context is None:
            logger.error(
                "The task %r was refused, because it would run without its request: %s",
                call.name,
                WITHOUT_CONTEXT,
            )
            raise ProtocolError(INTERNAL_ERROR, "This server runs no tasks: it has no task_context")
        request = call.incoming.request.host_request()

        @contextmanager
        def around() -> Iterator[None]:
            with fresh_connections(), task_context(request):
                yield

        return around

    async def run_async_outside_request(self, call: Call) -> None:
        """Run a coroutine where Django has no request: on the thread that waits for it, or on one
        of its own, with connections managed as around a request.
        """
        if waiting_thread() is not None:
            await to_its_end(close_old)
            try:
                await self.run_async(call)
            finally:
                await to_its_end(close_old)
            return
        async with ThreadSensitiveContext() as own:
            try:
                await self.run_async(call)
            finally:
                if own in SyncToAsync.context_to_thread_executor:
                    await to_its_end(connections.close_all)

    def _is_audited(self, call: Call) -> bool:
        return call_finished.has_listeners(self._server) and call.incoming.method in _AUDITED

    def _tell(self, call: Call, outcome: str, started: float) -> None:
        params = call.incoming.params
        call_finished.send_robust(
            self._server,
            request=call.incoming.request.host_request(),
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


class _Transactions:
    """A transaction on each database that the call is atomic for. They are rolled back if the call
    fails.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._begun: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> None:
        aliases = _aliases_of(self._call.function)
        with ExitStack() as stack:
            for alias in aliases:
                stack.enter_context(transaction.atomic(using=alias))
            # Reached only if all have begun: otherwise the stack rolls back those that have.
            self._stack, self._begun = stack.pop_all(), aliases

    def __exit__(self, *error: Any) -> None:
        if self._call.failed:
            for alias in self._begun:
                transaction.set_rollback(True, using=alias)
        self._stack.__exit__(*error)


async def to_its_end(function: Callable[[], Any]) -> None:
    """Run a plain function on the thread of the request, even if the current task is cancelled.

    Raises:
        asyncio.CancelledError: When the function has ended, if the current task was cancelled.
        Exception: What the function raises.
    """
    task = asyncio.ensure_future(sync_to_async(function, thread_sensitive=True)())
    if (cancellation := await wait_until_done(task)) is not None:
        raise cancellation
    task.result()


_looked_after: ContextVar[int] = ContextVar("mcp_mount.connections", default=0)
"""The thread whose connections an outer block manages."""


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Close broken and expired connections of this thread before and after, as Django does around a
    request.

    Only the outermost block does so, because settings of a connection must stay within it.
    """
    thread = id(thread_of(getcurrent()))
    if _looked_after.get() == thread:
        yield
        return
    token = _looked_after.set(thread)
    close_old()
    try:
        yield
    finally:
        close_old()
        _looked_after.reset(token)


def close_old() -> None:
    """Close the connections of this thread that are broken or have expired.

    A connection that is in a transaction, such as a test's, is still in use and stays open.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


async def run_off_loop(function: Callable[[], None]) -> None:
    """Run a plain function where Django has no request: on the thread that waits for this
    coroutine, or on a thread of a pool, with managed connections.
    """

    def run() -> None:
        with fresh_connections():
            function()

    await run_in_thread(run)


def detach(call: Call) -> Context:
    """Prepare a task: it keeps language and time zone, but not the threads of its request."""
    keep_language(call)
    # The variables by which asgiref finds the thread of the request.
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
    """Return what separates cached results of this request: its language and time zone."""
    return f"{translation.get_language()} {timezone.get_current_timezone_name()}"


def atomic_aliases() -> list[str]:
    """Return the databases that have ATOMIC_REQUESTS, in the order in which Django's views begin
    their transactions. In another order, calls and views could deadlock.
    """
    every = [alias for alias in connections if connections.settings[alias]["ATOMIC_REQUESTS"]]
    # Django's make_view_atomic wraps the view once for each alias, so the last one is outermost.
    return every[::-1]


def _aliases_of(function: Any) -> list[str]:
    """Return the databases on which calls of a handler are transactions, in the same order."""
    own: frozenset[str] = getattr(function, _ATOMIC, frozenset())
    # Set by Django's decorator `non_atomic_requests`.
    without = getattr(function, "_non_atomic_requests", ())
    every = [
        alias
        for alias in connections
        if alias in own or (connections.settings[alias]["ATOMIC_REQUESTS"] and alias not in without)
    ]
    return every[::-1]


def has_nothing_around(function: Any) -> bool:
    """Whether calls of a handler have neither a transaction nor anybody who is told of them.

    A handler that Django's `non_atomic_requests` excepts from ATOMIC_REQUESTS counts as having one.
    """
    return (
        not call_finished.receivers
        and not hasattr(function, _ATOMIC)
        and not any(connections.settings[alias]["ATOMIC_REQUESTS"] for alias in connections)
    )


_ATOMIC: Final = "_mcp_mount_atomic"


@overload
def atomic(function: F, /) -> F: ...
@overload
def atomic(*, using: str | Sequence[str] = DEFAULT_DB_ALIAS) -> Callable[[F], F]: ...
def atomic(function: Any = None, /, *, using: str | Sequence[str] = DEFAULT_DB_ALIAS) -> Any:
    """Run each call of a handler in a transaction, also without ATOMIC_REQUESTS.

    Write it between `@server.tool` and the function, `def` or `async def`. A call that fails, in
    whatever way, is rolled back. Django's `transaction.non_atomic_requests` does the opposite.

    Args:
        function: The handler.
        using: The database, or several. By default the default database.

    Raises:
        DefinitionError: If the project does not have a database.
    """
    aliases = several_names("using", using)
    refuse_unknown("DATABASES has no", aliases, list(connections))

    def mark(handler: Any) -> Any:
        setattr(handler, _ATOMIC, getattr(handler, _ATOMIC, frozenset()) | set(aliases))
        return handler

    return mark if function is None else mark(function)
