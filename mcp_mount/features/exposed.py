"""What a host has already, as tools: arguments that an endpoint validates by itself, and its HTTP
response as the value of a tool."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, Callable, Collection, Iterable, Mapping, Sequence
from email.message import Message
from html.parser import HTMLParser
from itertools import islice
from typing import Any, Final

from mcp_mount.features import content
from mcp_mount.features.arguments import (
    MOST_TOLD,
    InvalidArguments,
    advice_of,
    unknown_argument,
)
from mcp_mount.features.content import Audio, File, Image
from mcp_mount.features.fast_schema import fast_check
from mcp_mount.features.functions import DefinitionError
from mcp_mount.features.json_schema import JSONSchema
from mcp_mount.features.json_strings import read_json_strings
from mcp_mount.features.tools import Output
from mcp_mount.protocol.calls import Result
from mcp_mount.protocol.encoding import encode
from mcp_mount.protocol.errors import Refusal, ToolError
from mcp_mount.protocol.logs import own_logger
from mcp_mount.protocol.revisions import Revision

logger = own_logger("mcp_mount")

_MOST_TEXT: Final = 2000
"""How much of an error page is told, in characters."""

_MANY_TOOLS: Final = 60
"""From how many tools on models begin to choose badly, and clients to cut the list."""


MAX_RESPONSE_BYTES: Final = 4 * 1024 * 1024
"""How much of a response is collected where no max_result_bytes= says otherwise."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class NamedArguments:
    """Arguments of which only the names are checked: all else is the endpoint's.

    schema: of an object. needed: the names without which there is no request. request: the
    parameter of the function that gets the host's request; `arguments` gets all arguments.
    """

    context = None
    request = "request"

    def __init__(self, schema: Mapping[str, Any], needed: Collection[str] = ()) -> None:
        self.schema: dict[str, Any] = {"additionalProperties": False, **schema, "type": "object"}
        self._known: Mapping[str, Any] = self.schema.get("properties", {})
        self._needed = needed

    def validate(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments; raise InvalidArguments if they do not fit."""
        problems = [
            unknown_argument(name, self._known)
            for name in islice((one for one in arguments if one not in self._known), MOST_TOLD)
        ]
        problems += [
            f"{name}: missing, but required" for name in self._needed if arguments.get(name) is None
        ]
        if problems:
            raise InvalidArguments(advice_of(problems))
        # Whoever validates them knows nothing of JSON in strings.
        return (), {"arguments": dict(read_json_strings(arguments, self.schema))}


def path_segment(name: str, text: str, *, is_wide: bool = False) -> str:
    """An argument, as a part of a URL's path.

    Args:
        name: The argument's.
        text: Its value.
        is_wide: Whether it may have several segments, as `{name:path}` does.

    Returns:
        The text as it is.

    Raises:
        InvalidArguments: If it would make another path of it: "." and ".." lead elsewhere (RFC
            3986, section 5.2.4), and so do a slash in one segment, and no segment at all.
    """
    if _CONTROL.search(text):
        raise InvalidArguments(f"{name}: must not have control characters")
    if not is_wide and ("/" in text or not text):
        raise InvalidArguments(f"{name}: must be one segment of a path, without '/'")
    if any(one in (".", "..") for one in text.split("/")):
        raise InvalidArguments(f"{name}: must not have '.' or '..' as a segment of a path")
    return text


def another_endpoint(method: str, path: str) -> InvalidArguments:
    """The refusal of arguments that make the path of another endpoint, which has its own rules,
    and perhaps was left out on purpose: "all" for the id in "/orders/{id}", say."""
    return InvalidArguments(
        f"These arguments lead to another endpoint, {method.upper()} {path}, which is not this "
        "tool's: give other values for the parts of the path"
    )


def header_value(name: str, text: str) -> str:
    """An argument, as the value of a header.

    Raises:
        InvalidArguments: For line breaks and other control characters, with which another header
            could begin (RFC 9110, section 5.5), and for letters that a header cannot carry.
    """
    if _CONTROL.search(text.replace("\t", " ")):
        raise InvalidArguments(f"{name}: must not have line breaks or other control characters")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidArguments(
            f"{name}: is sent as a header, which cannot carry {text[error.start]!r}; only the "
            "letters of Latin-1 can be"
        ) from None
    return text


def response_limit(server: Any, name: str) -> int | None:
    """How many bytes of a response are collected for a tool: its `max_result_bytes`, or that of
    what is around it; None where that is lifted."""
    limit: int | None = server.registry.tools[name].policies.nearest(
        "max_result_bytes", MAX_RESPONSE_BYTES
    )
    return limit


class ResponseTooLarge(Refusal):
    """A response that is larger than what is collected of one."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The answer has more than the {limit} bytes that may be sent. Ask for less.",
            status=413,
        )


class ResponseBody:
    """Collects the body of a response, up to a limit. limit: None for none."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0

    def expect(self, length: str | None) -> None:
        """Look at a Content-Length header before the body comes.

        Raises:
            ResponseTooLarge: If it announces more than the limit.
        """
        if self._limit is not None and length and length.isdecimal() and int(length) > self._limit:
            raise ResponseTooLarge(self._limit)

    def add(self, chunk: bytes) -> None:
        """Add what has come.

        Raises:
            ResponseTooLarge: If that is more than the limit; what was collected is dropped.
        """
        self._size += len(chunk)
        if self._limit is not None and self._size > self._limit:
            self._chunks.clear()
            raise ResponseTooLarge(self._limit)
        self._chunks.append(chunk)

    def collect(self, chunks: Iterable[bytes]) -> bytes:
        """All of some chunks. Raises ResponseTooLarge."""
        for chunk in chunks:
            self.add(chunk)
        return self.whole()

    async def collect_async(self, chunks: AsyncIterable[bytes]) -> bytes:
        """`collect`, of chunks that come asynchronously."""
        async for chunk in chunks:
            self.add(chunk)
        return self.whole()

    def whole(self) -> bytes:
        return b"".join(self._chunks)


class ResponseOutput(Output):
    """How the responses of an endpoint become results: as its output schema has them, or as text.

    An endpoint may answer what its documentation does not promise (a response that it makes
    itself, another status). Such an answer goes as text, since clients raise for structured content
    that does not fit; one warning says so, and from then on nothing is promised.

    schema: of its answers, or None. name: the tool's. withdrawn: called when the schema is no
    longer the tool's.
    """

    def __init__(self, schema: Mapping[str, Any] | None, name: str) -> None:
        super().__init__(value_of_response, None, False)
        self._name = name
        self._is_object = False
        self.withdrawn: Callable[[], None] = lambda: None
        if schema is None:
            return
        try:
            whole = dict(schema)
            self._checked = JSONSchema(value_of_response, "output_schema", whole, "the value")
        except DefinitionError as error:
            logger.warning("The tool %r has no output schema: %s", name, error)
            return
        self._surely_fits = fast_check(whole)
        self.schema = whole
        self._is_object = whole.get("type") == "object"

    def fitting(self, value: Any) -> Any:
        """The value of a response, if it fits the schema; else text."""
        if self.schema is None or self._checked is None or self._surely_fits(value):
            return value
        plain = not content.is_content(value)
        try:
            problems = self._checked.problems(value) if plain else ["the value: is no JSON"]
        except Exception as error:
            # A $ref within the schema that leads nowhere.
            problems = [f"the schema cannot be used: {error}"]
        if not problems:
            return value
        self.schema = None
        logger.warning(
            "The endpoint of the tool %r answers what its schema does not promise, so that it has "
            "no output schema any more: %s",
            self._name,
            problems[0][:_MOST_TEXT],
        )
        self.withdrawn()
        if not plain:
            return value
        return value if isinstance(value, str) else encode(value).decode()

    def encode(self, value: Any, revision: Revision) -> Result:
        if self.schema is None:
            return super().encode(value, revision)
        return self.encode_structured(self.encode_data(value), revision)

    def encode_data(self, value: Any) -> bytes:
        return encode(value)


def value_of_response(
    status: int, headers: Mapping[str, str], body: bytes, *, login: Sequence[str] = ()
) -> Any:
    """The value of a tool for an HTTP response. headers: names in lower case. login: paths to
    which those are redirected who must log in.

    JSON is data, text and HTML are text, images and sounds content blocks, all else a file. Raises
    ToolError for a status of failure, and for a redirect to a login.
    """
    kind, _, parameters = headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if 300 <= status < 400:
        location = headers.get("location", "")
        if location.partition("?")[0] in login:
            raise ToolError("You must log in for this")
        return f"Done; see {location}"
    if not body and status < 400:
        return "Done"
    if kind == "application/json" or kind.endswith("+json"):
        try:
            value = json.loads(body or b"null", parse_constant=_refuse_constant)
        except ValueError:
            # NaN, for one, which some frameworks write: it is no JSON, so it is told as it is.
            value = body.decode("utf-8", "replace")
        if status >= 400:
            raise ToolError(_problems(value))
        return value
    if kind.startswith("text/") or not body:
        charset = parameters.partition("charset=")[2].strip(' "') or "utf-8"
        text = body.decode(charset, "replace")
        if status >= 400:
            words = _words(text) if kind == "text/html" else text.strip()
            raise ToolError(words[:_MOST_TEXT] or f"The endpoint answers {status}")
        return text
    if status >= 400:
        raise ToolError(f"The endpoint answers {status}")
    if kind.startswith("image/"):
        return Image(body, format=kind)
    if kind.startswith("audio/"):
        return Audio(body, format=kind)
    disposition = Message()
    disposition["content-disposition"] = headers.get("content-disposition", "")
    return File(data=body, name=disposition.get_filename(), format=kind or None)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def warn_of_size(server: str, count: int) -> None:
    """Log a warning if a server has more tools than models deal with."""
    if count > _MANY_TOOLS:
        logger.warning(
            "The server %r has %d tools: models choose badly among so many, and every list costs "
            "their tokens. Expose fewer endpoints, or give groups of callers servers of their own.",
            server,
            count,
        )


def _problems(value: Any) -> str:
    """What frameworks say of bad input, as lines that a model can act on."""
    if isinstance(value, dict) and isinstance(value.get("detail"), list):
        # FastAPI: each problem with its place.
        return "\n".join(map(_problem, value["detail"]))
    if isinstance(value, dict):
        return "\n".join(
            _problems(item)
            if name in ("detail", "non_field_errors", "message", "error")
            else f"{name}: {_flat(item)}"
            for name, item in value.items()
        )
    return _flat(value)


def _problem(one: Any) -> str:
    if not isinstance(one, dict) or "msg" not in one:
        return _flat(one)
    place = [str(part) for part in one.get("loc", ())]
    if place[:1] and place[0] in ("body", "query", "path", "header", "cookie"):
        place = place[1:]
    return f"{'.'.join(place)}: {one['msg']}" if place else str(one["msg"])


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_flat, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class _Text(HTMLParser):
    """Collects the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self._hidden += tag in ("script", "style", "head")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style", "head")

    def handle_data(self, data: str) -> None:
        if self._hidden <= 0:
            self.words += data.split()


def _words(page: str) -> str:
    reader = _Text()
    reader.feed(page)
    return " ".join(reader.words)
