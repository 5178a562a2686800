"""Which routes stand before an endpoint's own, and take some of its paths."""

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
    """A route as a request finds it. methods: None for a mounted application, which takes all."""

    path: str
    pattern: re.Pattern[str]
    methods: frozenset[str] | None


class Before:
    """The routes before that of an operation, in its application and in those around it.

    A request goes to the first route that fits: with "admin" for its id, that for "/items/{id}"
    would reach "/items/admin". They are looked for with the first call, when all of them are there:
    what is added later comes after.
    """

    def __init__(self, api: FastAPI, operation: Operation) -> None:
        self._api = api
        self._operation = operation
        self._lines: Sequence[_Line] | None = None

    def of(self, path: str) -> str | None:
        """The path of another endpoint that a request for `path` would reach; None for none."""
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
            # By itself: the names of its parameters may come again.
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
    """Routes in the order in which they are tried, those of included routers among them."""
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
