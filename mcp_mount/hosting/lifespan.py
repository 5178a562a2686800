"""The lifespan of a server: it runs once, whoever starts it, and at the latest for a request."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from contextvars import Context as ContextVariables
from functools import partial
from typing import Any, Final, TypeAlias
from weakref import WeakSet

from mcp_mount.protocol.settings import Settings
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.transports.lasting import keep
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.wire.forks import after_fork
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

LifespanContext: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]
"""A lifespan as Starlette keeps it: a function of the application."""

_FAILED: Final = "The server could not start; its log says why"

_ENDING_SECONDS: Final = 5.0
"""How long lifespans may take to end when a process without lifespan events ends."""


class Lifespan:
    """The lifespan of one server, in place of the `lifespan_context` of its router.

    A web server starts it by ASGI's lifespan events, an application that the server is mounted in
    within its own, and some applications (Airflow) start those of whatever is mounted in them
    besides. It runs once all the same: who comes first owns it. Where nobody starts it, as under
    WSGI, the first request does, and it ends with the event loop or the process.

    Args:
        settings: Those of the server; requests find the lifespan there.
        application: The server, which the user's lifespan is called with.
        check_declared: Called before it starts, once all has been declared. Raises DefinitionError
            for what does not fit together.

    Attributes:
        value: What the user's lifespan has yielded.
        state: The members of `request.state`.
        is_late: Whether a request has started it.
    """

    def __init__(
        self, settings: Settings, application: Any, check_declared: Callable[[], None]
    ) -> None:
        self.value: Any = None
        self.state: dict[str, Any] = {}
        self.is_late = False
        self._is_given = self._is_joined = False
        self._router: Any = None
        self._context: LifespanContext | None = None
        self._settings = settings
        settings.startup = self
        self._application = application
        self._check_declared = check_declared
        self._begun: Future[None] | None = None
        self._unlock()
        after_fork(self._unlock)
        self._pid = 0
        self._leave: Callable[[], object] | None = None
        self._ended: Future[None] | None = None

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def noting(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of FastAPI with a lifespan that notes what the user's yields.

        Starlette wants a mapping, for `request.state`; any other object is for `ctx.lifespan`.

        Args:
            options: The options, with the user's lifespan, if there is one.

        Returns:
            A copy, with a lifespan that runs the user's.
        """
        given = options.get("lifespan")
        self._is_given = given is not None
        if given is None:
            return dict(options)
        make = asynccontextmanager(given) if inspect.isasyncgenfunction(given) else given

        @asynccontextmanager
        async def noted(app: Any) -> AsyncIterator[Mapping[str, Any] | None]:
            async with make(app) as value:
                self.value = value
                try:
                    yield value if isinstance(value, Mapping) else None
                finally:
                    self.value = None

        return {**options, "lifespan": noted}

    def yielded(self) -> Any:
        """What the user's lifespan has yielded.

        Raises:
            RuntimeError: If there is none, or it does not run.
        """
        if not self._is_given:
            raise RuntimeError("The server has no lifespan: give it one, MCPServer(lifespan=...)")
        if not self.is_running:
            raise RuntimeError("The lifespan of the server has ended, or not begun")
        return self.value

    def take_over(self, router: Any) -> None:
        """Stand in the place of the lifespan that a server's router has.

        Args:
            router: Starlette's, of the server.
        """
        self._router = router
        self._context, router.lifespan_context = router.lifespan_context, self

    @contextmanager
    def growing(self, router: Any, included: Any) -> Iterator[None]:
        """Let a server include a router: its lifespan runs within that of the server.

        Args:
            router: Of the server.
            included: The router that it includes, within the block.
        """
        assert self._context is not None, "a server has a router"
        router.lifespan_context = self._context
        try:
            yield
        finally:
            self.take_over(router)
        if not _is_default(included.lifespan_context):
            self._is_joined = True

    @property
    def is_declared(self) -> bool:
        """Whether there is anything to run."""
        return (
            self._is_given
            or self._is_joined
            or bool(self._router.on_startup or self._router.on_shutdown)
        )

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not ended, in this process."""
        return self._begun is not None and self._pid == os.getpid()

    @asynccontextmanager
    async def __call__(self, app: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        if self._claim():
            async with self._own(app) as state:
                yield state
            return
        await self._wait()
        yield self.state or None

    def check(self) -> None:
        """Check what has been declared, before a request is answered.

        Raises:
            ProtocolError: 503, if it does not fit together; the log says what. The next request
                tries again.
        """
        try:
            self._check_declared()
        except DefinitionError as error:
            logger.error("The server %r cannot start: %s", self._application.title, error)
            raise ProtocolError(INTERNAL_ERROR, _FAILED, status=503) from None

    @property
    def can_start(self) -> bool:
        """Whether what has been declared fits together."""
        try:
            self._check_declared()
        except DefinitionError:
            return False
        return True

    def is_needed(self) -> bool:
        """Whether a request must start it, or wait until another one has."""
        if not self.is_declared or not self.is_running:
            return self.is_declared
        begun = self._begun
        return self.is_late and begun is not None and not begun.done()

    async def start(self) -> None:
        """Start it on this event loop, for a request that finds it not running.

        Raises:
            ProtocolError: 503, if it fails; the log says why. The next request tries again.
        """
        if self._claim(late=True):
            # In no request's context variables: it outlives them all.
            keep(ContextVariables().run(asyncio.get_running_loop().create_task, self._run()))
        try:
            await self._wait()
        except Exception as error:
            raise ProtocolError(INTERNAL_ERROR, _FAILED, status=503) from error

    def _claim(self, *, late: bool = False) -> bool:
        """Claim the lifespan: the first one who asks runs it.

        Args:
            late: Whether a request asks, at the same time as others perhaps.
        """
        with self._lock:
            if self.is_running:
                return False
            self.is_late = late
            self._begun, self._pid = Future(), os.getpid()
            return True

    async def _wait(self) -> None:
        """Wait until it has begun. Raises what it raised."""
        begun = self._begun
        if begun is not None:
            # A client that leaves while it waits must not cancel it.
            await asyncio.shield(asyncio.wrap_future(begun))

    @asynccontextmanager
    async def _own(self, app: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        begun = self._begun
        assert begun is not None, "it is claimed before it runs"
        try:
            self._check_declared()
            assert self._context is not None, "a server has a router"
            async with self._context(app) as state:
                self.state = dict(state or {})
                begun.set_result(None)
                yield state
        except BaseException as error:
            if not begun.done():
                # Those who wait are told of a failure: SystemExit would end their worker, and
                # CancelledError look as if their own client had left.
                is_plain = isinstance(error, Exception)
                begun.set_exception(
                    error if is_plain else RuntimeError(f"The lifespan ended by {error!r}")
                )
            raise
        finally:
            self._begun, self.state, self.is_late = None, {}, False
            self._settings.startup = self

    def stop(self) -> None:
        """End it, if a request has started it, and wait for that. From another thread."""
        leave, ended = self._leave, self._ended
        if leave is None or ended is None or self._pid != os.getpid():
            return
        with suppress(RuntimeError):
            # Of a closed loop, with which it has ended.
            leave()
            with suppress(FutureTimeout):
                ended.result(_ENDING_SECONDS)

    async def _run(self) -> None:
        loop, left = asyncio.get_running_loop(), asyncio.Event()
        ended: Future[None] = Future()
        self._ended = ended
        self._leave = partial(loop.call_soon_threadsafe, left.set)
        _late.add(self)
        try:
            async with self._own(self._application):
                with suppress(asyncio.CancelledError):
                    # The event loop ends, and waits for its tasks: the lifespan ends as anywhere.
                    await left.wait()
        except (Exception, SystemExit):
            # Raised by a task, SystemExit would end the event loop.
            logger.exception("The lifespan of the server failed")
        finally:
            self._leave = None
            ended.set_result(None)


def _is_default(context: Any) -> bool:
    """Whether a router has no lifespan but that of its framework, which runs its handlers of
    events; including it, FastAPI takes those over by themselves."""
    return type(context).__name__ == "_DefaultLifespan"


_late: Final[WeakSet[Lifespan]] = WeakSet()


def _end_late() -> None:
    for one in list(_late):
        one.stop()


atexit.register(_end_late)
