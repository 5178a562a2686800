"""Error responses of the HTTP routes: for requests that do not fit, and for OpenAI clients."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from mcp_mount.features import ToolError
from mcp_mount.llm.errors import ModelError
from mcp_mount.schemas.arguments import InvalidArguments
from mcp_mount.wire.errors import CallRejected, ProtocolError, ResourceNotFoundError
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import Reply

logger = own_logger("mcp_mount")

_MAX_TOLD: Final = 50
_LONGEST_MESSAGE: Final = 2000
_TOO_MANY_REQUESTS: Final = 429
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
"""The types of OpenAI's errors, by their status."""

_CODES: Final = {
    401: "invalid_api_key",
    403: "access_denied",
    404: "not_found",
    408: "timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
    429: "rate_limit_exceeded",
    503: "unavailable",
    504: "timeout",
}


def openai_error(
    status: int,
    code: str,
    message: str,
    *,
    kind: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An error response in OpenAI's form.

    Args:
        status: The HTTP status.
        code: A short name of the error, for programs.
        message: What is wrong, for people.
        kind: The type of the error; by default that of the status.
        param: The parameter that is wrong.
        headers: Of the response.
    """
    error = _error(status, code, message, kind, param)
    return JSONResponse(error, status, dict(headers or {}))


def failed(error: Exception, what: str) -> JSONResponse:
    """The response for a call that was refused or failed.

    Args:
        error: What ended it.
        what: What failed, for the client, where the error says nothing that is for it.
    """
    status, headers = _status(error)
    if status >= _SERVER_ERROR or isinstance(error, ModelError):
        # OpenAI's own clients run a request three times otherwise: here it was tried as often as
        # that may help.
        headers["x-should-retry"] = "true" if _may_try_again(error) else "false"
    return JSONResponse(told(error, what), status, headers)


def told(error: Exception, what: str) -> dict[str, Any]:
    """What a client is told of a failure, as the body of a response or an event of a stream; the
    log has the rest.

    Args:
        error: The failure.
        what: What has failed.
    """
    status, _ = _status(error)
    if isinstance(error, ModelError):
        code = error.code or _CODES.get(status, "model_error")
        return _error(status, code, str(error), param=error.param)
    if isinstance(error, CallRejected):
        code = "rate_limit_exceeded" if status == _TOO_MANY_REQUESTS else "refused"
        return _error(status, code, str(error))
    if isinstance(error, ResourceNotFoundError):
        return _error(status, "not_found", str(error))
    if isinstance(error, ToolError | InvalidArguments):
        return _error(status, "invalid_request", str(error))
    if isinstance(error, ProtocolError):
        return _error(status, "refused", error.message)
    if isinstance(error, HTTPException):
        return _error(status, _CODES.get(status, "refused"), str(error.detail))
    logger.error("%s failed", what, exc_info=error)
    return _error(status, "failed", f"{what} failed")


def refusal_at(path: str, reply: Reply) -> Reply:
    """A refusal that a host sends before any route has seen the request, in the form of whoever
    asks at a path: of OpenAI's clients below "/v1/", of MCP clients anywhere else.

    Args:
        path: The path below the mount point.
        reply: The refusal in JSON-RPC's form.
    """
    if not path.lstrip("/").startswith("v1/") or reply.status < _CLIENT_ERROR:
        return reply
    message = json.loads(reply.body)["error"]["message"]
    error = _error(reply.status, _CODES.get(reply.status, "refused"), message)
    return Reply(reply.status, json.dumps(error, ensure_ascii=False).encode(), reply.headers)


def unfit(param: str, message: str) -> RequestValidationError:
    """The error for a parameter of a request that does not fit.

    Args:
        param: The parameter.
        message: What is wrong with it.
    """
    return RequestValidationError([{"type": "value_error", "loc": ("body", param), "msg": message}])


def answer_unfit_openai(errors: Sequence[Any]) -> JSONResponse:
    """The response to a request that does not fit.

    Args:
        errors: What is wrong, as pydantic tells it.
    """
    first, *more = errors or [{"loc": (), "msg": "The request does not fit"}]
    param = ".".join(map(str, first["loc"])) or None
    said = str(first["msg"]).removeprefix("Value error, ")
    message = f"{param}: {said}" if param else said
    if more:
        message += f" (and {len(more)} more)"
    return openai_error(400, "invalid_request", _readable(message), param=param)


def _readable(text: str) -> str:
    """A text that JSON can have: pydantic repeats what the client has sent."""
    return text.encode(errors="replace").decode()[:_LONGEST_MESSAGE]


def _error(
    status: int, code: str, message: str, kind: str | None = None, param: str | None = None
) -> dict[str, Any]:
    kind = kind or _TYPES.get(status) or ("api_error" if status >= _SERVER_ERROR else _TYPES[400])
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _status(error: Exception) -> tuple[int, dict[str, str]]:
    """The HTTP status of a failure, and headers for it."""
    after: float | None = getattr(error, "retry_after", None)
    # Of the user's own errors it may be any number.
    is_time = after is not None and math.isfinite(after)
    headers = {"Retry-After": str(max(1, math.ceil(after or 0)))} if is_time else {}
    if isinstance(error, ModelError | CallRejected):
        return error.status, headers
    if isinstance(error, HTTPException):
        return error.status_code, dict(error.headers or {})
    if isinstance(error, ResourceNotFoundError):
        return 404, headers
    if isinstance(error, ToolError | InvalidArguments):
        return 400, headers
    if isinstance(error, ProtocolError):
        return error.status(stateless=True), headers
    return 500, headers


def _may_try_again(error: Exception) -> bool:
    """Whether the client may try once more: where a model says when to come again, and no route has
    tried as often as may help."""
    return (
        isinstance(error, ModelError)
        and error.again
        and error.retry_after is not None
        and not error.was_retried
    )


async def answer_unfit(request: Request, error: Exception) -> Response:
    """Answer a request whose parts do not fit, as FastAPI does.

    FastAPI repeats the input, and fails with 500 where that is NaN, has lone surrogates or is
    nested deeply, which its reader of JSON accepts and its writer does not: then the input is left
    out. Of many problems the first are told: each repeats its input.
    """
    assert isinstance(error, RequestValidationError)
    problems = error.errors()[:_MAX_TOLD]
    try:
        body = _encoded(jsonable_encoder(problems))
    except (ValueError, RecursionError):
        body = _encoded([{key: one[key] for key in ("type", "loc", "msg")} for one in problems])
    return Response(body, 422, media_type="application/json")


def _encoded(problems: Any) -> bytes:
    text = json.dumps(
        {"detail": problems}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.encode()
