"""What the commands of a host do with a server: list what it has, call a tool."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcp_mount.base import MCPServer
from mcp_mount.protocol import Reply, Request
from mcp_mount.protocol.stateless import CAPABILITIES_META, VERSION_META
from mcp_mount.schemas.names import suggestion
from mcp_mount.wire.messages import JSON
from mcp_mount.wire.revisions import LATEST


class CommandError(Exception):
    """What a person typed cannot be done. The message says why."""


@dataclass(frozen=True, slots=True)
class ConsoleAnswer:
    """What a tool answered, for a person to read.

    Attributes:
        text: The answer.
        failed: Whether the call failed.
    """

    text: str
    failed: bool


class Console:
    """A server that a person uses at a terminal, with the rights of a caller.

    Args:
        server: The server.
        caller: The caller.
        respond: Answers a request in the host's own way, such as within its middleware; by default
            the server answers.
    """

    def __init__(
        self,
        server: MCPServer,
        caller: Request | None = None,
        respond: Callable[[Request], Reply] | None = None,
    ) -> None:
        self._server = server
        self._caller = caller or Request("POST", {})
        self._respond = respond or self._own_answer

    def list(self) -> Iterator[str]:
        """A line for each tool, resource and prompt that the caller may use; one that says so, if
        all are for others, or if there are none."""
        registry = self._server.registry
        hidden = len(registry.tools) + len(registry.resources) + len(registry.prompts)
        empty = True
        for title, method, member, name in (
            ("Tools", "tools/list", "tools", "name"),
            ("Resources", "resources/list", "resources", "uri"),
            ("Resource templates", "resources/templates/list", "resourceTemplates", "uriTemplate"),
            ("Prompts", "prompts/list", "prompts", "name"),
        ):
            entries = list(self._entries(method, member))
            if not entries:
                continue
            yield f"{title}:"
            hidden, empty = 0, False
            for entry in entries:
                description = entry.get("description", "").partition("\n")[0]
                yield f"  {entry[name]}{_signature(entry)}  {description}".rstrip()
        if hidden:
            yield f"Nothing is for this caller; {hidden} entries are for others (see --user)."
        elif empty:
            yield "The server has no tools, resources or prompts."

    def call(self, name: str, words: Sequence[str], arguments: Mapping[str, Any]) -> ConsoleAnswer:
        """Call a tool.

        Args:
            name: The name of the tool.
            words: Arguments as "argument=value", with values in JSON or as they are.
            arguments: Further arguments.

        Raises:
            CommandError: If there is no such tool, or a word has another form.
        """
        tools = {tool["name"]: tool for tool in self._entries("tools/list", "tools")}
        if name not in tools:
            raise CommandError(
                f"There is no tool {name!r} (for this user); {suggestion(name, tools)}"
            )
        schema = tools[name]["inputSchema"]
        values = {**arguments, **dict(_value(word, schema) for word in words)}
        result = self._ask("tools/call", {"name": name, "arguments": values})
        if "structuredContent" in result:
            value = result["structuredContent"]
            if tools[name].get("outputSchema", {}).get("x-fastmcp-wrap-result"):
                value = value["result"]
            # A text as it is, for programs that read the output.
            is_text = isinstance(value, str)
            text = value if is_text else json.dumps(value, indent=2, ensure_ascii=False)
        else:
            text = "\n".join(map(_block, result["content"]))
        return ConsoleAnswer(text, bool(result.get("isError")))

    def _entries(self, method: str, member: str) -> Iterator[dict[str, Any]]:
        if method not in self._server.registry.methods:
            return
        params: dict[str, Any] = {}
        while True:
            page = self._ask(method, params)
            yield from page[member]
            if "nextCursor" not in page:
                return
            params = {"cursor": page["nextCursor"]}

    def _ask(self, method: str, params: Mapping[str, Any]) -> Any:
        meta = {VERSION_META: LATEST.name, CAPABILITIES_META: {}}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        request = replace(
            self._caller,
            headers={"content-type": JSON, "accept": JSON},
            body=json.dumps(message).encode(),
            mirrors_headers=False,
            is_trusted_local=True,
        )
        answer = json.loads(self._respond(request).body)
        if "error" in answer:
            raise CommandError(answer["error"]["message"])
        return answer["result"]

    def _own_answer(self, request: Request) -> Reply:
        reply = self._server.core.wsgi_endpoint.respond_to(request)
        assert isinstance(reply, Reply), "no stream was accepted"
        return reply


def _signature(entry: Mapping[str, Any]) -> str:
    schema = entry.get("inputSchema")
    if schema is None:
        names = [one["name"] for one in entry.get("arguments", ())]
    else:
        required = schema.get("required", ())
        names = [
            text if name in required else f"[{text}]"
            for name, one in schema.get("properties", {}).items()
            for text in [name + _members(one, schema)]
        ]
    return f"({', '.join(names)})" if names else ""


def _members(argument: Any, schema: Mapping[str, Any]) -> str:
    """The members of an argument that is an object, so that a person can write one."""
    if not isinstance(argument, Mapping):
        return ""
    name = str(argument.get("$ref", "")).removeprefix("#/$defs/")
    found = schema.get("$defs", {}).get(name, argument)
    members = found.get("properties", ()) if isinstance(found, Mapping) else ()
    return f"={{{', '.join(members)}}}" if members else ""


def _value(word: str, schema: Mapping[str, Any]) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not equals:
        raise CommandError(f"{word!r} must be argument=value")
    if schema.get("properties", {}).get(name, {}).get("type") == "string":
        return name, text
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def _block(block: Mapping[str, Any]) -> str:
    if block["type"] == "text":
        return str(block["text"])
    return f"[{block['type']} {block.get('mimeType', '')}]".replace(" ]", "]")
