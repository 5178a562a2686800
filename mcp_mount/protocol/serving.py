"""The thread that waits for a coroutine, for those who have plain work for it."""

from __future__ import annotations

from concurrent.futures import Executor
from contextvars import ContextVar
from typing import Final

serving: Final[ContextVar[Executor | None]] = ContextVar("mcp_mount.executor", default=None)
"""The executor of the thread that waits for this coroutine, None where no thread does: set by the
drivers (`transports/threads.py`)."""
