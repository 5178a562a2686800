"""What a handler may ask for while it runs: progress, log messages, the request, the client."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, overload

from pydantic import BaseModel
from typing_extensions import TypeVar

from mcp_mount.calls.call import Call
from mcp_mount.calls.channels import AsyncChannel, SyncChannel
from mcp_mount.calls.incoming import LOG_LEVELS, IncomingRequest, Progress
from mcp_mount.calls.questions import InputRequest, PendingQuestions
from mcp_mount.calls.tasks import TaskRequired
from mcp_mount.context.elicitation import Elicited, elicitation, roots, sampling, url_elicitation
from mcp_mount.context.nested import (
    ResourceContent,
    call_of,
    contents_of,
    messages_of,
    named,
    result_of,
    value_of,
    wraps,
)
from mcp_mount.context.porting import RequestContext, Session, missing
from mcp_mount.elsewhere import OF_CONTEXTS
from mcp_mount.wire.credentials import ShownHeaders
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import ClientError, OutOfTime
from mcp_mount.wire.extensions import TASKS, shows_pages
from mcp_mount.wire.messages import MessageId, encode_notification
from mcp_mount.wire.tokens import AccessToken

_RANK: Final = {level: rank for rank, level in enumerate(LOG_LEVELS)}


T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")
L = TypeVar("L", default=Any)
"""What the lifespan of the server yields."""


class _BaseContext(Generic[L]):
    """What both kinds of context know about the call."""

    def __init__(self, incoming: IncomingRequest) -> None:
        self._incoming = incoming
        self._asked = 0
        self._called = 0

    @property
    def request_id(self) -> MessageId:
        """The JSON-RPC id of the request."""
        return self._incoming.id

    @property
    def request(self) -> Any:
        """The host framework's own request: Django's, Flask's, Starlette's."""
        return self._incoming.request.native()

    @property
    def lifespan(self) -> L:
        """What the `lifespan=` of the server has yielded: a dataclass, a mapping, whatever it is.

        `ctx: Context[Resources]` tells type checkers what that is. Raises RuntimeError where the
        server has no lifespan of its own.
        """
        handlers = self._incoming.handlers
        if handlers is None:
            raise RuntimeError("There is no server here, and so no lifespan")
        value: L = handlers.lifespan()
        return value

    @property
    def request_context(self) -> RequestContext:
        """The official SDK's way to the lifespan and the request: `ctx.lifespan`, `ctx.request`."""
        return RequestContext(self)

    @property
    def session(self) -> Session:
        """Nothing to use: an error names what each member of the official SDK's is here."""
        return Session()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise missing(self, name, OF_CONTEXTS, "ctx")

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers, names in lower case; credentials by their names alone."""
        return ShownHeaders(self._incoming.request.headers)

    @property
    def protocol_version(self) -> str:
        """The revision in use, such as "2026-07-28"."""
        return self._incoming.revision.name

    @property
    def client_info(self) -> Mapping[str, Any]:
        """Name and version that the client gave; unverified."""
        return self._incoming.client.info

    @property
    def client_capabilities(self) -> Mapping[str, Any]:
        return self._incoming.client.capabilities

    @property
    def shows_pages(self) -> bool:
        """Whether the client shows pages (MCP Apps), so that a result needs fewer words."""
        return shows_pages(self._incoming.client.capabilities)

    @property
    def meta(self) -> Mapping[str, Any]:
        """The request's `_meta`."""
        return self._incoming.meta

    @property
    def caller(self) -> str | None:
        """The id of the user who calls, as the host or the access token knows them."""
        return self._incoming.request.caller()

    @property
    def access_token(self) -> AccessToken | None:
        """What the caller's access token says, if this server has verified one."""
        return self._incoming.request.token

    @property
    def seconds_left(self) -> float | None:
        """How much of its `timeout=` the call still has; None without one."""
        deadline = self._incoming.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    @property
    def task_id(self) -> str | None:
        """The id of the task that this call has become; None while it is none."""
        task = self._incoming.task
        return None if task is None else task.id

    def start_task(self) -> None:
        """Let the rest of this call be a task: the client gets its id now, the result later.

        The handler runs again from its start, in the background, with the answers that the client
        has given. Does nothing in a task, nor for a client that does not know tasks.
        """
        incoming = self._incoming
        if (
            incoming.task is None
            and incoming.revision.stateless
            and incoming.client.declares(TASKS)
        ):
            raise TaskRequired

    def _progress(self, progress: float, total: float | None, message: str | None) -> bytes | None:
        for number in (progress, total):
            encode(number)  # A task tells it as a text, which could be "nan".
        if self._incoming.task is not None:
            # A task has no stream: who looks at it sees its status message.
            of = "" if total is None else f" of {total:g}"
            self._incoming.task.say(message or f"{progress:g}{of}")
            return None
        token = self._incoming.meta.get("progressToken")
        if not isinstance(token, str | int):
            return None
        if self._incoming.progress is None:
            self._incoming.progress = Progress()
        if not self._incoming.progress.is_next(progress, own=not self._incoming.path):
            return None
        params: dict[str, Any] = {"progressToken": token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        return encode_notification("notifications/progress", params)

    def _log(self, level: str, data: Any, logger_name: str | None) -> bytes | None:
        if level not in _RANK:
            raise ValueError(f"level must be one of {', '.join(LOG_LEVELS)}, not {level!r}")
        least = self._incoming.log_level
        if least is None or _RANK[level] < _RANK[least]:
            return None
        params: dict[str, Any] = {"level": level, "data": data}
        if logger_name is not None:
            params["logger"] = logger_name
        return encode_notification("notifications/message", params)

    def _asking(self, input_requests: Mapping[str, InputRequest[Any]]) -> PendingQuestions:
        if self._incoming.dialogue is None:
            raise ClientError("Over plain HTTP there is no client to ask")
        for input_request in input_requests.values():
            # In 2026-07-28 they are encoded once the handler has ended, too late to fail there.
            encode(input_request.params)
        self._incoming.asked = True
        return PendingQuestions(self._incoming.dialogue, input_requests)

    def _key(self, key: str | None, kind: str) -> str:
        """The key of a question: stable from one run of the handler to the next."""
        self._asked += 1
        return self._incoming.prefix + (key or f"{kind}-{self._asked}")

    def _other(self, method: str, name: str, params: Mapping[str, Any]) -> Call:
        """The call of another handler within this one."""
        self._called += 1
        return call_of(self._incoming, self._called, method, name, params)


class Context(_BaseContext[L]):
    """The context of an `async def` handler: ask for it with a parameter `ctx: Context`.

    What it sends reaches the client at once, if the client takes an event stream; the reply then
    becomes one. A message that the client did not ask for is dropped.
    """

    def __init__(self, incoming: IncomingRequest, channel: AsyncChannel) -> None:
        super().__init__(incoming)
        self._channel = channel

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far the call is; `progress` must grow from one report to the next."""
        await self._send(self._progress(progress, total, message))

    async def log(self, level: str, data: Any, *, logger_name: str | None = None) -> None:
        """Send a log message. Raises ValueError for a level that the protocol does not have."""
        await self._send(self._log(level, data, logger_name))

    async def debug(self, data: Any) -> None:
        await self.log("debug", data)

    async def info(self, data: Any) -> None:
        await self.log("info", data)

    async def warning(self, data: Any) -> None:
        await self.log("warning", data)

    async def error(self, data: Any) -> None:
        await self.log("error", data)

    async def close_stream(self, *, retry: float = 1.0) -> None:
        """Send the client away, to come back for the rest after `retry` seconds.

        For long calls, that their connections need not last: clients of the session revisions
        come back to the stream. In 2026-07-28, where a task does that, nothing happens.
        """
        await self._channel.close_stream(retry)

    async def elicit(self, message: str, schema: type[T], *, key: str | None = None) -> Elicited[T]:
        """Ask the person at the client to fill in `schema`, a flat pydantic model.

        In 2026-07-28 the handler ends here, and runs again from its start when the answer has
        come: what it does above a question, it does again. key: the name of the question on the
        wire, by default its number. Raises ClientError if the client cannot, or does not, answer.
        """
        key = self._key(key, "elicitation")
        answer: Elicited[T] = (await self.ask({key: elicitation(message, schema)}))[key]
        return answer

    async def elicit_url(self, message: str, url: str, *, key: str | None = None) -> Elicited[Any]:
        """Ask the person to visit a page, for what no client may see: a payment, a login.

        "accept" means that they agreed to open it; all else is as with `elicit`.
        """
        key = self._key(key, "elicitation")
        answer: Elicited[Any] = (await self.ask({key: url_elicitation(message, url)}))[key]
        return answer

    async def sample(
        self,
        messages: str | Sequence[Any],
        *,
        max_tokens: int = 1024,
        key: str | None = None,
        **options: Any,
    ) -> Mapping[str, Any]:
        """Ask the client's model: a text, or messages as in `mcp_types.SamplingMessage`.

        options: those of `sampling`, such as `system` and `tools`. Returns the
        `CreateMessageResult`; all else is as with `elicit`.
        """
        key = self._key(key, "sampling")
        input_request = sampling(messages, max_tokens=max_tokens, **options)
        answer: Mapping[str, Any] = (await self.ask({key: input_request}))[key]
        return answer

    async def list_roots(self, *, key: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Ask the client for its roots; all else is as with `elicit`."""
        key = self._key(key, "roots")
        answer: Sequence[Mapping[str, Any]] = (await self.ask({key: roots()}))[key]
        return answer

    async def ask(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
        """Put several questions, made by `elicitation`, `sampling` and the like, at once.

        Returns the answers by their keys; all else is as with `elicit`.
        """
        asking = self._asking(input_requests)
        while asking.unanswered:
            with asking.ask_live() as questions:
                await self._channel.ask(questions)
        return asking.answers

    @overload
    async def call_tool(
        self, tool: Callable[..., Awaitable[R]], arguments: Mapping[str, Any] | None = None
    ) -> R: ...
    @overload
    async def call_tool(
        self, tool: Callable[..., R], arguments: Mapping[str, Any] | None = None
    ) -> R: ...
    @overload
    async def call_tool(
        self, tool: str, arguments: Mapping[str, Any] | None = None, *, returns: type[R]
    ) -> R: ...
    @overload
    async def call_tool(self, tool: str, arguments: Mapping[str, Any] | None = None) -> Any: ...
    async def call_tool(
        self, tool: Any, arguments: Mapping[str, Any] | None = None, *, returns: Any = None
    ) -> Any:
        """Call another tool of the server, by its name or as its function, for the same caller.

        Its rules and policies hold, its arguments and its result are validated. Returns its value,
        of the type `returns`, or of the function's return annotation; without one, data as in JSON,
        text, or content blocks, which a handler may return in turn. `returns=CallToolResult` gives
        the whole result. Its progress is the client's to see, as long as this handler reports none
        itself; a tool that would be a task is run to its end. Raises ToolError if the tool failed,
        if the caller may not use it, and for a circle of tools.
        """
        name, known = named(self._incoming, tool)
        params = {"name": name, "arguments": dict(arguments or {})}
        body = await self._result_of("tools/call", name, params)
        return value_of(body, returns or known, is_wrapped=wraps(self._incoming, name))

    async def read_resource(self, uri: str) -> list[ResourceContent]:
        """Read a resource of the server, for the same caller; all else is as with `call_tool`."""
        return contents_of(await self._result_of("resources/read", uri, {"uri": uri}))

    async def get_prompt(
        self, name: str, arguments: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """The messages of a prompt of the server; all else is as with `call_tool`."""
        params = {"name": name, "arguments": dict(arguments or {})}
        return messages_of(await self._result_of("prompts/get", name, params))

    async def _result_of(self, method: str, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
        make = partial(self._other, method, name, params)
        call = await self._channel.open(make, may_block=self._incoming.request.may_block)
        if call.wants_context:
            call.bind(self._channel if call.is_async else self._channel.other())
        if call.result is None:
            await self._channel.run(call)
        self._incoming.asked |= call.incoming.asked
        return result_of(call)

    async def _send(self, message: bytes | None) -> None:
        if message is not None:
            await self._channel.send(message)


class SyncContext(_BaseContext[L]):
    """The context of a `def` handler: ask for it with a parameter `ctx: SyncContext`.

    Its methods are those of `Context`, as plain calls.
    """

    def __init__(self, incoming: IncomingRequest, channel: SyncChannel) -> None:
        super().__init__(incoming)
        self._channel = channel

    @property
    def cancelled(self) -> bool:
        """Whether the client has left, or the time is over, so that nobody waits for the result.

        A long-running function looks here, for nothing stops it. Under WSGI the server finds out
        that a client has left when it next writes.
        """
        return self._channel.closed or self._is_late

    def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far the call is; `progress` must grow from one report to the next."""
        self._send(self._progress(progress, total, message))

    def log(self, level: str, data: Any, *, logger_name: str | None = None) -> None:
        """Send a log message. Raises ValueError for a level that the protocol does not have."""
        self._send(self._log(level, data, logger_name))

    def debug(self, data: Any) -> None:
        self.log("debug", data)

    def info(self, data: Any) -> None:
        self.log("info", data)

    def warning(self, data: Any) -> None:
        self.log("warning", data)

    def error(self, data: Any) -> None:
        self.log("error", data)

    def close_stream(self, *, retry: float = 1.0) -> None:
        """Send the client away, to come back for the rest after `retry` seconds.

        For long calls, that their connections need not last: clients of the session revisions
        come back to the stream. In 2026-07-28, where a task does that, nothing happens.
        """
        self._channel.close_stream(retry)

    def elicit(self, message: str, schema: type[T], *, key: str | None = None) -> Elicited[T]:
        """Ask the person at the client to fill in `schema`, a flat pydantic model.

        In 2026-07-28 the handler ends here, and runs again from its start when the answer has
        come: what it does above a question, it does again. key: the name of the question on the
        wire, by default its number. Raises ClientError if the client cannot, or does not, answer.
        In the session revisions the answer is another HTTP request: under WSGI, the web server
        needs more than one thread.
        """
        key = self._key(key, "elicitation")
        answer: Elicited[T] = self.ask({key: elicitation(message, schema)})[key]
        return answer

    def elicit_url(self, message: str, url: str, *, key: str | None = None) -> Elicited[Any]:
        """Ask the person to visit a page, for what no client may see: a payment, a login.

        "accept" means that they agreed to open it; all else is as with `elicit`.
        """
        key = self._key(key, "elicitation")
        answer: Elicited[Any] = self.ask({key: url_elicitation(message, url)})[key]
        return answer

    def sample(
        self,
        messages: str | Sequence[Any],
        *,
        max_tokens: int = 1024,
        key: str | None = None,
        **options: Any,
    ) -> Mapping[str, Any]:
        """Ask the client's model: a text, or messages as in `mcp_types.SamplingMessage`.

        options: those of `sampling`, such as `system` and `tools`. Returns the
        `CreateMessageResult`; all else is as with `elicit`.
        """
        key = self._key(key, "sampling")
        input_request = sampling(messages, max_tokens=max_tokens, **options)
        answer: Mapping[str, Any] = self.ask({key: input_request})[key]
        return answer

    def list_roots(self, *, key: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Ask the client for its roots; all else is as with `elicit`."""
        key = self._key(key, "roots")
        answer: Sequence[Mapping[str, Any]] = self.ask({key: roots()})[key]
        return answer

    def ask(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
        """Put several questions, made by `elicitation`, `sampling` and the like, at once.

        Returns the answers by their keys; all else is as with `elicit`.
        """
        asking = self._asking(input_requests)
        while asking.unanswered:
            with asking.ask_live() as questions:
                for question in questions:
                    if self.seconds_left is not None:
                        question.timeout = min(question.timeout, self.seconds_left)
                self._channel.ask(questions)
                if self._is_late:
                    # There is no client any more who could answer.
                    raise OutOfTime
        return asking.answers

    @overload
    def call_tool(
        self, tool: Callable[..., Awaitable[R]], arguments: Mapping[str, Any] | None = None
    ) -> R: ...
    @overload
    def call_tool(
        self, tool: Callable[..., R], arguments: Mapping[str, Any] | None = None
    ) -> R: ...
    @overload
    def call_tool(
        self, tool: str, arguments: Mapping[str, Any] | None = None, *, returns: type[R]
    ) -> R: ...
    @overload
    def call_tool(self, tool: str, arguments: Mapping[str, Any] | None = None) -> Any: ...
    def call_tool(
        self, tool: Any, arguments: Mapping[str, Any] | None = None, *, returns: Any = None
    ) -> Any:
        """Call another tool of the server, by its name or as its function, for the same caller.

        Its rules and policies hold, its arguments and its result are validated. Returns its value,
        of the type `returns`, or of the function's return annotation; without one, data as in JSON,
        text, or content blocks, which a handler may return in turn. `returns=CallToolResult` gives
        the whole result. Its progress is the client's to see, as long as this handler reports none
        itself; a tool that would be a task is run to its end. Raises ToolError if the tool failed,
        if the caller may not use it, and for a circle of tools.
        """
        name, known = named(self._incoming, tool)
        params = {"name": name, "arguments": dict(arguments or {})}
        body = self._result_of("tools/call", name, params)
        return value_of(body, returns or known, is_wrapped=wraps(self._incoming, name))

    def read_resource(self, uri: str) -> list[ResourceContent]:
        """Read a resource of the server, for the same caller; all else is as with `call_tool`."""
        return contents_of(self._result_of("resources/read", uri, {"uri": uri}))

    def get_prompt(
        self, name: str, arguments: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """The messages of a prompt of the server; all else is as with `call_tool`."""
        params = {"name": name, "arguments": dict(arguments or {})}
        return messages_of(self._result_of("prompts/get", name, params))

    def _result_of(self, method: str, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
        call = self._other(method, name, params)
        if call.wants_context:
            call.bind(self._channel.other() if call.is_async else self._channel)
        if call.result is None:
            self._channel.run(call)
        self._incoming.asked |= call.incoming.asked
        return result_of(call)

    @property
    def _is_late(self) -> bool:
        deadline = self._incoming.deadline
        return deadline is not None and time.monotonic() > deadline

    def _send(self, message: bytes | None) -> None:
        # After its time the client has been answered, or will be: nobody hears this.
        if message is not None and not self._is_late:
            self._channel.send(message)
