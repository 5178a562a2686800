"""Forms that the application has parsed before its server saw them, as bodies again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import signature
from io import BytesIO
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO, Final
from urllib.parse import unquote_to_bytes, urlencode

from flask import Request
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import FormDataParser

_MULTIPART: Final = "multipart/form-data"
_FORMS: Final = (_MULTIPART, "application/x-www-form-urlencoded")

_UNFIT: Final = re.compile(r'["\\\x00-\x1f\x7f]')
"""What would end a name in a part's header: parsers differ in how they read it escaped, so that
another form could come of it than the one that the application has looked at."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

_QUOTED: Final = re.compile(r"(?:%[89A-F][0-9A-F])+")
"""Bytes beyond ASCII, as Werkzeug quotes those that it cannot decode."""

_REPLACES: Final = "errors" in signature(FormDataParser).parameters
"""Whether they become U+FFFD there, as they do in multipart forms (Werkzeug 2.3)."""

_IN_MEMORY: Final = 500 * 1024
_CHUNK: Final = 64 * 1024


class FormNotKept(Exception):
    """A form that has been parsed cannot be given on as it was."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}, and the application has read this form before the server: it cannot be "
            "given on as it was. A before_request function that calls request.get_data() before "
            "request.form keeps it"
        )


def form_parsed_before(request: Request) -> tuple[IO[bytes], int] | None:
    """The body of a form that has been parsed: `request.form` reads it off the connection.

    It has the same fields, then the same files, and the type that the request says.

    Args:
        request: The current one.

    Returns:
        The body and its length; None where there is no such form, and for one that Werkzeug could
        not read, of which nothing is left.

    Raises:
        FormNotKept: If it would be another one.
    """
    if "form" not in request.__dict__ or request.mimetype not in _FORMS:
        return None
    fields = list(request.form.items(multi=True))
    files = list(request.files.items(multi=True))
    if not (fields or files):
        return None
    if request.mimetype != _MULTIPART:
        if any(map(_is_undecoded, chain.from_iterable(fields))):
            raise FormNotKept("A field of it may be no valid UTF-8")
        body = urlencode(fields).encode()
        return BytesIO(body), len(body)
    names = [name for name, _ in (*fields, *files)] + [file.filename or "" for _, file in files]
    if any("\ufffd" in text for text in (*names, *(text for _, text in fields))):
        # In place of what was no UTF-8, unless it was there.
        raise FormNotKept("A field or a name in it is no valid UTF-8, or has U+FFFD")
    if any(map(_UNFIT.search, names)):
        raise FormNotKept("The name of a field or a file has quotes, backslashes or line breaks")
    if any(_CONTROL.search(file.headers.get("content-type", "")) for _, file in files):
        raise FormNotKept("The type of a file has line breaks")
    if any(file.stream.closed for _, file in files):
        raise FormNotKept("A file of it is closed")
    # No part has the boundary that has parted them.
    mark = b"--" + request.mimetype_params["boundary"].encode("latin-1")
    whole: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    for chunk in _chunks(mark, fields, files):
        whole.write(chunk)
    length = whole.tell()
    whole.seek(0)
    return whole, length


def _is_undecoded(text: str) -> bool:
    """Whether a text of an urlencoded form may have bytes that are no UTF-8.

    Werkzeug leaves them as they are quoted: "%E9" is what comes of %E9 and of %25E9.
    """
    if _REPLACES and "\ufffd" in text:
        return True
    try:
        for found in _QUOTED.finditer(text):
            # "%C3%A9", in a URL for example, is text that was quoted before.
            unquote_to_bytes(found[0]).decode()
    except UnicodeDecodeError:
        return True
    return False


def _chunks(
    mark: bytes, fields: list[tuple[str, str]], files: list[tuple[str, FileStorage]]
) -> Iterator[bytes]:
    """The parts (RFC 7578). Werkzeug's encoder forgets the line before a content that is empty."""
    for name, text in fields:
        yield mark + f'\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        yield text.encode() + b"\r\n"
    for name, file in files:
        disposition = f'form-data; name="{name}"; filename="{file.filename or ""}"'
        yield mark + f"\r\nContent-Disposition: {disposition}\r\n".encode()
        kind = file.headers.get("content-type")
        yield (f"Content-Type: {kind}\r\n\r\n" if kind else "\r\n").encode()
        # The application may read it again, as an after_request function does.
        before = file.stream.tell()
        file.stream.seek(0)
        while chunk := file.stream.read(_CHUNK):
            yield chunk
        file.stream.seek(before)
        yield b"\r\n"
    yield mark + b"--\r\n"
