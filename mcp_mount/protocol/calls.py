"""A request in hand, and the call of the handler that answers it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from mcp_mount.protocol.errors import INTERNAL_ERROR, ProtocolError, requires_extension
from mcp_mount.protocol.messages import MessageId, Request, Rule
from mcp_mount.protocol.questions import Dialogue, Question, Suspended
from mcp_mount.protocol.revisions import Revision
from mcp_mount.protocol.tasks import RunningTask, TaskPolicy

logger = logging.getLogger("mcp_mount")

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
class Incoming:
    """A JSON-RPC request that passed every check of its revision.

    session: the handshake session it belongs to. log_level: the least level that the client wants
    to hear of, None for silence. dialogue: how its handler asks the client, None where it cannot.
    task: the task that it has become.
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

    def permits(self, rules: Sequence[Rule]) -> bool:
        """Whether the caller fulfils all rules."""
        return not rules or self.request.permits(rules)


@dataclass(slots=True)
class Result:
    """A result on its way out: the encoded members of the object, without its braces.

    failed: whether it tells that a tool failed. suspended: why the handler ended before there is a
    result (2026-07-28). type: the `resultType` (2026-07-28).
    """

    members: bytes
    meta: Mapping[str, Any] | None = None
    failed: bool = False
    suspended: Suspended | None = None
    type: str = "complete"


class SyncChannel(Protocol):
    """The way from a plain function to the client, while its call runs."""

    def close_stream(self, retry: float) -> None:
        """End the connection, if the client can come back; it waits `retry` seconds."""

    @property
    def closed(self) -> bool:
        """Whether the client is known to have left."""

    def send(self, message: bytes) -> None: ...

    def ask(self, questions: Sequence[Question]) -> None:
        """Put questions and wait until all are answered, or their time is over."""


class AsyncChannel(Protocol):
    """The way from a coroutine function to the client, while its call runs."""

    async def send(self, message: bytes) -> None: ...

    async def keep_alive(self) -> None:
        """Send a comment, which no client sees."""

    async def close_stream(self, retry: float) -> None:
        """End the connection, if the client can come back; it waits `retry` seconds."""

    async def ask(self, questions: Sequence[Question]) -> None:
        """Put questions and wait until all are answered, or their time is over."""


Channel: TypeAlias = SyncChannel | AsyncChannel


class Call:
    """A handler to run, its validated arguments, and how its outcome is encoded.

    The driver decides where it runs: `run` on a thread, `run_async` on an event loop. Either way
    `result` or `error` is set afterwards; neither raises for what the handler does. task: set if
    the call is to become a task. cancelled: whether its client wants no answer any more.

    context: the name of the parameter that gets a context, and its class; request: the name of that
    which gets the host's own request.
    """

    __slots__ = (
        "__weakref__",
        "_context",
        "_encode",
        "_recover",
        "args",
        "cancelled",
        "error",
        "function",
        "incoming",
        "is_async",
        "kwargs",
        "on_cancel",
        "result",
        "task",
    )

    def __init__(
        self,
        incoming: Incoming,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        is_async: bool,
        encode: Callable[[Any, Revision], Result],
        recover: Callable[[Exception], Result] | None = None,
        context: tuple[str, Callable[[Incoming, Any], Any]] | None = None,
        request: str | None = None,
        task: TaskPolicy | None = None,
    ) -> None:
        self.task = task
        self.cancelled = False
        self.on_cancel: Callable[[], None] | None = None
        self.incoming = incoming
        self.function = function
        self.args = args
        self.kwargs = {} if kwargs is None else kwargs
        if request is not None:
            self.kwargs[request] = incoming.request.native()
        self.is_async = is_async
        self.result: Result | None = None
        self.error: ProtocolError | None = None
        self._context = context
        self._encode = encode
        self._recover = recover

    @property
    def wants_context(self) -> bool:
        """Whether the handler may talk to the client before it ends."""
        return self._context is not None

    @property
    def failed(self) -> bool:
        """Whether the handler ran and did not do what was asked."""
        return self.error is not None or (self.result is not None and self.result.failed)

    def bind(self, channel: Channel) -> None:
        """Give the handler its context, which speaks through `channel`."""
        assert self._context is not None
        name, context_class = self._context
        self.kwargs[name] = context_class(self.incoming, channel)

    def surround(self, manager: Callable[[], AbstractContextManager[Any]]) -> None:
        """Let the handler run within a context manager, which is made when it runs."""
        function = self.function

        def run(*args: Any, **kwargs: Any) -> Any:
            with manager():
                return function(*args, **kwargs)

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with manager():
                return await function(*args, **kwargs)

        self.function = run_async if self.is_async else run

    def cancel(self) -> None:
        """Let the call end, for its client wants no answer any more. From any thread.

        on_cancel, set by the driver, does what can be done where the call runs.
        """
        self.cancelled = True
        if self.on_cancel is not None:
            self.on_cancel()

    def run(self) -> None:
        try:
            value = self.function(*self.args, **self.kwargs)
            self.result = self._encode(value, self.incoming.revision)
        except Suspended as suspended:
            self._suspend(suspended)
        except (Exception, SystemExit) as error:
            self.fail(error)

    async def run_async(self) -> None:
        try:
            value = await self.function(*self.args, **self.kwargs)
            self.result = self._encode(value, self.incoming.revision)
        except Suspended as suspended:
            self._suspend(suspended)
        except (Exception, SystemExit) as error:
            self.fail(error)

    def _suspend(self, suspended: Suspended) -> None:
        # The handler runs again from its start: what it has done must not count.
        self.result = Result(b"", failed=True, suspended=suspended)

    def fail(self, error: Exception | SystemExit) -> None:
        """Let the call end with an exception: the handler's, or one of what stands around it."""
        self.result = None
        if isinstance(error, ProtocolError):
            self.error = error
            return
        if self._recover is not None and isinstance(error, Exception):
            try:
                self.result = self._recover(error)
                return
            except Exception as unexpected:
                error = unexpected
        logger.error("%s failed", self.incoming.method, exc_info=error)
        self.error = ProtocolError(INTERNAL_ERROR, "The server failed to answer this request")


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the protocol that a feature answers, in every revision.

    name_member: the member of params that the Mcp-Name header mirrors (2026-07-28). streams:
    whether there is no other answer than an event stream.
    """

    answer: Callable[[Incoming], Result | Call]
    name_member: str | None = None
    streams: bool = False


class Catalogue(Protocol):
    """What a server offers, as the core needs to know it."""

    @property
    def version(self) -> int:
        """Another number after each change."""

    @property
    def methods(self) -> Mapping[str, Method]:
        """The methods answered now, by name."""

    def capabilities(self) -> Mapping[str, Any]:
        """The server capabilities to declare for them."""

    def hides(self, uri: str, incoming: Incoming) -> bool:
        """Whether there is a resource at `uri` that the caller may not use."""
