"""The thread of a request, to which Django binds its connections and other thread-locals.

Django runs synchronous code of coroutines with asgiref's thread-sensitive executors. If a thread
waits for a coroutine (under WSGI, or in a plain function that calls a coroutine), that thread is
the executor. Under ASGI it is the thread that Django keeps for the request, also for what continues
after the view has returned its response.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor as AnyExecutor
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Final

import asgiref.sync
from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import connections
from greenlet import getcurrent

from mcp_mount.calls.activity import Activity
from mcp_mount.transports.executor import Executor, on_branching, on_entering, on_moving, thread_of
from mcp_mount.transports.threads import run_counted, running_functions


def _choose(executor: Executor) -> None:
    """Run the thread-sensitive work of the current coroutine with an executor."""
    context = ThreadSensitiveContext()
    SyncToAsync.context_to_thread_executor[context] = executor
    SyncToAsync.thread_sensitive_context.set(context)
    if hasattr(AsyncToSync.executors, "current"):
        # Otherwise the executor of outer synchronous middleware would come first, which is busy.
        del AsyncToSync.executors.current


def _take_locals_along() -> None:
    """Make asgiref's Locals (language, time zone, what middleware keeps) visible on this thread:
    since asgiref 3.13 they belong to the thread on which they were set.
    """
    asgiref.sync._restore_context(copy_context())


def _share_connections() -> AbstractContextManager[None]:
    """Let another greenlet use the database connections of this one, including those
    opened later.
    """
    own = {alias: connections[alias] for alias in connections}

    @contextmanager
    def shared() -> Iterator[None]:
        for alias, connection in own.items():
            connection.inc_thread_sharing()
            connections[alias] = connection
        try:
            yield
        finally:
            for connection in own.values():
                connection.dec_thread_sharing()

    return shared()


on_entering.append(_choose)
on_branching.append(_share_connections)
on_moving.append(_take_locals_along)


class RequestThread(Executor):
    """The thread that Django keeps for a request under ASGI for as long as the request lasts.

    While synchronous middleware waits there for the view, the thread takes work from asgiref's
    executor of that middleware, and afterwards from the executor of the request. The work itself is
    kept here, and the executors get only a reminder. So nothing is lost in between, and when the
    request ends, the thread does the remaining work.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.activity = Activity()
        self._middleware: AnyExecutor | None = getattr(AsyncToSync.executors, "current", None)
        self._request = SyncToAsync.thread_sensitive_context.get(None)

    def put(self, item: Any) -> None:
        """Add work for the thread."""
        super().put(item)
        self._remind()

    def expect(self, deadline: float | None) -> None:
        """Let the thread look for work at a deadline (of `time.monotonic`), if there is one."""
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic())
            self.loop.call_soon_threadsafe(self.loop.call_later, left, self._remind)

    def responded(self) -> None:
        """Note that the view has returned its response, so middleware does not wait on
        the thread.
        """
        if not hasattr(self._middleware, "_old_executor"):
            # Before asgiref 3.10, work that arrived while it stopped waiting was lost.
            self._middleware = None
        if self.has_work:
            self._remind()

    def end(self) -> None:
        """Wait for everything that has begun for the request, and refuse further work.

        Called when the response is closed: on the thread, or on the event loop of a test client.
        """
        if is_on_event_loop():
            return
        if not self.activity.is_running and not self.has_work:
            # As usual. What follows costs the thread one job more.
            self.close()
            return
        idle: Future[None] = Future()
        self.activity.when_idle(partial(idle.set_result, None))
        self.serve(idle)
        self.close()

    def _remind(self) -> None:
        if self._main is not None and thread_of(self._main) is thread_of(getcurrent()):
            # The thread is working here and looks for more by itself.
            return
        middleware = self._middleware
        if middleware is not None:
            try:
                middleware.submit(self.serve_waiting)
                return
            except RuntimeError:
                self._middleware = None
        self._own().submit(self.serve_waiting)

    def _own(self) -> AnyExecutor:
        """Return the executor that asgiref has for the request, or would create now."""
        if self._request is None:
            executors: Any = AsyncToSync.loop_thread_executors
            found: AnyExecutor = executors.get(self.loop, SyncToAsync.single_thread_executor)
            return found
        executors = SyncToAsync.context_to_thread_executor
        if self._request not in executors:
            executors[self._request] = ThreadPoolExecutor(max_workers=1)
        own: AnyExecutor = executors[self._request]
        return own


@contextmanager
def request_thread() -> Iterator[RequestThread]:
    """Provide the thread of the current request to everything in the block, and to tasks started in
    it.
    """
    thread = RequestThread()
    current = getattr(AsyncToSync.executors, "current", None)
    counting = running_functions.set(thread.activity)
    context = SyncToAsync.thread_sensitive_context.set(ThreadSensitiveContext())
    token = thread.enter()
    try:
        yield thread
    finally:
        thread.responded()
        thread.leave(token)
        running_functions.reset(counting)
        SyncToAsync.thread_sensitive_context.reset(context)
        if current is not None:
            AsyncToSync.executors.current = current


class Streamed:
    """The events of a response under ASGI. When it is closed, everything that belongs to it ends on
    the thread of its request, before Django closes connections there.

    Args:
        events: The events.
        end: Ends the calls of the response.
        thread: The thread of the request.
    """

    def __init__(
        self,
        events: AsyncIterator[bytes],
        end: Callable[[], Awaitable[None]],
        thread: RequestThread,
    ) -> None:
        self._events = events
        self._end = end
        self._thread = thread
        self._is_closed = False

    def __del__(self) -> None:
        # Django drops a response unclosed when the client leaves while middleware still has it.
        if not self._is_closed:
            with suppress(RuntimeError):
                self._thread.loop.call_soon_threadsafe(_end_soon, self._end)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._events.__anext__()

    def close(self) -> None:
        """End the stream. The response calls this when it is complete or its client has
        disconnected.
        """
        self._is_closed = True
        if is_on_event_loop():
            # The loop of a test client, which closes responses there: nothing may block.
            _end_soon(self._end)
            return
        end: Any = self._end()
        self._thread.serve(asyncio.run_coroutine_threadsafe(end, self._thread.loop))
        self._thread.end()


_ending: Final[set[asyncio.Future[None]]] = set()


def _end_soon(end: Callable[[], Awaitable[None]]) -> None:
    _ending.add(task := asyncio.ensure_future(end()))
    task.add_done_callback(_ending.discard)


def is_on_event_loop() -> bool:
    """Whether an event loop runs on this thread."""
    # asyncio.get_running_loop raises if there is none, which takes ten times as long.
    return asyncio._get_running_loop() is not None


async def run_in_request_thread(function: Callable[[], None]) -> None:
    """Run a plain function on the thread of the request that this coroutine belongs to."""
    activity = running_functions.get()
    if activity is not None:
        function = partial(run_counted, activity, function)
    await sync_to_async(function, thread_sensitive=True)()


class own_event_loop:
    """Make asgiref forget the event loop that this thread has worked for, which belongs neither to
    the thread nor to its next request."""

    __slots__ = ("_loop",)

    def __enter__(self) -> None:
        self._loop = getattr(SyncToAsync.threadlocal, "main_event_loop", None)

    def __exit__(self, *error: object) -> None:
        SyncToAsync.threadlocal.main_event_loop = self._loop
