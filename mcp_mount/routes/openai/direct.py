"""Direct chats: requests for chat completions that need nothing but their model.

As direct calls are of tools (`mcp_mount/protocol/direct.py`): most requests ask a model that has
nothing around it, bring the usual headers and fit. Such a request is answered on the spot: one walk
over its headers, one pass over its body, the model, one encoding. In process, a chat takes 14 µs in
place of 58, and in 12 in place of 380 under WSGI, where the long way leads through the background
loop. Whatever is unusual about a request is left to the long way, which finds the right error;
where a model has begun before that turns out, it goes on there. A test holds both ways together
(tests/routes/test_direct_chats.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, Final, NamedTuple

from mcp_mount.calls.call import Call
from mcp_mount.calls.serving import serving
from mcp_mount.llm.answers import ChatCompletion
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import NO_PIECES, Invocation, Model, given_for
from mcp_mount.llm.plain_requests import plain_request
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.protocol.direct import Resumed, raise_again, return_again
from mcp_mount.routes.openai.chat import ChatWriter
from mcp_mount.routes.parts import ServerParts
from mcp_mount.transports.departures import departure_of, unless_left
from mcp_mount.transports.direct import again, begin
from mcp_mount.transports.driving import wait_for
from mcp_mount.transports.in_process import Application
from mcp_mount.transports.scopes import (
    HOST_REQUEST,
    RESUMED,
    RUNNER,
    ClientLeft,
    Receive,
    Scope,
    Send,
)
from mcp_mount.transports.threads import run_in_thread, start_in_pool
from mcp_mount.wire.host_names import parse_authority
from mcp_mount.wire.messages import JSON, Request

_JSON: Final = JSON.encode()
_MAX_HOSTS: Final = 1000


class DirectChat(NamedTuple):
    """A request for a chat completion of a model that has nothing around it.

    Attributes:
        name: The name of the model.
        model: The model.
        request: What it is asked.
        environ: The WSGI environment that brought it; an empty one under ASGI.
    """

    name: str
    model: Model
    request: ChatRequest
    environ: Mapping[str, Any]

    @property
    def function(self) -> Any:
        """What the user has registered as the model."""
        return given_for(self.model)

    @property
    def is_async(self) -> bool:
        """Whether the model is asked by a coroutine."""
        return self.model.is_async


class DirectChats:
    """Finds direct chats among the requests to one server, and answers them.

    Args:
        parts: Those of the server.
    """

    def __init__(self, parts: ServerParts) -> None:
        self._calls = parts.protocol.direct
        self._settings = parts.protocol.settings
        self._registry = parts.registry
        runner = parts.runner
        self._is_plain = runner.run_async is Call.run_async and runner.run is Call.run
        self._hosts: dict[tuple[str, str | None, bool], bool] = {}
        self._hosts_of: Any = None
        self._has_pool = runner.off_loop is run_in_thread

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, otherwise: Application
    ) -> None:
        """Answer a request under ASGI.

        Args:
            scope: Of the request.
            receive: ASGI's.
            send: ASGI's.
            otherwise: Answers it the long way.
        """
        if not self._is_usual(scope):
            await otherwise(scope, receive, send)
            return
        message = await receive()
        chat = self._chat_of(message)
        if chat is None:
            await otherwise(scope, again(message, receive), send)
            return
        model, asked = chat.model, Invocation(chat.request, NO_PIECES)
        resumed: Resumed | None
        if model.is_async:
            value, resumed = begin(model.answer, asked)
        else:
            outcome = await start_in_pool(partial(model.answer, asked)).future
            assert outcome is not None, "nobody has stopped waiting"
            value, error = outcome
            resumed = None if error is None else partial(raise_again, error)
        reply = self._reply(chat, value) if resumed is None else None
        if reply is None:
            scope[RESUMED] = resumed or partial(return_again, value)
            await otherwise(scope, again(message, receive), send)
            return
        headers = [(b"content-type", _JSON), (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    def find(self, environ: Mapping[str, Any], *, stands_alone: bool) -> bool:
        """Whether a request under WSGI may be a direct chat, by its headers.

        Args:
            environ: The WSGI environment.
            stands_alone: Whether the server is not mounted in another application.
        """
        get = environ.get
        length = get("CONTENT_LENGTH", "")
        return (
            environ["REQUEST_METHOD"] == "POST"
            and get("CONTENT_TYPE") == JSON
            # Only by its length a body is read in the same way by all.
            and length.isdecimal()
            and int(length) <= self._settings.max_body_bytes
            and "HTTP_TRANSFER_ENCODING" not in environ
            and "HTTP_ORIGIN" not in environ
            and "HTTP_SEC_FETCH_SITE" not in environ
            and HOST_REQUEST not in environ
            and RESUMED not in environ
            and self._calls.allowed
            and self._allows(get("HTTP_HOST"), get("SERVER_NAME", ""), stands_alone=stands_alone)
        )

    def read(self, body: bytes, environ: Mapping[str, Any]) -> DirectChat | None:
        """The chat in the body of a request; None for the long way.

        Args:
            body: Its body.
            environ: Its WSGI environment; an empty one under ASGI.
        """
        if len(body) > self._settings.max_body_bytes:
            return None
        request = plain_request(body)
        if request is None or request.stream:
            return None
        model = self._registry.direct_model(request.model)
        if model is None or model.chat is None:
            return None
        return DirectChat(model.name, model.chat, request, environ)

    def run(self, chat: DirectChat) -> bytes | Resumed:
        """Ask the model of a chat on this thread, which waits for it if it is a coroutine.

        Args:
            chat: The chat.

        Returns:
            The body of the reply; or what goes on with the model the long way, if it has failed.
        """
        model, asked = chat.model, Invocation(chat.request, NO_PIECES)
        try:
            value: Any = (
                wait_for(partial(_answer, model, asked, departure_of(chat.environ)))
                if model.is_async
                else model.answer(asked)
            )
        except ClientLeft:
            return partial(raise_again, ModelError("The client has left", status=499))
        except BaseException as error:
            return partial(raise_again, error)
        return self._reply(chat, value) or partial(return_again, value)

    def _allows(self, host: str | None, server: str | None, *, stands_alone: bool) -> bool:
        """Whether requests to a host are served, as `Protocol.check_host` finds: remembered, since
        most requests name the same one."""
        if host is None:
            return False
        if self._hosts_of is not self._settings.allowed_hosts or len(self._hosts) > _MAX_HOSTS:
            self._hosts, self._hosts_of = {}, self._settings.allowed_hosts
        key = host, server, stands_alone
        known = self._hosts.get(key)
        if known is None:
            authority = parse_authority(host)
            request = Request("POST", {}, server=(server, None), stands_alone=stands_alone)
            known = authority is not None and self._settings.allows_host(authority, request)
            self._hosts[key] = known
        return known

    def _is_usual(self, scope: Scope) -> bool:
        """Whether a request under ASGI may be a direct chat, by its headers."""
        if (
            not self._is_plain
            or scope["method"] != "POST"
            or RESUMED in scope
            or RUNNER in scope
            or HOST_REQUEST in scope
            or "wsgi_environ" in scope
        ):
            return False
        pairs = scope["headers"]
        headers: dict[bytes, bytes] = dict(pairs)
        host, server = headers.get(b"host"), scope.get("server")
        return (
            # The long way joins repeated headers.
            len(headers) == len(pairs)
            and headers.get(b"content-type") == _JSON
            and b"origin" not in headers
            and b"sec-fetch-site" not in headers
            and host is not None
            and self._calls.allowed
            and self._allows(
                host.decode("latin-1"),
                None if server is None else server[0],
                stands_alone=not scope["mcp_mount.mounted"] and not scope.get("root_path"),
            )
        )

    def _chat_of(self, message: MutableMapping[str, Any]) -> DirectChat | None:
        """The chat in the first message of ASGI's receive; None for the long way."""
        if message["type"] != "http.request" or message.get("more_body", False):
            return None
        chat = self.read(message.get("body", b""), {})
        if chat is None or chat.model.is_async:
            return chat
        # Where a thread waits for this request, plain functions run there.
        return chat if self._has_pool and serving.get() is None else None

    def _reply(self, chat: DirectChat, value: Any) -> bytes | None:
        """The body of the reply for what a model has returned; None if that is no answer, or has no
        JSON form."""
        completion = ChatCompletion(value) if type(value) is str else value
        if type(completion) is not ChatCompletion:
            return None
        try:
            return ChatWriter(chat.name).whole([completion])
        except Exception:
            # The long way tells what is wrong with it.
            return None


async def _answer(model: Any, asked: Invocation, has_left: Callable[[], bool] | None) -> Any:
    answer = model.answer(asked)
    return await (answer if has_left is None else unless_left(answer, has_left))
