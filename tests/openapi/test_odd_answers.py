"""What endpoints answer besides what they should: it is told, and no call fails by it."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from mcp_mount import DefinitionError
from mcp_mount.openapi.bodies import ResponseBody, ResponseTooLarge
from mcp_mount.openapi.responses import Answer
from tests.openapi.machine import Machine, document


def answer(
    body: bytes, kind: str = "application/json", status: int = 200, **headers: str
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": kind, **named}, body)


def call(given: Answer, **options: Any) -> Any:
    machine = Machine(document(), **options)
    machine.answers = [given]
    return machine.call("op")


@pytest.mark.parametrize("charset", ["zip", "idna", "undefined", "unknown", '"a\x00b"', "latin-1"])
def test_a_charset_that_decodes_nothing_is_taken_for_utf_8(charset: str) -> None:
    result = call(answer(b"abc", f"text/plain; charset={charset}"))
    assert (result.is_error, result.text) == (False, "abc")


@pytest.mark.parametrize(
    ("coding", "body"),  # mtime: a time stamp in the ids would differ between workers
    [
        ("gzip", gzip.compress(b'{"a":1}', mtime=0)),
        ("GZip", gzip.compress(b'{"a":1}', mtime=0)),
        ("gzip", gzip.compress(b'{"a"', mtime=0) + gzip.compress(b":1}", mtime=0)),
        ("deflate", zlib.compress(b'{"a":1}')),
        ("identity", b'{"a":1}'),
    ],
)
def test_a_compressed_answer_is_read(coding: str, body: bytes) -> None:
    assert call(answer(body, content_encoding=coding)).structured == {"a": 1}


@pytest.mark.parametrize(
    ("coding", "body", "words"),
    [
        ("gzip", b'{"a":1}', "The endpoint's answer is not gzip, which it says it is"),
        ("gzip", gzip.compress(b'{"a":1}', mtime=0)[:-9], "The endpoint's answer is incomplete"),
        (
            "gzip",
            gzip.compress(b"1", mtime=0) + gzip.compress(b"2", mtime=0)[:-9],
            "The endpoint's answer is incomplete",
        ),
        (
            "gzip",
            gzip.compress(b"0" * 600, mtime=0) * 2,
            "The answer has more than the 1000 bytes that may be sent. Ask for less.",
        ),
        ("br", b"...", "The endpoint answers in the coding 'br', which is not known"),
        (
            "gzip",
            gzip.compress(b"0" * 5_000_000, mtime=0),
            "The answer has more than the 1000 bytes that may be sent. Ask for less.",
        ),
    ],
)
def test_what_cannot_be_decompressed_is_told(coding: str, body: bytes, words: str) -> None:
    result = call(answer(body, content_encoding=coding), max_result_bytes=1000)
    assert (result.is_error, result.text) == (True, words)


@pytest.mark.parametrize("status", [200, 204])
def test_the_coding_of_a_body_that_is_not_there_does_not_matter(status: int) -> None:
    result = call(answer(b"", status=status, content_encoding="br"))
    assert (result.is_error, result.text) == (False, "Done")


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (302, {"location": "/login"}, "Authentication required"),
        (403, {}, "The endpoint answers 403"),
    ],
)
def test_a_refusal_in_an_unknown_coding_is_told_as_such(
    status: int, headers: dict[str, str], words: str
) -> None:
    result = call(answer(b"...", status=status, content_encoding="br", **headers))
    assert (result.is_error, result.text) == (True, words)


@pytest.mark.parametrize("status", [300, 304, 307])
def test_a_redirect_to_nowhere_is_told_by_its_status(status: int) -> None:
    result = call(answer(b"", status=status))
    assert (result.is_error, result.text) == (True, f"The endpoint answers {status}")


def test_json_that_is_nested_too_deeply_to_be_read_is_text() -> None:
    result = call(answer(b"[" * 100_000))
    assert (result.is_error, result.text) == (False, "[" * 100_000)


def test_a_deeply_nested_problem_is_told_as_it_is() -> None:
    # As deep as JSON can be read, and more than can be walked through.
    body = b'{"detail":' * 900 + b"1" + b"}" * 900
    result = call(answer(body, status=400))
    assert result.is_error
    assert result.text.startswith('{"detail":')


def test_a_length_of_thousands_of_digits_is_too_large() -> None:
    with pytest.raises(ResponseTooLarge):
        ResponseBody(1000).expect("9" * 5000)


@pytest.mark.parametrize("header", ["Accept-Encoding", "Expect", "Keep-Alive"])
def test_headers_of_the_connection_do_not_go_along(header: str) -> None:
    with pytest.raises(DefinitionError, match="cannot go along"):
        Machine(document(), forward=header)


@pytest.mark.parametrize(
    ("name", "filename"), [("a%00b.txt", "ab.txt"), ("..", "f.txt"), ("..%5C..%5Ca.txt", "a.txt")]
)
def test_a_file_has_a_name_that_can_be_one(name: str, filename: str) -> None:
    body = {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"f": {"type": "string", "format": "binary"}},
                }
            }
        }
    }
    machine = Machine(document(method="post", requestBody=body))
    sent = machine.request("op", f=f"data:text/plain;name={name};base64,eA==")
    assert f'filename="{filename}"'.encode() in (sent.body or b"")
