"""The error table: every JSON-RPC error this server answers with, and its HTTP status."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from greenlet import GreenletExit, getcurrent

from mcp_mount.wire.cancellation import is_being_cancelled


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the table.

    The stateless status is what revision 2026-07-28 prescribes. The session revisions leave a
    request that was understood, but failed, at 200.
    """

    code: int
    title: str
    stateless_status: int
    session_status: int


PARSE_ERROR = ErrorKind(-32700, "Parse error", 400, 400)
INVALID_REQUEST = ErrorKind(-32600, "Invalid request", 400, 400)
METHOD_NOT_FOUND = ErrorKind(-32601, "Method not found", 404, 200)
INVALID_PARAMS = ErrorKind(-32602, "Invalid params", 400, 200)
INTERNAL_ERROR = ErrorKind(-32603, "Internal error", 200, 200)
# The session revisions only; 2026-07-28 has invalid params for it.
RESOURCE_NOT_FOUND = ErrorKind(-32002, "Resource not found", 400, 200)
# 2026-07-28, basic/index, "Error Codes".
HEADER_MISMATCH = ErrorKind(-32020, "Header mismatch", 400, 400)
MISSING_CLIENT_CAPABILITY = ErrorKind(-32021, "Missing required client capability", 400, 200)
UNSUPPORTED_VERSION = ErrorKind(-32022, "Unsupported protocol version", 400, 400)


_KINDS: Final = {
    kind.code: kind
    for kind in (
        PARSE_ERROR,
        INVALID_REQUEST,
        METHOD_NOT_FOUND,
        INVALID_PARAMS,
        INTERNAL_ERROR,
        RESOURCE_NOT_FOUND,
        HEADER_MISMATCH,
        MISSING_CLIENT_CAPABILITY,
        UNSUPPORTED_VERSION,
    )
}


class ToolError(Exception):
    """Raise it in a tool to tell the model what went wrong, in words that it can act on."""


class ResourceError(ToolError):
    """Raise it in a resource to tell the client why it cannot be read, in these words.

    In a tool or a prompt it is as any ToolError.
    """


class ResourceNotFoundError(ResourceError):
    """Raise it in a resource that does not exist: a template stands for more than there is.

    The client gets the error that its revision of the specification has for this, with these words.
    """


class ClientError(ToolError):
    """A client that could not, or would not, answer a question of a handler."""


class CallRejected(ToolError):
    """A call that a policy, or the host, does not let through.

    Raise it in call middleware: `raise CallRejected("Busy", status=429, retry_after=5)`. MCP
    clients get a tool result with `isError` and the message, which the model reads.

    Args:
        message: What happened and what the caller can do, in words for the model.
        status: The HTTP status where the tool is called as plain HTTP: 403, 413, 429, 503, 504, ….
        retry_after: After how many seconds the call may succeed; the header `Retry-After`.
    """

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class OutOfTime(Exception):
    """A handler that has not ended in the time that it has."""


class EndsRun(BaseException):
    """Ends a run of a handler from outside of it.

    It is no Exception, so that a handler's own `except Exception` lets it pass.
    """


class Exited(Exception):
    """A handler has raised what is meant to end more than a call: SystemExit, for example, by a
    library that was made for the command line."""


def contained(error: BaseException) -> Exception:
    """What user code has raised, as an exception that ends nothing but its call.

    Args:
        error: What was caught around user code.

    Returns:
        An Exception as it is, any other one as the cause of an `Exited`.

    Raises:
        BaseException: What was not the code's own: a `EndsRun`, the end of a greenlet, Ctrl-C.
    """
    if isinstance(error, Exception):
        return error
    if isinstance(error, EndsRun) or _is_from_terminal(error):
        raise error
    if isinstance(error, GreenletExit) and getcurrent().parent is not None:
        raise error
    exited = Exited(f"it raised {error!r}")
    exited.__cause__ = error
    return exited


def contained_async(error: BaseException) -> Exception:
    """`contained`, for what was caught in a coroutine: also lets pass that the coroutine itself is
    cancelled or closed. What it awaits may be cancelled, too: that is a failure as any other."""
    if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
        raise error
    if isinstance(error, GeneratorExit) and not _is_in_task():
        raise error
    return contained(error)


def _is_in_task() -> bool:
    """Whether a coroutine runs, and is not being closed as at the end of its loop."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _is_from_terminal(error: BaseException) -> bool:
    """Whether an exception is Python's own answer to Ctrl-C, which web servers replace."""
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


@dataclass(frozen=True, slots=True)
class Challenge:
    """What kind of access token a refused client needs (RFC 6750, section 3).

    Attributes:
        error: "invalid_token" or "insufficient_scope"; None if no credentials came.
        description: For people.
        scopes: The scopes that the request needs, all of them.
    """

    error: str | None = None
    description: str | None = None
    scopes: Sequence[str] = ()


class ProtocolError(Exception):
    """A request that is answered with a JSON-RPC error.

    Args:
        kind: The row of the table of errors.
        message: For the client: never a traceback or a secret.
        data: The member `data` of the error.
        status: The HTTP status in place of the table's (403, 406, 415, …).
        challenge: For a client that may come back with other credentials.
        message_id: The id of a request whose message cannot be read otherwise.
        retry_after: After how many seconds the same request may succeed.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        data: Any = None,
        status: int | None = None,
        challenge: Challenge | None = None,
        message_id: str | int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.data = data
        self.challenge = challenge
        self.message_id = message_id
        self.retry_after = retry_after
        self._status = status

    def status(self, *, stateless: bool) -> int:
        """The HTTP status of the reply.

        Args:
            stateless: Whether the request is of the stateless revision, or else of one with
                sessions.
        """
        if self._status is not None:
            return self._status
        return self.kind.stateless_status if stateless else self.kind.session_status


class MCPError(ProtocolError):
    """A JSON-RPC error with a code of one's own: raise it in a handler that cannot serve the
    request at all. What a model may put right is a ToolError.

    Args:
        code: The code (JSON-RPC 2.0, section 5.1).
        message: For the client: never a traceback or a secret.
        data: The member `data` of the error.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        kind = _KINDS.get(code) or ErrorKind(code, "Error", 400, 200)
        super().__init__(kind, message, data=data)
        self.code = code


class MissingClientCapability(ProtocolError, ClientError):
    """A question that the client has not declared to understand (2026-07-28, basic/index, "Error
    Codes").

    A handler that catches `ClientError` can go on without an answer; one that does not lets the
    request fail with -32021, as the specification demands.

    Args:
        message: For the client.
        required: The capabilities that are missing, as the client would declare them.
    """

    def __init__(self, message: str, required: Mapping[str, Any]) -> None:
        data = {"requiredCapabilities": required}
        super().__init__(MISSING_CLIENT_CAPABILITY, message, data=data)


def method_not_allowed(method: str) -> ProtocolError:
    """The error for an HTTP method that the endpoint does not serve."""
    return ProtocolError(
        INVALID_REQUEST, f"{method} is not allowed here: send messages by POST", status=405
    )


def access_denied(
    *, known: bool, scopes: Sequence[str] = (), wanted: str | None = None
) -> ProtocolError:
    """The error for a caller whom a rule does not admit.

    Args:
        known: Whether the caller is known: 403 then, 401 otherwise.
        scopes: The scopes that an access token would need, if nothing else is missing (2026-07-28,
            basic/authorization, "Scope Challenge Handling").
        wanted: What the caller has to send.
    """
    if not known:
        message = "Authentication required" + (f": {wanted}" if wanted else "")
        return ProtocolError(
            INVALID_REQUEST, message, status=401, challenge=Challenge(scopes=scopes)
        )
    if not scopes:
        return ProtocolError(INVALID_REQUEST, "Permission denied", status=403)
    message = f"The access token must be good for: {' '.join(scopes)}"
    challenge = Challenge("insufficient_scope", message, scopes)
    return ProtocolError(INVALID_REQUEST, message, status=403, challenge=challenge)


def invalid_token(description: str) -> ProtocolError:
    """The error for an access token that is not accepted (RFC 6750, section 3.1).

    Args:
        description: Why; nothing of the token itself.
    """
    challenge = Challenge("invalid_token", description)
    return ProtocolError(INVALID_REQUEST, description, status=401, challenge=challenge)


def requires_extension(name: str) -> ProtocolError:
    """The error for a client that does not know a protocol extension, and must for this."""
    return MissingClientCapability(
        f"The client must support the extension {name} for this", {"extensions": {name: {}}}
    )
