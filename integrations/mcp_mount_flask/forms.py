"""Forms that the application has parsed before its server saw them, as bodies again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Final
from urllib.parse import urlencode

from flask import Request
from werkzeug.datastructures import FileStorage

_MULTIPART: Final = "multipart/form-data"
_FORMS: Final = (_MULTIPART, "application/x-www-form-urlencoded")

_UNFIT: Final = re.compile(r'["\\\x00-\x1f\x7f]')
"""What would end a name in a part's header: parsers differ in how they read it escaped, so that
another form could come of it than the one that the application has looked at."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

_IN_MEMORY: Final = 500 * 1024
_CHUNK: Final = 64 * 1024


class FormNotKept(Exception):
    """A form that has been parsed cannot be given on as it was."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The application has read this form, and {problem}: it cannot be given on as it was. "
            "A before_request function that calls request.get_data() before request.form keeps it"
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
    if any("\ufffd" in text for field in fields for text in field):
        # In place of what was no UTF-8.
        raise FormNotKept("a field is no valid UTF-8")
    if request.mimetype != _MULTIPART:
        body = urlencode(fields).encode()
        return BytesIO(body), len(body)
    names = [name for name, _ in (*fields, *files)] + [file.filename or "" for _, file in files]
    if any(_UNFIT.search(name) or "\ufffd" in name for name in names):
        raise FormNotKept("the name of a field or a file has quotes, backslashes or line breaks")
    if any(_CONTROL.search(file.headers.get("content-type", "")) for _, file in files):
        raise FormNotKept("the type of a file has line breaks")
    if any(file.stream.closed for _, file in files):
        raise FormNotKept("closed a file of it")
    # No part has the boundary that has parted them.
    mark = b"--" + request.mimetype_params["boundary"].encode("latin-1")
    whole: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    for chunk in _chunks(mark, fields, files):
        whole.write(chunk)
    length = whole.tell()
    whole.seek(0)
    return whole, length


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
