"""Upstreams that want their reasoning back with the results of tools, as their providers do.

For `tests/upstream.py`: they call the first tool, and refuse its result with status 400 if what
they have reasoned before has not come back unchanged.

- Anthropic: blocks of thinking with signatures
- "signed": OpenRouter's items, in pieces where it streams
- "named": text under a name of its own, as DeepSeek has it
- "gemini": the signature of a thought, which is a member of the call
- "none": OpenAI itself, which has no such text, and refuses it
"""

from __future__ import annotations

import json
from typing import Any

THINKING = [
    {"type": "thinking", "thinking": "Let me think", "signature": "sig/1=="},
    {"type": "redacted_thinking", "data": "AbC="},
    # As newer models answer, which keep their thinking for themselves.
    {"type": "thinking", "thinking": "", "signature": "sig/2=="},
]
ITEMS = [
    {"type": "reasoning.text", "text": "Let me think", "signature": "s", "format": "x", "index": 0},
    {"type": "reasoning.encrypted", "data": "AbC=", "id": "rs_1", "format": "y", "index": 1},
]
PIECES = [
    {"type": "reasoning.text", "text": "Let me ", "format": "x", "index": 0, "signature": None},
    {"type": "reasoning.text", "text": "think", "format": "x", "index": 0},
    {"type": "reasoning.text", "signature": "s", "format": "x", "index": 0},
    ITEMS[1],
]
TEXT = "Let me think"
SIGNED_CALL = {"extra_content": {"google": {"thought_signature": "sig/3=="}}}
_EXTRA = ("reasoning", "reasoning_content", "reasoning_details")


def reasoned(path: str, asked: dict[str, Any], kind: str) -> tuple[int, str, bytes]:
    """The status, the content type and the body of the answer to a request."""
    of_anthropic = path.endswith("/messages")
    wanted: Any = THINKING if of_anthropic else _wanted(kind)
    given = [_of_anthropic(one) if of_anthropic else _extra(one) for one in asked["messages"]]
    if any(one is not None and one != wanted for one in given):
        return 400, "application/json", b'{"error": {"message": "Bad reasoning"}}'
    is_answered = any(one is not None for one in given)
    name = _tool_name(asked)
    make = _anthropic if of_anthropic else _openai
    whole, events = make(kind, None if is_answered else name)
    if not asked.get("stream"):
        return 200, "application/json", json.dumps(whole).encode()
    body = "".join(f"data: {json.dumps(one)}\n\n" for one in events)
    return 200, "text/event-stream", body.encode()


def _tool_name(asked: dict[str, Any]) -> str:
    tool = asked["tools"][0] if asked.get("tools") else {"name": "find"}
    name: str = tool.get("function", tool)["name"]
    return name


def _wanted(kind: str) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = {
        "signed": {"reasoning_details": ITEMS},
        "named": {"reasoning_content": TEXT},
        "gemini": SIGNED_CALL,
    }
    return known.get(kind, {})


def _of_anthropic(message: dict[str, Any]) -> Any:
    """The thinking in a message; None if it calls no tool."""
    content = message["content"] if isinstance(message["content"], list) else []
    if not any(one["type"] == "tool_use" for one in content):
        return None
    return content[: len(THINKING)]


def _extra(message: dict[str, Any]) -> Any:
    if not message.get("tool_calls"):
        return None
    [call] = message["tool_calls"]
    of_call = {name: call[name] for name in SIGNED_CALL if name in call}
    return {**{name: message[name] for name in _EXTRA if name in message}, **of_call}


def _anthropic(kind: str, tool: str | None) -> tuple[Any, list[Any]]:
    call: dict[str, Any] = {
        "type": "tool_use",
        "id": "toolu_1",
        "name": tool,
        "input": {"number": 7},
    }
    answer: dict[str, Any] = {"type": "text", "text": "It is 7."}
    content = [*THINKING, answer if tool is None else call]
    reason = "end_turn" if tool is None else "tool_use"
    head: dict[str, Any] = {"type": "message", "model": "stand-in", "usage": {"input_tokens": 1}}
    events: list[Any] = [{"type": "message_start", "message": head}]
    for index, block in enumerate(content):
        start, deltas = dict(block), []
        for name in ("thinking", "signature", "text"):
            if start.get(name) and block["type"] != "redacted_thinking":
                text, start[name] = str(start[name]), ""
                deltas += [
                    {"type": f"{name}_delta", name: part} for part in (text[:3], text[3:]) if part
                ]
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": reason}})
    events.append({"type": "message_stop"})
    return {**head, "content": content, "stop_reason": reason}, events


def _openai(kind: str, tool: str | None) -> tuple[Any, list[Any]]:
    function = {"name": tool, "arguments": '{"number":7}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    if kind == "gemini":
        call |= SIGNED_CALL
    said: dict[str, Any] = {"content": "It is 7."} if tool is None else {"tool_calls": [call]}
    pieces: list[dict[str, Any]] = []
    if kind == "signed":
        pieces = [{"reasoning": one.get("text"), "reasoning_details": [one]} for one in PIECES]
    elif kind == "named":
        pieces = [{"reasoning_content": part} for part in ("Let me ", "think")]
    reason = "stop" if tool is None else "tool_calls"
    thought = {} if kind == "gemini" else _wanted(kind)
    whole = {"index": 0, "message": {**thought, **said}, "finish_reason": reason}
    head = {"id": "1", "model": "stand-in"}
    chunks = [{"index": 0, "delta": one, "finish_reason": None} for one in (*pieces, said)]
    chunks.append({"index": 0, "delta": {}, "finish_reason": reason})
    return {**head, "choices": [whole]}, [{**head, "choices": [one]} for one in chunks]
