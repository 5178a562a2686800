"""Which routes precede an endpoint's own and receive some of its paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount, compile_path

from mcp_mount.openapi.operations import Operation
from mcp_mount_fastapi.applications import applications


@dataclass(frozen=True, slots=True)
class _Line:
    """A route, as a request is matched against it.

    Attributes:
        path: Its path.
        pattern: The pattern of its path.
        methods: Its methods; None for a mounted application, which receives all.
    """

    path: str
    pattern: re.Pattern[str]
    methods: frozenset[str] | None


class Before:
    """The routes that precede that of an operation, in its application and in those around it.

    A request goes to the first route that matches: with the id "admin", a request for "/items/{id}"
    would reach "/items/admin". The routes are looked up at the first call, when all of them exist.

    Args:
        api: The application that is exposed.
        operation: The operation.
    """

    def __init__(self, api: FastAPI, operation: Operation) -> None:
        self._api = api
        self._operation = operation
        self._lines: Sequence[_Line] | None = None

    def of(self, path: str) -> str | None:
        """Return the path of another endpoint that a request for `path` would reach, or None."""
        if "{" not in self._operation.path:
            return None
        if self._lines is None:
            self._lines = list(self._found())
        return next((line.path for line in self._lines if line.pattern.match(path)), None)

    def _found(self) -> Iterator[_Line]:
        operation, method = self._operation, self._operation.method.upper()
        for where, app in applications(self._api):
            if where != operation.prefix and not operation.prefix.startswith(f"{where}/"):
                continue
            # Compiled by itself, because the names of its parameters may occur again.
            start = "[^/]+".join(map(re.escape, re.split(r"{[^{}]+}", where)))
            for line in _lines(app.routes, ""):
                path = where + line.path
                if line.methods is None:
                    on_the_way = f"{operation.prefix}/".startswith(path.removesuffix("{path}"))
                    if on_the_way and where != operation.prefix:
                        break
                elif method not in line.methods:
                    continue
                elif path == operation.path:
                    break
                pattern = re.compile(f"^{start}{line.pattern.pattern.removeprefix('^')}")
                yield _Line(path, pattern, line.methods)


def _lines(routes: Sequence[Any], prefix: str) -> Iterator[_Line]:
    """Yield routes in the order in which they are tried, including those of included routers."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            own = getattr(getattr(route, "include_context", None), "prefix", "")
            yield from _lines(inner.routes, prefix + own)
        elif isinstance(route, Mount):
            pattern, path, _ = compile_path(f"{prefix}{route.path}/{{path:path}}")
            yield _Line(path, pattern, None)
        elif getattr(route, "methods", None):
            pattern, path, _ = compile_path(prefix + route.path)
            yield _Line(path, pattern, frozenset(route.methods))
