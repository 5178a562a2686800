"""The private names of FastAPI that routes for OpenAI's clients stand on: a version without them
would take the long way unnoticed, or leave dependencies out."""

from __future__ import annotations

from contextvars import ContextVar

import fastapi
import fastapi.routing
import pytest

VERSION = tuple(int(part) for part in fastapi.__version__.split(".")[:2])


@pytest.mark.skipif(VERSION < (0, 137), reason="FastAPI copies routes that are included")
def test_fastapi_tells_how_a_route_is_included() -> None:
    assert isinstance(fastapi.routing._IncludedRouter, type)  # type: ignore[attr-defined]
    context = fastapi.routing._effective_route_context_var  # type: ignore[attr-defined]
    assert isinstance(context, ContextVar)
