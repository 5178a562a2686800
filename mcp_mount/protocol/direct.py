"""Direct calls: requests that need nothing but their tool, read in one walk.

Most requests call a tool that has nothing around it, bring the usual headers and fit. A transport
answers such a request on the spot: its handler runs, and its reply is put together from parts,
without the objects of the long way (`Protocol.open`). Whatever is unusual about a request, be it
wrong or only rare, is left to the long way, which finds the right error. In process, a call takes
8 µs in place of 25, and one to a server that has not run for a moment 13 in place of 42. Tests hold
both ways together: tests/transports/test_direct.py, and one like it for each host.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from pydantic_core import from_json, to_json

from mcp_mount.calls.call import Encoded
from mcp_mount.calls.catalogue import Catalogue, DirectTool
from mcp_mount.calls.flows import Do
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.sessions import Session, Sessions
from mcp_mount.protocol.settings import Settings
from mcp_mount.protocol.stateless import (
    CAPABILITIES_META,
    CLIENT_INFO_META,
    LOG_LEVEL_META,
    VERSION_META,
    Stateless,
)
from mcp_mount.wire.host_names import parse_authority
from mcp_mount.wire.messages import JSON, MessageId, Request, encode_result
from mcp_mount.wire.revisions import LATEST, SESSION_REVISIONS

METHOD: Final = "tools/call"

_ACCEPTS: Final = frozenset(
    {
        "application/json, text/event-stream",
        "application/json,text/event-stream",
        "text/event-stream, application/json",
    }
)
"""How clients write that they accept both kinds of responses; other ways go the long way."""

_VERSION: Final = LATEST.name
_MAX_SEEN: Final = 1000
_LONGEST_SEEN: Final = 500
_NO_INFO: Final[dict[str, Any]] = {}

Field: TypeAlias = str | bytes | None
"""The value of a header as its transport has it: bytes under ASGI, text under WSGI."""

Seen: TypeAlias = tuple[Field, Field, Field, Field, Field, str | None, bool]
"""What many requests have in common: Host, Accept, Content-Type, MCP-Protocol-Version and
Mcp-Method; the address of this end of the connection, and whether the server is not mounted in
another application."""

Asked: TypeAlias = DirectTool | Session
"""What the headers of a request name: its tool, or its session."""

Resumed: TypeAlias = Callable[[], Any]
"""Goes on with a handler that has begun: see `Call.resume`."""

Done: TypeAlias = tuple[bytes | None, Result | Resumed]
"""What a handler has done: the body of the reply, or None if it has failed or its value does not
fit; and its result, or what goes on with it the long way."""


class DirectCall:
    """A call of a tool that has nothing around it.

    Attributes:
        tool: The tool.
        id: The id of the request.
        params: Its parameters.
        arguments: Those of the tool, as the client sent them.
        session: Its session; None in the stateless revision.
        validated: The positional and keyword arguments of the handler, if they were validated.
    """

    __slots__ = ("arguments", "id", "params", "session", "tool", "validated")

    def __init__(
        self,
        tool: DirectTool,
        message_id: MessageId,
        params: dict[str, Any],
        arguments: dict[str, Any],
        session: Session | None,
    ) -> None:
        self.tool = tool
        self.id = message_id
        self.params = params
        self.arguments = arguments
        self.session = session
        self.validated: tuple[tuple[Any, ...], dict[str, Any]] | None = None


class DirectCalls:
    """Finds the requests of one server that need nothing but their tool.

    Args:
        settings: Those of the server.
        catalogue: What it offers.
        stateless: Its stateless protocol.
        sessions: Its sessions.
        peers: Its other processes.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        stateless: Stateless,
        sessions: Sessions,
        peers: Peers,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._stateless = stateless
        self._sessions = sessions
        self._peers = peers
        self._seen: dict[Seen, type[Asked]] = {}
        self._seen_with: Any = None

    @property
    def allowed(self) -> bool:
        """Whether nothing is declared around the calls of all tools, nor left to be started."""
        settings = self._settings
        return not (
            settings.auth is not None
            or settings.rules
            or settings.observers
            or settings.startup is not None
            or settings.on_first_request is not None
            or settings.callers.function is not None
            # The first request says that the process serves.
            or (self._peers.shared and not self._peers.is_serving)
        )

    def find(self, seen: Seen, name: Field, token: Field, mount: str) -> Asked | None:
        """What the headers of a request name, if it may be a direct call.

        Args:
            seen: What it has in common with others.
            name: Its Mcp-Name header.
            token: Its Mcp-Session-Id header.
            mount: The path of the MCP endpoint, as the client wrote it.

        Returns:
            A tool that has nothing around it, or an open session; None for the long way.
        """
        if not self.allowed:
            return None
        if self._seen_with is not self._settings.allowed_hosts:
            self._seen, self._seen_with = {}, self._settings.allowed_hosts
        # By its bytes, as many requests have the same: to read them again would cost 2 µs.
        kind = self._seen.get(seen)
        if kind is None and (kind := self._look_at(seen)) is None:
            return None
        if token is None:
            # A session has its id.
            return None if name is None or kind is Session else self._catalogue.direct_tools[name]
        return self._sessions.known(_text(token), mount) if kind is Session else None

    def _look_at(self, seen: Seen) -> type[Asked] | None:
        """Check what requests have in common, and remember what is usual."""
        known = self._seen
        host, accept, content_type, version, method = map(_text, seen[:5])
        server, stands_alone = seen[5:]
        kind: type[Asked]
        if version == _VERSION and method == METHOD:
            kind = DirectTool
        elif seen[3] is None or version in SESSION_REVISIONS:
            kind = Session
        else:
            return None
        if accept not in _ACCEPTS or content_type != JSON:
            return None
        # As `Protocol.check_host`.
        authority = parse_authority(host)
        request = Request("POST", {}, server=(server, None), stands_alone=stands_alone)
        if authority is None or not self._settings.allows_host(authority, request):
            return None
        if len(host) + len(method) <= _LONGEST_SEEN:
            if len(known) >= _MAX_SEEN:
                known.clear()
            # Not in another one that was begun meanwhile, for other hosts.
            known[seen] = kind
        return kind

    def read(self, asked: Asked, body: bytes) -> DirectCall | None:
        """The call in the body of a request; None for the long way.

        Args:
            asked: What its headers name.
            body: Its body.
        """
        if len(body) > self._settings.max_body_bytes:
            return None
        try:
            value = from_json(body, allow_inf_nan=False)
        except (ValueError, RecursionError):
            return None
        # Four members, and these four.
        if type(value) is not dict or len(value) != 4:
            return None
        params, message_id = value.get("params"), value.get("id")
        if (
            value.get("jsonrpc") != "2.0"
            or value.get("method") != METHOD
            or type(params) is not dict
            or (type(message_id) is not int and type(message_id) is not str)
        ):
            return None
        arguments, meta = params.get("arguments"), params.get("_meta")
        if type(arguments) is not dict:
            return None
        if isinstance(asked, Session):
            name = params.get("name")
            # By what is declared now, when the body has come.
            if type(name) is not str or not self.allowed:
                return None
            tool = self._catalogue.direct_tools[name]
            if tool is None or len(params) != (2 if meta is None else 3):
                return None
            if meta is not None and (type(meta) is not dict or VERSION_META in meta):
                return None
            return DirectCall(tool, message_id, params, arguments, asked)
        if (
            len(params) != 3
            or params.get("name") != asked.name
            # Another one, if something has been declared while the body came.
            or self._catalogue.direct_tools[asked.name] is not asked
            or type(meta) is not dict
            or meta.get(VERSION_META) != _VERSION
            or type(meta.get(CAPABILITIES_META)) is not dict
            or type(meta.get(CLIENT_INFO_META, _NO_INFO)) is not dict
            or LOG_LEVEL_META in meta
        ):
            return None
        return DirectCall(asked, message_id, params, arguments, None)

    def run(self, call: DirectCall) -> Done:
        """Run the handler of a call, here: a plain function whose arguments have been validated.

        Args:
            call: The call.
        """
        assert call.validated is not None
        args, kwargs = call.validated
        try:
            value = call.tool.function(*args, **kwargs)
        except BaseException as error:
            return None, partial(raise_again, error)
        return self.outcome(call, value)

    def outcome(self, call: DirectCall, value: Any) -> Done:
        """What `run` returns, for a handler that has returned a value.

        The value is encoded once: an iterator gives what it has once only.
        """
        if isinstance(value, self._settings.hooks.responses):
            # A response of the framework.
            return None, partial(return_again, value)
        session = call.session
        try:
            result = call.tool.encode(value, LATEST if session is None else session.revision)
        except BaseException as error:
            return None, partial(raise_again, error)
        if result.meta:
            return None, result
        if session is not None:
            return encode_result(call.id, *self._sessions.result_parts(result)), result
        reply = b'{"jsonrpc":"2.0","id":%b,"result":{"resultType":"complete",%b%b}' % (
            to_json(call.id),
            result.members,
            self._stateless.end,
        )
        return reply, result

    def incoming(self, call: DirectCall, request: Request) -> IncomingRequest:
        """The request of a call as the long way has it.

        Args:
            call: The call.
            request: The HTTP request that brought it.
        """
        meta = call.params.get("_meta") or {}
        if call.session is None:
            return self._stateless.incoming(call.id, METHOD, call.params, meta, LATEST, request)
        state = self._peers.states.session(call.session.id)
        level = None if isinstance(state, Do) else state.log_level
        return self._sessions.incoming(
            call.id, METHOD, call.params, meta, call.session, level, request
        )


def _text(field: Field) -> str:
    """The value of a header as text; an empty one if it is not there."""
    return field.decode("latin-1") if isinstance(field, bytes) else field or ""


def resumed(rest: Result | Resumed) -> Resumed:
    """What goes on the long way with a handler that has run.

    Args:
        rest: The second part of what it has done.
    """
    return partial(return_again, Encoded(rest)) if isinstance(rest, Result) else rest


def raise_again(error: BaseException) -> Any:
    """In place of a handler that has raised an exception."""
    raise error


def return_again(value: Any) -> Any:
    """In place of a handler that has returned a value."""
    return value
