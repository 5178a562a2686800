"""The lifespan events of an ASGI application, sent by us where there is no web server to do it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

Application: TypeAlias = Callable[..., Awaitable[None]]


class LifespanFailed(RuntimeError):
    """An application that could not start, or end, and did not raise why."""


def is_asgi(application: Any) -> bool:
    """Whether what can be called is an ASGI application, and not one for WSGI."""
    while isinstance(application, partial):
        application = application.func
    return iscoroutinefunction(application) or iscoroutinefunction(type(application).__call__)


@asynccontextmanager
async def lifespan_of(application: Application) -> AsyncIterator[dict[str, Any]]:
    """Run the lifespan of an ASGI application around a block, as a web server does.

    An application that knows no such events is let be.

    Args:
        application: The application.

    Yields:
        The state that it gives to each of its requests.

    Raises:
        Exception: What the application raises, or LifespanFailed.
    """
    state: dict[str, Any] = {}
    events: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    started: asyncio.Future[str | None] = loop.create_future()
    ended: asyncio.Future[str | None] = loop.create_future()

    async def send(message: MutableMapping[str, Any]) -> None:
        phase, _, outcome = str(message["type"]).removeprefix("lifespan.").partition(".")
        answer = started if phase == "startup" else ended
        if not answer.done():
            failure = outcome == "failed"
            answer.set_result(str(message.get("message") or phase) if failure else None)

    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    events.put_nowait({"type": "lifespan.startup"})
    running: asyncio.Future[Any] = asyncio.ensure_future(application(scope, events.get, send))
    begins: list[asyncio.Future[Any]] = [running, started]
    ends: list[asyncio.Future[Any]] = [running, ended]
    try:
        await asyncio.wait(begins, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            # It raised at the first look, or returned: it has no lifespan (ASGI, "Lifespan").
            running.exception()
            yield state
            return
        await _require(started, running)
        yield state
        events.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await _require(ended, running)
        await running
    finally:
        if not running.done():
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def _require(answer: asyncio.Future[str | None], running: asyncio.Future[Any]) -> None:
    """Raise what an application raised that says that it has failed."""
    problem = answer.result()
    if problem is not None:
        await running
        raise LifespanFailed(problem)
