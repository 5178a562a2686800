"""The session revisions, 2025-03-26 to 2025-11-25: `initialize`, then requests in a session.

A session id is a sealed token that carries what `initialize` agreed on: there is no session table,
and every worker that has the key serves every session.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

from mcp_mount.calls.answers import WaitingAnswers
from mcp_mount.calls.backplane import (
    UNTOUCHED,
    BackplaneUnavailable,
    Message,
    SessionState,
)
from mcp_mount.calls.call import Call
from mcp_mount.calls.catalogue import Catalogue, FlowMethod, Method
from mcp_mount.calls.flows import Do, Flow, done, step
from mcp_mount.calls.incoming import LOG_LEVELS, ClientInfo, IncomingRequest
from mcp_mount.calls.questions import StreamDialogue
from mcp_mount.calls.results import Result
from mcp_mount.protocol.changes import Change, OpenStreams, SessionStream, check_uris
from mcp_mount.protocol.kept_logs import KeptLogs
from mcp_mount.protocol.listener import Changes, Listener
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.polled import PolledChanges
from mcp_mount.protocol.resumption import EventLog, Resumption, is_polled, parse_event_id
from mcp_mount.protocol.settings import Settings
from mcp_mount.protocol.shared_logs import SharedLogs
from mcp_mount.wire import sse
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    RESOURCE_NOT_FOUND,
    ProtocolError,
    method_not_allowed,
)
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import (
    MessageId,
    NotificationMessage,
    Request,
    RequestMessage,
    ResponseMessage,
    is_id,
    parse,
)
from mcp_mount.wire.revisions import LATEST_SESSION_REVISION, SESSION_REVISIONS, Revision
from mcp_mount.wire.sealing import CLOCKS_APART, Keys, TokenRefused, TokenSealer
from mcp_mount.wire.uris import normal_uri

logger = own_logger("mcp_mount")

SESSION_HEADER: Final = "mcp-session-id"
_KEPT_CAPABILITIES: Final = ("roots", "sampling", "elicitation", "tasks", "extensions")
_CACHED_SESSIONS: Final = 1024

_MAX_TOLD_ID: Final = 256
"""The longest id of a call, in characters, that other processes are told of."""

_LOOKED_UP_TOGETHER: Final = 100
"""How many sessions are looked up in one step where messages may have been lost."""

# Not declared as a capability, but several clients list all the same when they connect, and show
# their user an error.
_EMPTY_LISTS: Final = {
    f"{prefix}/list": Method(lambda incoming, member=member: Result(b'"%b":[]' % member))  # type: ignore[misc]
    for prefix, member in (
        ("resources", b"resources"),
        ("resources/templates", b"resourceTemplates"),
        ("prompts", b"prompts"),
    )
}


@dataclass(frozen=True, slots=True)
class Session:
    """An open session: what its token says.

    Attributes:
        caller: The key of the caller who opened it.
        expires: When its token expires, in seconds since the epoch.
    """

    id: str
    revision: Revision
    client: ClientInfo
    caller: str | None
    expires: float


class Sessions:
    """Opens sessions, admits the requests within them and wraps their results."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        keys: Keys,
        peers: Peers,
        changes: Changes,
        listener: Listener,
    ) -> None:
        self._listener = listener
        self._settings = settings
        self._catalogue = catalogue
        self._peers = peers
        self._changes = changes
        self._answers = WaitingAnswers(lambda: peers.node)
        self._kept = KeptLogs()
        self._shared_logs = SharedLogs(peers, self._kept, catalogue, settings)
        self._seal = TokenSealer("session", keys, server=lambda: settings.name, ahead=CLOCKS_APART)
        self._opened: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self._last_known: OrderedDict[str, SessionState] = OrderedDict()
        self._calls: WeakValueDictionary[tuple[str, MessageId], Call] = WeakValueDictionary()
        self._streams = OpenStreams()
        self._polled = PolledChanges(peers, settings)
        self._unloaded: set[str] = set()
        self._logs: WeakValueDictionary[tuple[str, MessageId], EventLog] = WeakValueDictionary()
        self.log_level_method = FlowMethod(self._set_log_level)
        self._own_methods: dict[str, Method | FlowMethod] = {
            "ping": Method(lambda incoming: Result(b"")),
            "logging/setLevel": self.log_level_method,
            "resources/subscribe": FlowMethod(partial(self._subscribe, on=True)),
            "resources/unsubscribe": FlowMethod(partial(self._subscribe, on=False)),
        }
        peers.on("answer", self._hear_answer)
        peers.on("cancelled", lambda message: self._cancel_here(message["session"], message["id"]))
        peers.on(
            "subscribed",
            lambda message: self._streams.subscribe(
                message["session"], message["uri"], on=message["on"]
            ),
        )
        peers.on("ended", lambda message: self._end_here(message["session"]))
        peers.on("resync", lambda message: self._resync(self._streams.sessions()))
        peers.on("beat", lambda message: self._load_late())

    def initialize(self, message: RequestMessage, request: Request) -> tuple[str, bytes]:
        """Answer `initialize` (2025-11-25, basic/lifecycle).

        Args:
            message: The message.
            request: The HTTP request that brought it.

        Returns:
            The id of the new session, and the encoded result.

        Raises:
            ProtocolError: Invalid params, if a member is missing that the specification requires.
        """
        params = message.params
        wanted = params.get("protocolVersion")
        capabilities, info = params.get("capabilities"), params.get("clientInfo")
        if not isinstance(wanted, str):
            raise ProtocolError(INVALID_PARAMS, 'params must have a string "protocolVersion"')
        if not isinstance(capabilities, dict):
            raise ProtocolError(INVALID_PARAMS, 'params must have an object "capabilities"')
        if not isinstance(info, dict) or not isinstance(info.get("name"), str):
            raise ProtocolError(INVALID_PARAMS, 'params must have a "clientInfo" with a "name"')
        revision = SESSION_REVISIONS.get(wanted, LATEST_SESSION_REVISION)
        kept = {key: capabilities[key] for key in _KEPT_CAPABILITIES if key in capabilities}
        client = {key: str(info.get(key, ""))[:64] for key in ("name", "version")}
        whose = self._settings.callers.key_of(request)
        claims = [secrets.token_urlsafe(12), revision.name, kept, client, whose]
        try:
            token = self._seal.seal(claims, mount=request.mount)
        except ValueError:
            raise ProtocolError(INVALID_PARAMS, "The client capabilities are too large") from None
        result: dict[str, Any] = {
            "protocolVersion": revision.name,
            "capabilities": {"logging": {}, **self._catalogue.capabilities()},
            "serverInfo": self._settings.server_info(revision.info_fields),
        }
        if self._settings.instructions is not None:
            result["instructions"] = self._settings.instructions
        return token, encode(result)

    def observed_request(
        self, message: RequestMessage, request: Request, token: str
    ) -> IncomingRequest:
        """What observers get of the handshake, in the session that it has opened.

        Args:
            message: The message.
            request: The HTTP request that brought it.
            token: The id of the session.
        """
        session = self._open(token, request.mount)
        return IncomingRequest(
            message.id,
            message.method,
            {},
            {},
            session.revision,
            session.client,
            request,
            session.id,
        )

    def session(self, request: Request) -> Flow[tuple[Session, SessionState]]:
        """The session that a request names, and what is known of it besides its token.

        Args:
            request: The request.

        Raises:
            ProtocolError: 400 without a session id, 404 for one that is not open (any more), or not
                this caller's.
        """
        token = request.headers.get(SESSION_HEADER)
        if token is None:
            raise ProtocolError(
                INVALID_REQUEST,
                "The Mcp-Session-Id header is missing: send initialize first, or use revision "
                "2026-07-28",
                status=400,
            )
        session = self._opened.get((request.mount, token))
        if session is None:
            session = self._open(token, request.mount)
        if self._peers.shared:
            state = yield from self._shared_state(session.id)
        else:
            asked = self._peers.states.session(session.id)
            state = (yield asked) if isinstance(asked, Do) else asked
        if session.expires < time.time() or state.ended:
            self._opened.pop((request.mount, token), None)
            raise _no_session()
        # A session that nobody known has opened may be used by a caller who logs in later.
        if session.caller is not None and session.caller != self._settings.callers.key_of(request):
            raise _no_session()
        return session, state

    def _shared_state(self, session: str) -> Flow[SessionState]:
        """What all processes know of a session; where they cannot be asked, what was last known
        here: its token says who it is, and its client is served."""
        try:
            # What it asks its client may be answered in another process, which may end it, too.
            yield from self._peers.join()
            state = yield from done(self._peers.states.session(session))
        except BackplaneUnavailable:
            return self._last_known.get(session, UNTOUCHED)
        if state.log_level not in (None, *LOG_LEVELS):
            state = replace(state, log_level=None)
        if state is UNTOUCHED and session not in self._last_known:
            return state
        # Not `move_to_end`: another thread may have dropped it meanwhile.
        self._last_known.pop(session, None)
        self._last_known[session] = state
        if len(self._last_known) > _CACHED_SESSIONS:
            self._last_known.popitem(last=False)
        return state

    def admit(
        self, value: Any, session: Session, state: SessionState, request: Request
    ) -> Flow[tuple[IncomingRequest, Method | FlowMethod] | None]:
        """A request with its method, or None for a message that gets no answer.

        Args:
            value: The message, decoded.
            session: Its session.
            state: What is known of the session.
            request: The HTTP request that brought it.

        Raises:
            ProtocolError: For what the revision does not allow.
        """
        message = parse(value, null_is_missing=True)
        if isinstance(message, NotificationMessage):
            if message.method == "notifications/cancelled":
                yield from self._cancel(session, message.params.get("requestId"))
            return None
        if isinstance(message, ResponseMessage):
            yield from self._deliver(session, message)
            return None
        name = message.method
        if name == "initialize":
            raise ProtocolError(INVALID_REQUEST, "initialize must be the only message of its body")
        method = (
            self._own_methods.get(name)
            or self._catalogue.methods.get(name)
            or _EMPTY_LISTS.get(name)
        )
        if method is None:
            raise ProtocolError(METHOD_NOT_FOUND, f"Method not found: {name}")
        if method.name_member is not None:
            member = message.params.get(method.name_member)
            if not isinstance(member, str):
                raise ProtocolError(INVALID_PARAMS, f'params must have "{method.name_member}"')
        meta = message.params.get("_meta", {})
        if not isinstance(meta, dict):
            raise ProtocolError(INVALID_PARAMS, '"_meta" must be an object')
        incoming = self.incoming(
            message.id, name, message.params, meta, session, state.log_level, request
        )
        return incoming, method

    def known(self, token: str, mount: str) -> Session | None:
        """The session of a token that has come before, if anybody may use it and it is open; None
        also where that is not known at once.

        Args:
            token: Its id.
            mount: The path of the MCP endpoint, as the client wrote it.
        """
        session = None if self._peers.shared else self._opened.get((mount, token))
        if session is None or session.caller is not None or session.expires < time.time():
            return None
        state = self._peers.states.session(session.id)
        return None if isinstance(state, Do) or state.ended else session

    def incoming(
        self,
        message_id: MessageId,
        method: str,
        params: dict[str, Any],
        meta: Mapping[str, Any],
        session: Session,
        log_level: str | None,
        request: Request,
    ) -> IncomingRequest:
        """A request whose message has been checked.

        Args:
            message_id: The id of the message.
            method: Its method.
            params: Its parameters.
            meta: Its metadata.
            session: Its session.
            log_level: The lowest level of log messages that the client asked for.
            request: The HTTP request that brought it.
        """
        return IncomingRequest(
            message_id,
            method,
            params,
            meta,
            session.revision,
            session.client,
            request,
            session.id,
            log_level or "info",
            StreamDialogue(
                self._answers,
                session.id,
                session.revision,
                session.client.capabilities,
                self._settings.question_timeout,
                places=self._listener,
                max_waiting=request.max_blocking,
            ),
            handlers=self._catalogue,
            hooks=self._settings.hooks,
        )

    def stream(self, request: Request) -> Flow[Call | Resumption | bytes]:
        """A GET: the stream of its session (2025-11-25, "Listening for Messages"), or one that its
        client comes back to.

        Where a stream would hold a thread, the session's is polled, if the revision has that: what
        is new comes as events that end at once.

        Args:
            request: The request.

        Raises:
            ProtocolError: 400 for events of a call that are not kept (any more), 405 for no stream.
        """
        session, _ = yield from self.session(request)
        if "last-event-id" in request.headers:
            resumed = yield from self._resume(session, request)
            if resumed is not None:
                return resumed
        if request.max_blocking is not None:
            if not session.revision.primed_streams:
                raise method_not_allowed("GET")
            if self._peers.shared:
                place = parse_event_id(request.headers.get("last-event-id", ""))
                return (yield from self._polled.poll(session.id, place))
            log = self._kept.find_own(session.id)
            if log is None:
                polled = SessionStream(session.id, self._streams, is_polled=True)
                yield from self._load(polled)
                log = self._own_log(session, polled)
            return Resumption(log, None)
        subscription = SessionStream(session.id, self._streams)
        yield from self._load(subscription)
        incoming = IncomingRequest(
            0, "GET", {}, {}, session.revision, session.client, request, session.id
        )
        return self._listener.call(incoming, subscription, Result(b""))

    def _load(self, stream: SessionStream) -> Flow[None]:
        """Let a stream know what its session subscribes to.

        Raises:
            ProtocolError: 404, if the session has ended meanwhile.
        """
        try:
            yield from self._look_up(stream.session)
        except BackplaneUnavailable:
            if not self._peers.shared:
                raise
            self._unloaded.add(stream.session)
        if stream.has_ended:
            raise _no_session()

    def _look_up(self, session: str) -> Flow[None]:
        """Let the streams of a session here know what it subscribes to."""
        with self._streams.looking(session) as load:
            load((yield from done(self._peers.states.subscribed(session))))

    def _resync(self, sessions: Sequence[str]) -> None:
        """Look again at sessions that have streams here: what others have said of them may be
        lost."""
        # Many at a time: where many steps wait, the oldest are dropped, and then all processes are
        # told to look again.
        for start in range(0, len(sessions), _LOOKED_UP_TOGETHER):
            some = sessions[start : start + _LOOKED_UP_TOGETHER]
            self._peers.later(step(partial(self._look_again, some)))

    def _look_again(self, sessions: Sequence[str]) -> Flow[None]:
        for session in sessions:
            yield from self._look_up(session)
            if (yield from done(self._peers.states.session(session))).ended:
                self._end_here(session)

    def _load_late(self) -> None:
        """Look at sessions that could not be looked at when their streams began."""
        # One by one: others are added meanwhile.
        self._resync([self._unloaded.pop() for _ in range(len(self._unloaded))])

    def _own_log(self, session: Session, subscription: SessionStream) -> EventLog:
        """The log of what a session's client hears when it comes by, as long as it does."""
        # Longer than the client is told to stay away.
        ttl = max(self._settings.resume_ttl, 2 * self._settings.max_poll_seconds)

        def make() -> EventLog:
            log = EventLog(primed=False, polled=True)

            def hear(change: Change) -> None:
                if log.unread_seconds() > ttl:
                    log.end()
                elif (message := subscription.message(change)) is not None:
                    log.append(sse.event(message))

            log.on_end = self._changes.listen(hear, waits=False)
            return log

        return self._kept.own(session.id, make, ttl=ttl)

    def _resume(self, session: Session, request: Request) -> Flow[Resumption | None]:
        """The stream that a client comes back to; None where the session's own begins anew.

        Another worker, or a server that was started again, knows nothing of a session's own stream:
        a client that is refused there would hear of no change any more.
        """
        place = parse_event_id(request.headers["last-event-id"])
        log = place and self._kept.find(session.id, place.stream)
        if place and log is None and self._peers.shared and not is_polled(place.stream):
            log = yield from self._shared_logs.find(session.id, place, request)
        if place and log and log.has(place.number) and request.permits(log.rules):
            if log.is_over and place.number >= log.last:
                # Clients come back for ever to a stream that ends without their answer.
                raise ProtocolError(INVALID_REQUEST, "This stream is over", status=400)
            return Resumption(log, place.number, log.last, place.visitor)
        if place and is_polled(place.stream):
            return Resumption(log, None, log.last, place.visitor) if log else None
        raise ProtocolError(
            INVALID_REQUEST, "This stream is not kept (any more): repeat the request"
        )

    def track(self, call: Call) -> Callable[[], EventLog] | None:
        """Let the client of a call in a session cancel it; what opens the log of its stream."""
        session = call.incoming.session
        if session is None:
            return None
        self._calls[session, call.incoming.id] = call

        def open_log() -> EventLog:
            log = EventLog(primed=call.incoming.revision.primed_streams)
            # Those that are called within it have more of them, once it runs.
            log.rules = call.incoming.met_rules
            self._kept.keep(session, log, ttl=self._settings.resume_ttl)
            if self._peers.shared:
                self._shared_logs.share(session, log, call.incoming)
            self._logs[session, call.incoming.id] = log
            if call.cancelled:
                log.abandon()
            return log

        return open_log

    def _deliver(self, session: Session, message: ResponseMessage) -> Flow[None]:
        """Hand in an answer of the client, here or in the process that has asked.

        Raises:
            BackplaneUnavailable: If that process cannot be told now.
            ProtocolError: 400, if it does not run any more.
        """
        question = str(message.id)
        if self._answers.deliver(session.id, question, message):
            return
        node = self._answers.asked_by(question)
        if node is None:
            # Nobody waits for it any more.
            return
        if not self._peers.shared:
            raise _foreign_answer()
        told = yield from self._peers.send_to(
            node,
            "answer",
            session=session.id,
            question=question,
            result=message.result,
            error=message.error,
        )
        if told:
            return
        if not (yield from self._peers.knows_all()):
            raise BackplaneUnavailable("it does not know all processes yet")
        raise ProtocolError(
            INVALID_REQUEST, "The worker that asked this question was lost", status=400
        )

    def _hear_answer(self, message: Message) -> None:
        question = message["question"]
        answer = ResponseMessage(question, message["result"], message["error"])
        self._answers.deliver(message["session"], question, answer)

    def _cancel(self, session: Session, request_id: Any) -> Flow[None]:
        """Cancel a call, here or in the process that runs it (2025-11-25,
        basic/utilities/cancellation)."""
        if not is_id(request_id) or self._cancel_here(session.id, request_id):
            return
        # All processes read it, and it is kept until 10,000 others have come.
        if len(str(request_id)) <= _MAX_TOLD_ID:
            yield from self._peers.send("cancelled", session=session.id, id=request_id)

    def _cancel_here(self, session: str, request_id: MessageId) -> bool:
        call = self._calls.get((session, request_id))
        if call is None:
            return False
        call.cancel()
        log = self._logs.get((session, request_id))
        if log is not None:
            log.abandon()
        return True

    def end(self, request: Request) -> Flow[None]:
        """End the session that a DELETE names (2025-11-25, "Session Management").

        Args:
            request: The request.

        Raises:
            ProtocolError: As `session`.
        """
        session, _ = yield from self.session(request)
        # As long as any process may take its token for good, by whatever its clock says.
        ttl = self._settings.session_ttl + CLOCKS_APART
        yield from done(self._peers.states.end_session(session.id, ttl=ttl))
        self._end_here(session.id)
        self._opened.pop((request.mount, request.headers[SESSION_HEADER]), None)
        try:
            yield from self._peers.send("ended", session=session.id)
        except BackplaneUnavailable:
            # It has ended: a client that tried again would be told so, and other processes nothing.
            self._peers.send_later("ended", session=session.id)

    def _end_here(self, session: str) -> None:
        """End the streams and the questions that a session has in this process."""
        self._answers.end_session(session)
        self._streams.end_session(session)
        self._kept.end_own(session)

    @staticmethod
    def result_parts(result: Result) -> Sequence[bytes]:
        """The encoded result object, in parts."""
        if not result.meta:
            return b"{", result.members, b"}"
        comma = b"," if result.members else b""
        return b"{", result.members, comma, b'"_meta":%b}' % encode(result.meta)

    def _open(self, token: str, mount: str) -> Session:
        ttl = self._settings.session_ttl
        try:
            claims, sealed_at = self._seal.open(token, ttl=ttl, mount=mount)
            session_id, revision, capabilities, info, caller = claims
            known = SESSION_REVISIONS[revision]
        except (TokenRefused, KeyError):
            # A worker of a newer version may have agreed on a revision that this one lacks.
            raise _no_session() from None
        client = ClientInfo(info, capabilities)
        session = Session(session_id, known, client, caller, sealed_at + ttl)
        self._opened[mount, token] = session
        if len(self._opened) > _CACHED_SESSIONS:
            self._opened.popitem(last=False)
        return session

    def _subscribe(self, incoming: IncomingRequest, *, on: bool) -> Flow[Result | Call]:
        if "resources/read" not in self._catalogue.methods:
            raise ProtocolError(METHOD_NOT_FOUND, f"Method not found: {incoming.method}")
        uri, session = incoming.params.get("uri"), incoming.session
        if not isinstance(uri, str):
            raise ProtocolError(INVALID_PARAMS, 'params must have a string "uri"')
        assert session is not None
        check_uris([uri])
        uri, states = normal_uri(uri), self._peers.states
        if on:
            if not self._catalogue.serves(uri, incoming):
                raise ProtocolError(
                    RESOURCE_NOT_FOUND, f"Resource not found: {uri}", data={"uri": uri}
                )
            subscribed = yield from done(states.subscribed(session))
            check_uris(subscribed | {uri})
        ttl = self._settings.session_ttl
        yield from done(states.subscribe(session, uri, on=on, ttl=ttl))
        self._streams.subscribe(session, uri, on=on)
        yield from self._peers.send("subscribed", session=session, uri=uri, on=on)
        return Result(b"")

    def _set_log_level(self, incoming: IncomingRequest) -> Flow[Result | Call]:
        level = incoming.params.get("level")
        if level not in LOG_LEVELS:
            raise ProtocolError(INVALID_PARAMS, f'"level" must be one of {", ".join(LOG_LEVELS)}')
        assert incoming.session is not None
        ttl = self._settings.session_ttl
        yield from done(self._peers.states.set_log_level(incoming.session, str(level), ttl=ttl))
        return Result(b"")


def _foreign_answer() -> ProtocolError:
    """The refusal of the answer to a question that another process has asked, which this one cannot
    reach."""
    logger.warning(
        "A client answered a question of another process, which does not get the answer: with "
        "several workers, clients of the session revisions must come back to the one that asks "
        "them (sticky sessions), the server must have a backplane, or a single worker."
    )
    return ProtocolError(
        INVALID_REQUEST, "The question was asked by another process of this server", status=400
    )


def _no_session() -> ProtocolError:
    return ProtocolError(
        INVALID_REQUEST, "This session is not open: send initialize again", status=404
    )
