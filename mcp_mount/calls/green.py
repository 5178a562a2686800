"""Whether gevent or eventlet have replaced threads by greenlets.

They may do so before this package is imported (`gunicorn -k gevent`) or after it (`--preload`), so
it is asked when it matters, and primitives of the standard library are looked up when they are
used, never bound at import.
"""

from __future__ import annotations

import sys


def is_gevent() -> bool:
    """Whether gevent has."""
    return _is_patched("gevent.monkey", "is_module_patched", "threading")


def is_eventlet() -> bool:
    """Whether eventlet has, whose locks do not work between threads."""
    return _is_patched("eventlet.patcher", "is_monkey_patched", "thread")


def is_green() -> bool:
    """Whether requests run in greenlets that share a thread, whatever their server says of it."""
    return is_gevent() or is_eventlet()


def _is_patched(module: str, question: str, name: str) -> bool:
    patcher = sys.modules.get(module)
    return patcher is not None and bool(getattr(patcher, question)(name))
