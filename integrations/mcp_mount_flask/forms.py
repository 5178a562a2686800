"""Encode forms again that the application has parsed before the server could read them."""

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
"""Characters that would end a name in the header of a part. Parsers differ in how they read them
escaped, so the result could differ from the form that the application has seen.
"""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

_QUOTED: Final = re.compile(r"(?:%[89A-F][0-9A-F])+")
"""Bytes that are not ASCII, as Werkzeug quotes those that it cannot decode."""

_REPLACES: Final = "errors" in signature(FormDataParser).parameters
"""Whether Werkzeug replaces them by U+FFFD, as it does in multipart forms (Werkzeug 2.3)."""

_IN_MEMORY: Final = 500 * 1024
_CHUNK: Final = 64 * 1024


class FormNotKept(Exception):
    """Raised if a form that has been parsed cannot be encoded as it was."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}, and the application has parsed this form before the server: it cannot be "
            "given on as it was. A before_request function that calls request.get_data() before "
            "request.form keeps it"
        )


def form_parsed_before(request: Request) -> tuple[IO[bytes], int] | None:
    """Return the body of a form that has been parsed: `request.form` consumes the connection.

    The body has the same fields, then the same files, and the type that the request declares.

    Args:
        request: The current request.

    Returns:
        The body and its length. None if there is no parsed form, or if Werkzeug could not read it,
        so that nothing is left of it.

    Raises:
        FormNotKept: If the encoded form would differ from the one that was sent.
    """
    if "form" not in request.__dict__ or request.mimetype not in _FORMS:
        return None
    fields = list(request.form.items(multi=True))
    files = list(request.files.items(multi=True))
    if not (fields or files):
        return None
    if request.mimetype != _MULTIPART:
        if any(map(_is_undecoded, chain.from_iterable(fields))):
            raise FormNotKept("A field may have bytes that are not UTF-8")
        body = urlencode(fields).encode()
        return BytesIO(body), len(body)
    names = [name for name, _ in (*fields, *files)] + [file.filename or "" for _, file in files]
    if any("\ufffd" in text for text in (*names, *(text for _, text in fields))):
        # The replacement character stands for bytes that are not UTF-8, unless it was sent as such.
        raise FormNotKept("A field or a name is not valid UTF-8, or contains U+FFFD")
    if any(map(_UNFIT.search, names)):
        raise FormNotKept("The name of a field or a file has quotes, backslashes or line breaks")
    if any(_CONTROL.search(file.headers.get("content-type", "")) for _, file in files):
        raise FormNotKept("The type of a file has line breaks")
    if any(file.stream.closed for _, file in files):
        raise FormNotKept("A file is closed")
    # No part can contain the boundary that separated the parts.
    mark = b"--" + request.mimetype_params["boundary"].encode("latin-1")
    whole: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    for chunk in _chunks(mark, fields, files):
        whole.write(chunk)
    length = whole.tell()
    whole.seek(0)
    return whole, length


def _is_undecoded(text: str) -> bool:
    """Whether a text of an urlencoded form may have bytes that are not UTF-8.

    Werkzeug leaves them quoted, so "%E9" may come from %E9 or from %25E9.
    """
    if _REPLACES and "\ufffd" in text:
        return True
    try:
        for found in _QUOTED.finditer(text):
            # Valid UTF-8 such as "%C3%A9", for example in a URL, is text that was quoted before.
            unquote_to_bytes(found[0]).decode()
    except UnicodeDecodeError:
        return True
    return False


def _chunks(
    mark: bytes, fields: list[tuple[str, str]], files: list[tuple[str, FileStorage]]
) -> Iterator[bytes]:
    """Yield the parts (RFC 7578). Werkzeug's encoder omits the blank line before empty content."""
    for name, text in fields:
        yield mark + f'\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        yield text.encode() + b"\r\n"
    for name, file in files:
        disposition = f'form-data; name="{name}"; filename="{file.filename or ""}"'
        yield mark + f"\r\nContent-Disposition: {disposition}\r\n".encode()
        kind = file.headers.get("content-type")
        yield (f"Content-Type: {kind}\r\n\r\n" if kind else "\r\n").encode()
        # The application may read the file again, as an after_request function does.
        before = file.stream.tell()
        file.stream.seek(0)
        while chunk := file.stream.read(_CHUNK):
            yield chunk
        file.stream.seek(before)
        yield b"\r\n"
    yield mark + b"--\r\n"
