"""What a handler may ask for while it runs: progress, log messages, the request, the client."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, overload

from pydantic import BaseModel
from typing_extensions import TypeVar, Unpack

from mcp_mount.calls.channels import AsyncChannel, SyncChannel
from mcp_mount.calls.incoming import LOG_LEVELS, IncomingRequest, Progress
from mcp_mount.calls.questions import InputRequest, PendingInput
from mcp_mount.calls.tasks import TaskRequired
from mcp_mount.context import completions, operations
from mcp_mount.context.completions import CompleteOptions, Question
from mcp_mount.context.elicitation import (
    Elicited,
    SamplingOptions,
    elicitation,
    roots,
    sampling,
    url_elicitation,
)
from mcp_mount.context.nested import ResourceContent, contents_of, messages_of
from mcp_mount.context.operations import perform, perform_async
from mcp_mount.context.porting import RequestContext, SDKSession, missing
from mcp_mount.elsewhere import OF_CONTEXTS
from mcp_mount.llm.answers import ChatCompletion
from mcp_mount.wire.credentials import ShownHeaders
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import OutOfTime
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

    _is_async: bool
    """Whether the handler is a coroutine."""

    def __init__(self, incoming: IncomingRequest, channel: Any) -> None:
        self._incoming = incoming
        self._channel = channel
        self._asked = 0
        self._called = 0

    @property
    def request_id(self) -> MessageId:
        """The JSON-RPC id of the request."""
        return self._incoming.id

    @property
    def request(self) -> Any:
        """The host framework's own request: Django's, Flask's, Starlette's."""
        return self._incoming.request.host_request()

    @property
    def lifespan(self) -> L:
        """What the `lifespan=` of the server yielded.

        `ctx: Context[Resources]` tells type checkers its type.

        Raises:
            RuntimeError: If the server has no lifespan of its own, or it is not running.
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
    def session(self) -> SDKSession:
        """Has no members: an error names what each member of the official SDK's session is here."""
        return SDKSession()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise missing(self, name, OF_CONTEXTS, "ctx")

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers, by their names in lower case.

        Credentials are shown only if you ask for them by name.
        """
        return ShownHeaders(self._incoming.request.headers)

    @property
    def protocol_version(self) -> str:
        """The revision in use, such as "2026-07-28"."""
        return self._incoming.revision.name

    @property
    def client_info(self) -> Mapping[str, Any]:
        """The name and version that the client claims; not verified."""
        return self._incoming.client.info

    @property
    def client_capabilities(self) -> Mapping[str, Any]:
        """The capabilities that the client declares."""
        return self._incoming.client.capabilities

    @property
    def shows_pages(self) -> bool:
        """Whether the client shows pages (MCP Apps), so that a result needs fewer words."""
        return shows_pages(self._incoming.client.capabilities)

    @property
    def meta(self) -> Mapping[str, Any]:
        """The `_meta` of the request."""
        return self._incoming.meta

    @property
    def caller(self) -> str | None:
        """The id of the calling user, as the host or the access token knows them."""
        return self._incoming.request.caller()

    @property
    def access_token(self) -> AccessToken | None:
        """The caller's access token, if this server has verified one."""
        return self._incoming.request.token

    @property
    def seconds_left(self) -> float | None:
        """How much of its `timeout=` the call still has, in seconds; None without a timeout."""
        deadline = self._incoming.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    @property
    def task_id(self) -> str | None:
        """The id of the task that runs this call; None if the call is not a task."""
        task = self._incoming.task
        return None if task is None else task.id

    def start_task(self) -> None:
        """Continue this call as a task: the client gets the task's id now, and the result later.

        The handler runs again from its start, in the background, with the answers that the client
        has given. This does nothing in a task, or if the client does not support tasks.
        """
        incoming = self._incoming
        if (
            incoming.task is None
            and incoming.revision.stateless
            and incoming.client.declares(TASKS)
        ):
            raise TaskRequired

    def _question_key(self, key: str | None, kind: str) -> str:
        """The key of a question: stable from one run of the handler to the next."""
        self._asked += 1
        return self._incoming.prefix + (key or f"{kind}-{self._asked}")

    def _next_call(self) -> int:
        """The number of the next handler that is called."""
        self._called += 1
        return self._called

    def _before_questions(self, questions: Sequence[PendingInput]) -> None:
        """Called before questions are put to the client."""

    def _after_questions(self) -> None:
        """Called when they are answered, or their time is over."""

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


class Context(_BaseContext[L]):
    """The context of an `async def` handler: ask for it with a parameter `ctx: Context`.

    What it sends reaches the client at once if the client accepts an event stream; the reply then
    becomes one. A message that the client did not ask for is dropped.
    """

    _is_async = True
    _channel: AsyncChannel

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Report the progress of the call (2026-07-28, basic/utilities/progress).

        Nothing is sent to a client that did not ask for it. In a task it becomes the status
        message.

        Args:
            progress: Grows from one report to the next; reports that do not grow are dropped.
            total: The final value of `progress`, if it is known.
            message: What is being done, for people.
        """
        await self._send(self._progress(progress, total, message))
        if self._incoming.listener is not None:
            await self._incoming.listener.hear(progress, total, message)

    async def log(self, level: str, data: Any, *, logger_name: str | None = None) -> None:
        """Send a log message to the client (2026-07-28, server/utilities/logging).

        It is sent if the client asked for messages of this level.

        Args:
            level: "debug", "info", "notice", "warning", "error", "critical", "alert" or
                "emergency".
            data: The message: text, or anything that has a JSON form.
            logger_name: The name of the logger.

        Raises:
            ValueError: If the protocol has no such level.
        """
        await self._send(self._log(level, data, logger_name))

    async def debug(self, data: Any) -> None:
        """Send a log message of the level "debug".

        Args:
            data: The message: text, or anything that has a JSON form.
        """
        await self._send(self._log("debug", data, None))

    async def info(self, data: Any) -> None:
        """Send a log message of the level "info".

        Args:
            data: The message: text, or anything that has a JSON form.
        """
        await self._send(self._log("info", data, None))

    async def warning(self, data: Any) -> None:
        """Send a log message of the level "warning".

        Args:
            data: The message: text, or anything that has a JSON form.
        """
        await self._send(self._log("warning", data, None))

    async def error(self, data: Any) -> None:
        """Send a log message of the level "error".

        Args:
            data: The message: text, or anything that has a JSON form.
        """
        await self._send(self._log("error", data, None))

    async def close_stream(self, *, retry: float = 1.0) -> None:
        """Close the connection of a long call; the client comes back for the rest.

        Clients of the session revisions resume the stream (2025-11-25, basic/transports,
        "Resumability and Redelivery"). For clients of 2026-07-28, for which a task does that,
        nothing happens.

        Args:
            retry: After how many seconds the client should come back.
        """
        await self._channel.close_stream(retry)

    async def elicit(self, message: str, schema: type[T], *, key: str | None = None) -> Elicited[T]:
        """Ask the user to fill in a form (2026-07-28, client/elicitation).

        For clients of 2026-07-28 the call ends here. When the answer has come, the handler runs
        again from its start: what it does above a question, it does again.

        Args:
            message: What the user is asked.
            schema: The form: a flat pydantic model of texts, numbers, booleans and choices.
            key: The name of the question on the wire; by default its number.

        Returns:
            The answer, which is true only if the user accepted.

        Raises:
            ClientError: If the client cannot ask the user, or does not answer properly, or in time.
            TypeError: If the model has fields that a form cannot have.
        """
        operation = operations.ask_one(self, key, "elicitation", elicitation(message, schema))
        return await perform_async(operation)

    async def elicit_url(self, message: str, url: str, *, key: str | None = None) -> Elicited[Any]:
        """Ask the user to visit a page: a payment or a login, which no client may see.

        Args:
            message: Why the user should visit it.
            url: The page.
            key: The name of the question on the wire; by default its number.

        Returns:
            The answer: "accept" means that the user agreed to open the page.

        Raises:
            ClientError: As `elicit`.
        """
        operation = operations.ask_one(self, key, "elicitation", url_elicitation(message, url))
        return await perform_async(operation)

    async def sample(
        self,
        messages: str | Sequence[Any],
        *,
        max_tokens: int = 1024,
        key: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Mapping[str, Any]:
        """Ask the client's model (2026-07-28, client/sampling).

        Args:
            messages: One text of the user, or `mcp_types.SamplingMessage`s, or plain data.
            max_tokens: The most tokens of the answer.
            key: The name of the question on the wire; by default its number.
            options: Further parameters, such as `system` and `tools`.

        Returns:
            The `CreateMessageResult`, as plain data.

        Raises:
            ClientError: As `elicit`.
            TypeError: If there is no such option.
        """
        input_request = sampling(messages, max_tokens=max_tokens, **options)
        return await perform_async(operations.ask_one(self, key, "sampling", input_request))

    async def list_roots(self, *, key: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Ask the client for its roots (2026-07-28, client/roots).

        Args:
            key: The name of the question on the wire; by default its number.

        Returns:
            The roots, as plain data.

        Raises:
            ClientError: As `elicit`.
        """
        return await perform_async(operations.ask_one(self, key, "roots", roots()))

    async def ask(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
        """Put several questions to the client at once.

        Args:
            input_requests: Made by `elicitation`, `url_elicitation`, `sampling` and `roots`, by
                keys of your own.

        Returns:
            The answers, by their keys.

        Raises:
            ClientError: As `elicit`.
        """
        return await perform_async(operations.ask(self, input_requests))

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
        """Call another tool of the server, for the same caller.

        Its rules and policies hold; its arguments and its result are validated. The client sees its
        progress, as long as this handler reports none itself. A tool that would become a task runs
        to its end.

        Args:
            tool: Its name, or its function.
            arguments: By their names.
            returns: The type of the value; by default the return annotation of the function.
                `CallToolResult` gives the whole result.

        Returns:
            The value. Without a type: data as in JSON, text, or content blocks, which a handler may
            return in turn.

        Raises:
            ToolError: If the tool failed, if the caller may not use it, or if tools call one
                another in a circle.
        """
        return await perform_async(operations.call_tool(self, tool, arguments, returns))

    @overload
    async def complete(
        self, question: Question, *, returns: type[R], **options: Unpack[CompleteOptions]
    ) -> R: ...
    @overload
    async def complete(
        self, question: Question, **options: Unpack[CompleteOptions]
    ) -> ChatCompletion: ...
    async def complete(
        self, question: Question, *, returns: Any = None, **options: Unpack[CompleteOptions]
    ) -> Any:
        """Ask a chat model of the server, for the same caller.

        Its rules, policies and budgets hold.

        Args:
            question: A text, which the user says; a list of messages, in OpenAI's form; or a
                `ChatRequest`.
            returns: The type of the value that is wanted: the model is asked for JSON of its
                schema. `str` gives the text.
            options: How the model is to answer, and which one.

        Returns:
            The value; without a type, the whole answer.

        Raises:
            ModelError: If there is no answer: its `status` says why, as over HTTP. Also if the
                answer is not of the type that is wanted.
        """
        request = completions.request_of(question, returns, options)
        answer = await perform_async(operations.complete(self, request))
        return completions.value_in(answer, returns)

    async def read_resource(self, uri: str) -> list[ResourceContent]:
        """Read a resource of the server, for the same caller.

        Args:
            uri: Its URI.

        Raises:
            ToolError: As `call_tool`.
        """
        return contents_of(
            await perform_async(operations.call(self, "resources/read", uri, {"uri": uri}))
        )

    async def get_prompt(
        self, name: str, arguments: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Get a prompt of the server, for the same caller.

        Args:
            name: Its name.
            arguments: By their names.

        Returns:
            Its messages, as `PromptMessage` has them in JSON.

        Raises:
            ToolError: As `call_tool`.
        """
        params = {"name": name, "arguments": dict(arguments or {})}
        return messages_of(await perform_async(operations.call(self, "prompts/get", name, params)))

    async def _send(self, message: bytes | None) -> None:
        if message is not None:
            await self._channel.send(message)


class SyncContext(_BaseContext[L]):
    """The context of a `def` handler: ask for it with a parameter `ctx: SyncContext`.

    Its methods are those of `Context`, as plain calls.
    """

    _is_async = False
    _channel: SyncChannel

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more: the client has left, or the time is over.

        Python cannot stop a thread, so check this in long loops. Under WSGI the server finds out
        that a client has left when it next writes.
        """
        return self._channel.closed or self._is_late

    def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Report the progress of the call: see `Context.report_progress`.

        Args:
            progress: Grows from one report to the next; reports that do not grow are dropped.
            total: The final value of `progress`, if it is known.
            message: What is being done, for people.
        """
        self._send(self._progress(progress, total, message))
        if self._incoming.listener is not None:
            self._incoming.listener.hear_from_thread(progress, total, message)

    def log(self, level: str, data: Any, *, logger_name: str | None = None) -> None:
        """Send a log message to the client: see `Context.log`.

        Args:
            level: "debug", "info", "notice", "warning", "error", "critical", "alert" or
                "emergency".
            data: The message: text, or anything that has a JSON form.
            logger_name: The name of the logger.

        Raises:
            ValueError: If the protocol has no such level.
        """
        self._send(self._log(level, data, logger_name))

    def debug(self, data: Any) -> None:
        """Send a log message of the level "debug".

        Args:
            data: The message: text, or anything that has a JSON form.
        """
        self._send(self._log("debug", data, None))

    def info(self, data: Any) -> None:
        """Send a log message of the level "info".

        Args:
            data: The message: text, or anything that has a JSON form.
        """
        self._send(self._log("info", data, None))

    def warning(self, data: Any) -> None:
        """Send a log message of the level "warning".

        Args:
            data: The message: text, or anything that has a JSON form.
        """
        self._send(self._log("warning", data, None))

    def error(self, data: Any) -> None:
        """Send a log message of the level "error".

        Args:
            data: The message: text, or anything that has a JSON form.
        """
        self._send(self._log("error", data, None))

    def close_stream(self, *, retry: float = 1.0) -> None:
        """Close the connection of a long call: see `Context.close_stream`.

        Args:
            retry: After how many seconds the client should come back.
        """
        self._channel.close_stream(retry)

    def elicit(self, message: str, schema: type[T], *, key: str | None = None) -> Elicited[T]:
        """Ask the user to fill in a form: see `Context.elicit`.

        In the session revisions the answer is another HTTP request: under WSGI, the web server
        needs more than one thread.

        Args:
            message: What the user is asked.
            schema: The form: a flat pydantic model of texts, numbers, booleans and choices.
            key: The name of the question on the wire; by default its number.

        Returns:
            The answer, which is true only if the user accepted.

        Raises:
            ClientError: If the client cannot ask the user, or does not answer properly, or in time.
            TypeError: If the model has fields that a form cannot have.
        """
        operation = operations.ask_one(self, key, "elicitation", elicitation(message, schema))
        return perform(operation)

    def elicit_url(self, message: str, url: str, *, key: str | None = None) -> Elicited[Any]:
        """Ask the user to visit a page: see `Context.elicit_url`.

        Args:
            message: Why the user should visit it.
            url: The page.
            key: The name of the question on the wire; by default its number.

        Returns:
            The answer: "accept" means that the user agreed to open the page.

        Raises:
            ClientError: As `elicit`.
        """
        operation = operations.ask_one(self, key, "elicitation", url_elicitation(message, url))
        return perform(operation)

    def sample(
        self,
        messages: str | Sequence[Any],
        *,
        max_tokens: int = 1024,
        key: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Mapping[str, Any]:
        """Ask the client's model: see `Context.sample`.

        Args:
            messages: One text of the user, or `mcp_types.SamplingMessage`s, or plain data.
            max_tokens: The most tokens of the answer.
            key: The name of the question on the wire; by default its number.
            options: Further parameters, such as `system` and `tools`.

        Returns:
            The `CreateMessageResult`, as plain data.

        Raises:
            ClientError: As `elicit`.
            TypeError: If there is no such option.
        """
        input_request = sampling(messages, max_tokens=max_tokens, **options)
        return perform(operations.ask_one(self, key, "sampling", input_request))

    def list_roots(self, *, key: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Ask the client for its roots: see `Context.list_roots`.

        Args:
            key: The name of the question on the wire; by default its number.

        Returns:
            The roots, as plain data.

        Raises:
            ClientError: As `elicit`.
        """
        return perform(operations.ask_one(self, key, "roots", roots()))

    def ask(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
        """Put several questions to the client at once: see `Context.ask`.

        Args:
            input_requests: Made by `elicitation`, `url_elicitation`, `sampling` and `roots`, by
                keys of your own.

        Returns:
            The answers, by their keys.

        Raises:
            ClientError: As `elicit`.
        """
        return perform(operations.ask(self, input_requests))

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
        """Call another tool of the server: see `Context.call_tool`.

        Args:
            tool: Its name, or its function.
            arguments: By their names.
            returns: The type of the value; by default the return annotation of the function.
                `CallToolResult` gives the whole result.

        Returns:
            The value. Without a type: data as in JSON, text, or content blocks, which a handler may
            return in turn.

        Raises:
            ToolError: If the tool failed, if the caller may not use it, or if tools call one
                another in a circle.
        """
        return perform(operations.call_tool(self, tool, arguments, returns))

    @overload
    def complete(
        self, question: Question, *, returns: type[R], **options: Unpack[CompleteOptions]
    ) -> R: ...
    @overload
    def complete(
        self, question: Question, **options: Unpack[CompleteOptions]
    ) -> ChatCompletion: ...
    def complete(
        self, question: Question, *, returns: Any = None, **options: Unpack[CompleteOptions]
    ) -> Any:
        """Ask a chat model of the server: see `Context.complete`.

        Args:
            question: A text, which the user says; a list of messages, in OpenAI's form; or a
                `ChatRequest`.
            returns: The type of the value that is wanted: the model is asked for JSON of its
                schema. `str` gives the text.
            options: How the model is to answer, and which one.

        Returns:
            The value; without a type, the whole answer.

        Raises:
            ModelError: If there is no answer: its `status` says why, as over HTTP. Also if the
                answer is not of the type that is wanted.
        """
        request = completions.request_of(question, returns, options)
        return completions.value_in(perform(operations.complete(self, request)), returns)

    def read_resource(self, uri: str) -> list[ResourceContent]:
        """Read a resource of the server: see `Context.read_resource`.

        Args:
            uri: Its URI.

        Raises:
            ToolError: As `call_tool`.
        """
        return contents_of(perform(operations.call(self, "resources/read", uri, {"uri": uri})))

    def get_prompt(
        self, name: str, arguments: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Get a prompt of the server: see `Context.get_prompt`.

        Args:
            name: Its name.
            arguments: By their names.

        Returns:
            Its messages, as `PromptMessage` has them in JSON.

        Raises:
            ToolError: As `call_tool`.
        """
        params = {"name": name, "arguments": dict(arguments or {})}
        return messages_of(perform(operations.call(self, "prompts/get", name, params)))

    def _before_questions(self, questions: Sequence[PendingInput]) -> None:
        """Let no question outlast the time of the call: nothing interrupts a plain function."""
        left = self.seconds_left
        if left is not None:
            for question in questions:
                question.timeout = min(question.timeout, left)

    def _after_questions(self) -> None:
        """Raise OutOfTime if the call is late: there is no client any more who could answer."""
        if self._is_late:
            raise OutOfTime

    @property
    def _is_late(self) -> bool:
        deadline = self._incoming.deadline
        return deadline is not None and time.monotonic() > deadline

    def _send(self, message: bytes | None) -> None:
        # After its time the client has been answered, or will be: nobody hears this.
        if message is not None and not self._is_late:
            self._channel.send(message)
