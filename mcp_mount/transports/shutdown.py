"""Hearing that the process is told to end, before its web server does anything about it.

Web servers wait for open responses before anything else that an application can notice: a stream
without an end would hold them for as long as they allow, and break then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final
from weakref import WeakMethod, WeakSet

from mcp_mount.transports.lasting import keep
from mcp_mount.transports.outbox import finish_all
from mcp_mount.transports.web_servers import watch_web_server
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_callbacks: list[WeakMethod[Callable[[], None]]] = []
_watched: Final[WeakSet[asyncio.AbstractEventLoop]] = WeakSet()
_lock: Final = threading.Lock()


def before_shutdown(callback: Callable[[], None]) -> None:
    """Have `callback` called when the process is told to end. Works from any thread.

    Call it where something begins to wait: web servers put handlers of signals in place when they
    start, and ours goes before what is there.

    Args:
        callback: A method. Its object is not kept alive by this: servers come and go, in tests and
            in application factories.
    """
    _add(callback)
    if "hypercorn" in sys.modules:
        _watch_hypercorn()
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            _chain(number)
    elif not all(_is_chained(number) for number in _SIGNALS):
        _call_soon_on_main_thread()
        _watch_granian(signal.getsignal(signal.SIGTERM))
    watch_web_server(_web_server(), _call_all)


def before_shutdown_of_server(callback: Callable[[], None]) -> None:
    """The same for whoever has nothing to wait for as yet, but may soon, on another thread.

    A worker of gunicorn has its handlers in place before it loads the application. Where nobody
    has, nothing is done.

    Args:
        callback: As of `before_shutdown`.
    """
    _add(callback)
    if threading.current_thread() is threading.main_thread():
        _chain_handlers_of_servers()


def _add(callback: Callable[[], None]) -> None:
    known = WeakMethod(callback)
    with _lock:
        if known not in _callbacks:
            _callbacks[:] = [one for one in _callbacks if one() is not None] + [known]


def _call_all() -> None:
    _tell_all()
    # A web server may end the process by a signal, and then nothing is done at its exit.
    finish_all()


def _tell_all() -> None:
    # Without the lock, which the code may hold that a signal has interrupted.
    for known in list(_callbacks):
        callback = known()
        if callback is not None:
            try:
                callback()
            except Exception:
                logger.exception("A part of the server failed while the process was ending")


class _ChainedHandler:
    """Ours, before another."""

    def __init__(self, previous: Any) -> None:
        self.previous = previous

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        _call_all()
        if callable(self.previous):
            self.previous(signum, frame)
        elif self.previous is signal.SIG_DFL:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)


class _ChainedEvent:
    """An event that is set after the callbacks have been called."""

    def __init__(self, event: Any) -> None:
        self._event = event

    def set(self) -> None:
        _call_all()
        self._event.set()


def _watch_granian(handler: Any) -> None:
    """Hear of the end where granian (as of 2.8) serves WSGI: its main thread runs no Python code
    before a signal comes, so that handlers cannot be changed there. They set an event."""
    if getattr(handler, "__module__", "") == "granian._signals":
        for cell in handler.__closure__ or ():
            if not isinstance(cell.cell_contents, _ChainedEvent):
                cell.cell_contents = _ChainedEvent(cell.cell_contents)


def _watch_hypercorn() -> None:
    """Hear of the end where hypercorn (as of 0.18) runs the loop: its master sets an event, without
    a signal, and the coroutine of the worker sets another one when it sees that, or when the worker
    has had its requests (`max_requests`)."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if loop in _watched:
        return
    for task in asyncio.all_tasks(loop):
        coroutine: Any = task.get_coro()
        # The user's own coroutine may await it.
        while coroutine is not None:
            if getattr(coroutine, "__qualname__", "") == "worker_serve":
                context = coroutine.cr_frame.f_locals.get("context")
                if context is not None:
                    _watched.add(loop)
                    keep(loop.create_task(_call_all_after(context.terminated)))
                return
            coroutine = getattr(coroutine, "cr_await", None)


async def _call_all_after(event: Any) -> None:
    await event.wait()
    _tell_all()
    await asyncio.to_thread(finish_all)


def _web_server() -> Any:
    """The object whose method handles SIGTERM, if it is one: the web server."""
    handler: Any = signal.getsignal(signal.SIGTERM)
    while isinstance(handler, _ChainedHandler):
        handler = handler.previous
    return getattr(handler, "__self__", None)


def _is_chained(number: signal.Signals) -> bool:
    return isinstance(signal.getsignal(number), _ChainedHandler)


def _chain(number: signal.Signals) -> None:
    previous = signal.getsignal(number)
    # None: it is not Python's, and could not be called.
    if previous is None or isinstance(previous, _ChainedHandler):
        return
    signal.signal(number, _ChainedHandler(previous))
    if getattr(previous, "__module__", "").startswith("gunicorn."):
        # As gunicorn has it: its own does not interrupt the system calls of requests.
        signal.siginterrupt(number, False)


def _chain_handlers_of_servers() -> None:
    """Go before handlers that a web server has put in place.

    Not before others. Where Python knows of no handler, a server in C (uWSGI, mod_wsgi) may have
    its own, or the main thread may be somewhere where Python's would never run.
    """
    for number in _SIGNALS:
        previous = signal.getsignal(number)
        if callable(previous) and previous is not signal.default_int_handler:
            _chain(number)


def _call_soon_on_main_thread() -> None:
    """Have that done on the main thread, which alone may handle signals, as soon as it runs Python
    code: gunicorn's does each second."""
    global _pending_call
    try:
        import ctypes

        add = ctypes.pythonapi.Py_AddPendingCall
    except (ImportError, AttributeError):
        # Not every Python has these.
        return
    if _pending_call is None:
        # Kept for good: it must be there whenever it is called.
        _pending_call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_pending)
    add(_pending_call, None)


def _pending(_: Any) -> int:
    _chain_handlers_of_servers()
    return 0


_pending_call: Any = None
