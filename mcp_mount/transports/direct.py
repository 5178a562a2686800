"""Direct calls over ASGI: what their headers say, and their handlers run on the spot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, MutableMapping
from functools import partial
from inspect import isawaitable
from types import CoroutineType
from typing import Any

from mcp_mount.calls.call import Call
from mcp_mount.calls.results import Result
from mcp_mount.calls.serving import serving
from mcp_mount.protocol.direct import (
    Asked,
    DirectCall,
    DirectCalls,
    Resumed,
    raise_again,
    return_again,
)
from mcp_mount.protocol.exchange import Protocol
from mcp_mount.transports.scopes import (
    ENDPOINT,
    HOST_REQUEST,
    RUNNER,
    Receive,
    Scope,
)
from mcp_mount.transports.thread_pool import Started
from mcp_mount.transports.threads import Runner, run_in_thread, start_in_pool


class ASGIDirectCalls:
    """Finds direct calls among ASGI requests, and answers them.

    Args:
        protocol: The core.
        runner: How handlers run; direct calls are for servers without a host around them.
    """

    def __init__(self, protocol: Protocol, runner: Runner) -> None:
        self._calls: DirectCalls = protocol.direct
        self._settings = protocol.settings
        self._is_plain = runner.run_async is Call.run_async
        self._has_pool = runner.run is Call.run and runner.off_loop is run_in_thread

    def find(self, scope: Scope, root_path: str, *, stands_alone: bool) -> Asked | None:
        """What the headers of a request name, if it may be a direct call; None for the long way.

        Args:
            scope: Of the request.
            root_path: What its `root_path` is to the server.
            stands_alone: Whether the server is not mounted in another application.
        """
        if (
            not self._is_plain
            or scope["method"] != "POST"
            or RUNNER in scope
            or HOST_REQUEST in scope
            or "wsgi_environ" in scope
        ):
            return None
        pairs = scope["headers"]
        headers: dict[bytes, bytes] = dict(pairs)
        if (
            # The long way joins repeated headers.
            len(headers) != len(pairs) or b"origin" in headers or b"sec-fetch-site" in headers
        ):
            return None
        get, server = headers.get, scope.get("server")
        seen = (
            get(b"host"),
            get(b"accept"),
            get(b"content-type"),
            get(b"mcp-protocol-version"),
            get(b"mcp-method"),
            None if server is None else server[0],
            stands_alone,
        )
        token, mount = get(b"mcp-session-id"), scope.get(ENDPOINT, root_path)
        return self._calls.find(seen, get(b"mcp-name"), token, mount)

    def read(self, asked: Asked, message: Mapping[str, Any]) -> DirectCall | None:
        """The call in the body of a request; None for the long way.

        Args:
            asked: What its headers name.
            message: The first message of ASGI's receive.
        """
        if message["type"] != "http.request" or message.get("more_body", False):
            return None
        return self._calls.read(asked, message.get("body", b""))

    def run(self, call: DirectCall) -> tuple[bytes | None, Result | Resumed | Started | None]:
        """Run the handler of a call up to where it waits; a plain function on a thread.

        Args:
            call: The call.

        Returns:
            The body of the reply, if the handler has returned what fits. And its result; or what
            goes on with it the long way, if it waits or has failed; or what a thread has begun,
            whose outcome is a `Done`; None if it has not begun.
        """
        tool = call.tool
        try:
            call.validated = args, kwargs = tool.validate(call.arguments)
        except Exception:
            # Once more the long way, which knows what to tell the client.
            return None, None
        if not tool.is_async:
            # In a session, the client may cancel the call meanwhile, by another request.
            if call.session is None and self._has_pool and serving.get() is None:
                run = partial(self._calls.run, call)
                return None, start_in_pool(run, self._settings.begin_after)
            return None, None
        try:
            value = tool.function(*args, **kwargs)
        except BaseException as error:
            return None, partial(raise_again, error)
        if type(value) is CoroutineType:
            try:
                waits_for = value.send(None)
            except StopIteration as end:
                value = end.value
            except BaseException as error:
                return None, partial(raise_again, error)
            else:
                return None, partial(_Begun, value, waits_for)
        elif isawaitable(value):
            return None, partial(return_again, value)
        return self._calls.outcome(call, value)


def begin(function: Callable[..., Any], *args: Any) -> tuple[Any, Resumed | None]:
    """Run a coroutine function up to where it waits.

    Args:
        function: The function.
        args: Its arguments.

    Returns:
        What it has returned, and None; or None, and what goes on with it, if it waits or has
        failed.
    """
    try:
        value = function(*args)
        if type(value) is not CoroutineType:
            return None, partial(return_again, value)
        waits_for = value.send(None)
    except StopIteration as end:
        return end.value, None
    except BaseException as error:
        return None, partial(raise_again, error)
    return None, partial(_Begun, value, waits_for)


class _Begun:
    """Awaits a coroutine that has begun, from its first wait on.

    Args:
        coroutine: The coroutine.
        waits_for: What it has yielded to the event loop, which has not got it yet.
    """

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self._waits_for
        failure: BaseException | None = None
        try:
            while True:
                value = failure = None
                try:
                    value = yield waits_for
                except BaseException as error:
                    failure = error
                # Not while it is handled here: it would be the context of what the coroutine
                # raises, and anyio takes a CancelledError in the context of its own for its own.
                if failure is not None:
                    waits_for = self._coroutine.throw(failure)
                else:
                    waits_for = self._coroutine.send(value)
        except StopIteration as end:
            return end.value
        finally:
            # Its traceback holds this frame: the frame must not hold it.
            failure = None


def again(message: MutableMapping[str, Any], receive: Receive) -> Receive:
    """ASGI's receive, from the beginning.

    Args:
        message: What it has returned already.
        receive: The receive that has returned it.
    """
    waiting = [message]

    def receive_again() -> Awaitable[MutableMapping[str, Any]]:
        return _known(waiting.pop()) if waiting else receive()

    return receive_again


async def _known(message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return message
