"""How many tokens a request has at most, as budgets reserve them."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount.features.metering import input_estimate
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
