"""The schemas of the specification, as the official Python package carries them per revision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mcp_types import methods
from pydantic import BaseModel, TypeAdapter

from tests.requests import STATELESS

_LATEST_SESSION = "2025-11-25"


class _Task(BaseModel):
    """A task of the extension `io.modelcontextprotocol/tasks`, which the package does not know."""

    resultType: Literal["task", "complete"]
    taskId: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    createdAt: str
    lastUpdatedAt: str
    ttlMs: int | None
    pollIntervalMs: int | None = None
    statusMessage: str | None = None


class _Acknowledged(BaseModel):
    resultType: Literal["complete"]


_TASKS: Mapping[str, TypeAdapter[Any]] = {
    "tasks/get": TypeAdapter(_Task),
    "tasks/update": TypeAdapter(_Acknowledged),
    "tasks/cancel": TypeAdapter(_Acknowledged),
}


def check_result(method: str, version: str, result: Any) -> None:
    """Raise an error unless `result` is one that `method` has in that revision."""
    if method in _TASKS:
        _TASKS[method].validate_python(result, strict=True)
    elif result.get("resultType") == "task":
        assert (method, version) == ("tools/call", STATELESS)
        _TASKS["tasks/get"].validate_python(result, strict=True)
    else:
        methods.validate_server_result(method, version, result)


def check_from_server(message: Mapping[str, Any], version: str) -> None:
    """Raise an error unless a server may send this request or notification in that revision."""
    parse = methods.parse_server_request if "id" in message else methods.parse_server_notification
    parse(message["method"], version, message.get("params"))
