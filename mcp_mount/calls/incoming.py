"""A request in hand, and the client that sent it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from mcp_mount.calls.exception_hooks import NO_HOOKS, ExceptionHooks
from mcp_mount.calls.questions import Dialogue
from mcp_mount.calls.spending import Spending
from mcp_mount.calls.tasks import TaskHandle
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
class ClientInfo:
    """What the client said of itself: unverified, for display and for capability checks."""

    info: Mapping[str, Any]
    capabilities: Mapping[str, Any]

    def declares(self, extension: str) -> bool:
        """Whether the client knows a protocol extension."""
        extensions = self.capabilities.get("extensions")
        return isinstance(extensions, dict) and extension in extensions

    def require(self, extension: str) -> None:
        """Refuse a client that does not know an extension.

        Args:
            extension: The name of the extension.

        Raises:
            ProtocolError: -32021, if the client has not declared it.
        """
        if not self.declares(extension):
            raise requires_extension(extension)


@dataclass(slots=True)
class Progress:
    """What the client was told of the progress of its request.

    Attributes:
        own: Whether the handler itself reported it, and not one that it called.
    """

    told: float | None = None
    own: bool = False

    def is_next(self, progress: float, *, own: bool) -> bool:
        """Whether to tell it: it must grow from one report to the next (basic/utilities/progress),
        and a handler that reports itself knows better than those that it calls."""
        if (self.own and not own) or (self.told is not None and progress <= self.told):
            return False
        self.told, self.own = progress, self.own or own
        return True


class ProgressListener(Protocol):
    """Hears what a handler reports of its progress, besides the client of its request."""

    async def hear(self, progress: float, total: float | None, message: str | None) -> None:
        """Hear a report, on the event loop of the request."""

    def hear_from_thread(self, progress: float, total: float | None, message: str | None) -> None:
        """Hear a report of a plain function."""


class ServerHandlers(Protocol):
    """The other handlers of a server, and its lifespan, as a running handler may use them."""

    def lifespan(self) -> Any:
        """What the user's lifespan of the server yielded.

        Raises:
            RuntimeError: If there is none, or it is not running.
        """

    def tool_of(self, function: Callable[..., Any]) -> tuple[str, Any] | None:
        """The name of the tool that a function is, and the type of its data, if it has one."""

    def wraps(self, name: str) -> bool:
        """Whether the structured content of a tool has its value as the member `result`."""

    def model_call(
        self, incoming: IncomingRequest, request: Any, pieces: Any, model: Any = None
    ) -> Any:
        """The `ChatCall` of the chat model that a `ChatRequest` names, or of `model`, which has no
        name; its answer goes to `pieces`."""

    def image_call(
        self, incoming: IncomingRequest, request: Any, pieces: Any, number: int = 0
    ) -> Any:
        """The `ImageCall` of the backend that an `ImageRequest` names; pictures on their way go to
        `pieces`."""

    def tools_for(self, incoming: IncomingRequest) -> list[dict[str, Any]]:
        """The definitions of the tools that a caller may use and models may see."""

    def model(self, name: str) -> Any:
        """The `RegisteredModel` of a name; None if there is none."""

    def answer(self, incoming: IncomingRequest) -> Any:
        """The `Result` of a request, or the `Call` that gives it; None for an unknown method."""


@dataclass(slots=True)
class IncomingRequest:
    """A JSON-RPC request that passed every check of its revision.

    Attributes:
        id: The id of the message.
        method: Its method.
        params: Its parameters.
        meta: Its `_meta`.
        revision: The revision in use.
        client: What is known of the client.
        request: The HTTP request that brought it.
        session: The id of its session; None without one.
        log_level: The lowest level of log messages that the client wants; None for no messages.
        dialogue: How its handler asks the client; None if it cannot.
        task: The task that it has become.
        deadline: When its handler must have ended, by `time.monotonic`.
        handlers: The handlers of the server, which its own handler may call.
        path: The handlers that have called one another to get here, the outermost first.
        met_rules: The rules that its caller has met, for it and for all that its handler has
            called.
        is_plain: Whether it came as plain HTTP, without MCP.
        asked: Whether its handler has asked the client something.
        prefix: Of the keys of its questions.
        hooks: What the host does with exceptions.
        progress: What was reported of it, for all that its handler calls.
        listener: Hears what its handler reports, and all that it calls.
        passing: The policies, by their keys, that hold for the models that a route asks here, since
            they hold for the route.
        passed: Those that held for the route that makes this request.
        spending: What it uses up, where a budget asks for that.
        turns: The turns of limited policies that it and those around it have, by their keys: what
            its handler calls need not wait for these.
    """

    id: MessageId
    method: str
    params: dict[str, Any]
    meta: Mapping[str, Any]
    revision: Revision
    client: ClientInfo
    request: Request
    session: str | None = None
    log_level: str | None = None
    dialogue: Dialogue | None = None
    task: TaskHandle | None = None
    handlers: ServerHandlers | None = None
    deadline: float | None = None
    path: tuple[str, ...] = ()
    is_plain: bool = False
    asked: bool = False
    prefix: str = ""
    met_rules: list[Rule] = field(default_factory=list)
    hooks: ExceptionHooks = NO_HOOKS
    progress: Progress | None = None
    listener: ProgressListener | None = None
    passing: frozenset[Any] = frozenset()
    passed: frozenset[Any] = frozenset()
    spending: Spending | None = None
    turns: Mapping[Any, Any] | None = None

    def permits(self, rules: Sequence[Rule]) -> bool:
        """Whether the caller fulfils all rules."""
        return not rules or self.request.permits(rules)

    def require(self, rules: Sequence[Rule], otherwise: ProtocolError) -> None:
        """Refuse a caller who does not meet all rules.

        Args:
            rules: The rules.
            otherwise: The error: what a caller may not use seems not to exist.

        Raises:
            ProtocolError: `otherwise`; 401 or 403 with the scopes, if only an access token with
                more scopes is missing.
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
