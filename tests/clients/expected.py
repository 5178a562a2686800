"""What every client is to see, written out.

Values that begin with "raised" are compared by containment: the words that a user must be shown.
"""

from __future__ import annotations

from typing import Any

from tests.clients.table import Client

TOOLS = [
    *("add", "ask", "audio", "data", "embedded", "fail", "image", "link", "look", "nobody"),
    *("nothing", "number", "people", "person", "refuse", "report", "text", "think"),
]

SDK: dict[str, Any] = {
    "tools": TOOLS,
    "text": {"content": ["text hello"], "structured": {"result": "hello"}},
    "number": {"content": ["text 3"], "structured": {"result": 3}},
    "person": {
        "content": ['text {"name":"Ada","age":36}'],
        "structured": {"name": "Ada", "age": 36},
    },
    "people": {
        "content": ['text [{"name":"Ada","age":36},{"name":"Bob","age":7}]'],
        "structured": {"result": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 7}]},
    },
    "nobody": {"content": ["text null"], "structured": {"result": None}},
    "nothing": {"content": ["text null"], "structured": {"result": None}},
    "image": {"content": ["image image/png 69 bytes"]},
    "audio": {"content": ["audio audio/wav 46 bytes"]},
    "link": {"content": ["link notes://today"]},
    "embedded": {"content": ["resource notes://today Buy bread"]},
    "data": {"content": ["text AP8="], "structured": {"result": "AP8="}},
    "refuse": {"content": ["text Not on Sundays."], "error": True},
    "fail": {
        "content": ["text The tool 'fail' failed. The server has logged the reason."],
        "error": True,
    },
    "wrong arguments": {
        "content": [
            "text Invalid arguments.\n"
            "a: Input should be a valid integer, unable to parse string as an integer\n"
            "b: missing, but required"
        ],
        "error": True,
    },
    "unknown tool": {"raised": "Unknown tool: no_such_tool"},
    "progress": [1, 2],
    "logs": ["half way"],
    "ask": {"content": ["text blue"], "structured": {"result": "blue"}},
    "think": {"content": ["text Paris"], "structured": {"result": "Paris"}},
    "look": {"content": ["text file:///here"], "structured": {"result": "file:///here"}},
    "resources": ["notes://today"],
    "templates": ["notes://by-name/{name}"],
    "read": ["notes://today Buy bread"],
    "read template": ["notes://by-name/Ada The note Ada"],
    "read unknown": {"raised": "Resource not found: notes://nowhere"},
    "prompts": ["greet"],
    "prompt": ["user text Say hello to Ada."],
    "complete": ["Ada", "Adam"],
    "trailing slash": {"content": ["text hello"], "structured": {"result": "hello"}},
    "no key": {"raised": "X-API-Key"},
    "wrong key": {"raised": "The API key is not valid"},
    "key": {"content": ["text hello"], "structured": {"result": "hello"}},
}
"""Results as they come over the wire."""

FASTMCP_DATA = {
    "text": "'hello'",
    "number": "3",
    "person": "Person(name='Ada', age=36)",
    "people": "[Person(name='Ada', age=36), Person(name='Bob', age=7)]",
    "nobody": "None",
    "nothing": "None",
    "image": "None",
    "audio": "None",
    "link": "None",
    "embedded": "None",
    "data": "'AP8='",
    "refuse": "None",
    "fail": "None",
    "wrong arguments": "None",
    "ask": "'blue'",
    "think": "'Paris'",
    "look": "'file:///here'",
    "trailing slash": "'hello'",
    "key": "'hello'",
}
"""What FastMCP's client parses from results: `.data`, as Python shows it."""

MODEL: dict[str, Any] = {
    **SDK,
    "text": "hello",
    "number": 3,
    "person": {"name": "Ada", "age": 36},
    "people": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 7}],
    "nobody": None,
    "nothing": None,
    "image": "image/png 69 bytes",
    "audio": "audio/wav 46 bytes",
    "link": "notes://today",
    "embedded": "Buy bread",
    "data": "AP8=",
    "refuse": {"error": "Not on Sundays."},
    "fail": {"error": "The tool 'fail' failed. The server has logged the reason."},
    "wrong arguments": {
        "error": "Invalid arguments.\n"
        "a: Input should be a valid integer, unable to parse string as an integer\n"
        "b: missing, but required"
    },
    "ask": "blue",
    "think": "Paris",
    "look": "file:///here",
    "read": "Buy bread",
    "read template": "The note Ada",
    "trailing slash": "hello",
    "key": "hello",
}
"""What an agent hands to its model."""


def expected_of(client: Client) -> dict[str, Any]:
    """What a client is to see: of its form and revision, but for its limits."""
    expected: dict[str, Any] = {"revision": client.revision, **client.also}
    if client.form == "model":
        expected |= MODEL
    elif client.form == "fastmcp":
        expected |= {
            name: {**value, "data": FASTMCP_DATA[name]} if name in FASTMCP_DATA else value
            for name, value in SDK.items()
        }
    elif client.revision < "2025-06-18":
        expected |= {name: _without_structure(value) for name, value in SDK.items()}
    else:
        expected |= SDK
    for name, limit in client.limits.items():
        if limit.absent:
            expected.pop(name, None)
        else:
            expected[name] = limit.seen
    return expected


def _without_structure(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: one for key, one in value.items() if key != "structured"}


def differences(client: Client, seen: dict[str, Any]) -> list[str]:
    """What a client saw otherwise than expected, a line for each thing."""
    if "connect" in seen:
        return [f"connect: {seen['connect']['raised']}"]
    expected = expected_of(client)
    return [
        f"{name}: saw {seen.get(name, 'nothing')!r}, expected {expected.get(name, 'nothing')!r}"
        for name in {**expected, **seen}
        if not (name in expected and name in seen and _fits(seen[name], expected[name]))
    ]


def _fits(seen: Any, expected: Any) -> bool:
    if isinstance(expected, dict) and isinstance(seen, dict) and "raised" in expected:
        return expected["raised"] in seen.get("raised", "")
    return bool(seen == expected)
