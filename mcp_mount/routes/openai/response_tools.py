"""The tools in requests for `/v1/responses`, as those that chat models know: functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mcp_mount.routes.errors import unfit

BETWEEN: Final = "__"
"""Stands between a namespace and the name of a tool in it."""

TEXT: Final = "input"
"""The argument of a tool that takes text, as models know it."""

_KNOWN: Final = ("name", "description", "parameters", "strict")
"""What the function of a chat completion has; others are for the storage of tools at OpenAI."""

_SHELL: Final = {
    "name": "local_shell",
    "description": "Run a command on the machine of the user, and return what it prints",
    "parameters": {
        "type": "object",
        "properties": {
            "command": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The program and its arguments",
            },
            "working_directory": {"type": "string"},
            "timeout_ms": {"type": "integer"},
        },
        "required": ["command"],
    },
}

LOADED: Final = ("tool_search_output", "additional_tools")
"""Items of a conversation by which a client offers further tools."""


def as_functions(given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tools of a client, as functions. Those that the provider would run are left out: the
    model does without.

    Args:
        given: The tools.
    """
    # A client may offer one again that it has found.
    return list({name: tool for one in given for name, tool in _functions(one, "")}.values())


def _functions(tool: Mapping[str, Any], within: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The functions that a tool is, by their names: those of a namespace have its name before their
    own, and a tool that takes text has one argument."""
    kind, name = tool.get("type"), f"{within}{tool.get('name') or ''}"
    if kind in ("function", "custom", "namespace") and not isinstance(tool.get("name"), str):
        raise unfit("tools", "a function needs a name")
    if kind == "function":
        function = {key: tool[key] for key in _KNOWN if tool.get(key) is not None}
    elif kind == "custom":
        description = str(tool.get("description") or "")
        function = {"description": description, "parameters": _text_argument(tool.get("format"))}
    elif kind == "namespace" and not within:
        for one in objects(tool.get("tools"), "tools"):
            yield from _functions(one, f"{name}{BETWEEN}")
        return
    elif kind == "local_shell":
        name, function = kind, _SHELL
    elif _is_search(tool):
        name, function = str(kind), {key: tool[key] for key in _KNOWN if tool.get(key) is not None}
    else:
        return
    yield name, {"type": "function", "function": {**function, "name": name}}


def _text_argument(form: Any) -> dict[str, Any]:
    """The argument of a tool that takes text."""
    text = {"type": "string"}
    if isinstance(form, Mapping) and form.get("definition"):
        grammar = f"{form.get('syntax') or ''} grammar".strip()
        text["description"] = f"Text by this {grammar}:\n{form['definition']}"
    return {"type": "object", "properties": {TEXT: text}, "required": [TEXT]}


def _is_search(tool: Mapping[str, Any]) -> bool:
    """Whether a tool is a search for further tools that the client runs."""
    return tool.get("type") == "tool_search" and tool.get("execution") == "client"


def is_offered(tool: Mapping[str, Any]) -> bool:
    """Whether the model may call a tool, or one of a namespace."""
    return any(True for _ in _functions(tool, ""))


def as_choice(given: Any) -> Any:
    """Which tools the model may or must call, in the form of chat completions."""
    if not isinstance(given, Mapping):
        return given
    kind = given.get("type")
    if kind == "allowed_tools":
        names = [_chosen(one) for one in objects(given.get("tools"), "tool_choice.tools")]
        tools = [{"type": "function", "function": {"name": name}} for name in names if name]
        allowed = {"mode": given.get("mode", "auto"), "tools": tools}
        return {"type": "allowed_tools", "allowed_tools": allowed}
    name = _chosen(given)
    if name is None:
        raise unfit(
            "tool_choice", f"{str(kind)[:100]!r} is no tool of the client, and the model has none"
        )
    return {"type": "function", "function": {"name": name}}


def _chosen(choice: Mapping[str, Any]) -> Any:
    """The function that a client chooses; None for a tool that the provider would run."""
    if choice.get("type") in ("function", "custom"):
        return choice.get("name")
    return choice["type"] if choice.get("type") in ("local_shell", "tool_search") else None


def tool_calls(tools: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the client calls its tools, by the names that the model has for them: of those that have
    another name for it, or are no functions."""
    found: dict[str, dict[str, Any]] = {}
    for one in tools:
        kind, name = one.get("type"), one.get("name")
        if kind == "custom":
            found[str(name)] = {"type": "custom_tool_call", "name": name}
        elif kind == "namespace":
            for tool in objects(one.get("tools"), "tools"):
                own = {"namespace": name, "name": tool.get("name")}
                custom = tool.get("type") == "custom"
                own["type"] = "custom_tool_call" if custom else "function_call"
                found[f"{name}{BETWEEN}{tool.get('name')}"] = own
        elif kind == "local_shell" or _is_search(one):
            found[str(kind)] = {"type": f"{kind}_call"}
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
