"""What all programs share: how they do one thing after another, and print what they saw.

Runs in the environment of each client, so it imports nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from collections.abc import Callable
from typing import Any

SECONDS = 30.0
"""How long one thing may take."""

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class Report:
    """What a client saw, by the name of what it was asked to do."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        # Several clients keep connections, which belong to an event loop.
        self._loop = asyncio.Runner()

    def see(self, name: str, *given: Any) -> Callable[[Callable[..., Any]], None]:
        """Do something with what is given, and write down what came out or went wrong."""

        def do(function: Callable[..., Any]) -> None:
            try:
                if inspect.iscoroutinefunction(function):
                    waited = asyncio.wait_for(function(*given), SECONDS)
                    self.seen[name] = self._loop.run(waited)
                else:
                    self.seen[name] = function(*given)
            except Exception as error:
                self.seen[name] = {"raised": f"{type(error).__name__}: {error}"}

        return do

    def print(self) -> None:
        json.dump(self.seen, sys.stdout)


def until(wanted: str, ask: Callable[[], str]) -> str:
    """What `ask` returns, as soon as that is `wanted`; after two seconds whatever it is."""
    deadline = time.monotonic() + 2
    while (found := ask()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
