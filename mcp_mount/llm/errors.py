"""Why a model has not answered."""

from __future__ import annotations

from typing import Final

from mcp_mount.wire.errors import ToolError

_LEAST_STATUS: Final = 400
_LARGEST_STATUS: Final = 599


class ModelError(ToolError):
    """A model has not answered, for a reason that its caller may know.

    A model may raise it; `ctx.complete` does. Over HTTP it becomes an error in OpenAI's form. A
    tool that lets it pass reports its message.

    Args:
        message: Why, for the caller.
        status: The HTTP status that says so, from 400 to 599.
        code: A short name for programs; by default the usual one of the status.
        retry_after: In how many seconds another try may do better.
        param: The parameter of the request that is wrong.
        again: Whether the same request may get an answer later, or from another model.

    Attributes:
        was_retried: Whether a route has asked as often as may help, so that its client need not.

    Raises:
        ValueError: For a status of no error.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        code: str | None = None,
        retry_after: float | None = None,
        param: str | None = None,
        again: bool | None = None,
    ) -> None:
        super().__init__(message)
        # Web servers fail over others, and clients take some for answers.
        if type(status) is not int or not _LEAST_STATUS <= status <= _LARGEST_STATUS:
            raise ValueError(
                f"the status of a ModelError is that of an HTTP error, from {_LEAST_STATUS} to "
                f"{_LARGEST_STATUS}, not {status!r}"
            )
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.param = param
        self.was_retried = False
        self.again = status in (408, 409, 429) or status >= 500 if again is None else again


class ModelRefused(ModelError):
    """A model was not asked: its caller may not do so, or not now."""
