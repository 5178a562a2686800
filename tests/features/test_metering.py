"""How many tokens a request has at most, as budgets reserve them."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount.features.metering import Meter, input_estimate
from mcp_mount.llm.answers import Delta
from mcp_mount.llm.media import AudioPart, ImagePart
from mcp_mount.llm.models import NO_PIECES
from mcp_mount.llm.requests import chat_request

LONG = "QUJD" * 3000
PNG = f"data:image/png;base64,{LONG}"


def tokens_of(*parts: dict[str, Any]) -> int:
    return input_estimate(chat_request([{"role": "user", "content": list(parts)}]))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
        {"type": "image_url", "image_url": PNG},
        {"type": "input_image", "image_url": PNG},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": LONG}},
        {"type": "image", "mimeType": "image/webp", "data": LONG},
    ],
)
def test_a_picture_reserves_the_same_however_large_its_data_are(part: Any) -> None:
    assert 2000 < tokens_of(part) < 2060
    assert 4000 < tokens_of(part, part) < 4120


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "text": LONG},
        {"type": "image", "source": {"type": "text", "media_type": "text/plain", "data": LONG}},
        {"type": "image", "source": {"media_type": "image/png", "data": [LONG]}},
        {"type": "image", "source": {"content": [{"type": "text", "text": LONG}]}},
        {"type": "image_url", "image_url": {"url": f"data:text/plain;base64,{LONG}"}},
        {"type": "image_url", "image_url": {"url": f"data:image/svg+xml;base64,{LONG}"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png,{LONG}"}},
        {"type": "image_url", "image_url": {"url": PNG, "note": LONG}},
        {"type": "input_image", "image_url": PNG, "note": LONG},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{LONG}"}},
    ],
)
def test_whatever_else_a_part_has_is_counted_by_its_size(part: Any) -> None:
    assert tokens_of(part) > 2000 + len(LONG) // 3


@pytest.mark.parametrize("image", [{"type": "image_url", "image_url": {"url": PNG}}, {}])
def test_pictures_of_earlier_answers_are_pictures(image: Any) -> None:
    message = {"role": "assistant", "content": "Here", "images": [image, image]}
    assert 4000 < input_estimate(chat_request([message])) < 4120


@pytest.mark.parametrize(
    "members",
    [{"images": LONG}, {"images": [LONG]}, {"reasoning_content": LONG}, {"note": {"a": [LONG]}}],
)
def test_further_members_of_a_message_are_counted_by_their_size(members: Any) -> None:
    asked = chat_request([{"role": "assistant", "content": "a", **members}])
    assert input_estimate(asked) > len(LONG) // 3


def test_further_options_are_counted_by_their_size() -> None:
    asked = chat_request("a", prediction={"type": "content", "content": LONG})
    assert input_estimate(asked) > len(LONG) // 3


def test_what_has_come_of_an_answer_with_pictures_and_sound_counts() -> None:
    meter = Meter(NO_PIECES)
    picture = Delta(image=ImagePart("https://example.com/a.png"))
    for delta in (picture, picture, *[Delta(audio=AudioPart(b"a", "wav"))] * 3):
        meter.put_from_thread(delta)
    taken = meter.usage(chat_request("a"), None, is_cut=True)
    assert taken is not None
    assert taken.output_tokens == 6000
