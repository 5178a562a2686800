"""The embedded chat model: a stand-in for development and tests, without any language model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from mcp_mount.llm.answers import Piece, ToolCall, Usage
from mcp_mount.llm.requests import ChatRequest, name_of_tool

NAME: Final = "stand-in"

_CALL: Final = re.compile(r"\s*call\s+([\w.-]+)\s*(\{.*\})?\s*", re.DOTALL)


def stand_in(request: ChatRequest) -> Iterator[Piece]:
    """Answer by a fixed rule; the same request gives the same answer.

    It repeats what the user has said. To "call NAME {…}" it answers with a call of the tool NAME,
    with these arguments, if there is such a tool; to what a tool has answered, with that.

    Args:
        request: The request.

    Yields:
        The pieces of the answer: word by word.
    """
    last = request.messages[-1]
    command = _CALL.fullmatch(request.text)
    known = {name_of_tool(one) for one in request.tools or ()}
    if last.role == "tool":
        yield from _words(f"The tool has answered: {last.text}")
    elif command is not None and command[1] in known:
        yield ToolCall(command[1], _arguments(command[2]), id=f"call_{len(request.messages)}")
    else:
        yield from _words(f"(stand-in model) You said: {request.text}")
    yield Usage(sum(len(one.text.split()) for one in request.messages), 1)


def _words(text: str) -> Iterator[str]:
    yield from re.findall(r"\S+\s*", text)


def _arguments(text: str | None) -> dict[str, object] | str:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return text or ""
    return value if isinstance(value, dict) else (text or "")
