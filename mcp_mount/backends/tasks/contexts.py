"""The context variables that a task takes along from its request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from typing import Any, TypeAlias

from mcp_mount.calls.call import Call

Around: TypeAlias = Callable[[], AbstractContextManager[Any]]
"""Makes what a task runs in."""


def current_context(call: Call) -> Context:
    """The usual way to detach a call from its request: it keeps all context variables but that
    of the thread that waits for the request's coroutines."""
    return context_without()


def context_without(*prefixes: str) -> Context:
    """A copy of the current context variables, without those whose names begin with a prefix.

    For frameworks that keep in them what ends with the request, as this library does.
    """
    prefixes = (*prefixes, "mcp_mount.")
    clean = Context()
    for variable, value in copy_context().items():
        if not variable.name.startswith(prefixes):
            clean.run(variable.set, value)
    return clean
