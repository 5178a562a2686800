"""Requests that agents and chains of other libraries do not answer."""

from __future__ import annotations

from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.requests import ChatRequest


def refuse_several(request: ChatRequest) -> None:
    """Refuse a request for several answers.

    Args:
        request: The request.

    Raises:
        ModelError: 400, if it wants more than one.
    """
    if request.n != 1:
        raise ModelError("The model gives one answer", status=400, param="n")
