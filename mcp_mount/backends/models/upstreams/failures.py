"""Translating error responses of upstreams into errors for the callers of models."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, Final

from pydantic_core import from_json

from mcp_mount.llm.errors import ModelError
from mcp_mount.wire.encoding import is_finite, may_not_be_finite

_LONGEST: Final = 500
_LONGEST_CODE: Final = 100

_OURS: Final = frozenset({401, 402, 403, 404, 405, 407})
"""Statuses that tell of a wrong key, an empty account, a wrong URL or model: the caller can do
nothing about them, and must not take them for an answer to its own credentials."""


def decoded(data: bytes) -> Any:
    """The JSON value of what an upstream has sent.

    Raises:
        ModelError: If it is none.
    """
    value = _value_of(data)
    if may_not_be_finite(data) and not is_finite(value):
        raise bad_answer("has a number that is too large")
    return value


def _value_of(data: bytes) -> Any:
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError:
        pass
    try:
        # The reader above refuses halves of surrogate pairs, which some upstreams send where a
        # piece ends within a character.
        return json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise bad_answer("is no JSON") from None


def bad_answer(what: str) -> ModelError:
    """The error for an answer that cannot be read.

    Args:
        what: What is wrong with it, after "The answer of the upstream model".
    """
    return ModelError(f"The answer of the upstream model {what}")


def broken_off(error: Any, secret: str | None = None) -> ModelError:
    """The error for what an upstream has sent in place of the rest of its answer."""
    words, code, _ = _read({"error": error}, secret)
    return ModelError(f"The upstream model breaks off: {words or 'it gives no reason'}", code=code)


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, secret: str | None = None
) -> tuple[ModelError, str | None]:
    """The error for a response whose status is not 200.

    Args:
        status: The status.
        headers: Those of the response.
        body: The body, or its beginning.
        secret: The key, which some upstreams repeat.

    Returns:
        The error, and a line for the log if this server, or the upstream, is to blame.
    """
    try:
        data = from_json(body)
    except ValueError:
        data = None
    return _refusal(status, headers, data, secret)


def client_failure(error: Exception) -> tuple[ModelError, str | None] | None:
    """The error for an exception of the client of a provider.

    Args:
        error: One of openai's, anthropic's, pydantic-ai's, or one made after them: those have the
            status of a response, or a name that says what has happened.

    Returns:
        As `refusal`; None for other exceptions.
    """
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        # pydantic-ai's has the one of its client as its cause.
        response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
        headers = getattr(response, "headers", None) or {}
        return _refusal(status, headers, {"error": _error_in(error)}, None)
    names = "".join(one.__name__ for one in type(error).__mro__)
    if "Timeout" in names:
        return ModelError("The upstream model does not answer in time", status=504), str(error)
    if "APIConnectionError" in names or "TransportError" in names:
        return ModelError("The upstream model cannot be reached, or breaks off"), str(error)
    if "APIError" in names:
        # In the middle of a stream, after status 200.
        failure = broken_off(_error_in(error) or {"message": str(error)})
        return failure, str(failure)
    return None


def _error_in(error: Exception) -> Any:
    """What the upstream says, in an exception of a client: anthropic's has the whole body, openai's
    its member "error"."""
    body = getattr(error, "body", None)
    return body["error"] if isinstance(body, dict) and "error" in body else body


def _refusal(
    status: int, headers: Mapping[str, str], data: Any, secret: str | None
) -> tuple[ModelError, str | None]:
    words, code, param = _read(data, secret)
    after = _retry_after(headers)
    line = f"status {status}" + (f", {words}" if words else "")
    if status < 400:
        message = "The upstream model answers with a redirect or without content"
        return ModelError(message), f"{line}: check base_url"
    if status in _OURS:
        message = "The upstream model does not serve this server as it is configured"
        # Some repeat parts of the key.
        shown = f"status {status}, {code}" if status in (401, 403) else line
        return ModelError(message, code="upstream_configuration"), shown
    if status >= 500:
        told = 504 if status == 504 else 502
        message = f"The upstream model fails (status {status})"
        return ModelError(message, status=told, retry_after=after), line
    message = f"The upstream model refuses the request: {words or f'status {status}'}"
    error = ModelError(message, status=status, code=code, retry_after=after, param=param)
    return error, None


def _read(data: Any, secret: str | None) -> tuple[str, str | None, str | None]:
    """The words, the code and the parameter in the body of an error."""
    if isinstance(data, list) and data:
        data = data[0]
    error = data
    if isinstance(data, dict):
        error = data.get("error") or data.get("message") or data.get("detail") or data
    code = param = None
    if isinstance(error, dict):
        code = _short(error.get("code")) or _short(error.get("type"))
        param = _short(error.get("param"))
        error = error.get("message")
    words = " ".join(error.split()) if isinstance(error, str) else ""
    if secret:
        words = words.replace(secret, "***")
    if len(words) > _LONGEST:
        words = f"{words[:_LONGEST]}…"
    return words, code, param


def _short(value: Any) -> str | None:
    return value[:_LONGEST_CODE] if isinstance(value, str) and value else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """In how many seconds to try again (RFC 9110, 10.2.3), if the upstream says so."""
    text = headers.get("retry-after", "")
    exactly = headers.get("retry-after-ms", "")
    try:
        # OpenAI and Azure say it in both units.
        after = float(exactly) / 1000 if exactly else float(text)
    except ValueError:
        try:
            after = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, after) if isfinite(after) else None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
