"""Links in messages: pictures, sound and files that an upstream would fetch.

Providers fetch them from networks of their own. A self-hosted upstream, such as vLLM, does so from
that of whoever runs it, where clients must not reach (server-side request forgery). Some read paths
of files, too, and addresses without a scheme. So where an address stands, there must be a data:
URL, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mcp_mount.backends.models.upstreams.openai_reasoning import OPENAI_HOSTS, is_below
from mcp_mount.llm.requests import ChatRequest

_FETCHED_AT: Final = (
    *OPENAI_HOSTS,
    *("anthropic.com", "openrouter.ai", "googleapis.com", "mistral.ai", "x.ai", "groq.com"),
)
"""Providers that fetch links themselves."""

_ADDRESS: Final = re.compile(r"(.*_)?(url|uri|path|source|image|video|audio)s?", re.IGNORECASE)
"""The members of parts that have an address; "image" and the like are Qwen's."""

_WORDS: Final = frozenset({"text", "title", "filename", "name", "context", "transcript", "id"})
"""Members that may begin with anything."""

_IGNORED: Final = r"\s\x00-\x1f\x7f\u200b\ufeff"
"""What readers of URLs take away before a scheme and within it (WHATWG URL, 4.4)."""

_SCHEME: Final = re.compile(f"[{_IGNORED}]*[a-z][a-z0-9+.{_IGNORED}-]*:", re.IGNORECASE)

_DATA: Final = "data:"


def fetches_links(host: str) -> bool:
    """Whether an upstream fetches links from a network of its own.

    Args:
        host: That of the upstream.
    """
    return is_below(host, _FETCHED_AT)


def has_link(request: ChatRequest) -> bool:
    """Whether a message of a request has a link that its upstream might fetch.

    Args:
        request: The request.
    """
    return any(_has_link(part) for one in request.messages for part in one.parts_but_text())


def _has_link(part: Any) -> bool:
    """Whether a part has a link, in any member and at any depth."""
    open_: list[tuple[str, Any]] = [("", part)]
    while open_:
        name, one = open_.pop()
        if isinstance(one, Mapping):
            open_ += one.items()
        elif isinstance(one, list):
            open_ += [(name, each) for each in one]
        elif isinstance(one, str) and _is_link(name, one):
            return True
    return False


def _is_link(name: str, value: str) -> bool:
    """Whether the text in a member is a link."""
    if not value or name in _WORDS or value[: len(_DATA)].lower() == _DATA:
        return False
    return bool(_ADDRESS.fullmatch(name) or _SCHEME.match(value))
