"""Errors in the form that OpenAI clients read."""

from __future__ import annotations

from fastapi.responses import JSONResponse


def openai_error(status: int, kind: str, message: str) -> JSONResponse:
    """An error response; `kind` stands for both its type and its code."""
    return JSONResponse({"error": {"message": message, "type": kind, "code": kind}}, status)
