"""The one way in: an HTTP-shaped request becomes a finished reply, or calls to run for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import Any, Final, TypeAlias

from mcp_mount.calls.backplane import BackplaneUnavailable
from mcp_mount.calls.call import Call
from mcp_mount.calls.catalogue import Catalogue, FlowMethod, Method
from mcp_mount.calls.flows import Flow, Run
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.protocol import stateless
from mcp_mount.protocol.direct import DirectCall, DirectCalls
from mcp_mount.protocol.listener import Changes, Listener, Wait
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.refusals import RefusalLog
from mcp_mount.protocol.resumption import EventLog, Resumption
from mcp_mount.protocol.sessions import SESSION_HEADER, Sessions
from mcp_mount.protocol.settings import Settings
from mcp_mount.protocol.stateless import Stateless
from mcp_mount.protocol.task_methods import Job, TaskBackend, TaskRun
from mcp_mount.wire import sse
from mcp_mount.wire.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    Challenge,
    ProtocolError,
    access_denied,
    method_not_allowed,
)
from mcp_mount.wire.host_names import parse_authority
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import (
    EVENT_STREAM,
    JSON,
    MessageId,
    Reply,
    Request,
    RequestMessage,
    Rule,
    decode,
    encode_error,
    encode_result,
    parse,
    readable_id,
)
from mcp_mount.wire.revisions import REVISIONS
from mcp_mount.wire.rules import missing_scopes
from mcp_mount.wire.sealing import Keys

logger = own_logger("mcp_mount")

_MAX_IN_A_BATCH: Final = 100
_LOG_SECONDS: Final = 5.0
_MAX_READ_FOR_ID: Final = 64 * 1024


class Exchange:
    """A request that needs handlers to run: run each of `calls`, then ask for the `reply`.

    A driver that can stream may instead send, at any moment before, what the handlers say, and
    finish the event stream with `closing_events`.
    """

    __slots__ = (
        "_accepts_json",
        "_answered",
        "_answers",
        "_batch",
        "_logs",
        "_protocol",
        "accepts_stream",
        "calls",
    )

    def __init__(
        self,
        protocol: Protocol,
        calls: list[Call],
        answers: list[bytes],
        accept: tuple[bool, bool],
        *,
        batch: bool = False,
        answered: bool = True,
        logs: Callable[[], EventLog] | None = None,
    ) -> None:
        self._logs = logs
        self._answered = answered
        self.calls = calls
        self._accepts_json, self.accepts_stream = accept
        self._protocol = protocol
        self._answers = answers
        self._batch = batch

    @property
    def resumable(self) -> bool:
        """Whether a client that is cut off from the stream may come back to it."""
        return self._logs is not None

    @property
    def outlives_client(self) -> bool:
        """Whether the calls go on when their client has left, and its connection with it."""
        return self._answered and not self.calls[0].incoming.revision.leaving_cancels

    @property
    def keep_alive(self) -> float:
        """After how many seconds of silence a comment is sent."""
        return self._protocol.settings.keep_alive

    @property
    def begin_after(self) -> float:
        """After how many seconds the response begins, though the handlers have said nothing."""
        return self._protocol.settings.begin_after

    def open_log(self) -> EventLog:
        """The log of the stream, from which it can be resumed."""
        assert self._logs is not None
        return self._logs()

    def is_given_up(self, log: EventLog) -> bool:
        """Whether the client has been away for so long that nobody waits for the calls."""
        return log.unread_seconds() > self._protocol.settings.resume_ttl

    def reply(self) -> Reply:
        """The finished response, once every call has run."""
        status, answers = self._finish()
        if not answers:
            return Reply(202)
        if not self._accepts_json:
            return Reply(status, b"".join(map(sse.event, answers)), list(sse.HEADERS))
        body = b"[%b]" % b",".join(answers) if self._batch else answers[0]
        return Reply.of_json(status, body)

    def closing_events(self) -> list[bytes]:
        """The end of an event stream, once every call has run."""
        return list(map(sse.event, self._finish()[1]))

    def _finish(self) -> tuple[int, list[bytes]]:
        status = 200
        answers = self._answers
        if not self._answered:
            return status, answers
        for call in self.calls:
            if call.cancelled:
                # The client wants no answer (basic/utilities/cancellation).
                continue
            try:
                answers.append(self._protocol.encode(call.incoming, call.finish()))
            except ProtocolError as error:
                status = error.status(stateless=call.incoming.revision.stateless)
                answers.append(encode_error(call.incoming.id, error))
        return (200 if self._batch else status), answers


Opened: TypeAlias = Reply | Exchange | Resumption
"""A request that was opened: its reply, calls to run for it, or a stream to read."""


class Protocol:
    """The protocol core of one server: knows its settings, its catalogue and its keys."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        keys: Keys,
        peers: Peers,
        changes: Changes,
        wait: Wait,
        tasks: TaskBackend,
    ) -> None:
        self.settings = settings
        self._peers = peers
        self._refusals = RefusalLog()
        self._next_log = 0.0
        listener = Listener(changes, wait)
        self._stateless = Stateless(settings, catalogue, keys, listener, tasks, peers)
        self._sessions = Sessions(settings, catalogue, keys, peers, changes, listener)
        self.direct = DirectCalls(settings, catalogue, self._stateless, self._sessions, peers)

    def open(self, request: Request) -> Flow[Opened]:
        """Answer a request to the MCP endpoint, or say which handlers must run for it.

        With a backplane in this process, the flow takes no step.

        Args:
            request: The request.
        """
        if request.refused is not None:
            return request.refused
        try:
            if self._peers.shared:
                self._peers.serve()
            self.check_origin(request)
            self.check_caller(request)
            if self.settings.callers.function is not None:
                # Here, where it may take time: policies that need the key are driven on a loop.
                self.settings.callers.key_of(request)
            if request.method == "POST":
                return (yield from self._post(request))
            if SESSION_HEADER in request.headers:
                _check_version(request)
            if request.method == "DELETE" and not self._is_stateless(request):
                yield from self._sessions.end(request)
                return Reply(204)
            if request.method == "GET" and self._may_stream(request):
                stream = yield from self._sessions.stream(request)
                if isinstance(stream, Call):
                    return Exchange(self, [stream], [], (False, True), answered=False)
                if isinstance(stream, bytes):
                    return Reply(200, stream, list(sse.HEADERS))
                return self._poll(stream) if stream.log.polled else stream
            raise method_not_allowed(request.method)
        except ProtocolError as error:
            return self.refuse(error, request)
        except BackplaneUnavailable as error:
            return self.refuse(self._unavailable(error), request)

    def open_direct(self, call: DirectCall, request: Request) -> Reply | Exchange:
        """A direct call as `open` gives it, for a handler that takes time or has failed.

        Args:
            call: The call.
            request: The HTTP request that brought it.
        """
        incoming = self.direct.incoming(call, request)
        outcome = call.tool.call(incoming, call.arguments, call.validated)
        if isinstance(outcome, Call):
            logs = self._sessions.track(outcome)
            return Exchange(self, [outcome], [], (True, True), logs=logs)
        return Exchange(self, [], [self.encode(incoming, outcome)], (True, True)).reply()

    def admit(self, request: Request) -> Flow[Reply | None]:
        """Find out who sends a request, before it is opened; the refusal of one who may not. The
        first request starts what nothing else has started."""
        if request.refused is not None:
            return request.refused
        startup = self.settings.startup
        if startup is not None:
            try:
                startup.check()
                if startup.is_needed():
                    yield Run(startup.start, is_async=True)
            except ProtocolError as error:
                return self.refuse(error, request)
            self.settings.startup = None
        auth = self.settings.auth
        if auth is None or request.token is not None or request.is_trusted_local:
            # A local transport has no credentials: whoever starts the process is the user.
            return None
        try:
            self.check_origin(request)
            yield from auth.admit(request)
        except ProtocolError as error:
            return self.refuse(error, request)
        return None

    def run_of(self, job: Job, request: Request) -> TaskRun:
        """What the job of a task runs in this process, which did not take its request.

        Args:
            job: The job.
            request: Stands for the request: its caller is the job's.

        Raises:
            ProtocolError: If the server has no such tool, or the caller may not use it.
        """
        return self._stateless.run_of(job, request)

    def refuse(self, error: ProtocolError, request: Request) -> Reply:
        """The reply to a request that has no readable message, or must not send one."""
        if error.message_id is None:
            error.message_id = _id_in(request)
        return self._challenged(error_reply(error), error, request)

    def _challenged(self, reply: Reply, error: ProtocolError, request: Request) -> Reply:
        """A refusal with what the client needs to come back with better credentials."""
        if error.retry_after is not None:
            reply.headers.append(("retry-after", str(error.retry_after)))
        challenge = error.challenge
        if challenge is None and reply.status == 401:
            challenge = Challenge()
        if challenge is not None:
            header = self.settings.challenge(request, challenge)
            reply.headers.append(("www-authenticate", header))
            if "origin" in request.headers:
                # Clients in browsers read it, where the application lets their origin read at all.
                reply.headers.append(("access-control-expose-headers", "WWW-Authenticate"))
        return reply

    def check_caller(self, request: Request) -> None:
        """Refuse a caller who may not use this server.

        Args:
            request: The request.

        Raises:
            ProtocolError: 401 or 403.
        """
        error = check_rules(request, self.settings.rules)
        if error is not None:
            raise error

    def check_host(self, request: Request) -> None:
        """Refuse a Host header that this server does not serve.

        Args:
            request: The request.

        Raises:
            ProtocolError: 400 if it is not a Host header (RFC 9110, section 7.2), 421 if the host
                is not served.
        """
        if request.is_trusted_local:
            return
        host = request.headers.get("host", "")
        authority = parse_authority(host)
        if authority is None and host:
            raise ProtocolError(INVALID_REQUEST, "The Host header is not valid", status=400)
        if not self.settings.allows_host(authority, request):
            self._refusals.warn("Host", host, "allowed_hosts")
            raise ProtocolError(
                INVALID_REQUEST,
                f"Host {host!r} is not served: see allowed_hosts of the server",
                status=421,
            )

    def check_origin(self, request: Request) -> None:
        """Refuse browser pages that may not call this server: the defence against DNS rebinding.

        Args:
            request: The request.

        Raises:
            ProtocolError: 403, and as `check_host`.
        """
        if request.is_trusted_local:
            return
        first = self.settings.on_first_request
        if first is not None:
            self.settings.on_first_request = None
            first()
        origin = request.headers.get("origin")
        host = request.headers.get("host", "")
        # First: the specification demands 403 for an Origin, whatever else is wrong
        # (basic/transports/streamable-http, "Security Warning").
        if origin is not None and not self.settings.allows_origin(origin, host):
            self._refusals.warn("Origin", origin, "allowed_origins")
            raise ProtocolError(INVALID_REQUEST, f"Origin {origin!r} is not allowed", status=403)
        if origin is None and _is_of_another_site(request):
            raise ProtocolError(INVALID_REQUEST, "Pages of other sites may not call", status=403)
        self.check_host(request)

    def too_large(self, limit: int | None = None, setting: str | None = None) -> Reply:
        """The reply to a body over the limit, which nobody reads.

        Args:
            limit: The limit of the host, if it allows less than the server.
            setting: The name of the host's setting that has this limit.
        """
        limit = self.settings.max_body_bytes if limit is None else limit
        where = "" if setting is None else f" ({setting})"
        message = f"The body exceeds {limit} bytes{where}"
        return error_reply(ProtocolError(INVALID_REQUEST, message, status=413))

    def incomplete(self) -> Reply:
        """The reply to a body that did not come whole, or not in valid chunks."""
        return error_reply(ProtocolError(PARSE_ERROR, "The body is not complete", status=400))

    def encode(self, incoming: IncomingRequest, result: Result) -> bytes:
        if incoming.revision.stateless:
            return encode_result(incoming.id, *self._stateless.result_parts(incoming, result))
        return encode_result(incoming.id, *self._sessions.result_parts(result))

    def _post(self, request: Request) -> Flow[Reply | Exchange]:
        media_type = request.headers.get("content-type", "")
        if media_type != JSON and media_type.partition(";")[0].strip().lower() != JSON:
            raise ProtocolError(INVALID_REQUEST, f"The Content-Type must be {JSON}", status=415)
        accept = _accepts(request.headers.get("accept"))
        value = decode(request.body)
        if isinstance(value, list):
            return (yield from self._post_batch(value, request, accept))
        is_stateless = stateless.is_stateless_request(value, request.headers)
        admitted: tuple[IncomingRequest, Method | FlowMethod] | None
        try:
            if is_stateless:
                if SESSION_HEADER in request.headers and not stateless.is_stateless_request(
                    value, {}
                ):
                    _check_version(request)
                admitted = self._stateless.admit(value, request)
            else:
                message = parse(value, null_is_missing=True)
                if isinstance(message, RequestMessage) and message.method == "initialize":
                    return self._initialize(message, request, accept)
                session, state = yield from self._sessions.session(request)
                admitted = yield from self._sessions.admit(value, session, state, request)
            if admitted is None:
                return Reply(202)
            return (yield from self._dispatch(*admitted, accept))
        except ProtocolError as error:
            status = error.status(stateless=is_stateless)
            reply = Reply.of_json(status, encode_error(readable_id(value), error))
            return self._challenged(reply, error, request)

    def _post_batch(
        self, values: list[Any], request: Request, accept: tuple[bool, bool]
    ) -> Flow[Reply | Exchange]:
        """JSON-RPC batches, which revision 2025-03-26 alone has."""
        if SESSION_HEADER in request.headers:
            _check_version(request)
        if self._is_stateless(request):
            raise ProtocolError(INVALID_REQUEST, "This revision has no batches")
        session, state = yield from self._sessions.session(request)
        if not session.revision.batches:
            raise ProtocolError(INVALID_REQUEST, f"{session.revision.name} has no batches")
        if not 0 < len(values) <= _MAX_IN_A_BATCH:
            raise ProtocolError(
                INVALID_REQUEST, f"A batch must have 1 to {_MAX_IN_A_BATCH} messages"
            )
        calls: list[Call] = []
        answers: list[bytes] = []
        for value in values:
            try:
                admitted = yield from self._sessions.admit(value, session, state, request)
                if admitted is None:
                    continue
                incoming, method = admitted
                outcome = yield from self._answer(method, incoming)
                if isinstance(outcome, Call):
                    self._sessions.track(outcome)
                    calls.append(outcome)
                else:
                    answers.append(self.encode(incoming, outcome))
                if method is self._sessions.log_level_method:
                    # It holds for what comes after it in the same batch.
                    session, state = yield from self._sessions.session(request)
            except ProtocolError as error:
                answers.append(encode_error(readable_id(value), error))
        if not calls and not answers:
            return Reply(202)
        exchange = Exchange(self, calls, answers, accept, batch=True)
        return exchange if calls else exchange.reply()

    def _initialize(
        self, message: RequestMessage, request: Request, accept: tuple[bool, bool]
    ) -> Reply:
        started = perf_counter()
        token, result = self._sessions.initialize(message, request)
        if self.settings.observers:
            incoming = self._sessions.observed_request(message, request, token)
            for one in self.settings.observers:
                one.on_request(incoming, started, Result(result[1:-1]), None)
        answers = [encode_result(message.id, result)]
        reply = Exchange(self, [], answers, accept).reply()
        reply.headers.append((SESSION_HEADER, token))
        return reply

    def _dispatch(
        self, incoming: IncomingRequest, method: Method | FlowMethod, accept: tuple[bool, bool]
    ) -> Flow[Reply | Exchange]:
        outcome: Result | Call
        if method.streams:
            if not accept[1]:
                raise ProtocolError(
                    INVALID_REQUEST, f"The client must accept {EVENT_STREAM} for this", status=406
                )
            outcome = yield from self._answer(method, incoming)
        elif isinstance(method, FlowMethod) or self.settings.observers:
            outcome = yield from self._answer(method, incoming)
        else:
            # As `_answer` does: a generator for each call would cost 0.3 µs.
            outcome = method.answer(incoming)
        if isinstance(outcome, Call) and outcome.begins_task:
            outcome = yield from self._stateless.start(outcome)
        if isinstance(outcome, Call):
            if incoming.revision.stateless and outcome.wants_context:
                self._stateless.let_continue(outcome)
            logs = self._sessions.track(outcome)
            return Exchange(self, [outcome], [], accept, logs=logs)
        answers = [self.encode(incoming, outcome)]
        return Exchange(self, [], answers, accept).reply()

    def _answer(
        self, method: Method | FlowMethod, incoming: IncomingRequest
    ) -> Flow[Result | Call]:
        observers = self.settings.observers
        started = perf_counter() if observers else 0.0
        try:
            if method.streams and self._peers.shared:
                # It waits for changes, which may be those of other processes.
                yield from self._peers.join()
            if isinstance(method, FlowMethod):
                outcome = yield from method.answer(incoming)
            else:
                outcome = method.answer(incoming)
        except ProtocolError as error:
            for one in observers:
                one.on_request(incoming, started, None, error)
            raise
        except BackplaneUnavailable as error:
            refusal = self._unavailable(error)
            for one in observers:
                one.on_request(incoming, started, None, refusal)
            raise refusal from error
        if isinstance(outcome, Result):
            for one in observers:
                one.on_request(incoming, started, outcome, None)
        return outcome

    def _unavailable(self, error: BackplaneUnavailable) -> ProtocolError:
        """What a client gets where the backplane cannot be reached, which the log says as well, now
        and then: it holds for all requests."""
        now = monotonic()
        if now >= self._next_log:
            self._next_log = now + _LOG_SECONDS
            logger.warning("Requests are refused, since the backplane cannot be reached: %s", error)
        return ProtocolError(
            INTERNAL_ERROR, "The server cannot answer now: try again", status=503, retry_after=1
        )

    def _poll(self, resumption: Resumption) -> Reply:
        """All that is new, as an event stream that ends at once."""
        settings = self.settings
        events = resumption.log.poll(
            resumption.after,
            resumption.visitor,
            settings.poll_seconds,
            max(settings.poll_seconds, settings.max_poll_seconds),
        )
        return Reply(200, events, list(sse.HEADERS))

    def _may_stream(self, request: Request) -> bool:
        """Whether a GET asks for a session's stream."""
        return (
            EVENT_STREAM in request.headers.get("accept", "")
            and SESSION_HEADER in request.headers
            and not self._is_stateless(request)
        )

    @staticmethod
    def _is_stateless(request: Request) -> bool:
        return stateless.is_stateless_request(None, request.headers)


def check_rules(request: Request, rules: Sequence[Rule]) -> ProtocolError | None:
    """The error (401, 403) for a caller who does not fulfil all rules; None for one who does."""
    if not rules or request.permits(rules):
        return None
    known = request.caller() is not None
    return access_denied(known=known, scopes=missing_scopes(request, rules))


def _check_version(request: Request) -> None:
    """Refuse an unknown version in the header of a request in a session, which has no metadata that
    could say more.

    Raises:
        ProtocolError: -32022.
    """
    version = request.headers.get("mcp-protocol-version")
    if version is not None and version not in REVISIONS:
        raise stateless.unsupported_version(version)


def _id_in(request: Request) -> MessageId | None:
    """The id of the message in a request that is refused unread, if that can be had cheaply."""
    if request.method != "POST" or not request.body or len(request.body) > _MAX_READ_FOR_ID:
        return None
    try:
        return readable_id(decode(request.body))
    except ProtocolError as error:
        return error.message_id


def error_reply(error: ProtocolError) -> Reply:
    """The reply to a request that has no readable message."""
    reply = Reply.of_json(error.status(stateless=True), encode_error(error.message_id, error))
    if reply.status == 405:
        reply.headers.append(("allow", "POST, DELETE"))
    return reply


def _accepts(header: str | None) -> tuple[bool, bool]:
    """Whether the client accepts a JSON body, and whether an event stream.

    Clients MUST accept both (basic/transports/streamable-http, "Sending Messages to the Server");
    one that names a single kind gets that kind.

    Raises:
        ProtocolError: 406, if neither is acceptable.
    """
    if header is None:
        return True, True
    if JSON in header and EVENT_STREAM in header and ";" not in header:
        return True, True
    kinds = {
        kind.strip().lower()
        for kind, _, parameters in (part.partition(";") for part in header.split(","))
        if parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    }
    anything = "*/*" in kinds
    takes_json = anything or JSON in kinds or "application/*" in kinds
    takes_stream = EVENT_STREAM in kinds or "text/*" in kinds
    if not takes_json and not takes_stream:
        raise ProtocolError(
            INVALID_REQUEST, f"The client must accept {JSON} and {EVENT_STREAM}", status=406
        )
    return takes_json, takes_stream or anything


def _is_of_another_site(request: Request) -> bool:
    """Whether a page of another site has sent a request by itself, as a browser says.

    Browsers leave Origin out of requests whose answer the page will not see, such as those for
    images (Fetch, "append a request `Origin` header"), and say `Sec-Fetch-Site` with all to hosts
    they trust (Fetch Metadata, section 2.3). A link that somebody follows is a navigation.
    """
    headers = request.headers
    return headers.get("sec-fetch-site") == "cross-site" and not (
        request.method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
    )
