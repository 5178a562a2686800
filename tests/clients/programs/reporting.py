"""What all Python programs share: what they ask of a server, and how they print what they saw.

Runs in the environment of each client, so it imports nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

RESULTS = (
    *("text", "number", "person", "people", "nobody", "nothing"),
    *("image", "audio", "link", "embedded", "data"),
)
"""The tools that return something, each a thing of its kind."""

FAILURES: dict[str, tuple[str, dict[str, Any]]] = {
    "refuse": ("refuse", {}),
    "fail": ("fail", {}),
    "wrong arguments": ("add", {"a": "one"}),
    "unknown tool": ("no_such_tool", {}),
}
"""What goes wrong: by its name in the report, the tool and its arguments."""

SECONDS = 20.0
"""How long one thing may take."""


class Report:
    """What a client saw, by the name of what it was asked to do."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    async def see(self, name: str, do: Callable[[], Awaitable[Any]]) -> None:
        """Do something, and write down what came out, or with which words it failed."""
        try:
            self.seen[name] = await asyncio.wait_for(do(), SECONDS)
        except Exception as error:
            self.seen[name] = {"raised": words_of(error)}

    def print(self) -> None:
        json.dump(self.seen, sys.stdout)


def words_of(error: BaseException) -> str:
    """The type and the words of an error; of a group, of what is inside it."""
    while isinstance(inner := getattr(error, "exceptions", None), (list, tuple)) and inner:
        error = inner[0]
    return f"{type(error).__name__}: {error}"


def as_dict(value: Any) -> Any:
    """A pydantic model as it went over the wire."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value


def line_of(block: Any) -> str:
    """A content block as one line."""
    block = as_dict(block)
    kind = block["type"]
    if kind == "text":
        return f"text {block['text']}"
    if kind in ("image", "audio"):
        return f"{kind} {block['mimeType']} {len(base64.b64decode(block['data']))} bytes"
    if kind == "resource_link":
        return f"link {block['uri']}"
    return f"resource {contents_of(block['resource'])}"


def contents_of(contents: Any) -> str:
    contents = as_dict(contents)
    if "text" in contents:
        return f"{contents['uri']} {contents['text']}"
    return f"{contents['uri']} {len(base64.b64decode(contents['blob']))} bytes"


def result_of(result: Any) -> dict[str, Any]:
    """A CallToolResult: content blocks as lines, structured content and isError where they are."""
    result = as_dict(result)
    seen: dict[str, Any] = {"content": [line_of(block) for block in result["content"]]}
    if "structuredContent" in result:
        seen["structured"] = result["structuredContent"]
    if result.get("isError"):
        seen["error"] = True
    return seen


def named(items: Any, name: str = "name") -> list[str]:
    """The names of listed things, in order."""
    return sorted(str(as_dict(item)[name]) for item in items)


async def see_tools(report: Report, call: Callable[..., Awaitable[Any]]) -> None:
    """Call all tools that need nothing of the client; `call` takes a name and arguments."""
    for name in RESULTS:
        await report.see(name, lambda name=name: call(name, {}))
    for title, (name, arguments) in FAILURES.items():
        await report.see(title, lambda name=name, arguments=arguments: call(name, arguments))


async def see_other_ways(
    report: Report, once: Callable[..., Awaitable[Any]], url: str, keyed: str, key: str
) -> None:
    """Other connections: at the URL with a slash, and to the server that wants a key.

    once: connects to a URL with headers, and calls the tool `text`.
    """
    wrong = {"X-API-Key": "no-key-at-all-but-long"}
    await report.see("trailing slash", lambda: once(f"{url}/", {}))
    await report.see("no key", lambda: once(keyed, {}))
    await report.see("wrong key", lambda: once(keyed, wrong))
    await report.see("key", lambda: once(keyed, {"X-API-Key": key}))


async def see_lists(report: Report, client: Any) -> None:
    """Resources, templates and prompts, of a client whose methods are those of the official one."""

    async def resources() -> Any:
        return named((await client.list_resources()).resources, "uri")

    async def templates() -> Any:
        listed = as_dict(await client.list_resource_templates())
        return named(listed["resourceTemplates"], "uriTemplate")

    async def read(uri: str) -> Any:
        return [contents_of(one) for one in (await client.read_resource(uri)).contents]

    async def prompts() -> Any:
        return named((await client.list_prompts()).prompts)

    async def prompt() -> Any:
        got = await client.get_prompt("greet", {"name": "Ada"})
        return [f"{one.role} {line_of(one.content)}" for one in got.messages]

    await report.see("resources", resources)
    await report.see("templates", templates)
    await report.see("read", lambda: read("notes://today"))
    await report.see("read template", lambda: read("notes://by-name/Ada"))
    await report.see("read unknown", lambda: read("notes://nowhere"))
    await report.see("prompts", prompts)
    await report.see("prompt", prompt)
