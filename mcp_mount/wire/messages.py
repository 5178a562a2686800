"""Messages: the HTTP-shaped request and reply, and the JSON-RPC 2.0 envelope."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Protocol, TypeAlias, cast

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from mcp_mount.wire.encoding import encode, encode_model, without_surrogates
from mcp_mount.wire.errors import INVALID_REQUEST, PARSE_ERROR, ProtocolError, contained
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.tokens import AccessToken

MessageId: TypeAlias = str | int

logger = own_logger("mcp_mount")

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


UNASKED: Final = object()
"""Stands for the key of a caller that nobody has asked for yet."""


def _nobody_hears(token: AccessToken, user: Any) -> None:
    """Let a token and its user be."""


class CannotTell(LookupError):
    """A rule asks for what this host cannot know, whoever calls: a mistake of the set-up."""


@cache
def _tell_once(problem: str) -> None:
    """Log a mistake of the set-up, once in a process and not for each list."""
    logger.error("%s. Every caller is refused.", problem)


class Rule(Protocol):
    """A condition that callers fulfil or not.

    Raises CannotTell, or what a user's function raises, where that cannot be said.
    """

    def is_satisfied(self, request: Request) -> bool: ...


@dataclass(slots=True)
class Request:
    """An HTTP request as a transport read it.

    Attributes:
        method: The HTTP method.
        headers: By names in lower case; values without optional white space, repeated fields joined
            by ", " (RFC 9110, section 5.3).
        body: As bytes.
        host_request: Returns the host framework's own request, if there is one.
        max_blocking: How many requests may wait without end on this server, since each holds a
            thread under WSGI; None for any number.
        mirrors_headers: Whether headers mirror the message, as those of 2026-07-28 do over HTTP.
        is_trusted_local: Whether a local transport vouches for the caller: whoever started the
            process (stdio, a console) may do everything that the process may. Only such a transport
            sets it.
        caller: Returns the id of the user, as the host knows it; what belongs to one caller is
            bound to it.
        has_permission: Returns whether the user has a permission; None if the host has no
            permissions.
        has_scope: Returns whether the access token has a scope; None if there is no such thing.
        has_role: Returns whether the user has a role; None if there is no such thing.
        may_block: Whether asking the host may take time, such as a query to its database.
        token: The access token, if this server has verified one.
        url: Returns the URL of the MCP endpoint, as the client wrote it.
        address: The address of the client.
        server: The address and port of this end of the connection, as the web server reports them.
        stands_alone: Whether the server is not mounted in another application.
        mount: The path of the MCP endpoint, as the client wrote it.
        caller_key: What the server's `caller=` returned for it, if it was asked (see `Callers`).
        variant: What a result depends on and the host knows early, such as a language.
        on_token: Called with the access token that the server has verified, and with the user that
            `find_user=` found for it, or None.
        refused: The reply to a request that the host has refused already, where the server's own
            middleware is to see it all the same.
    """

    method: str
    headers: Mapping[str, str]
    body: bytes = b""
    host_request: Callable[[], Any] = lambda: None
    max_blocking: int | None = None
    mirrors_headers: bool = True
    is_trusted_local: bool = False
    caller: Callable[[], str | None] = lambda: None
    has_permission: Callable[[str], bool] | None = None
    has_scope: Callable[[str], bool] | None = None
    has_role: Callable[[str], bool] | None = None
    may_block: bool = False
    token: AccessToken | None = None
    url: Callable[[], str | None] = lambda: None
    address: str | None = None
    server: tuple[str | None, int | None] | None = None
    stands_alone: bool = False
    mount: str = ""
    caller_key: Any = UNASKED
    variant: str = ""
    on_token: Callable[[AccessToken, Any], None] = _nobody_hears
    refused: Reply | None = None

    def permits(self, rules: Sequence[Rule]) -> bool:
        """Whether the caller fulfils all rules; not, if one of them cannot be checked."""
        try:
            return all(rule.is_satisfied(self) for rule in rules)
        except CannotTell as error:
            _tell_once(str(error))
            return False
        except BaseException as error:
            contained(error)
            logger.exception("A rule could not be checked, so the caller is refused")
            return False


@dataclass(slots=True)
class Reply:
    """A finished HTTP response."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of_json(cls, status: int, body: bytes) -> Reply:
        return cls(status, body, [("content-type", JSON)])

    def without_body(self) -> Reply:
        """The response to the same request by HEAD: it has the length of the body that is not sent
        (RFC 9110, section 8.6)."""
        return Reply(self.status, b"", [*self.headers, ("content-length", str(len(self.body)))])


@dataclass(slots=True)
class RequestMessage:
    """A JSON-RPC request: it has an id and wants an answer."""

    id: MessageId
    method: str
    params: dict[str, Any]


@dataclass(slots=True)
class NotificationMessage:
    """A JSON-RPC notification: it has no id and gets no answer."""

    method: str
    params: dict[str, Any]


@dataclass(slots=True)
class ResponseMessage:
    """A client's answer to a request that this server sent (session revisions)."""

    id: MessageId
    result: Any = None
    error: dict[str, Any] | None = None


Message: TypeAlias = RequestMessage | NotificationMessage | ResponseMessage


def decode(body: bytes) -> Any:
    """Return the JSON value in `body`.

    Raises:
        ProtocolError: A parse error for anything that is not strict JSON, an invalid request for
            texts that UTF-8 cannot carry: lone surrogates. It has the id of the request if that
            can be read all the same.
    """
    try:
        return from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise _unreadable(body, error) from None


def _unreadable(body: bytes, error: Exception) -> ProtocolError:
    try:
        # Python's own reader takes lone surrogates, and deeper nesting.
        value = json.loads(body.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return ProtocolError(PARSE_ERROR, f"The body is not valid JSON: {error}")
    message_id = readable_id(value)
    if isinstance(message_id, str):
        message_id = None if without_surrogates(message_id) != message_id else message_id
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return ProtocolError(
            INVALID_REQUEST,
            r"The message has a lone surrogate, such as \ud800, which is no character",
            message_id=message_id,
        )
    return ProtocolError(PARSE_ERROR, f"The body is not valid JSON: {error}", message_id=message_id)


def readable_id(value: Any) -> MessageId | None:
    """The id of a message that may be malformed otherwise, so that the error can name it."""
    if isinstance(value, dict) and ("method" in value or not {"result", "error"} & value.keys()):
        # Otherwise it is an answer to a request of ours, with our id.
        message_id = value.get("id")
        if is_id(message_id):
            return cast(MessageId, message_id)
    return None


def parse(value: Any, *, null_is_missing: bool = False) -> Message:
    """Return the message in a decoded JSON value (JSON-RPC 2.0, sections 4 and 5).

    Args:
        value: The decoded JSON value.
        null_is_missing: Whether "params", "error" and the members of "params" that are null count
            as missing. Serialisers that write out optional fields send them so; the schemas do not
            allow it, but such clients of the session revisions are in use.

    Raises:
        ProtocolError: Invalid request, with a sentence on what is wrong.
    """
    if not isinstance(value, dict):
        raise ProtocolError(INVALID_REQUEST, "A message must be a JSON object")
    if null_is_missing:
        value = _without_nulls(value)
    if value.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, 'A message must have "jsonrpc": "2.0"')
    if "method" not in value:
        return _parse_response(value)
    method = value["method"]
    if not isinstance(method, str):
        raise ProtocolError(INVALID_REQUEST, '"method" must be a string')
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise ProtocolError(INVALID_REQUEST, '"params" must be an object')
    if "id" not in value:
        return NotificationMessage(method, params)
    message_id = value["id"]
    if not is_id(message_id):
        raise ProtocolError(INVALID_REQUEST, '"id" must be a string or an integer')
    return RequestMessage(message_id, method, params)


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    params = value.get("params")
    if isinstance(params, dict) and None in params.values():
        params = {name: member for name, member in params.items() if member is not None}
        value = {**value, "params": params}
    for member in ("params", "error"):
        if value.get(member, ...) is None:
            value = {name: other for name, other in value.items() if name != member}
    return value


def _parse_response(value: dict[str, Any]) -> ResponseMessage:
    message_id = value.get("id")
    if not is_id(message_id) or ("result" in value) == ("error" in value):
        raise ProtocolError(
            INVALID_REQUEST,
            'A message must have a "method", or an "id" with either "result" or "error"',
        )
    error = value.get("error")
    if error is not None and not isinstance(error, dict):
        raise ProtocolError(INVALID_REQUEST, '"error" must be an object')
    return ResponseMessage(message_id, value.get("result"), error)  # type: ignore[arg-type]


def is_id(value: Any) -> bool:
    """Whether a value can be the id of a message."""
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def encode_result(message_id: MessageId, *parts: bytes) -> bytes:
    """The response that carries an already encoded result object.

    Args:
        message_id: The id of the request.
        parts: The result; in several parts it is not copied but once.
    """
    head = b'{"jsonrpc":"2.0","id":%b,"result":' % to_json(message_id)
    return b"".join((head, *parts, b"}"))


def encode_error(message_id: MessageId | None, error: ProtocolError) -> bytes:
    """The error response; an id that could not be read is null (JSON-RPC 2.0, section 5).

    The schema of 2026-07-28 would have it left out, but several clients hide the words of an error
    that has none (Python SDK 2, FastMCP 4).
    """
    body = encode_error_object(error)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (to_json(message_id), body)


def encode_error_object(error: ProtocolError) -> bytes:
    """The error as JSON-RPC has it (section 5.1); data without a JSON form are left out."""
    body: dict[str, Any] = {"code": error.kind.code, "message": error.message}
    if error.data is not None:
        try:
            return encode({**body, "data": error.data})
        except ValueError:
            logger.exception("The data of an error have no JSON form")
    return encode(body)


def encode_notification(method: str, params: Mapping[str, Any]) -> bytes:
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def encode_request(message_id: MessageId, method: str, params: Mapping[str, Any]) -> bytes:
    return encode({"jsonrpc": "2.0", "id": message_id, "method": method, "params": params})


def plain(value: Any) -> Any:
    """An `mcp_types` model, or plain data, as plain JSON data."""
    if isinstance(value, BaseModel):
        return from_json(encode_model(value))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value
