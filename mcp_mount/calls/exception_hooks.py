"""What a host knows of exceptions: which of its own tell a client something, and who else wants to
hear of failures. A response of the framework's in place of a value is one of them: what guards a
view by a decorator may answer for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")


class FailedCall(Protocol):
    """What a host may know of a call whose handler has raised."""

    @property
    def method(self) -> str:
        """The method of the protocol, such as "tools/call"."""

    @property
    def name(self) -> str:
        """The name of the tool or prompt, or the URI of the resource."""

    @property
    def request(self) -> Any:
        """The host framework's own request; None where there is none."""

    @property
    def incoming(self) -> Any:
        """The `IncomingRequest`, which cannot be named here: it has these hooks."""


def _unknown(error: Exception) -> Exception | None:
    return None


def _unhandled(call: FailedCall, error: Exception) -> Exception | None:
    return None


def _silent(call: FailedCall, error: BaseException) -> None:
    pass


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class ExceptionHooks:
    """What a host does with the exceptions of handlers.

    Attributes:
        translate: Turns an exception of the framework into one of ours; returns None for any other.
        report: Called with each real failure, besides the log.
        handle: As `translate`, with the call, for frameworks whose users have exception handlers
            that take the request; it is called first.
        responses: The class of the framework's responses, which decorators of views return in place
            of the handler's value, such as a redirect to the login.
        value_of: Returns the value of such a response; raises what `translate` returns for one that
            refuses.
    """

    translate: Callable[[Exception], Exception | None] = _unknown
    report: Callable[[FailedCall, BaseException], None] = _silent
    handle: Callable[[FailedCall, Exception], Exception | None] = _unhandled
    responses: type | tuple[()] = ()
    value_of: Callable[[Any], Any] = _as_it_is

    def translated(self, call: FailedCall, error: Exception) -> Exception:
        """An exception as one of ours, if the host knows it; else as it is."""
        try:
            ours = self.handle(call, error) or self.translate(error)
        except Exception:
            logger.exception("A host could not translate %r", type(error))
            return error
        if ours is None:
            return error
        if ours is not error:
            ours.__cause__ = error
        return ours

    def failed(self, call: FailedCall, error: BaseException) -> None:
        """Tell the host of a failure that the log has already."""
        try:
            self.report(call, error)
        except Exception:
            # The client gets its answer all the same.
            logger.exception("A host could not report that %s failed", call.method)


NO_HOOKS: Final = ExceptionHooks()
