"""The thread of a request, to which Django binds its connections and whatever else is its own.

Django runs plain code for coroutines by asgiref's thread-sensitive executors. Where a thread waits
for a coroutine (under WSGI, or a plain function that calls a coroutine), that thread is the
executor; under ASGI it is the thread that Django keeps for the request, also for what goes on when
the view has returned its response.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor as AnyExecutor
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, Final

import asgiref.sync
from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import connections
from greenlet import getcurrent

from mcp_mount.calls.activity import Activity
from mcp_mount.transports.threads import (
    Executor,
    on_branching,
    on_entering,
    on_moving,
    run_counted,
    running_functions,
    thread_of,
)


def _choose(executor: Executor) -> None:
    """Let thread-sensitive work of the coroutine that runs go to an executor."""
    context = ThreadSensitiveContext()
    SyncToAsync.context_to_thread_executor[context] = executor
    SyncToAsync.thread_sensitive_context.set(context)
    if hasattr(AsyncToSync.executors, "current"):
        # That of plain middleware further out comes first otherwise, and is busy with this.
        del AsyncToSync.executors.current


def _take_locals_along() -> None:
    """Let asgiref's Locals (language, time zone, what middleware keeps) be seen on this thread:
    from 3.13 on they belong to the thread that they were set on."""
    asgiref.sync._restore_context(copy_context())


def _share_connections() -> AbstractContextManager[None]:
    """Let another greenlet use the database connections of this one, also those not open yet."""
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
    """The thread that Django keeps for a request under ASGI, as long as the request lasts.

    While plain middleware waits there for the view, it takes work from asgiref's executor of that
    middleware; afterwards, from the one of the request. What it is to do is kept here, and only a
    reminder given to either: so nothing is lost in between, and when the request ends, the thread
    itself does the rest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.activity = Activity()
        self._middleware: AnyExecutor | None = getattr(AsyncToSync.executors, "current", None)
        self._request = SyncToAsync.thread_sensitive_context.get(None)

    def put(self, item: Any) -> None:
        """Give the thread something to do."""
        super().put(item)
        self._remind()

    def expect(self, deadline: float | None) -> None:
        """Let the thread look again at a time (of `time.monotonic`), if one is given."""
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic())
            self.loop.call_soon_threadsafe(self.loop.call_later, left, self._remind)

    def responded(self) -> None:
        """The view has its response: middleware does not wait on the thread any more."""
        if not hasattr(self._middleware, "_old_executor"):
            # Before asgiref 3.10 what came while it stopped waiting was lost.
            self._middleware = None
        self._remind()

    def end(self) -> None:
        """Let all end that has begun for the request; from now on nothing begins. Called when the
        response is closed: on the thread, or on the event loop of a test client."""
        if is_on_event_loop():
            return
        idle: Future[None] = Future()
        self.activity.when_idle(partial(idle.set_result, None))
        self.serve(idle)
        self.close()

    def _remind(self) -> None:
        if self._main is not None and thread_of(self._main) is thread_of(getcurrent()):
            # It is at work here, and looks by itself.
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
        """The executor that asgiref has for the request, or would make now."""
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
    """The thread of the request whose view this is, for all that runs within the block, and for the
    tasks that are started there."""
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
    """The events of a response under ASGI: when it is closed, all that belongs to it ends, on the
    thread of its request, before Django looks after the connections there."""

    def __init__(
        self,
        events: AsyncIterator[bytes],
        end: Callable[[], Awaitable[None]],
        thread: RequestThread,
    ) -> None:
        self._events = events
        self._end = end
        self._thread = thread

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._events.__anext__()

    def close(self) -> None:
        """Called by the response, when it is complete or its client has left."""
        if is_on_event_loop():
            # Of a test client, which closes responses there: nothing can be waited for.
            _ending.add(task := asyncio.ensure_future(self._end()))
            task.add_done_callback(_ending.discard)
            return
        end: Any = self._end()
        self._thread.serve(asyncio.run_coroutine_threadsafe(end, self._thread.loop))
        self._thread.end()


_ending: Final[set[asyncio.Future[None]]] = set()


def is_on_event_loop() -> bool:
    """Whether an event loop runs on this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def run_in_request_thread(function: Callable[[], None]) -> None:
    """Run a plain function on the thread of the request that this coroutine belongs to."""
    activity = running_functions.get()
    if activity is not None:
        function = partial(run_counted, activity, function)
    await sync_to_async(function, thread_sensitive=True)()


@contextmanager
def own_event_loop() -> Iterator[None]:
    """Let asgiref forget the event loop that this thread has worked for: it is not the thread's,
    nor that of the next request."""
    thread = SyncToAsync.threadlocal
    loop = getattr(thread, "main_event_loop", None)
    try:
        yield
    finally:
        thread.main_event_loop = loop
