"""Error responses of the HTTP routes: for requests that do not fit, and for OpenAI clients."""

from __future__ import annotations

import json
from typing import Any, Final

from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.requests import Request

_MAX_TOLD: Final = 50


def openai_error(status: int, kind: str, message: str) -> JSONResponse:
    """An error response; `kind` stands for both its type and its code."""
    return JSONResponse({"error": {"message": message, "type": kind, "code": kind}}, status)


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
