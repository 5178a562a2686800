"""The call of the handler that answers a request, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from copy import copy
from functools import partial
from inspect import isawaitable
from types import CoroutineType, TracebackType
from typing import Any, Protocol, TypeAlias

from mcp_mount.calls.activity import RunTracker
from mcp_mount.calls.flows import Flow
from mcp_mount.calls.groups import CallGroup
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.questions import Suspended
from mcp_mount.calls.results import Result, suspension
from mcp_mount.calls.tasks import TaskPolicy
from mcp_mount.wire.credentials import ShownHeaders
from mcp_mount.wire.encoding import NotFinite
from mcp_mount.wire.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallRejected,
    OutOfTime,
    ProtocolError,
    ResourceError,
    ToolError,
    contained,
    contained_async,
)
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.revisions import Revision
from mcp_mount.wire.tokens import AccessToken

logger = own_logger("mcp_mount")


Validate: TypeAlias = Callable[[Mapping[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
"""Gives the positional and keyword arguments of a function, or raises for what does not fit."""


class Checks(Protocol):
    """What is asked of the arguments of a handler before it runs; it raises for what it refuses."""

    def run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None: ...

    async def run_async(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None: ...


class Policy(Protocol):
    """What wraps the runs of a handler."""

    def flow(self, call: Call) -> Flow[Result]:
        """The flow of one call.

        Args:
            call: The call.
        """


class Encoded:
    """In place of a value of a handler: its result, for what may be encoded once only.

    Args:
        result: The result.
    """

    __slots__ = ("result",)

    def __init__(self, result: Result) -> None:
        self.result = result


def _encoded_once(
    encode: Callable[[Any, Revision], Result], value: Any, revision: Revision
) -> Result:
    return value.result if type(value) is Encoded else encode(value, revision)


class Call:
    """A handler to run, its arguments, the policies that wrap it, and how its outcome is encoded.

    A driver runs it: `run` on a thread, `run_async` on an event loop, within its policies. Neither
    raises what the handler raises; `finish` gives the outcome.

    Attributes:
        method: The method of the protocol, such as "tools/call".
        name: The name of the tool or prompt, or the URI of the resource.
        arguments: By their names, as the client sent them. Call middleware may replace them.
        caller: The id of the user.
        token: The access token of the caller.
        request: The host's own request.
        headers: The HTTP headers.
        meta: The `_meta` of the request.
        state: A dict in which call middleware keeps data.
        task: Set if the call is to become a task.
        group: The calls that answer the same request together; None for one alone.
        cancelled: Whether the client wants no answer any more.
        limit: Runs a plain function within its time limit.
        accept: Raises for a result that must not be sent.
        tracker: Tracks whether the handler is running; None without policies.
    """

    __slots__ = (
        "__weakref__",
        "_checks",
        "_context",
        "_encode",
        "_error",
        "_is_checked",
        "_is_prepared",
        "_managers",
        "_raised",
        "_recognise",
        "_recover",
        "_state",
        "_validate",
        "accept",
        "args",
        "arguments",
        "cancelled",
        "failure",
        "function",
        "group",
        "incoming",
        "is_async",
        "kwargs",
        "limit",
        "on_cancel",
        "policies",
        "result",
        "task",
        "tracker",
    )

    delegates = False
    """Whether it only asks other models, which count as this call."""

    def __init__(
        self,
        incoming: IncomingRequest,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        is_async: bool,
        encode: Callable[[Any, Revision], Result],
        recover: Callable[[Call, Exception], Result] | None = None,
        recognise: Callable[[Exception], Exception] | None = None,
        context: tuple[str, Callable[[IncomingRequest, Any], Any]] | None = None,
        request: str | None = None,
        task: TaskPolicy | None = None,
        policies: Sequence[Policy] = (),
        arguments: Mapping[str, Any] | None = None,
        validate: Validate | None = None,
        checks: Checks | None = None,
    ) -> None:
        """Prepare a call.

        Args:
            incoming: The request.
            function: The handler.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            is_async: Whether it is a coroutine function.
            encode: Makes a result of its value.
            recover: Makes a result of its exception.
            recognise: Turns an exception by which the handler reports something into one of ours.
            context: The name of the parameter that gets a context, and what makes the context.
            request: The name of the parameter that gets the host's own request.
            task: When the call becomes a task.
            policies: Wrap the handler, the outermost first.
            arguments: As the client sent them.
            validate: Makes `args` and `kwargs` of them just before the handler runs, so that
                policies see invalid arguments as well.
            checks: Checks of the arguments.
        """
        self.task = task
        self.policies = policies
        self.arguments: Mapping[str, Any] = {} if arguments is None else arguments
        self.failure: Exception | None = None
        self.group: CallGroup | None = None
        self.tracker = RunTracker() if policies else None
        self.accept: Callable[[Result], None] | None = None
        self.limit: Callable[[Callable[[], Any]], Any] | None = None
        self._validate = validate
        self._checks = checks
        self._is_prepared = self._is_checked = False
        self._managers: list[Callable[[], AbstractContextManager[Any]]] = []
        self._error: ProtocolError | None = None
        self._raised: tuple[BaseException | None, TracebackType | None] = (None, None)
        self._state: dict[Any, Any] | None = None
        self.cancelled = False
        self.on_cancel: Callable[[], None] | None = None
        self.incoming = incoming
        self.function = function
        self.args = args
        self.kwargs = {} if kwargs is None else kwargs
        if request is not None:
            self.kwargs[request] = incoming.request.host_request()
        self.is_async = is_async
        self.result: Result | None = None
        self._context = context
        self._encode = encode
        self._recover = recover
        self._recognise = recognise

    @property
    def begins_task(self) -> bool:
        """Whether the call becomes a task before its handler runs."""
        return self.task is not None and not self.task.deferred

    @property
    def wants_context(self) -> bool:
        """Whether the handler may talk to the client before it ends."""
        return self._context is not None

    @property
    def method(self) -> str:
        """The method of the protocol, such as "tools/call"."""
        return self.incoming.method

    @property
    def name(self) -> str:
        """The name of the tool or prompt, or the URI of the resource."""
        params = self.incoming.params
        return str(params.get("name") or params.get("uri") or "")

    @property
    def caller(self) -> str | None:
        """The id of the user, as the host or the access token knows them."""
        return self.incoming.request.caller()

    @property
    def token(self) -> AccessToken | None:
        """What the access token says, if this server has verified one."""
        return self.incoming.request.token

    @property
    def request(self) -> Any:
        """The host framework's own request."""
        return self.incoming.request.host_request()

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers, names in lower case; credentials by their names alone."""
        return ShownHeaders(self.incoming.request.headers)

    @property
    def meta(self) -> Mapping[str, Any]:
        """The request's `_meta`."""
        return self.incoming.meta

    @property
    def state(self) -> dict[Any, Any]:
        """What one middleware keeps for another, or for itself, while the call runs."""
        if self._state is None:
            self._state = {}
        return self._state

    def is_counted(self, key: Any) -> bool:
        """Whether a policy counts the call already, as that of the route which makes it.

        A route and the models that it asks often have policies in common, such as those of their
        router: one call at a time would never begin.

        Args:
            key: Names the policy, wherever it holds.
        """
        incoming = self.incoming
        if self.delegates:
            incoming.passing |= {key}
        return key in incoming.passed

    def encode(self, value: Any) -> Result:
        """The result for a value, as if the handler had returned it.

        Args:
            value: The value.

        Raises:
            ValueError: If it does not fit the handler's return type.
        """
        return self._encode(value, self.incoming.revision)

    @property
    def failed(self) -> bool:
        """Whether the handler ran and did not do what was asked, or too late."""
        return (
            self._is_given_up
            or self.failure is not None
            or self._error is not None
            or (self.result is not None and self.result.failed)
        )

    def bind(self, channel: object) -> None:
        """Give the handler its context.

        Args:
            channel: What the context speaks through (calls/channels.py).
        """
        assert self._context is not None
        name, context_class = self._context
        self.kwargs[name] = context_class(self.incoming, channel)

    def standing_in(self, policies: Sequence[Policy]) -> Call:
        """A call for the same request whose policies decide on it, so that no handler runs.

        Args:
            policies: The policies that decide, from the outermost inwards.
        """
        other = copy(self)
        other.policies, other.task, other._context, other._validate = policies, None, None, None
        other.tracker = RunTracker()
        # On whatever thread or loop the driver is.
        other.is_async = False
        return other

    def put_around(self, policy: Policy) -> None:
        """Let the call run within one more policy, the outermost.

        Args:
            policy: The policy.
        """
        self.policies = (policy, *self.policies)
        if self.tracker is None:
            self.tracker = RunTracker()

    def surround(self, manager: Callable[[], AbstractContextManager[Any]]) -> None:
        """Let the handler run within a context manager.

        Args:
            manager: Makes the context manager, when the handler runs.
        """
        self._managers.append(manager)

    def resume(self, function: Callable[[], Any]) -> None:
        """Let the call run what goes on with a handler that has begun already.

        Args:
            function: In place of the handler; it has its arguments. It may return an `Encoded`.
        """
        self.function, self.args, self.kwargs = function, (), {}
        self._encode = partial(_encoded_once, self._encode)

    def cancel(self) -> None:
        """Let the call end, for its client wants no answer any more. From any thread.

        on_cancel, set by the driver, does what can be done where the call runs.
        """
        self.cancelled = True
        if self.on_cancel is not None:
            self.on_cancel()

    @property
    def error(self) -> ProtocolError | None:
        """The error that a finished call is answered with, if it is."""
        return self._error

    def prepare(self) -> None:
        """Validate the arguments, if that is still to be done. Raises what the validator raises."""
        if self._validate is not None and not self._is_prepared:
            self.args, kwargs = self._validate(self.arguments)
            self.kwargs = {**self.kwargs, **kwargs}
            self._is_prepared = True

    def forget_arguments(self) -> None:
        """Validate and check the arguments anew when the call runs again."""
        self._is_prepared = self._is_checked = False

    def check(self) -> None:
        """Ask the checks of the arguments, before the handler runs."""
        if self._checks is not None:
            with self._surroundings():
                self._checks.run(self.args, self.kwargs)
        self._is_checked = True

    async def check_async(self) -> None:
        if self._checks is not None:
            with self._surroundings():
                await self._checks.run_async(self.args, self.kwargs)
        self._is_checked = True

    def _surroundings(self) -> AbstractContextManager[Any]:
        stack = ExitStack()
        for manager in self._managers:
            stack.enter_context(manager())
        return stack

    def _handle(self) -> Any:
        if self._managers:
            with self._surroundings():
                return self._checked_handler()
        return self._checked_handler()

    def _checked_handler(self) -> Any:
        if self._checks is not None and not self._is_checked:
            self._checks.run(self.args, self.kwargs)
        return self.function(*self.args, **self.kwargs)

    async def _handle_async(self) -> Any:
        if self._managers:
            with self._surroundings():
                return await self._checked_coroutine()
        return await self._checked_coroutine()

    async def _checked_coroutine(self) -> Any:
        if self._checks is not None and not self._is_checked:
            await self._checks.run_async(self.args, self.kwargs)
        value = self.function(*self.args, **self.kwargs)
        # A decorator of plain code may answer by itself, in place of the coroutine (a redirect).
        return await value if type(value) is CoroutineType or isawaitable(value) else value

    def run(self) -> None:
        if self.tracker is None:
            self._run()
        elif self.tracker.begin():
            try:
                self._run()
            finally:
                self.tracker.end()

    def _run(self) -> None:
        try:
            value = self._handle() if self.limit is None else self.limit(self._handle)
            result = self._encoded(value)
        except Suspended as suspended:
            result = suspension(suspended)
        except BaseException as error:
            self._end(contained(error))
            return
        self._end(result)

    async def run_async(self) -> None:
        if self.tracker is None:
            await self._run_async()
        elif self.tracker.begin():
            try:
                await self._run_async()
            finally:
                self.tracker.end()

    async def _run_async(self) -> None:
        try:
            result = self._encoded(await self._handle_async())
        except Suspended as suspended:
            result = suspension(suspended)
        except BaseException as error:
            self._end(contained_async(error))
            return
        self._end(result)

    def _encoded(self, value: Any) -> Result:
        hooks = self.incoming.hooks
        if isinstance(value, hooks.responses):
            value = hooks.value_of(value)
        result = self._encode(value, self.incoming.revision)
        if self.accept is not None:
            self.accept(result)
        return result

    def _end(self, outcome: Result | Exception) -> None:
        """Note what the handler did, unless it was given up: the call may have its answer then."""
        if self.tracker is None or self.tracker.settle():
            self.conclude(outcome)

    @property
    def _is_given_up(self) -> bool:
        return self.tracker is not None and self.tracker.given_up

    def settle(self, result: Result) -> None:
        """Let the call end with a result that something around the handler made or passed on.

        Args:
            result: The result.
        """
        self.result, self.failure = result, None

    def fail(self, error: Exception) -> None:
        """Let the run of the handler fail, by what a host does around it, such as a transaction.

        Args:
            error: The exception that the client is told of.
        """
        if not self._is_given_up:
            self.conclude(error)

    def conclude(self, outcome: Result | Exception) -> None:
        """Let the call end with a result, or an exception: that of the handler, or
        of one of its policies.

        Args:
            outcome: The result or the exception.
        """
        if isinstance(outcome, Result):
            self.settle(outcome)
            return
        if outcome is not self._raised[0]:
            self._raised = outcome, outcome.__traceback__
        self.result, self.failure = None, outcome

    def outcome(self) -> Result:
        """The result of a run, for its policies. Raises what the handler raised."""
        if self._is_given_up:
            raise OutOfTime
        if isinstance(self.failure, SystemExit):
            # Raised by a task, it would end the event loop.
            raise RuntimeError("The handler has called sys.exit()") from self.failure
        if self.failure is not None:
            raise self.failure
        assert self.result is not None, "a call was not run"
        return self.result

    def recognised(self, error: BaseException) -> BaseException:
        """An exception as the client is told of it: one of ours, if the host knows it or its kind
        of handler does; else as it is.

        Args:
            error: What was raised.
        """
        if not isinstance(error, Exception):
            return error
        ours = self.incoming.hooks.translated(self, error)
        return ours if self._recognise is None else self._recognise(ours)

    def finish(self) -> Result:
        """The result to send, once the call has ended. The exception of a tool becomes a result.

        Raises:
            ProtocolError: If a handler of another kind has failed.
        """
        failure, self.failure = self.failure, None
        if failure is not None:
            if failure is self._raised[0]:
                # It skips the policies.
                failure.__traceback__ = self._raised[1]
            try:
                self.result = self._recovered(failure)
            except ProtocolError as error:
                self._error = error
        if self._error is not None:
            raise self._error
        if self.result is None:
            logger.error("%s ended without an outcome", self.incoming.method)
            unended = ProtocolError(INTERNAL_ERROR, "The server did not end this request")
            if self.tracker is None or not self.tracker.is_running:
                # A handler that goes on, for a client that has cancelled it, has not failed.
                self._error = unended
            raise unended
        return self.result

    def _recovered(self, failure: BaseException) -> Result:
        failure = self.recognised(failure)
        if isinstance(failure, ProtocolError):
            raise failure
        if self._recover is not None and isinstance(failure, Exception):
            try:
                return self._recover(self, failure)
            except Exception as unexpected:
                failure = unexpected
        if isinstance(failure, CallRejected):
            data = None if failure.retry_after is None else {"retryAfter": failure.retry_after}
            raise ProtocolError(INTERNAL_ERROR, str(failure), data=data, status=failure.status)
        if isinstance(failure, ToolError):
            # What cannot be had by these arguments, in words that say why.
            kind = INTERNAL_ERROR if isinstance(failure, ResourceError) else INVALID_PARAMS
            raise ProtocolError(kind, str(failure) or "The server cannot answer this request")
        self.report(failure)
        if isinstance(failure, NotFinite):
            raise ProtocolError(INTERNAL_ERROR, f"{failure}.")
        raise ProtocolError(INTERNAL_ERROR, "The server failed to answer this request")

    def report(self, failure: BaseException) -> None:
        """Log that the handler, or something around it, has failed, and tell the host.

        Args:
            failure: What was raised.
        """
        kind = "Tool" if self.method == "tools/call" else self.method
        what = f"{kind} {self.name!r}" if self.name else kind
        logger.error("%s failed", what, exc_info=failure)
        self.incoming.hooks.failed(self, failure)


class DelegatingCall(Call):
    """A call of a handler that only asks others, such as a tool that asks a model: what is declared
    around both counts it once."""

    __slots__ = ()

    delegates = True
