"""Revision 2026-07-28: stateless, every request carries its own metadata.

The rules are those of basic/index ("General fields") and basic/transports/streamable-http
("Request Metadata", "Server Validation").
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

from mcp_mount.calls.call import Call
from mcp_mount.calls.catalogue import Catalogue, FlowMethod, Method
from mcp_mount.calls.flows import Flow, done
from mcp_mount.calls.incoming import LOG_LEVELS, ClientInfo, IncomingRequest
from mcp_mount.calls.questions import (
    InputRequest,
    InputRequired,
    MultiRoundTripDialogue,
    as_requests,
)
from mcp_mount.calls.results import Result
from mcp_mount.protocol.changes import ListenSubscription, tasks_in
from mcp_mount.protocol.listener import Listener
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.settings import Settings
from mcp_mount.protocol.task_methods import Continuation, Job, TaskBackend, TaskMethods, TaskRun
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    UNSUPPORTED_VERSION,
    ProtocolError,
)
from mcp_mount.wire.extensions import TASKS
from mcp_mount.wire.messages import (
    MessageId,
    NotificationMessage,
    Request,
    ResponseMessage,
    parse,
)
from mcp_mount.wire.revisions import (
    LATEST,
    SESSION_REVISIONS,
    STATELESS_REVISIONS,
    SUPPORTED,
    Revision,
)
from mcp_mount.wire.sealing import CLOCKS_APART, Keys, TokenRefused, TokenSealer

VERSION_META: Final = "io.modelcontextprotocol/protocolVersion"
CLIENT_INFO_META: Final = "io.modelcontextprotocol/clientInfo"
CAPABILITIES_META: Final = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL_META: Final = "io.modelcontextprotocol/logLevel"
SERVER_INFO_META: Final = "io.modelcontextprotocol/serverInfo"

_ENCODED_START, _ENCODED_END = "=?base64?", "?="


def is_stateless_request(value: Any, headers: Mapping[str, str]) -> bool:
    """Whether a message asks for the stateless protocol, rightly or not.

    Its own metadata decides. Without it, `initialize` opens a session, and else the version header
    decides; an unknown version gets the stateless answer, which lists the supported versions.
    """
    if isinstance(value, dict):
        params = value.get("params")
        meta = params.get("_meta") if isinstance(params, dict) else None
        if isinstance(meta, dict) and VERSION_META in meta:
            return True
        if value.get("method") == "initialize":
            return False
    version = headers.get("mcp-protocol-version")
    return version is not None and version not in SESSION_REVISIONS


def unsupported_version(version: str) -> ProtocolError:
    """The error for a version that is not served in this way, with those that are."""
    return ProtocolError(
        UNSUPPORTED_VERSION,
        f"{version} is served after an initialize handshake only"
        if version in SESSION_REVISIONS
        else "Unsupported protocol version",
        data={"supported": SUPPORTED, "requested": version},
    )


class Stateless:
    """Admits requests of the stateless revision and wraps their results."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        keys: Keys,
        listener: Listener,
        tasks: TaskBackend,
        peers: Peers,
    ) -> None:
        self._listener = listener
        self._tasks = TaskMethods(tasks, catalogue, settings, self.encode_result, peers)
        self._continuation = Continuation(self._tasks)
        self._seal = TokenSealer(
            "request state",
            keys,
            server=lambda: settings.name,
            max_length=settings.max_body_bytes // 2,
            ahead=CLOCKS_APART,
        )
        self._settings = settings
        self._catalogue = catalogue
        self._own_methods: dict[str, Method | FlowMethod] = {
            "server/discover": Method(self._discover),
            "subscriptions/listen": FlowMethod(self._listen, streams=True),
            **self._tasks.table,
        }
        self._discovery: tuple[int, bytes] = (-1, b"")

    @cached_property
    def _own_meta(self) -> dict[str, Any]:
        """What every result carries; the settings are those of the first request."""
        return {SERVER_INFO_META: self._settings.server_info(LATEST.info_fields)}

    @cached_property
    def end(self) -> bytes:
        """The end of every result object that has no metadata of its own."""
        return b',"_meta":%b}' % encode(self._own_meta)

    def admit(
        self, value: Any, request: Request
    ) -> tuple[IncomingRequest, Method | FlowMethod] | None:
        """A request with its method, or None for a notification.

        Args:
            value: The message, decoded.
            request: The HTTP request that brought it.

        Raises:
            ProtocolError: For what the revision forbids.
        """
        message = parse(value)
        if isinstance(message, ResponseMessage):
            raise ProtocolError(INVALID_REQUEST, "This revision has no server-to-client requests")
        if isinstance(message, NotificationMessage):
            # The revision defines no notification to a server, nor headers for one.
            return None
        headers, params, name = request.headers, message.params, message.method
        meta = params.get("_meta")
        if not isinstance(meta, dict):
            raise ProtocolError(INVALID_PARAMS, 'params must have an object "_meta"')
        version = meta.get(VERSION_META)
        if not isinstance(version, str):
            raise ProtocolError(INVALID_PARAMS, f'params._meta must have "{VERSION_META}"')
        if request.mirrors_headers:
            _compare("MCP-Protocol-Version", headers.get("mcp-protocol-version"), version)
        revision = STATELESS_REVISIONS.get(version)
        if revision is None:
            raise unsupported_version(version)
        capabilities = meta.get(CAPABILITIES_META)
        if not isinstance(capabilities, dict):
            raise ProtocolError(INVALID_PARAMS, f'params._meta must have "{CAPABILITIES_META}"')
        info = meta.get(CLIENT_INFO_META, {})
        if not isinstance(info, dict):
            raise ProtocolError(INVALID_PARAMS, f'"{CLIENT_INFO_META}" must be an object')
        log_level = meta.get(LOG_LEVEL_META)
        if log_level is not None and log_level not in LOG_LEVELS:
            raise ProtocolError(INVALID_PARAMS, f'"{LOG_LEVEL_META}" is not a log level')
        if request.mirrors_headers:
            _compare("Mcp-Method", headers.get("mcp-method"), name)
        method = self._own_methods.get(name) or self._catalogue.methods.get(name)
        if method is None:
            raise ProtocolError(METHOD_NOT_FOUND, f"Method not found: {name}")
        if method.name_member is not None:
            member = params.get(method.name_member)
            if not isinstance(member, str):
                raise ProtocolError(INVALID_PARAMS, f'params must have "{method.name_member}"')
            if request.mirrors_headers:
                header = headers.get("mcp-name")
                _compare("Mcp-Name", header and decode_header(header), member)
        return self.incoming(message.id, name, params, meta, revision, request), method

    def incoming(
        self,
        message_id: MessageId,
        method: str,
        params: dict[str, Any],
        meta: Mapping[str, Any],
        revision: Revision,
        request: Request,
    ) -> IncomingRequest:
        """A request whose message has been checked.

        Args:
            message_id: The id of the message.
            method: Its method.
            params: Its parameters.
            meta: Its metadata.
            revision: That of its metadata.
            request: The HTTP request that brought it.

        Raises:
            ProtocolError: Invalid params, for answers that are not for this request.
        """
        capabilities = meta[CAPABILITIES_META]
        return IncomingRequest(
            message_id,
            method,
            params,
            meta,
            revision,
            ClientInfo(meta.get(CLIENT_INFO_META, {}), capabilities),
            request,
            None,
            meta.get(LOG_LEVEL_META),
            MultiRoundTripDialogue(capabilities, self._answers(method, params, request)),
            handlers=self._catalogue,
            hooks=self._settings.hooks,
        )

    def start(self, call: Call) -> Flow[Result | Call]:
        """Let a call begin as a task, if it still may.

        Args:
            call: A call that `begins_task`.
        """
        return (yield from self._tasks.accept(call))

    def let_continue(self, call: Call) -> None:
        """Let the handler of a call start a task, if its client knows tasks.

        Args:
            call: A call that does not begin as a task.
        """
        if call.incoming.client.declares(TASKS):
            call.put_around(self._continuation)

    def run_of(self, job: Job, request: Request) -> TaskRun:
        """What a task's job runs in this process: see `TaskMethods.run_of`."""
        return self._tasks.run_of(job, request)

    def encode_result(self, incoming: IncomingRequest, result: Result) -> bytes:
        """The encoded result object, with what every result of the revision carries."""
        return b"".join(self.result_parts(incoming, result))

    def result_parts(self, incoming: IncomingRequest, result: Result) -> Sequence[bytes]:
        """As `encode_result`, in parts: a large list is not copied for each of them."""
        start = b'{"resultType":"%b"' % result.type.encode()
        if isinstance(result.suspended, InputRequired):
            start = self._ask(incoming, result.suspended.input_requests)
        comma = b"," if result.members else b""
        end = self.end
        if result.meta:
            end = b',"_meta":%b}' % encode({**result.meta, **self._own_meta})
        return start, comma, result.members, end

    def _ask(
        self, incoming: IncomingRequest, input_requests: Mapping[str, InputRequest[Any]]
    ) -> bytes:
        """The start of a result that asks for answers, and seals those that have been given.

        The state holds for this very request: method, name, arguments and caller
        (basic/patterns/mrtr).
        """
        assert isinstance(incoming.dialogue, MultiRoundTripDialogue)
        answers = dict(incoming.dialogue.answers)
        request = incoming.request
        claims = [self._digest(incoming.method, incoming.params, request), answers]
        try:
            state = self._seal.seal(claims, mount=request.mount)
        except ValueError:
            raise ProtocolError(INVALID_PARAMS, "The inputResponses are too large") from None
        return b'{"resultType":"input_required","inputRequests":%b,"requestState":%b' % (
            encode(as_requests(input_requests)),
            encode(state),
        )

    def _answers(
        self, method: str, params: Mapping[str, Any], request: Request
    ) -> Mapping[str, Any]:
        """What the client has answered so far: in the state, and with this request.

        Raises:
            ProtocolError: Invalid params, if the state is not ours, not for this request, or too
                old.
        """
        state, responses = params.get("requestState"), params.get("inputResponses", {})
        if not isinstance(responses, dict):
            raise ProtocolError(INVALID_PARAMS, '"inputResponses" must be an object')
        if state is None:
            return responses
        if not isinstance(state, str):
            raise ProtocolError(INVALID_PARAMS, '"requestState" must be a string')
        try:
            claims, _ = self._seal.open(state, ttl=self._settings.state_ttl, mount=request.mount)
        except TokenRefused as error:
            raise ProtocolError(INVALID_PARAMS, f"The requestState is refused: {error}") from None
        digest, answers = claims
        if digest != self._digest(method, params, request):
            raise ProtocolError(INVALID_PARAMS, "The requestState is of another request")
        return {**answers, **responses}

    def _digest(self, method: str, params: Mapping[str, Any], request: Request) -> str:
        """What identifies a request beyond its rounds."""
        whose = self._settings.callers.key_of(request)
        salient = [method, whose, *(params.get(member) for member in ("name", "uri", "arguments"))]
        return sha256(json.dumps(salient, sort_keys=True).encode()).hexdigest()[:32]

    def _listen(self, incoming: IncomingRequest) -> Flow[Result | Call]:
        wanted = incoming.params.get("notifications")
        if not isinstance(wanted, dict):
            raise ProtocolError(INVALID_PARAMS, 'params must have an object "notifications"')
        if "taskIds" in wanted:
            incoming.client.require(TASKS)
        find = self._tasks.finder(incoming)
        tasks = []
        for one in tasks_in(wanted):
            if (yield from done(find(one))) is not None:
                tasks.append(one)
        subscription = ListenSubscription(
            incoming.id,
            wanted,
            tasks,
            find,
            lambda uri: self._catalogue.serves(uri, incoming),
        )
        return self._listener.call(incoming, subscription, Result(b"", subscription.meta))

    def _discover(self, incoming: IncomingRequest) -> Result:
        version = self._catalogue.version
        if self._discovery[0] != version:
            declared = self._catalogue.capabilities()
            extensions = {**declared.get("extensions", {}), TASKS: {}}
            body: dict[str, Any] = {
                "supportedVersions": SUPPORTED,
                "capabilities": {**declared, "extensions": extensions},
            }
            if self._settings.instructions is not None:
                body["instructions"] = self._settings.instructions
            body |= {"ttlMs": self._settings.list_ttl_ms, "cacheScope": "public"}
            self._discovery = (version, encode(body)[1:-1])
        return Result(self._discovery[1])


def decode_header(value: str) -> str:
    """A mirrored header value, decoded if it is in Base64 (2026-07-28,
    basic/transports/streamable-http, "Header Encoding").

    Args:
        value: The value of the header.

    Raises:
        ProtocolError: Header mismatch, if it is not Base64 of UTF-8.
    """
    if not (value.startswith(_ENCODED_START) and value.endswith(_ENCODED_END)):
        return value
    try:
        encoded = value[len(_ENCODED_START) : -len(_ENCODED_END)].encode("ascii")
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        raise ProtocolError(HEADER_MISMATCH, "A header value is not valid Base64") from None


def _compare(name: str, header: str | None, body: str) -> None:
    if header is None:
        raise ProtocolError(HEADER_MISMATCH, f"The {name} header is missing")
    if header != body:
        raise ProtocolError(
            HEADER_MISMATCH, f"The {name} header is {header!r}, but the body says {body!r}"
        )
