"""A request in hand, and the client that sent it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from mcp_mount.calls.exception_hooks import NO_HOOKS, ExceptionHooks
from mcp_mount.calls.questions import Dialogue
from mcp_mount.calls.tasks import RunningTask
from mcp_mount.wire.errors import ProtocolError, access_denied, requires_extension
from mcp_mount.wire.messages import MessageId, Request, Rule
from mcp_mount.wire.revisions import Revision
from mcp_mount.wire.rules import missing_scopes

LOG_LEVELS: Final = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)
"""The levels of log messages to a client, least first (RFC 5424)."""


@dataclass(slots=True)
class Client:
    """What the client said of itself: unverified, for display and for capability checks."""

    info: Mapping[str, Any]
    capabilities: Mapping[str, Any]

    def declares(self, extension: str) -> bool:
        """Whether the client knows a protocol extension."""
        extensions = self.capabilities.get("extensions")
        return isinstance(extensions, dict) and extension in extensions

    def require(self, extension: str) -> None:
        """Raise ProtocolError (-32021) for a client that does not know an extension."""
        if not self.declares(extension):
            raise requires_extension(extension)


@dataclass(slots=True)
class Progress:
    """What a client has been told of the progress of its request. own: whether the handler itself
    has told it, and not one that it has called."""

    told: float | None = None
    own: bool = False

    def is_next(self, progress: float, *, own: bool) -> bool:
        """Whether to tell it: it must grow from one report to the next (basic/utilities/progress),
        and a handler that reports itself knows better than those that it calls."""
        if (self.own and not own) or (self.told is not None and progress <= self.told):
            return False
        self.told, self.own = progress, self.own or own
        return True


class ServerHandlers(Protocol):
    """The other handlers of a server, and its lifespan, as a running handler may use them."""

    def lifespan(self) -> Any:
        """What the user's lifespan of the server has yielded. Raises RuntimeError without one."""

    def tool_of(self, function: Callable[..., Any]) -> tuple[str, Any] | None:
        """The name of the tool that a function is, and the type of its data, if it has one."""

    def wraps(self, name: str) -> bool:
        """Whether the structured content of a tool has its value as the member `result`."""

    def answer(self, incoming: IncomingRequest) -> Any:
        """The `Result` of a request, or the `Call` that gives it; None for an unknown method."""


@dataclass(slots=True)
class IncomingRequest:
    """A JSON-RPC request that passed every check of its revision.

    session: the session it belongs to. log_level: the least level that the client wants
    to hear of, None for silence. dialogue: how its handler asks the client, None where it cannot.
    task: the task that it has become. deadline: when its handler must have ended, in seconds of the
    monotonic clock. handlers: those of the server, which its own may call. path: the handlers that
    have called one another to get here, the outermost first. met_rules: the rules that its caller
    has fulfilled to get here, and for all that its handler has called. is_plain: whether it came
    over plain HTTP, without MCP. asked: whether its handler has asked the client something. prefix:
    of the keys of its questions. hooks: what the host does with exceptions. progress: what has been
    told of it, for all that its handler calls.
    """

    id: MessageId
    method: str
    params: dict[str, Any]
    meta: Mapping[str, Any]
    revision: Revision
    client: Client
    request: Request
    session: str | None = None
    log_level: str | None = None
    dialogue: Dialogue | None = None
    task: RunningTask | None = None
    handlers: ServerHandlers | None = None
    deadline: float | None = None
    path: tuple[str, ...] = ()
    is_plain: bool = False
    asked: bool = False
    prefix: str = ""
    met_rules: list[Rule] = field(default_factory=list)
    hooks: ExceptionHooks = NO_HOOKS
    progress: Progress | None = None

    def permits(self, rules: Sequence[Rule]) -> bool:
        """Whether the caller fulfils all rules."""
        return not rules or self.request.permits(rules)

    def require(self, rules: Sequence[Rule], otherwise: ProtocolError) -> None:
        """Raise ProtocolError for a caller who does not fulfil all rules.

        That is `otherwise`, for what a caller may not use is not there; but where an access token
        for more scopes is all that is missing, 401 or 403 names the scopes.
        """
        if not rules:
            return
        if self.request.permits(rules):
            self.met_rules.extend(rules)
            return
        scopes = missing_scopes(self.request, rules)
        if scopes:
            raise access_denied(known=self.request.caller() is not None, scopes=scopes)
        raise otherwise
