"""The HTTP response of an endpoint, as the value of a tool."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.message import Message
from html.parser import HTMLParser
from typing import Any, Final

from pydantic_core import from_json

from mcp_mount.features.content import Audio, File, Image
from mcp_mount.openapi.bodies import MAX_RESPONSE_BYTES
from mcp_mount.openapi.codings import decoded, uncompressed
from mcp_mount.openapi.redirects import value_of_redirect
from mcp_mount.wire.errors import ToolError

MAX_TEXT: Final = 2000
"""How much of an error page a client is told, in characters."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of an endpoint.

    Attributes:
        status: The HTTP status.
        headers: By names in lower case; of repeated headers the last one.
        body: As bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def value_of_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    login: Collection[str] = (),
    redirects: bool = False,
    path: str = "",
    limit: int | None = MAX_RESPONSE_BYTES,
) -> Any:
    """The value of a tool for an HTTP response.

    JSON is data, text and HTML are text, images and sounds content blocks, all else a file.

    Args:
        status: The status of the response.
        headers: Names in lower case.
        body: As bytes.
        login: Paths that unauthenticated callers are redirected to, besides those that look so.
        redirects: Whether the endpoint is meant to answer with a redirect.
        path: The path of the request, decoded: a page that leads back to it is no success.
        limit: How many bytes a compressed body may have when it is not; None for any number.

    Returns:
        The value.

    Raises:
        ResponseTooLarge: If a compressed body has more bytes than the limit.
        ToolError: If the status is one of failure, or if the response redirects to a login, or
            redirects although that is not meant.
    """
    if 300 <= status < 400:
        location = headers.get("location", "")
        return value_of_redirect(status, location, login=login, redirects=redirects, path=path)
    if not body and status < 400:
        return "Done"
    try:
        body = uncompressed(headers, body, limit)
    except ToolError:
        if status < 400:
            raise
        # That it failed matters more than that its words cannot be read.
        raise ToolError(f"The endpoint answers {status}") from None
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if status >= 400:
        raise ToolError(_words_of_failure(kind, headers, body) or f"The endpoint answers {status}")
    if _is_json(kind):
        return _data(body)
    if kind.startswith("text/") or not body:
        return decoded(body, headers.get("content-type", ""))
    if kind.startswith("image/"):
        return Image(body, format=kind)
    if kind.startswith("audio/"):
        return Audio(body, format=kind)
    disposition = Message()
    disposition["content-disposition"] = headers.get("content-disposition", "")
    return File(data=body, name=disposition.get_filename(), format=kind or None)


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _data(body: bytes) -> Any:
    """The data in a body that is said to be JSON."""
    try:
        # It reads as deep as what writes results, unlike `json`, and takes no NaN.
        return from_json(body.removeprefix(BOM_UTF8) or b"null", allow_inf_nan=False)
    except ValueError:
        # Some frameworks write NaN, which is not JSON: the text is the value then.
        return body.decode("utf-8", "replace")


def _words_of_failure(kind: str, headers: Mapping[str, str], body: bytes) -> str:
    """What the body of a failure says; empty where it says nothing that a model can read."""
    if _is_json(kind):
        value = _data(body)
        # Some say nothing in JSON either: `{}`, `null`, an empty list.
        return _problems(value) if value else ""
    if kind.startswith("text/") or not body:
        text = decoded(body, headers.get("content-type", ""))
        words = _words(text) if kind == "text/html" else text.strip()
        return words[:MAX_TEXT]
    return ""


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


_OF_HEAD: Final = frozenset(
    ["base", "head", "link", "meta", "noscript", "script", "style", "template", "title"]
)
"""The elements of a head. Any other one ends it, with or without its end tag (HTML, section
13.2.6.4.4)."""


def read_page(reader: HTMLParser, page: str) -> None:
    """Let a reader read a page.

    Args:
        reader: What collects something of it.
        page: The page, however odd.
    """
    # html.parser raises AssertionError for some "<![...", and knows sections that HTML does not
    # have. It is a comment up to the next ">" (HTML, section 13.2.5.42), as other "<!..." are.
    reader.feed(page.replace("<![", "<! ["))
    reader.close()


class _Text(HTMLParser):
    """Collects the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._is_head = False
        self._is_code = False

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self._is_head = tag == "head" or (self._is_head and tag in _OF_HEAD)
        self._is_code = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._is_head = self._is_head and tag != "head"
        self._is_code = False

    def handle_data(self, data: str) -> None:
        if not self._is_head and not self._is_code:
            self.words += data.split()


def _words(page: str) -> str:
    reader = _Text()
    read_page(reader, page)
    return " ".join(reader.words)
