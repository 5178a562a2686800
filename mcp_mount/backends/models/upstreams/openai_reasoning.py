"""The reasoning in answers of OpenAI's form, and how it goes back with the results of tools.

OpenAI's chat completions have none, and refuse it. Others have it as text: DeepSeek and Moonshot
want that back, under their own name for it, after a call of a tool. OpenRouter has items with
signatures (`reasoning_details`), which it wants back unchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from mcp_mount.backends.models.upstreams.json_members import text_in
from mcp_mount.llm.requests import IMAGES, KEPT_OF_CALLS, ChatRequest

_NAMES: Final = ("reasoning_content", "reasoning")
"""How upstreams call the text. An item that keeps it has the name as its `format`."""

_DETAILS: Final = "reasoning_details"

OPENAI_HOSTS: Final = ("openai.com", "openai.azure.com", "cognitiveservices.azure.com")
"""Where OpenAI's own interface is."""


def is_openai(host: str) -> bool:
    """Whether a host has OpenAI's own interface, which is stricter than those of others."""
    return is_below(host, OPENAI_HOSTS)


def is_below(host: str, domains: Collection[str]) -> bool:
    """Whether a host is one of these domains, or in one of them."""
    return any(host == one or host.endswith(f".{one}") for one in domains)


class OwnReasoning:
    """The reasoning text of one answer, under the name that its upstream has for it."""

    def __init__(self) -> None:
        self._name = ""
        self._texts: list[str] = []
        self._has_details = False

    def note(self, said: Mapping[str, Any], details: Sequence[Any]) -> None:
        """Take a piece of the answer.

        Args:
            said: The piece.
            details: The items with signatures in it.
        """
        self._has_details = self._has_details or bool(details)
        name = next((one for one in _NAMES if text_in(said, one)), None)
        if name is not None:
            self._name = self._name or name
            self._texts.append(text_in(said, name))

    def take(self) -> dict[str, Any] | None:
        """The item that keeps the text since the last one; None if there is no need of it."""
        text = "" if self._has_details else "".join(self._texts)
        self._texts.clear()
        return {"type": "reasoning.text", "text": text, "format": self._name} if text else None


def messages_of(request: ChatRequest, host: str) -> list[dict[str, Any]]:
    """The messages of a request, with the reasoning that their upstream can read.

    Args:
        request: The request.
        host: That of the upstream.
    """
    strict = is_openai(host)
    return [_message(one, strict=strict) for one in request.dumped_messages()]


def _message(message: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    details = message.get(_DETAILS)
    if not strict and not details:
        return message
    rest = {name: one for name, one in message.items() if name not in (_DETAILS, *_NAMES)}
    if strict or not details:
        # Nor does OpenAI know pictures in its own answers, or what other providers want back.
        rest.pop(IMAGES, None)
        if rest.get("tool_calls"):
            rest["tool_calls"] = [
                {name: one for name, one in call.items() if name not in KEPT_OF_CALLS}
                for call in rest["tool_calls"]
            ]
        return rest
    for one in details:
        if one.get("format") in _NAMES:
            rest[one["format"]] = rest.get(one["format"], "") + text_in(one, "text")
    signed = [one for one in details if one.get("format") not in _NAMES]
    return {**rest, _DETAILS: signed} if signed else rest
