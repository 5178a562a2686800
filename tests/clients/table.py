"""The clients: which versions, how they are driven, and what each is known not to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Package:
    """A package of PyPI at one version. also: what it needs beside it, to run at all."""

    name: str
    version: str
    also: tuple[str, ...] = ()
    extra: str = ""

    def __str__(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def requirements(self) -> list[str]:
        extra = f"[{self.extra}]" if self.extra else ""
        return [f"{self.name}{extra}=={self.version}", *self.also]


@dataclass(frozen=True)
class NodePackage:
    """A package of npm at one version. alias: its name in tests/clients/package.json."""

    name: str
    version: str
    alias: str


@dataclass(frozen=True)
class Limit:
    """What a client sees otherwise than it should, and why that is its own doing.

    seen: what it reports, or {"raised": words} with some of the words; `absent` if it has no such
    thing at all.
    """

    seen: Any
    reason: str
    absent: bool = False


@dataclass(frozen=True)
class Client:
    """One client in one mode.

    title: as people know it. program: of `programs/`. mode: the last argument of the program.
    revision: the one that it agrees on with a server of all. form: which expected values are its
    own ("sdk" for results as they come over the wire). also: what it alone reports, and what that
    should be. limits: what it does otherwise.
    """

    name: str
    title: str
    package: Package | NodePackage
    program: str
    revision: str
    mode: str = ""
    form: str = "sdk"
    also: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Limit] = field(default_factory=dict)


def absent(reason: str, *names: str) -> dict[str, Limit]:
    return {name: Limit(None, reason, absent=True) for name in names}


def hidden(*names: str) -> dict[str, Limit]:
    """Refusals of which a client shows the status and not the words."""
    return {
        name: Limit({"raised": "401"}, "shows the status of the error, not its message")
        for name in names
    }


STRICT = [
    *("add", "ask", "audio", "data", "embedded", "fail", "image", "link", "look", "nobody"),
    *("nothing", "number", "people", "person", "refuse", "report", "text", "think"),
]

_OLD_PYDANTIC = ("pydantic<2.12",)
"""These SDKs use what pydantic 2.12 has taken away."""

_V1_8 = "supports it in later versions only"

_2024 = {
    "audio": Limit(
        {"content": ["text [audio/wav, 46 bytes: the client cannot read content of this kind]"]},
        "does not support audio: gets a text instead",
    ),
    "link": Limit(
        {"content": ["text today: notes://today"]}, "does not support links: gets a text instead"
    ),
    "ask": Limit(
        {"content": ["text 2024-11-05 does not have elicitation"], "error": True},
        "does not support it",
    ),
}
"""What the revision 2024-11-05 does not have."""

_NO_WORDS = Limit(
    {"raised": "the server requires authorization (HTTP 401)"},
    "shows the status of the error, not its message",
)

_LANGCHAIN = {
    **hidden("no key", "wrong key"),
    **absent("does not report it", "revision"),
    **absent("reads all resources at once", "resources", "templates", "read template"),
    **absent("reads all resources at once", "read unknown"),
    **absent("gets prompts by name only", "prompts", "complete"),
    "audio": Limit({"raised": "AudioContent conversion"}, "does not support audio"),
    "link": Limit({"content": ["file notes://today"]}, "returns links as files"),
    "embedded": Limit({"content": ["text Buy bread"]}, "returns resources as text"),
    "unknown tool": Limit({"raised": "KeyError"}, "calls only tools that it has listed"),
    "think": Limit(
        {"content": ["text The client does not support sampling"], "error": True},
        "does not support it",
    ),
    "look": Limit(
        {"content": ["text The client does not support roots"], "error": True},
        "does not support them",
    ),
    "prompt": Limit(["human Say hello to Ada."], "has its own names for roles"),
}

_FASTMCP_2 = {
    **hidden("no key", "wrong key"),
    "people": Limit(
        {
            "content": ['text [{"name":"Ada","age":36},{"name":"Bob","age":7}]'],
            "structured": {"result": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 7}]},
            "data": "[{'name': 'Ada', 'age': 36}, {'name': 'Bob', 'age': 7}]",
        },
        "does not convert list items whose schema has references",
    ),
}

_OPENAI = {
    **absent("does not report it", "revision"),
    **absent("does not show them", "logs"),
    **absent("does not support it", "complete"),
    "progress": Limit(
        {"content": ["text reported"], "structured": {"result": "reported"}},
        "does not request it",
    ),
    "wrong arguments": Limit(
        {"raised": "missing required parameters: b"}, "checks for missing arguments itself"
    ),
    "ask": Limit({"raised": "The client must support elicitation"}, "does not support it"),
    "think": Limit({"raised": "The client must support sampling"}, "does not support it"),
    "look": Limit({"raised": "The client must support roots"}, "does not support them"),
}

_PYDANTIC_AI = {
    "unknown tool": Limit(
        {
            "error": "Unknown tool name: 'no_such_tool'. Available tools: "
            + ", ".join(repr(name) for name in STRICT)
        },
        "calls only tools that it has listed",
    ),
    **absent("does not offer prompts of servers to agents", "prompts", "prompt", "complete"),
}

MCP_2_0 = Package("mcp", "2.0.1")
MCP_2 = Package("mcp", "2.3.0")
FASTMCP_4 = Package("fastmcp", "4.2.3")
TYPESCRIPT_2 = NodePackage("@modelcontextprotocol/client", "2.4.0", "client-2")

CLIENTS = (
    Client(
        "mcp-1.8",
        "Python SDK 1.8",
        Package("mcp", "1.8.1", _OLD_PYDANTIC),
        "python_sdk_1.py",
        "2024-11-05",
        limits={
            **hidden("no key", "wrong key"),
            "progress": Limit({"content": ["text reported"]}, _V1_8),
            **_2024,
        },
    ),
    Client(
        "mcp-1.10",
        "Python SDK 1.10",
        Package("mcp", "1.10.1", _OLD_PYDANTIC),
        "python_sdk_1.py",
        "2025-06-18",
        limits=hidden("no key", "wrong key"),
    ),
    Client(
        "mcp-1.30",
        "Python SDK 1.30",
        Package("mcp", "1.30.0"),
        "python_sdk_1.py",
        "2025-11-25",
        limits=hidden("no key", "wrong key"),
    ),
    Client("mcp-2.0", "Python SDK 2.0", MCP_2_0, "python_sdk_2.py", "2026-07-28", "auto"),
    Client("mcp-2.0-legacy", "Python SDK 2.0", MCP_2_0, "python_sdk_2.py", "2025-11-25", "legacy"),
    Client("mcp-2.3", "Python SDK 2.3", MCP_2, "python_sdk_2.py", "2026-07-28", "auto"),
    Client("mcp-2.3-legacy", "Python SDK 2.3", MCP_2, "python_sdk_2.py", "2025-11-25", "legacy"),
    Client(
        "typescript-1.10",
        "TypeScript SDK 1.10",
        NodePackage("@modelcontextprotocol/sdk", "1.10.2", "sdk-1.10"),
        "typescript.mjs",
        "2024-11-05",
        "legacy",
        limits={**_2024, **absent("does not report it", "revision")},
    ),
    Client(
        "typescript-1.32",
        "TypeScript SDK 1.32",
        NodePackage("@modelcontextprotocol/sdk", "1.32.2", "sdk-1.32"),
        "typescript.mjs",
        "2025-11-25",
        "legacy",
    ),
    Client(
        "typescript-2",
        "TypeScript SDK 2.4",
        TYPESCRIPT_2,
        "typescript.mjs",
        "2026-07-28",
        "auto",
        limits={
            "no key": _NO_WORDS,
            "wrong key": _NO_WORDS,
            "logs": Limit([], "does not request them in this revision"),
        },
    ),
    Client(
        "typescript-2-legacy",
        "TypeScript SDK 2.4",
        TYPESCRIPT_2,
        "typescript.mjs",
        "2025-11-25",
        "legacy",
    ),
    Client(
        "fastmcp-2",
        "FastMCP 2.14",
        Package("fastmcp", "2.14.7"),
        "fastmcp_client.py",
        "2025-11-25",
        form="fastmcp",
        limits=_FASTMCP_2,
    ),
    Client(
        "fastmcp-4",
        "FastMCP 4.2",
        FASTMCP_4,
        "fastmcp_client.py",
        "2026-07-28",
        "auto",
        form="fastmcp",
    ),
    Client(
        "fastmcp-4-legacy",
        "FastMCP 4.2",
        FASTMCP_4,
        "fastmcp_client.py",
        "2025-11-25",
        "legacy",
        form="fastmcp",
    ),
    Client(
        "langchain",
        "langchain-mcp-adapters 0.3",
        Package("langchain-mcp-adapters", "0.3.2"),
        "langchain_adapters.py",
        "2025-11-25",
        limits=_LANGCHAIN,
    ),
    Client(
        "pydantic-ai",
        "Pydantic AI 2.68",
        Package("pydantic-ai-slim", "2.68.0", extra="mcp"),
        "pydantic_ai_agent.py",
        "2026-07-28",
        form="model",
        limits=_PYDANTIC_AI,
    ),
    Client(
        "openai-agents",
        "OpenAI Agents SDK 0.24",
        Package("openai-agents", "0.24.0"),
        "openai_agents.py",
        "2026-07-28",
        # Each tool can have a strict schema, which OpenAI's models prefer.
        also={"strict": STRICT},
        limits=_OPENAI,
    ),
)
