"""Translating requests of OpenAI's form into those of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mcp_mount.backends.models.upstreams.anthropic_thinking import thinking_blocks
from mcp_mount.backends.models.upstreams.options import PassedOptions
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.requests import ChatMessage, ChatRequest, arguments_of, file_in

ANSWER_TOOL: Final = "answer_in_json"
"""The tool by whose arguments a model answers in JSON."""

_SAME: Final = ("temperature", "top_p", "top_k", "thinking", "cache_control", "output_config")
"""Options that both forms have, and Anthropic's own."""

_OWNERS: Final = ("container", "context_management", "mcp_servers")
"""Options of Anthropic's that only defaults may have, or requests by `passes=`."""

_TRANSLATED: Final = ("messages", "service_tier", "tools")
"""What requests are translated from, though `passes=` may have its name."""

_OBJECTS: Final = {"thinking", "output_config"}
_SERVICE_TIERS: Final = ("auto", "standard_only")
_EFFORTS: Final = {"minimal": "low"}


def anthropic_body(
    request: ChatRequest, passed: PassedOptions, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """A request in Anthropic's form, but for its model and stream.

    Options that Anthropic has no counterpart for, such as `seed`, `logprobs` and penalties, are
    left out.

    Args:
        request: The request.
        passed: Which of its options the upstream gets.
        defaults: Options that the request may not give, in OpenAI's form or Anthropic's; with
            `max_tokens`.

    Raises:
        ModelError: If it asks for what Anthropic cannot do, or has an option that does not pass.
    """
    given = {**defaults, **passed.of_chat(request)}
    if given.get("n", 1) != 1:
        raise _refused("The model gives one answer to a request", "n")
    as_given = (*_SAME, *_OWNERS, *(name for name in passed.further if name not in _TRANSLATED))
    body: dict[str, Any] = {name: given[name] for name in as_given if name in given}
    for name in _OBJECTS & body.keys():
        if not isinstance(body[name], dict):
            raise _refused(f"{name} is an object", name)
    body["max_tokens"] = given["max_tokens"]
    body["messages"] = _messages(request.messages)
    system = _system(request.messages)
    if system:
        body["system"] = system
    if given.get("stop"):
        body["stop_sequences"] = given["stop"]
    if isinstance(given.get("user"), str):
        body["metadata"] = {"user_id": given["user"]}
    if given.get("service_tier") in _SERVICE_TIERS:
        body["service_tier"] = given["service_tier"]
    effort = given.get("reasoning_effort")
    if effort and effort != "none":
        config = body.get("output_config") or {}
        body["output_config"] = {"effort": _EFFORTS.get(effort, effort), **config}
    _add_tools(body, given)
    _add_format(body, given.get("response_format"))
    return body


def answers_by_tool(body: Mapping[str, Any]) -> bool:
    """Whether a request asks for an answer in JSON by the arguments of a tool."""
    return any(tool.get("name") == ANSWER_TOOL for tool in body.get("tools", ()))


def wraps_answer(request: ChatRequest) -> bool:
    """Whether the JSON that a request asks for is no object: it is the `value` of one then."""
    return _schema(request.response_format).get("type") != "object"


def _add_tools(body: dict[str, Any], given: Mapping[str, Any]) -> None:
    if not given.get("tools"):
        return
    body["tools"] = [_tool(tool) for tool in given["tools"]]
    choice = _tool_choice(given.get("tool_choice"))
    if given.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    if choice:
        body["tool_choice"] = choice


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        if tool.get("type") in (None, "function", "custom") and "input_schema" not in tool:
            raise _refused("The model knows tools with a function only", "tools")
        # One of Anthropic's own.
        return dict(tool)
    translated = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    further = {name: function.get(name) for name in ("description", "strict")}
    further["cache_control"] = tool.get("cache_control")
    return translated | {name: value for name, value in further.items() if value is not None}


def _tool_choice(choice: Any) -> dict[str, Any]:
    known = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
    if choice is None:
        return {}
    if isinstance(choice, str) and choice in known:
        return {"type": known[choice]}
    if isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        return {"type": "tool", "name": choice["function"].get("name")}
    if isinstance(choice, Mapping) and choice.get("type") in (*known.values(), "tool"):
        return dict(choice)
    raise _refused("The model knows auto, none, required, or one function", "tool_choice")


def _add_format(body: dict[str, Any], wanted: Mapping[str, Any] | None) -> None:
    """Ask for an answer in JSON: of a schema by a tool that the model must call, which every model
    can, or by Anthropic's own option where the model thinks, and so cannot be made to call one."""
    kind = (wanted or {}).get("type", "text")
    if kind == "text":
        return
    if kind == "json_object":
        rule = "Answer with one JSON object and nothing else: no code block, no explanation."
        system = body.get("system", "")
        if isinstance(system, str):
            body["system"] = f"{system}\n\n{rule}".strip()
        else:
            body["system"] = [*system, _text_block(rule)]
        return
    described = (wanted or {}).get("json_schema")
    if kind != "json_schema" or not isinstance(described, Mapping):
        raise _refused("The model knows text, json_object and json_schema", "response_format")
    schema = _schema(wanted)
    if (body.get("thinking") or {}).get("type", "disabled") != "disabled":
        config = body.get("output_config") or {}
        body["output_config"] = {**config, "format": {"type": "json_schema", "schema": schema}}
        return
    if schema.get("type") != "object":
        definitions = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
        rest = {name: value for name, value in schema.items() if name not in definitions}
        schema = {
            "type": "object",
            "properties": {"value": rest},
            "required": ["value"],
            **definitions,
        }
    tool = {
        "name": ANSWER_TOOL,
        "description": described.get("description") or "Gives the answer.",
        "input_schema": schema,
    }
    choice = body.get("tool_choice", {}).get("type")
    forced = {"type": "any"} if body.get("tools") else {"type": "tool", "name": ANSWER_TOOL}
    body["tools"] = [*body.get("tools", ()), tool]
    if choice in (None, "auto"):
        body["tool_choice"] = {**body.get("tool_choice", {}), **forced}
    elif choice == "none":
        body["tool_choice"] = {"type": "tool", "name": ANSWER_TOOL}


def _schema(wanted: Mapping[str, Any] | None) -> Mapping[str, Any]:
    described = (wanted or {}).get("json_schema")
    schema = described.get("schema") if isinstance(described, Mapping) else None
    return schema if isinstance(schema, Mapping) and schema else {"type": "object"}


def _system(messages: Iterable[ChatMessage]) -> str | list[dict[str, Any]]:
    own = [one for one in messages if one.role in ("system", "developer")]
    blocks = [block for one in own for block in _blocks(one)]
    if any("cache_control" in block for block in blocks):
        return blocks
    return "\n\n".join(one.text for one in own if one.text)


def _messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """The conversation, without what `system` has. Roles take turns in it: the answers of tools are
    the user's, and come before what the user says."""
    turns: list[dict[str, Any]] = []
    for one in messages:
        if one.role in ("system", "developer"):
            continue
        if one.role == "assistant":
            role = "assistant"
            blocks = [
                *thinking_blocks(one.reasoning_details or ()),
                *_blocks(one),
                *map(_tool_use, one.tool_calls or ()),
            ]
        elif one.role in ("tool", "function"):
            role, blocks = "user", [_tool_result(one)]
        elif one.role == "user":
            role, blocks = "user", _blocks(one)
        else:
            raise _refused(f"The model knows no role {one.role[:50]!r}", "messages")
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _tool_use(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, Mapping):
        raise _refused("A tool call in the messages has no function", "messages")
    arguments = function.get("arguments")
    if not isinstance(arguments, Mapping):
        arguments = arguments_of({"function": {"arguments": str(arguments or "")}})
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        # Only an object can be sent: text that is none was refused by the tool as well.
        "input": arguments if isinstance(arguments, Mapping) else {"arguments": arguments},
    }


def _tool_result(one: ChatMessage) -> dict[str, Any]:
    content = one.content if isinstance(one.content, str) else _blocks(one)
    return {"type": "tool_result", "tool_use_id": one.tool_call_id, "content": content or ""}


def _blocks(one: ChatMessage) -> list[dict[str, Any]]:
    if isinstance(one.content, str):
        # Anthropic refuses empty texts.
        return [_text_block(one.content)] if one.content else []
    blocks = (_block(part) for part in one.content or ())
    return [block for block in blocks if block.get("text", True)]


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text", "refusal"):
        block = _text_block(part.get("text") or part.get("refusal") or "")
    elif kind in ("image_url", "input_image"):
        url = part.get("image_url")
        url = url.get("url") if isinstance(url, Mapping) else url
        block = {"type": "image", "source": _source(url, "image_url")}
    elif kind == "file" and isinstance(part.get("file"), Mapping):
        block = {"type": "document", "source": _source(part["file"].get("file_data"), "file")}
        if part["file"].get("filename"):
            block["title"] = part["file"]["filename"]
    elif kind in ("image", "document", "search_result") and "source" in part:
        # Anthropic's own.
        return dict(part)
    else:
        raise _refused(f"The model takes no parts of the type {str(kind)[:50]!r}", "messages")
    if "cache_control" in part:
        block["cache_control"] = part["cache_control"]
    return block


def _source(url: Any, what: str) -> dict[str, Any]:
    """Where a picture or document is: in the URL itself, or at it."""
    if isinstance(url, str) and url.startswith("https://"):
        return {"type": "url", "url": url}
    file = file_in(url)
    if file is None:
        raise _refused(f"{what} is an https URL, or a data URL", "messages")
    return {"type": "base64", "media_type": file.media_type, "data": file.base64()}


def _text_block(text: Any) -> dict[str, Any]:
    return {"type": "text", "text": text if isinstance(text, str) else ""}


def _refused(message: str, param: str) -> ModelError:
    return ModelError(message, status=400, code="unsupported", param=param)
