"""HTTP without a network: requests to WSGI and ASGI applications of this process."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
)
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from queue import SimpleQueue
from typing import Any, Final
from urllib.parse import quote

from a2wsgi import WSGIMiddleware

from mcp_mount.base import MCPServer
from mcp_mount.cli.loading import mounted
from mcp_mount.hosting.host import around_test_requests
from mcp_mount.testing.http import HTTPRequest, Opened
from mcp_mount.transports import background
from mcp_mount.transports.environs import make_environ
from mcp_mount.transports.in_process import ApplicationExchange, Message
from mcp_mount.transports.lasting import keep
from mcp_mount.transports.lifespans import is_asgi, lifespan_of

_ENDING_SECONDS: Final = 5.0
"""How long an application may go on after its last response before a test ends."""


def takes_asgi(app: Any) -> bool:
    """Whether an application is one for ASGI.

    Args:
        app: The application.

    Raises:
        TypeError: If it is not an application.
    """
    if not callable(app):
        raise TypeError(
            "a client takes an MCPServer, or the application that it is mounted in, not "
            f"{type(app).__name__}"
        )
    return is_asgi(app)


class Running:
    """An application that has been started for a test, on the event loop of the test."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._stack = AsyncExitStack()
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Run its lifespan from now on. Raises what it raises."""
        if is_asgi(self._app):
            self.state = await self._stack.enter_async_context(lifespan_of(self._app))

    async def stop(self) -> None:
        """End it. Raises what it raises."""
        await self._stack.aclose()
        self.state = {}
        for server in _servers_of(self._app):
            # One that a request has started, as under WSGI.
            await asyncio.get_running_loop().run_in_executor(None, server.core.lifespan.stop)


class RunningElsewhere:
    """An application that has been started for a test, on the background loop.

    Its lifespan is one coroutine: what it enters must be left by the same task.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._started: Future[None] = Future()
        self._outcome: Future[None] | None = None
        self._leave: Callable[[], object] = lambda: None
        self.state: dict[str, Any] = {}

    def start(self) -> None:
        """Run its lifespan from now on. Raises what it raises."""
        if is_asgi(self._app):
            self._outcome, _ = background.spawn(self._run())
            self._started.result()

    def stop(self) -> None:
        """End it. Raises what it raises."""
        if self._outcome is not None:
            self._leave()
            outcome, self._outcome = self._outcome, None
            outcome.result()
        for server in _servers_of(self._app):
            server.core.lifespan.stop()

    async def _run(self) -> None:
        left, loop = asyncio.Event(), asyncio.get_running_loop()
        self._leave = partial(loop.call_soon_threadsafe, left.set)
        try:
            async with lifespan_of(self._app) as self.state:
                self._started.set_result(None)
                await left.wait()
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)


def _servers_of(app: Any) -> Iterator[MCPServer]:
    if isinstance(app, MCPServer):
        yield app
        return
    for _, server in mounted(app):
        yield server


def path_of(app: Any) -> str:
    """Where MCP is in an application, unless the user says it."""
    if isinstance(app, MCPServer):
        return "" if app.core.is_attached else app.core.mcp_path
    return "/mcp"


class WSGIClient:
    """Calls a WSGI application on the thread of the caller."""

    def __init__(self, app: Any, path: str) -> None:
        self._app = app
        self._path = path

    @contextmanager
    def open(self, request: HTTPRequest) -> Generator[Opened]:
        """Send a request, and give its response as soon as it has begun."""
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc: Any = None) -> Any:
            started[:] = [int(status.split(" ", 1)[0]), _lowered(headers)]
            return lambda data: None

        environ = make_environ(request.method, self._path, request.headers, request.body)
        with _of_test():
            answer = self._app(environ, start_response)
            chunks = iter(answer)
            try:
                first = next(chunks, b"")
                status, headers = started
                yield Opened(status, headers, _with_first(first, chunks))
            finally:
                if hasattr(answer, "close"):
                    answer.close()


class _ClientExchange(ApplicationExchange):
    """A request and its response, whose parts wait until the test reads them."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.messages: asyncio.Queue[Message | None] = asyncio.Queue()

    def sent(self, message: Message) -> None:
        self.messages.put_nowait(message)
        # However many there are: a test may leave before it has read them.
        self.go_on()

    def ended(self) -> None:
        self.messages.put_nowait(None)


class ASGIClient:
    """Calls an ASGI application on the loop of the caller, in a task of its own.

    Args:
        app: The application.
        path: Where MCP is in it.
        state: What its lifespan yielded; each request gets a copy.
        in_test: Whether the loop is that of a test, whose connections it shares.
    """

    def __init__(
        self,
        app: Any,
        path: str,
        state: Callable[[], Mapping[str, Any]] = dict,
        *,
        in_test: bool = True,
    ) -> None:
        self._app: Any = app if takes_asgi(app) else WSGIMiddleware(app)
        self._state = state
        self._path = path
        self._around = _of_test if in_test else nullcontext
        self._requests: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait until the application has done what it does after its responses."""
        if self._requests:
            await asyncio.wait(self._requests, timeout=_ENDING_SECONDS)

    @asynccontextmanager
    async def open(self, request: HTTPRequest) -> AsyncIterator[Opened]:
        """Send a request, and give its response as soon as it has begun."""
        exchange = _ClientExchange(request.body)
        exchange.go_on()
        # As a web server does, nobody cancels it.
        task = keep(asyncio.create_task(self._run(exchange, request)))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        try:
            start = await exchange.messages.get()
            if start is None:
                await task
                raise RuntimeError("The application sent no response")
            headers = _lowered(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in start["headers"]
            )
            yield Opened(start["status"], headers, _bodies(exchange.messages))
        finally:
            exchange.leave()

    async def _run(self, exchange: _ClientExchange, request: HTTPRequest) -> None:
        with self._around():
            await exchange.run(self._app, self._scope(request))

    def _scope(self, request: HTTPRequest) -> dict[str, Any]:
        headers = {"host": "localhost", "content-length": str(len(request.body)), **request.headers}
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": self._path,
            "raw_path": quote(self._path).encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
            "state": dict(self._state()),
        }


class BlockingASGIClient:
    """Calls an ASGI application on the background loop, and waits for it here."""

    def __init__(self, app: Any, path: str, state: Callable[[], Mapping[str, Any]] = dict) -> None:
        self._client = ASGIClient(app, path, state, in_test=False)

    @contextmanager
    def open(self, request: HTTPRequest) -> Generator[Opened]:
        """Send a request, and give its response as soon as it has begun."""
        heard: SimpleQueue[Opened | bytes | None] = SimpleQueue()

        async def run() -> None:
            try:
                async with self._client.open(request) as opened:
                    heard.put(opened)
                    async for chunk in opened.chunks:
                        heard.put(chunk)
            finally:
                heard.put(None)

        outcome, cancel = background.spawn(run())
        try:
            opened = heard.get()
            if not isinstance(opened, Opened):
                outcome.result()
                raise RuntimeError("The application sent no response")
            yield Opened(opened.status, opened.headers, iter(heard.get, None))
        finally:
            if not outcome.done():
                cancel()


@contextmanager
def _of_test() -> Generator[None]:
    """What a request is within that is made on the thread of a test."""
    with ExitStack() as stack:
        for around in around_test_requests:
            stack.enter_context(around())
        yield


async def _bodies(messages: asyncio.Queue[Any]) -> AsyncIterator[bytes]:
    while (message := await messages.get()) is not None:
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def _with_first(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}
