"""The WSGI driver: plain functions on the request's own thread, coroutines on one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import cache, partial
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from mcp_mount.calls.call import Call
from mcp_mount.calls.green import is_green
from mcp_mount.calls.results import Result
from mcp_mount.protocol.direct import DirectCall, Resumed, resumed
from mcp_mount.protocol.exchange import Exchange, Protocol
from mcp_mount.protocol.resumption import Resumption
from mcp_mount.transports.background import LoopEnded
from mcp_mount.transports.channels import silence
from mcp_mount.transports.direct_wsgi import WSGIDirectCalls
from mcp_mount.transports.driving import drive, drive_async, open_request, wait_for
from mcp_mount.transports.environs import (
    MOUNTED,
    Environ,
    IncompleteBody,
    endpoint_url,
    is_multithread,
    read_body,
    read_headers,
    server_of,
)
from mcp_mount.transports.os_threads import NoThread
from mcp_mount.transports.resuming import ClosingAfterRetry, DetachedResponse, Reader
from mcp_mount.transports.scopes import ENDPOINT, HOST_REQUEST
from mcp_mount.transports.steps import inline_events
from mcp_mount.transports.thread_streams import background_events, silent_events
from mcp_mount.transports.threads import PLAIN, Runner
from mcp_mount.wire import sse
from mcp_mount.wire.messages import JSON, Reply, Request

StartResponse: TypeAlias = Callable[..., Any]

_CONTENT_TYPE: Final = ("content-type", JSON)

_MAX_GREENLETS: Final = 100
"""How many requests may wait where each holds a greenlet: servers have a thousand or more."""


@dataclass(slots=True)
class EventStream:
    """A response that has begun: its events, the last one ends it. Close the iterator to leave."""

    events: Iterator[bytes]


class WSGITransport:
    """Serves the MCP endpoint of a server as a WSGI application; it looks at no path.

    Attributes:
        direct: Finds the requests that need nothing but their tool.
    """

    def __init__(self, protocol: Protocol, runner: Runner = PLAIN) -> None:
        self._protocol = protocol
        self._runner = runner
        self.direct = WSGIDirectCalls(protocol, runner)

    def __call__(
        self,
        environ: Environ,
        start_response: StartResponse,
        *,
        complete: Callable[[Request], None] = lambda request: None,
    ) -> Iterable[bytes]:
        """Serve a request.

        Args:
            environ: The WSGI environment, as `own_environ` gives it.
            start_response: WSGI's.
            complete: Adds to the request what the host knows of it.
        """
        answer = self.respond(environ, host_request=lambda: environ, complete=complete)
        if isinstance(answer, Reply):
            return send_reply(answer, start_response)
        start_response(status_line(200), list(sse.HEADERS))
        return answer.events

    def respond(
        self,
        environ: Environ,
        *,
        host_request: Callable[[], Any],
        complete: Callable[[Request], None] = lambda request: None,
    ) -> Reply | EventStream:
        """Answer a request, for a framework that writes the response itself.

        Args:
            environ: The WSGI environment.
            host_request: Returns the framework's request, for handlers that ask for it.
            complete: Adds to the request what the framework knows of it.
        """
        stands_alone = not environ.get(MOUNTED, True) and not environ.get("SCRIPT_NAME")
        asked = self.direct.find(environ, stands_alone=stands_alone)
        body = self.read_body(environ)
        if isinstance(body, Reply):
            return body

        def read() -> Request:
            request = Request(
                environ["REQUEST_METHOD"],
                read_headers(environ),
                body,
                host_request,
                caller=lambda: environ.get("REMOTE_USER") or None,
                url=partial(endpoint_url, environ),
                address=environ.get("REMOTE_ADDR"),
                server=server_of(environ),
                stands_alone=stands_alone,
                mount=environ.get(ENDPOINT) or environ.get("SCRIPT_NAME") or "",
            )
            complete(request)
            return request

        multithread = is_multithread(environ)
        call = None if asked is None else self.direct.read(asked, body)
        if call is not None:
            return self.answer_directly(call, read, multithread=multithread)
        known: Request | None = environ.get(HOST_REQUEST)
        if known is not None:
            whole = replace(known, headers=read_headers(environ), body=body)
            return self.respond_to(whole, multithread=multithread)
        return self.respond_to(read(), multithread=multithread)

    def read_body(self, environ: Environ) -> bytes | Reply:
        """The body of a request, or the refusal of one that is too large or did not come whole."""
        try:
            body = read_body(environ, self._protocol.settings.max_body_bytes)
        except IncompleteBody:
            return self._protocol.incomplete()
        return self._protocol.too_large() if body is None else body

    def answer_directly(
        self, call: DirectCall, read: Callable[[], Request], *, multithread: bool = True
    ) -> Reply:
        """Answer a direct call: at once, if its handler returns what fits.

        Args:
            call: The call, of a plain function.
            read: Returns the request, for the long way.
            multithread: As for `respond_to`.
        """
        body, rest = self.direct.run(call)
        if body is not None:
            return Reply(200, body, [_CONTENT_TYPE])
        return self.go_on(call, rest, read(), multithread=multithread)

    def go_on(
        self,
        call: DirectCall,
        rest: Result | Resumed | None,
        request: Request,
        *,
        multithread: bool = True,
    ) -> Reply:
        """Answer a direct call that needs the long way.

        Args:
            call: The call.
            rest: What its handler has done, as `WSGIDirectCalls.run` returns it.
            request: The request.
            multithread: As for `respond_to`.
        """
        request.max_blocking = self.waiting(multithread=multithread)
        opened = self._protocol.open_direct(call, request)
        if rest is not None:
            assert isinstance(opened, Exchange), "its arguments have been validated"
            opened.calls[0].resume(resumed(rest))
        answer = self.answer(opened)
        assert isinstance(answer, Reply), "a plain function without a context says nothing"
        return answer

    def respond_to(self, request: Request, *, multithread: bool = True) -> Reply | EventStream:
        """Answer a request that was read already.

        Args:
            request: The request.
            multithread: Whether other requests are served meanwhile (PEP 3333, wsgi.multithread).
        """
        request.max_blocking = self.waiting(multithread=multithread)
        return self.answer(open_request(self._protocol, request))

    def answer(self, opened: Reply | Exchange | Resumption) -> Reply | EventStream:
        """Answer a request that the protocol has opened."""
        if isinstance(opened, Reply):
            return opened
        if isinstance(opened, Resumption):
            return EventStream(Reader(opened, self._protocol.settings.keep_alive).events())
        events = self._run(opened)
        first = next(events, None)
        if first is None:
            return opened.reply()
        if opened.resumable:
            return EventStream(ClosingAfterRetry(DetachedResponse(first, events, opened)))
        return EventStream(_whole(first, events, opened))

    def waiting(self, *, multithread: bool) -> int:
        """How many requests may wait without end, for each holds a thread."""
        if not multithread:
            return 0
        threads = self._protocol.settings.waiting_threads
        return max(threads, _MAX_GREENLETS) if is_green() else threads

    def _run(self, exchange: Exchange) -> Iterator[bytes]:
        """Run the calls one after another; yield what they say."""
        for call in exchange.calls:
            if call.cancelled:
                continue
            try:
                yield from self._run_one(call, exchange)
            except CancelledError:
                pass
            except (LoopEnded, NoThread) as error:
                call.conclude(error)

    def _run_one(self, call: Call, exchange: Exchange) -> Iterator[bytes]:
        if call.wants_context and exchange.accepts_stream:
            if call.is_async:
                yield from background_events(call, self._runner, exchange)
            else:
                yield from inline_events(call, self._runner, exchange)
            return
        if call.wants_context:
            silence(call, self._runner)
        if call.is_async and exchange.accepts_stream:
            yield from silent_events(call, self._runner, exchange)
        elif call.is_async:
            wait_for(
                partial(drive_async, call, self._runner),
                begun=partial(setattr, call, "on_cancel"),
            )
        else:
            drive(call, self._runner)


def _whole(first: bytes, events: Iterator[bytes], exchange: Exchange) -> Iterator[bytes]:
    try:
        yield first
        yield from events
    finally:
        events.close()  # type: ignore[attr-defined]
    yield from exchange.closing_events()


@cache
def status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def send_reply(reply: Reply, start_response: StartResponse) -> list[bytes]:
    """Send a finished reply, with its length."""
    start_response(status_line(reply.status), with_length(reply))
    return [reply.body]


def with_length(reply: Reply) -> list[tuple[str, str]]:
    """The headers of a finished reply with its length; 204 has none (RFC 9110, section 8.6)."""
    if reply.status == 204:
        return reply.headers
    return [*reply.headers, ("content-length", str(len(reply.body)))]
