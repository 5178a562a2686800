"""Forks: what a process begins with that was forked from one which has served."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final
from weakref import WeakMethod

_methods: Final[set[WeakMethod[Callable[[], None]]]] = set()


def after_fork(method: Callable[[], None]) -> None:
    """Have a method called in each process that is forked from this one, before anything else runs
    there.

    Threads stay behind in the parent, one that holds a lock as well: in the child nobody would ever
    release it. Whoever has a lock that outlives a request makes another one, and forgets what
    belongs to the requests of the parent.

    Args:
        method: A method. Its object is not kept alive by this.
    """
    _methods.add(WeakMethod(method, _methods.discard))


def _call_all() -> None:
    for reference in list(_methods):
        method = reference()
        if method is not None:
            method()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_call_all)
