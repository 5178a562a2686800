"""The Django view of a server: one view for WSGI and for ASGI."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from mcp_mount.base import MCPServer
from mcp_mount.protocol import Reply
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.sse import HEADERS
from mcp_mount.transports.asgi import ASGITransport
from mcp_mount.transports.streams import Runner
from mcp_mount.transports.wsgi import WSGITransport, is_multithread, read_body, read_headers
from mcp_mount_django.bridge import bridge_asgi, bridge_wsgi
from mcp_mount_django.calls import (
    atomic_aliases,
    run_call,
    run_in_request_thread,
    run_outside_request,
)
from mcp_mount_django.users import caller_of, has_credentials


class ServerView:
    """Answers as a plain view where Django runs under WSGI, as a coroutine under ASGI.

    Django asks whether a view is a coroutine function just before it calls it: on the event loop
    under ASGI, on a thread without one under WSGI. So the answer can be right for both: under WSGI
    tools run on the request's thread, under ASGI coroutine tools run on the server's loop.
    """

    # The endpoint takes JSON from origins that it checks itself: no form can reach it.
    csrf_exempt = True

    def __init__(self, server: MCPServer) -> None:
        self._server = server
        self._wsgi = WSGITransport(server.protocol, Runner(run_call))
        self._asgi = ASGITransport(
            server.protocol,
            Runner(run_call, run_in_request_thread),
            # Middleware needs the request's thread before a stream can begin: a function that
            # waits there for its client's answer would wait for ever.
            Runner(run_outside_request),
        )
        # Django asks these of every view when it reverses a URL.
        self.__name__ = self.__qualname__ = "mcp"
        self.__doc__ = f"The MCP server {server.title!r}"

    @property
    def _non_atomic_requests(self) -> set[str]:
        # Each tool call has its own transactions (see calls.run_call).
        return set(atomic_aliases())

    def __getattr__(self, name: str) -> Any:
        if name in _COROUTINE_MARKS and _on_event_loop():
            return _COROUTINE_MARKS[name]
        raise AttributeError(name)

    def __call__(
        self, request: HttpRequest, rest: str | None = None
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        # Raises DisallowedHost, which Django answers: Host is checked by ALLOWED_HOSTS.
        request.get_host()
        if _on_event_loop():
            return self._respond_async(request, rest)
        return self._respond(request, rest)

    def _respond(self, request: HttpRequest, rest: str | None) -> HttpResponseBase:
        if self._is_bridged(request, rest):
            return bridge_wsgi(self._server, request, rest)
        read = self._read(request)
        if isinstance(read, Reply):
            return _finished(read)
        answer = self._wsgi.respond_to(read, multithread=is_multithread(request.META))
        if isinstance(answer, Reply):
            return _finished(answer)
        return _streaming(answer.events)

    async def _respond_async(self, request: HttpRequest, rest: str | None) -> HttpResponseBase:
        if self._is_bridged(request, rest):
            return await bridge_asgi(self._server, request, rest)
        read = self._read(request)
        if isinstance(read, Reply):
            return _finished(read)
        if has_credentials(request):
            # Who it is may be a question to the database.
            await sync_to_async(caller_of, thread_sensitive=True)(request)
        answer = await self._asgi.respond_to(read)
        if isinstance(answer, Reply):
            return _finished(answer)
        return _streaming(answer.events)

    def _is_bridged(self, request: HttpRequest, rest: str | None) -> bool:
        """Whether the whole ASGI application must see the request, and not MCP alone."""
        return bool(self._server.user_middleware) or not self._server.is_endpoint(
            {
                "path": f"/{rest}" if rest else "",
                "method": request.method,
                "headers": [(b"accept", request.headers.get("Accept", "").encode("latin-1"))],
                "mcp_mount.mounted": True,
            }
        )

    def _read(self, request: HttpRequest) -> ProtocolRequest | Reply:
        protocol = self._server.protocol
        limit = protocol.settings.max_body_bytes
        try:
            if request.META.get("wsgi.input_terminated") and not request.META.get("CONTENT_LENGTH"):
                # A chunked body: Django reads none under WSGI.
                body = read_body(request.META, limit)
            else:
                body = request.body
        except RequestDataTooBig:
            return protocol.too_large()
        if body is None or len(body) > limit:
            return protocol.too_large()
        headers = read_headers(request.META)
        return ProtocolRequest(
            request.method or "", headers, body, lambda: request, caller=partial(caller_of, request)
        )


def _finished(reply: Reply) -> HttpResponse:
    response = HttpResponse(reply.body, status=reply.status)
    del response["content-type"]
    for name, value in reply.headers:
        response[name] = value
    return response


def _streaming(events: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(events, headers=dict(HEADERS))


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _coroutine_marks() -> dict[str, Any]:
    """The attributes by which Python tells a coroutine function that is no `async def`."""

    class Probe:
        def __call__(self) -> None: ...

    probe = Probe()
    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(probe)
        return dict(vars(probe))
    return {"_is_coroutine": asyncio.coroutines._is_coroutine}  # type: ignore[attr-defined]


_COROUTINE_MARKS = _coroutine_marks()
