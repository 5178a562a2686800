"""The HTTP response of an endpoint, as the value of a tool."""

from __future__ import annotations

import json
import re
import zlib
from codecs import BOM_UTF8
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.message import Message
from gzip import BadGzipFile, GzipFile
from html.parser import HTMLParser
from io import BytesIO
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic_core import from_json

from mcp_mount.features.content import Audio, File, Image
from mcp_mount.openapi.bodies import MAX_RESPONSE_BYTES, ResponseTooLarge
from mcp_mount.wire.errors import ToolError

_LOGIN: Final = re.compile(r"(^|[/_-])(log[_-]?in|sign[_-]?in|log[_-]?on|authorize)(\.\w+)?$", re.I)
"""The end of a path at which one logs in."""

_AUTH: Final = re.compile(
    r"(^|[/_-])(log[_-]?in|sign[_-]?in|log[_-]?on"
    r"|auth|authenticate|authorize|oauth2?|oidc|saml2?|sso)([/_.-]|$)",
    re.I,
)
"""What stands somewhere in the path of a page at which one logs in. Other pages have such paths,
too, so that it counts only where the redirect also says where to lead afterwards."""

_BACK: Final = ("next", "return_to", "returnTo", "return_url", "returnUrl", "redirect_uri")
"""Parameters by which a login page, among other pages, knows where to lead afterwards."""

_GZIP: Final = b"\x1f\x8b"
"""The beginning of each member of a gzip file (RFC 1952, section 2.3.1)."""

MAX_TEXT: Final = 2000
"""How much of an error page is told, in characters."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of an endpoint. headers: names in lower case, of repeated ones the last."""

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
        status: Of the response.
        headers: Names in lower case.
        body: As bytes.
        login: Paths to which those are redirected who must log in, besides those that look so.
        redirects: Whether a redirect is what the endpoint is meant to answer.
        path: That of the request, decoded: a page that leads back to it is no success.
        limit: How many bytes a compressed body may have when it is not; None for any number.

    Returns:
        The value.

    Raises:
        ResponseTooLarge: For a compressed body that has more.
        ToolError: For a status of failure, and for a redirect to a login or one that is not meant.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    location = headers.get("location", "")
    if 300 <= status < 400 and not location:
        # 304 and 300 lead nowhere.
        raise ToolError(f"The endpoint answers {status}")
    if 300 <= status < 400:
        if leads_to_login(location, login):
            raise ToolError("You must log in for this")
        told = _told(location)
        if redirects and _returns(location, path):
            # To a login in another language, say, or to a page that asks for the password again.
            raise ToolError(
                f"The endpoint redirects to {told!r} ({status}), which leads back to the endpoint "
                "afterwards, as a login does: nothing is done"
            )
        if not redirects:
            where = f" to {told!r}" if told else ""
            raise ToolError(f"The endpoint redirects{where} ({status}): nothing is done")
        return f"Done; see {told}" if told else "Done"
    if not body and status < 400:
        return "Done"
    coding = _coding(headers)
    if body and coding:
        # Nothing has asked for it: the request for an endpoint has no Accept-Encoding.
        try:
            body = _uncompressed(coding, body, limit)
        except ToolError:
            if status < 400:
                raise
            # That it has failed matters more than that its words cannot be read.
            raise ToolError(f"The endpoint answers {status}") from None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            # It reads as deep as what writes results, unlike `json`, and takes no NaN.
            value = from_json(body.removeprefix(BOM_UTF8) or b"null", allow_inf_nan=False)
        except ValueError:
            # NaN, for one, which some frameworks write: it is no JSON, so it is told as it is.
            value = body.decode("utf-8", "replace")
        if status >= 400:
            # Some say nothing in JSON either: `{}`, `null`, an empty list.
            words = _problems(value) if value else ""
            raise ToolError(words or f"The endpoint answers {status}")
        return value
    if kind.startswith("text/") or not body:
        text = _decoded(body, headers.get("content-type", ""))
        if status >= 400:
            words = _words(text) if kind == "text/html" else text.strip()
            raise ToolError(words[:MAX_TEXT] or f"The endpoint answers {status}")
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


def leads_to_login(location: str, login: Collection[str]) -> bool:
    """Whether a redirect leads to where one logs in.

    Args:
        location: Where it leads to.
        login: Paths that are known for that. A prefix of the application may stand before them.
    """
    url = _split(location)
    path = url.path.rstrip("/")
    if any(f"{path}/".endswith(f"/{one.strip('/')}/") for one in login if one.strip("/")):
        return True
    if _LOGIN.search(path):
        return True
    return bool(_AUTH.search(path)) and any(name in _BACK for name, _ in _query(url))


def _returns(location: str, path: str) -> bool:
    """Whether a redirect leads to a page that knows a path as the one to lead to afterwards."""
    # A prefix of the application may stand before it.
    path = path.rstrip("/")
    return bool(path) and any(
        name in _BACK and unquote(_split(value).path).rstrip("/").endswith(path)
        for name, value in _query(_split(location))
    )


def _query(url: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(url.query, keep_blank_values=True)


def _told(location: str) -> str:
    """What a client is told of where a redirect leads: the path, and the origin where it is named.

    The query and the fragment may hold tokens (RFC 9700, section 4.2.4), and user information is a
    password (RFC 9110, section 4.2.4).
    """
    # Browsers read a backslash as a slash (URL Standard, section 4.4).
    url = _split(location.replace("\\", "/"))
    host = url.netloc.rpartition("@")[2]
    return SplitResult(url.scheme, host, url.path, "", "").geturl()[:MAX_TEXT]


def slash_path(method: str, path: str, answer: Answer) -> str | None:
    """The path to which a redirect leads that only adds or takes the slash at the end of a path.

    Frameworks answer so where a document and their routes do not agree on that slash. Only 307 and
    308 ask for the same method again (RFC 9110, section 15.4): after another redirect of a POST,
    what was to be done is done.
    """
    if answer.status not in ((301, 302, 307, 308) if method == "get" else (307, 308)):
        return None
    other = path[:-1] if path.endswith("/") else f"{path}/"
    found = unquote(_split(answer.headers.get("location", "")).path)
    # A prefix of the application may stand before it.
    return other if other and found.endswith(other) and not found.endswith(path) else None


def _decoded(body: bytes, content_type: str) -> str:
    """A text by the charset that its media type names; UTF-8 without one that is known."""
    named = Message()
    named["content-type"] = content_type
    try:
        return body.decode(named.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):
        # Names with NUL are no names, and some codecs ("idna", "undefined") know no "replace".
        return body.decode("utf-8", "replace")


def _coding(headers: Mapping[str, str]) -> str:
    """The coding of a body (RFC 9110, section 8.4), empty for none."""
    coding = headers.get("content-encoding", "").strip().lower()
    return "" if coding == "identity" else coding


def _uncompressed(coding: str, body: bytes, limit: int | None) -> bytes:
    """A body without its coding: gzip and deflate, as far as `limit` goes, whatever it would be.

    Raises:
        ToolError: For other codings, and for a body that does not have the one that is named.
        ResponseTooLarge: For more than the limit.
    """
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ToolError(f"The endpoint answers in the coding {coding[:40]!r}, which is not known")
    most = -1 if limit is None else limit + 1
    try:
        if body.startswith(_GZIP):
            # It may have several members (RFC 1952, section 2.2).
            data = GzipFile(fileobj=BytesIO(body)).read(most)
        else:
            decoder = zlib.decompressobj()
            data = decoder.decompress(body, max(most, 0))
            if not decoder.eof and len(data) != most:
                raise EOFError
    except EOFError:
        raise ToolError("The endpoint's answer is incomplete") from None
    except (zlib.error, BadGzipFile):
        raise ToolError(f"The endpoint's answer is not {coding}, which it says it is") from None
    if limit is not None and len(data) > limit:
        raise ResponseTooLarge(limit)
    return data


def _split(location: str) -> SplitResult:
    try:
        return urlsplit(location)
    except ValueError:
        return SplitResult("", "", "", "", "")


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
