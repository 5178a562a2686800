"""Calls on an event loop whose clients are watched: one that leaves, or cancels, ends its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from mcp_mount.calls.call import Call
from mcp_mount.transports.channels import silence
from mcp_mount.transports.driving import drive_async, spawner
from mcp_mount.transports.scopes import Receive
from mcp_mount.transports.threads import Runner
from mcp_mount.wire.cancellation import mark_cancelled, unmark_cancelled


async def run_calls(
    calls: Sequence[Call],
    runner: Runner,
    receive: Receive | None = None,
    *,
    on_wait: Callable[[], None] | None = None,
) -> bool:
    """Run calls that send nothing to the client before they end.

    Args:
        calls: What to run, one after another.
        runner: How the host runs handlers.
        receive: ASGI's receive, if a client that leaves cancels the calls; without it the host may
            cancel the task itself.
        on_wait: Called when a handler begins to take time.

    Returns:
        Whether the client is still there, as far as it was watched.
    """
    for call in calls:
        if call.wants_context:
            silence(call, runner, spawner(asyncio.get_running_loop()))
        if call.cancelled:
            continue
        if not call.is_async and not call.policies:
            if on_wait is not None:
                on_wait()
            await runner.off_loop(partial(runner.run, call))
            continue
        running = drive_async(call, runner) if call.policies else runner.run_async(call)
        if not await _Attended(call, running, receive, on_wait):
            return False
    return True


class _Attended:
    """Awaits a call in the current task, and cancels it when its client leaves or cancels it.

    Most handlers end without waiting for anything, so no task that watches for the client is made
    until the coroutine first waits. receive: ASGI's receive, which tells when the client leaves;
    without it the host cancels the task itself.
    """

    def __init__(
        self,
        call: Call,
        running: Coroutine[Any, Any, None],
        receive: Receive | None,
        on_wait: Callable[[], None] | None,
    ) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._on_wait = on_wait
        self._call = call
        self._running = running
        self._receive = receive
        self._waiting: Any = None
        self._left = False
        self._given_up = False
        self._told = False

    def __await__(self) -> Generator[Any, Any, bool]:
        coroutine = self._running
        try:
            self._waiting = coroutine.send(None)
        except StopIteration:
            return True
        self._task = asyncio.current_task()
        if self._on_wait is not None:
            self._on_wait()
        watch = self._watch()
        try:
            while True:
                value = failure = None
                try:
                    value = yield self._waiting
                except BaseException as error:
                    failure = error
                # Not while it is handled here: it would be the context of what the coroutine
                # raises, and anyio takes a CancelledError in the context of its own for its own.
                if failure is not None:
                    self._waiting = coroutine.throw(failure)
                elif self._given_up and not self._told:
                    # Once: what cleans up may wait as well.
                    self._told = True
                    self._waiting = coroutine.throw(asyncio.CancelledError())
                else:
                    self._waiting = coroutine.send(value)
                if self._given_up and not self._told:
                    # What it waited for was cancelled by somebody else, such as a group of tasks,
                    # which has caught that.
                    self._cancel_wait()
        except StopIteration:
            return not self._left
        except asyncio.CancelledError:
            if self._given_up:
                return not self._left
            raise
        finally:
            # Its traceback holds this frame: the frame must not hold it.
            failure = None
            self._call.on_cancel = None
            if self._given_up and self._task is not None:
                unmark_cancelled(self._task)
            if watch is not None:
                watch.remove_done_callback(self._leave)
                watch.cancel()

    def _watch(self) -> asyncio.Task[None] | None:
        loop = asyncio.get_running_loop()

        def give_up() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._give_up)

        self._call.on_cancel = give_up
        if self._receive is None:
            return None
        watch = loop.create_task(_departure(self._receive))
        watch.add_done_callback(self._leave)
        return watch

    def _leave(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled():
            self._left = True
            self._give_up()

    def _give_up(self) -> None:
        self._given_up = True
        if self._task is not None:
            mark_cancelled(self._task)
        self._cancel_wait()

    def _cancel_wait(self) -> None:
        with suppress(AttributeError):
            self._told = self._waiting.cancel()


async def _departure(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Departure:
    """Watches for the departure of the client, and calls `leave` then."""

    def __init__(self, receive: Receive, leave: Callable[[], None]) -> None:
        self.left = False
        self.leave = leave
        self._watch = asyncio.create_task(_departure(receive))
        self._watch.add_done_callback(self._done)

    def end_watch(self) -> None:
        self._watch.cancel()

    def _done(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled():
            self.left = True
            self.leave()
