"""Forms to a server's plain routes that a before_request function has parsed before."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import urlencode

import pytest
from fastapi import APIRouter, Form, UploadFile
from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from mcp_mount_flask import MCPMount

MULTIPART = "multipart/form-data"


def part(disposition: str, content: bytes = b"x", media_type: str = "text/plain") -> bytes:
    lines = f"Content-Disposition: form-data; {disposition}\r\nContent-Type: {media_type}\r\n\r\n"
    return b"--B\r\n" + lines.encode() + content + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--B--\r\n"


def build(before: Any) -> FlaskClient:
    app = Flask("shop")
    mcp = MCPMount(app, open=True)
    router = APIRouter()

    @router.post("/up")
    async def up(
        name: Annotated[str, Form()],
        tag: Annotated[list[str], Form()] = [],  # noqa: B006
        files: list[UploadFile] = [],  # noqa: B006
    ) -> Any:
        parts = [[one.filename, one.content_type, (await one.read()).hex()] for one in files]
        return {"name": name, "tag": tag, "files": parts}

    mcp.server.include_router(router)
    app.before_request(before)
    return app.test_client()


def sent(client: FlaskClient, path: str, **given: Any) -> TestResponse:
    """The response, closed as servers do."""
    with client.post(path, buffered=True, **given) as answer:
        return answer


def parse() -> None:
    assert request.form is not None


def read_files() -> None:
    for one in request.files.values():
        one.read()


def keep() -> None:
    request.get_data()
    parse()


def close_files() -> None:
    for one in request.files.values():
        one.close()


_VERSION = tuple(int(one) for one in version("werkzeug").split(".")[:3])
# Werkzeug before 2.3.3 puts a line break before a file that it reads in several chunks.
LARGE = 700_000 if _VERSION >= (2, 3, 3) else 700


@pytest.mark.parametrize("before", [lambda: None, parse, read_files, keep])
@pytest.mark.parametrize("media_type", [MULTIPART, "application/x-www-form-urlencoded"])
def test_a_form_that_the_application_has_parsed_comes_to_plain_routes(
    before: Any, media_type: str
) -> None:
    fields = [("name", "Ä & = %\r\n--x"), ("tag", "a"), ("tag", ""), ("tag", "b")]
    if media_type == MULTIPART:
        data = multipart(*(part(f'name="{name}"', text.encode()) for name, text in fields))
        media_type += "; boundary=B"
    else:
        data = urlencode(fields).encode()
    answer = sent(build(before), "/mcp/up", data=data, content_type=media_type)
    assert answer.json == {"name": "Ä & = %\r\n--x", "tag": ["a", "", "b"], "files": []}


@pytest.mark.parametrize("before", [lambda: None, parse, read_files, keep])
def test_the_files_of_a_parsed_form_come_to_plain_routes(before: Any) -> None:
    plain = "application/octet-stream"
    data = multipart(
        part('name="name"'),
        part('name="files"; filename="ä b;.txt"', b"\r\n--\x00\xff", "text/x-own; a=b"),
        part('name="files"; filename="empty.bin"', b"", plain),
        part('name="files"; filename="large.bin"', b"x" * LARGE, plain),
    )
    answer = sent(build(before), "/mcp/up", data=data, content_type=f"{MULTIPART}; boundary=B")
    assert answer.json["files"] == [
        ["ä b;.txt", "text/x-own; a=b", "0d0a2d2d00ff"],
        ["empty.bin", "application/octet-stream", ""],
        ["large.bin", "application/octet-stream", "78" * LARGE],
    ]


@pytest.mark.parametrize(
    ("before", "parts", "problem"),
    [
        (parse, part('name="name"', b"\xff"), "not valid UTF-8"),
        (parse, part('name="files"; filename="a\\"b"'), "has quotes"),
        (parse, part("name=\"files\"; filename*=UTF-8''a%0D%0AX%3A%20y"), "has quotes"),
        (parse, part('name="files"; filename="\ufffd"'), "not valid UTF-8"),
        (close_files, part('name="files"; filename="a"'), "A file is closed, and the"),
    ],
)
def test_a_form_that_would_come_as_another_one_is_refused(
    before: Any, parts: bytes, problem: str
) -> None:
    body = multipart(part('name="name"'), parts)
    client = build(before)
    answer = sent(client, "/mcp/up", data=body, content_type=f"{MULTIPART}; boundary=B")
    assert answer.status_code == 400
    assert problem in answer.text
    assert "request.get_data() before request.form" in answer.text


@pytest.mark.parametrize("data", [b"name=%E9", b"name=a%E9b%20", b"name=x&%FF=1"])
def test_a_parsed_urlencoded_form_that_is_no_utf_8_is_refused(data: bytes) -> None:
    media_type = "application/x-www-form-urlencoded"
    answer = sent(build(parse), "/mcp/up", data=data, content_type=media_type)
    assert answer.status_code == 400
    assert (
        "A field may have bytes that are not UTF-8, and the application has parsed" in answer.text
    )


@pytest.mark.parametrize(
    "name",
    [
        "https://example.org/%C3%A9?a=%20",
        "100%",
        pytest.param(
            "\ufffd",
            marks=pytest.mark.skipif(_VERSION < (3,), reason="Werkzeug 2.3 has it for other bytes"),
        ),
    ],
)
def test_texts_that_look_encoded_come_as_they_are(name: str) -> None:
    media_type = "application/x-www-form-urlencoded"
    data = urlencode({"name": name})
    answer = sent(build(parse), "/mcp/up", data=data, content_type=media_type)
    assert answer.json["name"] == name


def test_what_is_no_form_after_all_is_refused() -> None:
    client = build(parse)
    answer = sent(client, "/mcp/up", data=b"--B\r\n", content_type=f"{MULTIPART}; boundary=B")
    assert answer.status_code in (400, 422)
