"""Image models of upstreams over HTTP: what they are asked, what they answer, what goes wrong."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from mcp_mount import DefinitionError
from mcp_mount.images import (
    ImageInvocation,
    ImageRequest,
    ModelError,
    OpenAIImages,
    PartialPicture,
    Picture,
)
from tests.upstream import PNG, Upstream


class Taken:
    """Takes pictures on their way."""

    def __init__(self) -> None:
        self.pictures: list[PartialPicture] = []

    async def put(self, delta: PartialPicture) -> None:
        self.pictures.append(delta)

    def put_from_thread(self, delta: PartialPicture) -> None:
        raise AssertionError


def draw(backend: OpenAIImages, request: ImageRequest, taken: Taken | None = None) -> Picture:
    return asyncio.run(backend.draw(ImageInvocation(request, taken or Taken())))


def asked(**options: Any) -> ImageRequest:
    return ImageRequest(prompt="a cat", **options)


def test_an_upstream_is_asked_for_one_picture_with_all_options(upstream: Upstream) -> None:
    defaults = {"quality": "low", "user": "us"}
    backend = OpenAIImages(f"{upstream.url}/v1", "dall-e-3", key="k", defaults=defaults)
    options: Any = {"style": "vivid", "n": 3, "user": None, "response_format": "url"}
    picture = draw(backend, asked(size="64x32", quality="high", **options))
    assert picture.data == PNG + b"a cat 64x32"
    assert picture.media_type == "image/png"
    assert picture.revised_prompt == "a cat, revised"
    assert picture.usage == {"total_tokens": 5, "input_tokens": 2, "output_tokens": 3}
    [request] = upstream.requests
    assert request["path"] == "/v1/images/generations"
    assert request["headers"]["authorization"] == "Bearer k"
    assert request["body"] == {
        "model": "dall-e-3",
        "prompt": "a cat",
        "size": "64x32",
        "quality": "high",
        "style": "vivid",
        "user": "us",
        "response_format": "b64_json",
    }


def test_newer_models_are_not_asked_for_base64_and_auto_is_left_out(upstream: Upstream) -> None:
    backend = OpenAIImages(upstream.url, "ok:gpt-image-1")
    draw(backend, asked(size="auto"))
    assert upstream.requests[0]["body"] == {"model": "ok:gpt-image-1", "prompt": "a cat"}


def test_pictures_to_edit_go_as_files_of_a_form(upstream: Upstream) -> None:
    backend = OpenAIImages(upstream.url, "ok:gpt-image-1", key="k")
    request = asked(quality="low", output_compression=50)
    given = [Picture(PNG + b"1\r\n--", "image/png"), Picture(b"\xff\xd8\xff2", "image/jpeg")]
    draw(backend, request.with_files(given, Picture(PNG + b"m", "image/png")))
    draw(backend, request.with_files(given[:1], None))
    several, one = upstream.requests
    assert several["path"] == "/images/edits"
    assert several["body"] == {
        "model": "ok:gpt-image-1",
        "prompt": "a cat",
        "quality": "low",
        "output_compression": "50",
        "files": [
            ("image[]", "image0.png", "image/png", PNG + b"1\r\n--"),
            ("image[]", "image1.jpeg", "image/jpeg", b"\xff\xd8\xff2"),
            ("mask", "mask2.png", "image/png", PNG + b"m"),
        ],
    }
    assert [name for name, *_ in one["body"]["files"]] == ["image"]


@pytest.mark.parametrize("edits", [False, True])
def test_pictures_on_their_way_are_passed_on(upstream: Upstream, edits: bool) -> None:
    backend = OpenAIImages(upstream.url, "ok:gpt-image-1")
    request = asked(stream=True, partial_images=2)
    if edits:
        request = request.with_files([Picture(PNG, "image/png")], None)
        upstream.requests.clear()
    taken = Taken()
    picture = draw(backend, request, taken)
    assert [one.data for one in taken.pictures] == [PNG + b"0", PNG + b"1"]
    assert picture.data == PNG + b"a cat auto"
    assert picture.usage is not None


def test_models_without_streams_are_asked_for_the_whole(upstream: Upstream) -> None:
    taken = Taken()
    draw(OpenAIImages(upstream.url, "dall-e-2"), asked(stream=True, partial_images=2), taken)
    assert "stream" not in upstream.requests[0]["body"]
    assert taken.pictures == []


@pytest.mark.parametrize(
    ("behaviour", "status", "told"),
    [
        ("400", 400, "The stand-in answers 400"),
        ("401", 502, "does not serve this server as it is configured"),
        ("429", 429, "The stand-in answers 429"),
        ("500", 502, "fails (status 500)"),
        ("garbage", 502, "is no JSON"),
        ("huge", 502, "is larger than 1000 bytes"),
        ("gif", 502, "is no PNG, JPEG or WebP"),
        ("url", 502, "asks_base64=True"),
    ],
)
def test_what_goes_wrong_is_an_error_for_the_caller(
    upstream: Upstream, behaviour: str, status: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = OpenAIImages(upstream.url, behaviour, key="secret", max_answer_bytes=1000)
    with caplog.at_level(logging.ERROR), pytest.raises(ModelError) as raised:
        draw(backend, asked())
    assert raised.value.status == status
    assert told in str(raised.value)


@pytest.mark.parametrize(("behaviour", "told"), [("cut", "ends before"), ("error", "tired")])
def test_a_stream_that_breaks_off_is_an_error(
    upstream: Upstream, behaviour: str, told: str
) -> None:
    backend = OpenAIImages(upstream.url, f"{behaviour}:gpt-image-1")
    with pytest.raises(ModelError, match=told):
        draw(backend, asked(stream=True))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"[]", "has no picture"),
        (b'{"data":[]}', "has no picture"),
        (b'{"data":[7]}', "has no picture"),
        (b'{"data":[{"b64_json":7}]}', "has no picture"),
        (b'{"data":[{"b64_json":"!"}]}', "no Base64"),
        (b'{"data":[{"b64_json":"\xc3\xa9"}]}', "no Base64"),
    ],
)
def test_an_answer_without_a_picture_is_an_error(
    upstream: Upstream, body: bytes, told: str
) -> None:
    upstream.raw = ("application/json", body)
    with pytest.raises(ModelError, match=told):
        draw(OpenAIImages(upstream.url, "m"), asked())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"base_url": "https://x/v1/images/generations"}, "write 'https://x/v1'"),
        ({"base_url": "ftp://x"}, "base_url begins with"),
        ({"model": ""}, "model is empty"),
        ({"edits": "yes"}, "edits is True or False"),
        ({"streams": "no"}, "streams is True or False"),
        ({"timout": 1}, "did you mean 'timeout'"),
        ({"key": ""}, "an empty one"),
    ],
)
def test_an_upstream_that_cannot_be_is_refused(options: Any, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        OpenAIImages(**{"base_url": "http://x", "model": "m", **options})
