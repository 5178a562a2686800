"""The tools in requests for `/v1/responses`, as those that chat models know: functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mcp_mount.routes.errors import unfit

BETWEEN: Final = "__"
"""Stands between a namespace and the name of a tool in it."""

TEXT: Final = "input"
"""The argument of a tool that takes text, as models know it."""

_TEXT_ARGUMENT: Final = {
    "type": "object",
    "properties": {TEXT: {"type": "string"}},
    "required": [TEXT],
}

_OFFERED: Final = ("web_search", "web_search_preview")
"""Tools of OpenAI's servers that some clients offer in every request: the model has no need of
them, and does without."""


def as_functions(given: Iterable[Mapping[str, Any]], within: str = "") -> Iterator[dict[str, Any]]:
    """The tools of a client, as functions: those of a namespace have its name before their own,
    and those that take text have one argument.

    Args:
        given: The tools.
        within: What stands before their names.

    Raises:
        RequestValidationError: For a tool that there is not here.
    """
    for tool in given:
        kind, name = tool.get("type"), f"{within}{tool.get('name')}"
        if kind == "function":
            function = {key: tool[key] for key in tool if key != "type" and tool[key] is not None}
            yield {"type": "function", "function": {**function, "name": name}}
        elif kind == "custom":
            described = {"name": name, "description": str(tool.get("description") or "")}
            yield {"type": "function", "function": {**described, "parameters": _TEXT_ARGUMENT}}
        elif kind == "namespace" and not within:
            yield from as_functions(objects(tool.get("tools"), "tools"), f"{name}{BETWEEN}")
        elif kind not in _OFFERED:
            raise unfit("tools", f"those of type {str(kind)[:100]!r} are not supported")


def as_choice(given: Any) -> Any:
    """Which tools the model may or must call, in the form of chat completions."""
    if not isinstance(given, Mapping):
        return given
    if given.get("type") == "function":
        return {"type": "function", "function": {"name": given.get("name")}}
    if given.get("type") == "allowed_tools":
        names = [one.get("name") for one in objects(given.get("tools"), "tool_choice.tools")]
        tools = [{"type": "function", "function": {"name": name}} for name in names]
        allowed = {"mode": given.get("mode", "auto"), "tools": tools}
        return {"type": "allowed_tools", "allowed_tools": allowed}
    raise unfit("tool_choice", f"{str(given.get('type'))[:100]!r} is not supported")


def tool_calls(tools: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the client calls its tools, by the names that the model has for them: of those that have
    another name for it, or are no functions."""
    found: dict[str, dict[str, Any]] = {}
    for one in tools:
        name = one.get("name")
        if one.get("type") == "custom":
            found[str(name)] = {"type": "custom_tool_call", "name": name}
        elif one.get("type") == "namespace":
            for tool in objects(one.get("tools"), "tools"):
                own = {"namespace": name, "name": tool.get("name")}
                custom = tool.get("type") == "custom"
                own["type"] = "custom_tool_call" if custom else "function_call"
                found[f"{name}{BETWEEN}{tool.get('name')}"] = own
    return found


def objects(given: Any, where: str) -> Sequence[Mapping[str, Any]]:
    """A list of objects that a client has sent, or has left out.

    Args:
        given: The list.
        where: Where it stands in the request.
    """
    if given is not None and not isinstance(given, list):
        raise unfit(where, "a list is expected")
    if not all(isinstance(one, Mapping) for one in given or ()):
        raise unfit(where, "a list of objects is expected")
    return given or ()


def text_of(given: Any, where: str) -> str:
    """A text that a client has sent."""
    if not isinstance(given, str):
        raise unfit(where, "text is expected")
    return given
