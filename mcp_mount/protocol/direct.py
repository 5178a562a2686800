"""Direct calls: requests that need nothing but their tool, read in one walk.

Most requests call a tool that has nothing around it, bring the usual headers and fit. A transport
answers such a request on the spot: its handler runs, and its reply is put together from parts,
without the objects of the long way (`Protocol.open`). Whatever is unusual about a request, be it
wrong or only rare, is left to the long way, which finds the right error. In process, a call takes
9 µs in place of 25, and one to a server that has not run for a moment 14 in place of 42. Tests hold
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
from mcp_mount.wire.messages import MessageId, Request, encode_result
from mcp_mount.wire.revisions import LATEST, SESSION_REVISIONS

METHOD: Final = "tools/call"

ACCEPTS: Final = frozenset(
    {
        "application/json, text/event-stream",
        "application/json,text/event-stream",
        "text/event-stream, application/json",
    }
)
"""How clients write that they accept both kinds of responses; other ways go the long way."""

_VERSION: Final = LATEST.name
_MAX_HOSTS: Final = 1000
_NO_INFO: Final[dict[str, Any]] = {}

Asked: TypeAlias = DirectTool | Session
"""What the headers of a request name: its tool, or its session."""

Resumed: TypeAlias = Callable[[], Any]
"""Goes on with a handler that has begun: see `Call.resume`."""


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
        self._hosts: dict[tuple[str, bool, str | None], bool] = {}
        self._hosts_of: Any = None

    def find(
        self,
        name: str | None,
        version: str | None,
        token: str | None,
        mount: str,
    ) -> Asked | None:
        """What the headers of a request name, if it may be a direct call.

        Args:
            name: Its Mcp-Name header.
            version: Its MCP-Protocol-Version header.
            token: Its Mcp-Session-Id header.
            mount: The path of the MCP endpoint, as the client wrote it.

        Returns:
            A tool that has nothing around it, or an open session; None for the long way.
        """
        settings = self._settings
        if (
            settings.auth is not None
            or settings.rules
            or settings.observers
            or settings.startup is not None
            or settings.on_first_request is not None
            or settings.callers.function is not None
            or self._peers.shared
        ):
            return None
        if token is not None:
            if version is not None and version not in SESSION_REVISIONS:
                return None
            return self._sessions.known(token, mount)
        if version != _VERSION or name is None:
            return None
        return self._catalogue.direct_tool(name)

    def allows(self, host: str | None, server: str | None, *, stands_alone: bool) -> bool:
        """Whether requests to a host are served, as `Protocol.check_host` finds.

        Args:
            host: The Host header.
            server: The address of this end of the connection.
            stands_alone: Whether the server is not mounted in another application.
        """
        if host is None:
            return False
        settings = self._settings
        if self._hosts_of is not settings.allowed_hosts or len(self._hosts) > _MAX_HOSTS:
            self._hosts = {}
            self._hosts_of = settings.allowed_hosts
        key = host, stands_alone, server
        known = self._hosts.get(key)
        if known is None:
            authority = parse_authority(host)
            request = Request("POST", {}, server=(server, None), stands_alone=stands_alone)
            known = authority is not None and settings.allows_host(authority, request)
            self._hosts[key] = known
        return known

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
            tool = self.find(name, _VERSION, None, "") if type(name) is str else None
            if not isinstance(tool, DirectTool) or len(params) != (2 if meta is None else 3):
                return None
            if meta is not None and (type(meta) is not dict or VERSION_META in meta):
                return None
            return DirectCall(tool, message_id, params, arguments, asked)
        if (
            len(params) != 3
            or params.get("name") != asked.name
            # Another one, if something has been declared while the body came.
            or self._catalogue.direct_tool(asked.name) is not asked
            or type(meta) is not dict
            or meta.get(VERSION_META) != _VERSION
            or type(meta.get(CAPABILITIES_META)) is not dict
            or type(meta.get(CLIENT_INFO_META, _NO_INFO)) is not dict
            or LOG_LEVEL_META in meta
        ):
            return None
        return DirectCall(asked, message_id, params, arguments, None)

    def run(self, call: DirectCall) -> tuple[bytes | None, Resumed]:
        """Run the handler of a call, here: a plain function whose arguments have been validated.

        Args:
            call: The call.

        Returns:
            The body of the reply, or None if the handler has failed or its value does not fit; and
            what goes on with it the long way.
        """
        assert call.validated is not None
        args, kwargs = call.validated
        try:
            value = call.tool.function(*args, **kwargs)
        except BaseException as error:
            return None, partial(raise_again, error)
        return self.outcome(call, value)

    def outcome(self, call: DirectCall, value: Any) -> tuple[bytes | None, Resumed]:
        """What `run` returns, for a handler that has returned a value.

        The value is encoded once: an iterator gives what it has once only.
        """
        if isinstance(value, self._settings.hooks.responses):
            # A response of the framework.
            return None, partial(return_again, value)
        revision = LATEST if call.session is None else call.session.revision
        try:
            result = call.tool.encode(value, revision)
        except BaseException as error:
            return None, partial(raise_again, error)
        resumed = partial(return_again, Encoded(result))
        if result.meta:
            return None, resumed
        if call.session is not None:
            return encode_result(call.id, *self._sessions.result_parts(result)), resumed
        reply = b'{"jsonrpc":"2.0","id":%b,"result":{"resultType":"complete",%b%b}' % (
            to_json(call.id),
            result.members,
            self._stateless.end,
        )
        return reply, resumed

    def incoming(self, call: DirectCall, request: Request) -> IncomingRequest:
        """The request of a call as the long way has it.

        Args:
            call: The call.
            request: The HTTP request that brought it.
        """
        meta = call.params.get("_meta") or {}
        if call.session is None:
            return self._stateless.incoming(call.id, METHOD, call.params, meta, LATEST, request)
        state = self._peers.backplane.session(call.session.id)
        level = None if isinstance(state, Do) else state.log_level
        return self._sessions.incoming(
            call.id, METHOD, call.params, meta, call.session, level, request
        )


def raise_again(error: BaseException) -> Any:
    """In place of a handler that has raised an exception."""
    raise error


def return_again(value: Any) -> Any:
    """In place of a handler that has returned a value."""
    return value
