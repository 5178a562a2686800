"""What a provider wants back of its reasoning, as the `encrypted_content` of a response's item.

Nothing is stored here, so clients keep it, and send it with the conversation. It is not encrypted:
providers sign or encrypt what they do not trust a client with.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import from_json

from mcp_mount.wire.encoding import encode

WANTED: Final = "reasoning.encrypted_content"
"""By which member of `include` a client asks for it."""

_MARK: Final = "mcpm1."
"""What is written here begins with it. Clients may bring that of another provider."""


def written(details: Sequence[Mapping[str, Any]]) -> str:
    """The items of `reasoning_details` as one text.

    Args:
        details: The items.
    """
    return _MARK + base64.urlsafe_b64encode(encode(details)).decode()


def details_in(content: Any) -> list[dict[str, Any]]:
    """The items that `written` has given; none for what is not from here.

    Args:
        content: The `encrypted_content` that a client has sent.
    """
    if not isinstance(content, str) or not content.startswith(_MARK):
        return []
    try:
        details = from_json(base64.urlsafe_b64decode(content[len(_MARK) :]), allow_inf_nan=False)
    except (binascii.Error, ValueError):
        return []
    if not isinstance(details, list):
        return []
    return [one for one in details if isinstance(one, dict)]
