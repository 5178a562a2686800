"""Forks: what a process begins with that was forked from one which has served."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import MethodType
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

# By the object of the methods. A WeakMethod that is dropped by its own callback would print a
# traceback where the object and its class are collected together, as at the end of a process.
_methods: Final[WeakKeyDictionary[Any, list[Callable[[Any], None]]]] = WeakKeyDictionary()


def after_fork(method: Callable[[], None]) -> None:
    """Have a method called in each process that is forked from this one, before anything else runs
    there.

    Threads stay behind in the parent, one that holds a lock as well: in the child nobody would ever
    release it. Whoever has a lock that outlives a request makes another one, and forgets what
    belongs to the requests of the parent.

    Args:
        method: A method. Its object is not kept alive by this.
    """
    bound = cast("MethodType", method)
    _methods.setdefault(bound.__self__, []).append(bound.__func__)


def _call_all() -> None:
    for one, functions in list(_methods.items()):
        for function in functions:
            function(one)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_call_all)
