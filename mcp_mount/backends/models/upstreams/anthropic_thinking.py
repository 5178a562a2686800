"""Blocks of thinking in Anthropic's form, as items of `reasoning_details`, and back.

With the results of tools, the blocks of thinking before them must come back unchanged, with their
signatures. Clients and servers of OpenAI's form have no member for that; OpenRouter's is the one
that several of them know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from mcp_mount.backends.models.upstreams.json_members import text_in

_FORMAT: Final = "anthropic-claude-v1"


def detail_of(block: Mapping[str, Any], index: int) -> dict[str, Any] | None:
    """The item for a block; None for a block that need not come back.

    Args:
        block: The whole block.
        index: The place of the block in its message.
    """
    detail: dict[str, Any] = {"format": _FORMAT, "index": index}
    kind, signature, data = block.get("type"), text_in(block, "signature"), text_in(block, "data")
    if kind == "thinking" and signature:
        # The text may be empty: some models are told to keep it for themselves.
        text = text_in(block, "thinking")
        return {"type": "reasoning.text", "text": text, "signature": signature, **detail}
    if kind == "redacted_thinking" and data:
        return {"type": "reasoning.encrypted", "data": data, **detail}
    return None


def thinking_blocks(details: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The blocks of thinking in the items of a message; items of other providers are left out.

    Args:
        details: The items.
    """
    for one in details:
        if one.get("format") != _FORMAT:
            continue
        signature, data = text_in(one, "signature"), text_in(one, "data")
        if one.get("type") == "reasoning.text" and signature:
            yield {"type": "thinking", "thinking": text_in(one, "text"), "signature": signature}
        elif one.get("type") == "reasoning.encrypted" and data:
            yield {"type": "redacted_thinking", "data": data}
