"""The context variable by which a coroutine finds the thread that waits for it.

The drivers in `transports/threads.py` set it; policies, which may not import those, read it.
"""

from __future__ import annotations

from concurrent.futures import Executor
from contextvars import ContextVar
from typing import Final

serving: Final[ContextVar[Executor | None]] = ContextVar("mcp_mount.executor", default=None)
"""The executor of the thread that waits for the current coroutine; None if no thread does."""
