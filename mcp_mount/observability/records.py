"""What is told of calls: a log record for each, and to an audit before and after."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Flow, Run, proceed
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.features.model_calls import ModelCall
from mcp_mount.llm.models import ReaderLeft
from mcp_mount.schemas.functions import DefinitionError, is_coroutine_function
from mcp_mount.schemas.names import naming_options
from mcp_mount.wire.errors import Exited, ProtocolError, ToolError, contained_async
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount.calls")

REDACTED: Final = "***"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, or one request that was answered without a handler.

    Attributes:
        method: The method of the protocol, such as "tools/call".
        name: The name of the tool or prompt, or the URI of the resource.
        caller: The id of the user.
        client: The name that the client claims.
        address: The address of the client.
        revision: The revision of the protocol.
        arguments: The arguments, without those that are declared secret.
        outcome: "ok", "tool_error" (the tool reported a failure), "suspended" (the client was asked
            something first), "cancelled" or "error".
        error: The class of the error, or its JSON-RPC code.
        seconds: How long it took.
        size: The size of the encoded result, in bytes.
        path: The tools that called this one, the outermost first.
        input_tokens: Tokens that a model has read, if it tells that; None of other calls.
        output_tokens: Tokens that it has written.
        cost: What its answer, or its picture, has cost in US dollars, if its price is known.
    """

    method: str
    name: str
    caller: str | None
    client: str
    address: str | None
    revision: str
    arguments: Mapping[str, Any]
    outcome: str
    error: str | None
    seconds: float
    size: int
    path: Sequence[str] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended.

    Attributes:
        kind: As `CallRecord.outcome`.
        error: The class of the error, or the code of a JSON-RPC error.
    """

    kind: str
    error: str | None = None

    @classmethod
    def of(cls, result: Result) -> CallOutcome:
        if result.suspended is not None:
            return cls("suspended")
        return cls("tool_error", "tool_error") if result.failed else cls("ok")

    @classmethod
    def of_error(cls, error: BaseException) -> CallOutcome:
        if isinstance(error, ProtocolError):
            return cls("error", str(error.kind.code))
        if isinstance(error, ToolError):
            return cls("tool_error", "tool_error")
        if isinstance(error, Exited):
            return cls("error", type(error.__cause__).__qualname__)
        if isinstance(error, Exception) and not isinstance(error, ReaderLeft):
            return cls("error", type(error).__qualname__)
        return cls("cancelled", "cancelled")


class Redaction:
    """Leaves secrets out of arguments.

    Args:
        names: The arguments to leave out; "card.number" for a member of one, and of each one in a
            list.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._paths = [name.split(".") for name in names]

    def __call__(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        for path in self._paths:
            arguments = _without(arguments, path)
        return arguments


def _without(value: Any, path: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_without(one, path) for one in value]
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    inner = REDACTED if len(path) == 1 else _without(value[path[0]], path[1:])
    return {**value, path[0]: inner}


def secrets_of(schema: Mapping[str, Any]) -> list[str]:
    """The arguments that a JSON Schema marks as secret: `writeOnly`, or the format "password"."""
    return [
        name
        for name, one in schema.get("properties", {}).items()
        if isinstance(one, Mapping)
        and (one.get("writeOnly") is True or one.get("format") == "password")
    ]


class Recording:
    """Makes a record of each call, and hands it on."""

    def __init__(self, tell: Callable[[CallRecord], None], redact: Redaction) -> None:
        self._tell = tell
        self._redact = redact

    def flow(self, call: Call) -> Flow[Result]:
        started = time.perf_counter()
        try:
            result = yield from proceed()
        except BaseException as error:
            outcome = CallOutcome.of_error(call.recognised(error))
            self._tell(record_of(call, started, self._redact, outcome))
            raise
        self._tell(record_of(call, started, self._redact, CallOutcome.of(result), result))
        return result


def record_of(
    call: Call,
    started: float,
    redact: Redaction,
    outcome: CallOutcome,
    result: Result | None = None,
) -> CallRecord:
    """The record of a call that began at `started` (of `time.perf_counter`)."""
    record = _record(call.incoming, redact(call.arguments), started, outcome, result)
    if not isinstance(call, ModelCall):
        return record
    usage, cost = call.used()
    if usage is not None:
        record = replace(record, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    return record if cost is None else replace(record, cost=cost)


def record_of_request(
    incoming: IncomingRequest, started: float, result: Result | None, error: ProtocolError | None
) -> CallRecord:
    """The record of a request that no handler was asked for: a list, or a refusal."""
    if error is not None:
        return _record(incoming, {}, started, CallOutcome.of_error(error), None)
    assert result is not None, "it is one or the other"
    return _record(incoming, {}, started, CallOutcome.of(result), result)


def _record(
    incoming: IncomingRequest,
    arguments: Mapping[str, Any],
    started: float,
    outcome: CallOutcome,
    result: Result | None,
) -> CallRecord:
    params = incoming.params
    return CallRecord(
        method=incoming.method,
        name=str(params.get("name") or params.get("uri") or ""),
        caller=incoming.request.caller(),
        client=str(incoming.client.info.get("name", "")),
        address=incoming.request.address,
        revision=incoming.revision.name,
        arguments=arguments,
        outcome=outcome.kind,
        error=outcome.error,
        seconds=time.perf_counter() - started,
        size=0 if result is None else len(result.members),
        path=incoming.path,
    )


def log(record: CallRecord) -> None:
    """Log a record. Structured formatters find it as `mcp`, a dict."""
    level = logging.WARNING if record.outcome == "error" else logging.INFO
    if not logger.isEnabledFor(level):
        return
    logger.log(
        level,
        "%s %s by %s: %s in %.1f ms",
        record.method,
        record.name or "-",
        record.caller or "-",
        record.outcome if record.error is None else f"{record.outcome} ({record.error})",
        record.seconds * 1000,
        extra={"mcp": asdict(record)},
    )


class Audit:
    """An audit, which is told before and after each call. Both functions may be coroutine
    functions.

    Args:
        before: Gets the call; it refuses the call by raising ToolError.
        after: Gets the `CallRecord`, however the call ended, also if it was refused.
    """

    @naming_options
    def __init__(
        self,
        *,
        before: Callable[[Call], Any] | None = None,
        after: Callable[[CallRecord], Any] | None = None,
    ) -> None:
        for hook in (before, after):
            if hook is not None and not callable(hook):
                raise DefinitionError(f"an audit has functions before and after, not {hook!r}")
        self.before = before
        self.after = after


class Audited:
    """An audit around calls."""

    def __init__(self, audit: Audit, redact: Redaction) -> None:
        self._audit = audit
        self._redact = redact

    def flow(self, call: Call) -> Flow[Result]:
        started = time.perf_counter()
        try:
            if self._audit.before is not None:
                yield from _told(self._audit.before, call)
            result = yield from proceed()
        except BaseException as error:
            outcome = CallOutcome.of_error(call.recognised(error))
            yield from self._end(call, started, outcome, None)
            raise
        yield from self._end(call, started, CallOutcome.of(result), result)
        return result

    def _end(
        self, call: Call, started: float, outcome: CallOutcome, result: Result | None
    ) -> Flow[None]:
        if self._audit.after is not None:
            record = record_of(call, started, self._redact, outcome, result)
            try:
                yield from _told(self._audit.after, record)
            except BaseException as error:
                contained_async(error)
                # What was done is done, and its client is told so.
                logger.exception("The audit failed: %s %s is not in it", call.method, call.name)


def _told(hook: Callable[..., Any], argument: Any) -> Flow[None]:
    yield Run(partial(hook, argument), is_coroutine_function(hook))
