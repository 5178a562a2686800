"""The Django view of a server: one view for WSGI and ASGI."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final, TypeAlias

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from mcp_mount.base import MCPServer
from mcp_mount.calls.flows import Flow
from mcp_mount.protocol import ProtocolError, Reply
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.direct import DirectCall
from mcp_mount.protocol.exchange import Exchange
from mcp_mount.protocol.resumption import Resumption
from mcp_mount.routes.errors import refusal_at
from mcp_mount.transports.async_answers import AsyncAnswers
from mcp_mount.transports.driving import follow, follow_async
from mcp_mount.transports.environs import (
    IncompleteBody,
    drain,
    is_multithread,
    own_environ,
    read_body,
    read_headers,
    server_of,
    whole_body,
)
from mcp_mount.transports.lasting import ended
from mcp_mount.transports.scopes import RESUMED
from mcp_mount.transports.threads import Runner, off_loop
from mcp_mount.transports.wsgi import WSGITransport
from mcp_mount.wire.messages import JSON
from mcp_mount.wire.resource_metadata import AUTHORIZATION_SERVERS, WELL_KNOWN
from mcp_mount.wire.sse import HEADERS
from mcp_mount_django.authentication import Authentication
from mcp_mount_django.bridge import bridge_asgi, bridge_wsgi, expected
from mcp_mount_django.calls import (
    Calls,
    active_variant,
)
from mcp_mount_django.direct_calls import DirectRouteCall, DjangoDirectCalls, Outcome
from mcp_mount_django.hosts import AllowedHosts
from mcp_mount_django.paths import mount_of
from mcp_mount_django.rights import Rights
from mcp_mount_django.threads import (
    RequestThread,
    Streamed,
    is_on_event_loop,
    own_event_loop,
    request_thread,
    run_in_request_thread,
)

Opened: TypeAlias = Reply | Exchange | Resumption

BEGUN: Final = "mcp_mount_django.begun"
"""The key of a WSGI environment under which a direct call stands whose handler has run already,
with its outcome."""

_SIGNIN: Final = "mcp_mount_django.signin"
"""What serves a SignIn, which few projects have."""

_UNKNOWN: Final = object()


class ServerView:
    """A view that responds as a plain view under WSGI and as a coroutine under ASGI.

    Django asks whether a view is a coroutine function right before it calls it: on the event loop
    under ASGI, on a thread without one under WSGI. The answer depends on that, so that under WSGI
    tools run on the request's thread and under ASGI coroutine tools run on the server's loop.

    Args:
        server: The server.
        calls: Runs its calls.
        authentication: Authenticates its requests.

    Attributes:
        server: The server.
        authentication: Authenticates its requests.
        direct: Finds and runs its direct calls.
        hosts: The hosts that Django lets in.
    """

    # The endpoint accepts only JSON, and checks origins itself, so no form can reach it. A session
    # cookie is accepted only with its CSRF token (see Authentication.admit).
    csrf_exempt = True
    # LoginRequiredMiddleware would redirect clients to a login page; they get 401 instead.
    login_required = False

    def __init__(self, server: MCPServer, calls: Calls, authentication: Authentication) -> None:
        self.server = server
        self.authentication = authentication
        self._runner = Runner(calls.run, run_in_request_thread, calls.run_async)
        self.direct = DjangoDirectCalls(server)
        self.hosts = AllowedHosts()
        self._wsgi = WSGITransport(server.core.protocol, self._runner)
        self._answers = AsyncAnswers(server.core.protocol, self._runner)
        # Django reads these attributes of every view when it reverses a URL.
        self.__name__ = self.__qualname__ = "mcp"
        self.__doc__ = f"The MCP server {server.title!r}"

    # Python looks for these to see whether the view is a coroutine function: here they are found
    # without __getattr__, which costs 0.5 µs each. Not __code__: tracers read more of that.
    __defaults__ = __kwdefaults__ = None

    @property
    def _non_atomic_requests(self) -> set[str]:
        # Each tool call has its own transactions (see calls.Calls).
        return set(connections.settings)

    def __getattr__(self, name: str) -> Any:
        if name in _COROUTINE_MARKS and is_on_event_loop():
            return _COROUTINE_MARKS[name]
        raise AttributeError(name)

    def __call__(
        self, request: HttpRequest, rest: str | None = None
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Respond to a request.

        Args:
            request: Django's request.
            rest: The part of its path below the server, without the leading slash.
        """
        # Raises DisallowedHost, which Django answers, if the host is not in ALLOWED_HOSTS.
        visit = _Visit(request, rest, self.hosts.host_of(request))
        if rest and f"/{rest}".rstrip("/") == WELL_KNOWN:
            # Clients that are to log in read here how, so it needs no login.
            slash = "/" if rest.endswith("/") else ""
            document = metadata_response(self.server, request, mount_of(request, rest) + slash)
            return _awaited(document) if is_on_event_loop() else document
        if rest and self._is_for_sign_in(f"/{rest}"):
            below = import_module(_SIGNIN).answer_below
            respond = partial(below, self.server, request, mount_of(request, rest), rest)
            return sync_to_async(respond)() if is_on_event_loop() else respond()
        if is_on_event_loop():
            return self._respond_async(visit)
        return self._respond(visit)

    def _is_for_sign_in(self, path: str) -> bool:
        """Whether a path below the server is one of its authorization server."""
        sign_in = self.server.core.sign_in
        if sign_in is None:
            return False
        return f"{path}/".startswith(f"{sign_in.path}/") or path.startswith(AUTHORIZATION_SERVERS)

    def _respond(self, visit: _Visit) -> HttpResponseBase:
        request = visit.request
        request.META = request.environ = own_environ(request.META)  # type: ignore[attr-defined]
        with own_event_loop():
            if (refusal := self._read_body(visit)) is not None:
                return _refused(visit, refusal)
            self._find_direct(visit)
            if visit.call is not None and visit.outcome is None and not visit.call.tool.is_async:
                visit.outcome = self.direct.run(visit.call)
                if visit.outcome.reply is not None:
                    return HttpResponse(visit.outcome.reply, content_type=JSON)
            if visit.rest and (route := self._find_route(visit)) is not None:
                done = route.run()
                if isinstance(done, bytes):
                    return HttpResponse(done, content_type=JSON)
                # For the bridge.
                request.META[RESUMED] = done
            read = self._read(visit)
            if read.refused is None:
                read.refused = follow(self._let_in(read, request))
            # Middleware sees refused requests, as on other hosts: CORS middleware answers
            # preflights, which have no credentials (Fetch, "CORS protocol and credentials"), and
            # lets pages read why they are refused.
            if read.refused is not None and not self.server.user_middleware:
                return _refused(visit, read.refused)
            if self._is_bridged(visit):
                return bridge_wsgi(self.server, self._runner, request, visit.rest, read)
            read.max_blocking = self._wsgi.waiting(multithread=is_multithread(request.META))
            if visit.call is not None:
                opened: Opened = self.direct.open(visit.call, read, visit.outcome)
            else:
                opened = follow(self.server.core.protocol.open(read))
            answer = self._wsgi.answer(opened)
            return finished(answer) if isinstance(answer, Reply) else _streaming(answer.events)

    async def _respond_async(self, visit: _Visit) -> HttpResponseBase:
        may_block = self.server.core.is_guarded or self.authentication.may_block(visit.request)
        if not may_block:
            if (refusal := self._read_body(visit)) is not None:
                return _refused(visit, refusal)
            self._find_direct(visit)
            if visit.call is not None and not visit.call.tool.is_async:
                visit.outcome = await self.direct.run_on_thread(visit.call)
                if visit.outcome.reply is not None:
                    return HttpResponse(visit.outcome.reply, content_type=JSON)
            route = self._find_route(visit) if visit.rest else None
            if route is not None and not route.asked.is_async:
                done = await route.run_on_thread()
                if isinstance(done, bytes):
                    return HttpResponse(done, content_type=JSON)
                visit.request.scope[RESUMED] = done  # type: ignore[attr-defined]
        with request_thread() as thread:
            try:
                response = await self._respond_within(thread, visit, may_block=may_block)
            except BaseException:
                # The client has disconnected: its calls keep the thread until they have ended.
                await ended(thread.activity)
                raise
        if not response.streaming:
            # A call that has timed out may still run. Django closes the response on the thread.
            response._resource_closers.append(thread.end)  # type: ignore[attr-defined]
        return response

    async def _respond_within(
        self, thread: RequestThread, visit: _Visit, *, may_block: bool
    ) -> HttpResponseBase:
        request = visit.request
        if may_block:
            read = await off_loop(self._runner, partial(self._read_all, visit))
        else:
            read = self._read(visit)
        if isinstance(read, Reply):
            return _refused(visit, read)
        if read.refused is None:
            read.refused = await follow_async(self._let_in(read, request), self._runner)
        # See `_respond`.
        if read.refused is not None and not self.server.user_middleware:
            return _refused(visit, read.refused)
        read.may_block = may_block or self.server.core.protocol.settings.may_block
        if self._is_bridged(visit):
            return await bridge_asgi(self.server, self._runner, thread, request, visit.rest, read)
        opened: Opened
        opening = self.server.core.protocol.open(read)
        if visit.call is not None:
            opened = self.direct.open(visit.call, read, visit.outcome)
        elif read.may_block:
            opened = await off_loop(self._runner, partial(follow, opening))
        else:
            opened = await follow_async(opening, self._runner)
        is_late = visit.outcome is not None and visit.outcome.is_late
        answer = await self._answers.answer(opened, is_late=is_late)
        if isinstance(answer, Reply):
            return finished(answer)
        return _streaming(Streamed(answer.events, answer.end, thread))

    def _let_in(self, read: ProtocolRequest, request: HttpRequest) -> Flow[Reply | None]:
        return self.authentication.let_in(self.server.core.protocol, read, request)

    def _is_bridged(self, visit: _Visit) -> bool:
        """Whether the whole ASGI application must see the request, and not only MCP."""
        request, rest = visit.request, visit.rest
        if self.server.user_middleware:
            return True
        if not rest and request.method == "POST":
            # As `is_endpoint` has it.
            return False
        accept = request.META.get("HTTP_ACCEPT", "")
        return not self.server.core.is_endpoint(
            {
                "path": f"/{rest}" if rest else "",
                "method": request.method,
                "headers": [(b"accept", accept.encode("latin-1"))],
                "mcp_mount.mounted": True,
            }
        )

    def _find_direct(self, visit: _Visit) -> None:
        """Note the direct call of a request, if it is one and its caller is let in."""
        if (begun := visit.request.META.get(BEGUN)) is not None:
            visit.call, visit.outcome = begun
            return
        asked = None if visit.rest else self.direct.find(visit.request.META, visit.host)
        call = None if asked is None else self.direct.read(asked, visit.body)
        if call is not None:
            visit.caller = self._admit(visit.request)
            if not isinstance(visit.caller, ProtocolError):
                visit.call = call

    def _find_route(self, visit: _Visit) -> DirectRouteCall | None:
        """What a request to an HTTP route asks, if it needs nothing but the handler of that and its
        caller is let in."""
        assert visit.rest is not None
        route = self.direct.find_route(visit.request.META, visit.host, visit.rest, visit.body)
        if route is not None:
            visit.caller = self._admit(visit.request)
        return None if isinstance(visit.caller, ProtocolError) else route

    def _read_body(self, visit: _Visit) -> Reply | None:
        """Read the body of a request, or return the refusal of it."""
        request, protocol = visit.request, self.server.core.protocol
        limit = protocol.settings.max_body_bytes
        length = request.META.get("CONTENT_LENGTH") or ""
        if visit.rest and not (length.isdecimal() and int(length) <= limit):
            # The route says the limit, once it knows what the request is for.
            limit = self.server.registry.largest_body(limit)
        try:
            if request.META.get("wsgi.input_terminated") and not request.META.get("CONTENT_LENGTH"):
                # A chunked body, which Django does not read under WSGI.
                body = read_body(request.META, limit)
            else:
                with whole_body(RequestDataTooBig):
                    body = request.body
        except RequestDataTooBig:
            # Django has not read any of it.
            drain(request.read)
            name = "DATA_UPLOAD_MAX_MEMORY_SIZE"
            return protocol.too_large(getattr(settings, name), name)
        except IncompleteBody:
            return protocol.incomplete()
        if body is None or len(body) > limit:
            return protocol.too_large()
        visit.body = body
        return None

    def _read_all(self, visit: _Visit) -> ProtocolRequest | Reply:
        """Read a request and its body, which may block."""
        return self._read_body(visit) or self._read(visit)

    def _read(self, visit: _Visit) -> ProtocolRequest:
        """Read a request whose body has been read, and authenticate its caller, if the host does
        that."""
        request, protocol = visit.request, self.server.core.protocol
        headers = read_headers(request.META)
        # Behind a proxy, the host is the one that the project's settings determine.
        headers["host"] = visit.host
        prefix = mount_of(request, visit.rest)
        rights = Rights(request)
        read = ProtocolRequest(
            request.method or "",
            headers,
            visit.body,
            lambda: request,
            has_permission=rights.has_permission,
            has_scope=rights.has_scope,
            has_role=rights.has_role,
            # Clients compare it with what they were given.
            url=lambda: request.build_absolute_uri(f"{prefix}/" if visit.rest == "" else prefix),
            address=request.META.get("REMOTE_ADDR"),
            server=server_of(request.META),
            mount=prefix,
            variant=active_variant(),
        )
        auth = protocol.settings.auth
        if auth is not None and auth.decides(read):
            return read
        caller = self._admit(request) if visit.caller is _UNKNOWN else visit.caller
        if isinstance(caller, ProtocolError):
            read.refused = protocol.refuse(caller, read)
        else:
            read.caller = lambda: caller
        return read

    def _admit(self, request: HttpRequest) -> str | ProtocolError | None:
        """The caller of a request, or why they are refused."""
        try:
            return self.authentication.admit(request)
        except ProtocolError as error:
            return error


@dataclass(slots=True)
class _Visit:
    """A request to the view, and what is known of it so far.

    Attributes:
        request: Django's request.
        rest: The part of its path below the server, without the leading slash.
        host: The host that it names.
        body: Its body, once that has been read.
        caller: Who sends it, or why they are refused; `_UNKNOWN` as long as nobody has asked.
        call: The direct call that it is, if it is one.
        outcome: What the handler of that call has done, if it has run.
    """

    request: HttpRequest
    rest: str | None
    host: str
    body: bytes = b""
    caller: Any = _UNKNOWN
    call: DirectCall | None = None
    outcome: Outcome | None = None


def metadata_response(server: MCPServer, request: HttpRequest, path: str) -> HttpResponseBase:
    """Return the metadata of a server as a protected resource (RFC 9728).

    Args:
        server: The server.
        request: Django's request for the metadata.
        path: The path of the server.
    """
    url = request.build_absolute_uri(path)
    return finished(server.core.metadata_reply(request.method or "", url))


async def _awaited(response: HttpResponseBase) -> HttpResponseBase:
    return response


def _refused(visit: _Visit, reply: Reply) -> HttpResponse:
    return finished(refusal_at(visit.rest or "", reply))


def finished(reply: Reply) -> HttpResponse:
    """Return a finished reply as Django's response.

    Args:
        reply: The reply.
    """
    if len(reply.headers) == 1 and reply.headers[0][0] == "content-type":
        # Its own argument costs half of what headers= does.
        kind = reply.headers[0][1]
        return expected(HttpResponse(reply.body, status=reply.status, content_type=kind))
    response = HttpResponse(reply.body, status=reply.status)
    del response["content-type"]
    for name, value in reply.headers:
        response[name] = value
    return expected(response)


def _streaming(events: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(events, headers=dict(HEADERS))


def _coroutine_marks() -> dict[str, Any]:
    """Return the attributes by which Python recognises a coroutine function that is not `async
    def`.
    """

    class Probe:
        def __call__(self) -> None: ...

    probe = Probe()
    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(probe)
        return dict(vars(probe))
    return {"_is_coroutine": asyncio.coroutines._is_coroutine}  # type: ignore[attr-defined]


_COROUTINE_MARKS = _coroutine_marks()
