"""The clients of models, and what each is to see, written out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.table import Package

PACKAGES = Path(__file__).parent / "package.json"
PIECES = "Hello world "
VECTORS = [[3.0, 0.5], [1.0, 0.5]]
RAIN = "rain in Paris, rain in Rome"
CALLS = ['{"city":"Paris"}', '{"city":"Rome"}']


@dataclass(frozen=True)
class Client:
    """One client.

    title: as people know it. package: None for those of package.json. program: of `programs/`.
    seen: what it is to see, by the names of what it does. mode: the first argument of the program.
    node: its name in package.json.
    """

    name: str
    title: str
    package: Package | None
    program: str
    seen: dict[str, Any]
    mode: str = ""
    node: str = ""

    @property
    def version(self) -> str:
        if self.package is not None:
            return self.package.version
        packages: dict[str, str] = json.loads(PACKAGES.read_text())["dependencies"]
        return packages[self.node]


AI_SDK: dict[str, Any] = {
    "chat": PIECES,
    "stream": PIECES,
    "stream helper": 36,
    "usage": [5, 5],
    "reasoning": ["Let me see", "Yes"],
    "schema": 36,
    "parallel tools": RAIN,
    "embeddings": VECTORS,
    "images": [2, "iVBOR"],
    "image edits": "iVBOR",
    "retry": "at last",
    "errors": ["AI_APICallError", 404],
    "leaving": "0",
}

CLIENTS = (
    Client(
        "openai",
        "openai-python",
        Package("openai", "3.57.0"),
        "openai_python.py",
        {
            "models": "echo",
            "chat echo": PIECES,
            "stream echo": ["Hello ", "world "],
            "chat plain": PIECES,
            "stream plain": ["Hello ", "world "],
            "usage": [5, [5]],
            "stream helper": [["chunk", "content.delta", "content.done"], PIECES],
            "async": PIECES,
            "reasoning": ["Let me see", "Yes"],
            "schema": ["Person", 36],
            "tools": ['{"city":"Paris"}', "tool_calls", "rain"],
            "parallel tools": CALLS,
            "text": [["aa ", "bb "], "c d "],
            "embeddings": [VECTORS, 4],
            "responses": [PIECES, "completed", 5],
            "responses stream": ["created", "completed", "Hello"],
            "responses schema": 36,
            "responses tools": [CALLS, "w0, w1"],
            "images": [2, "iVBOR"],
            "image edits": ["iVBOR", "iVBOR"],
            "image stream": ["image_generation.completed"],
            "image url": "image/png",
            "retry": "at last",
            "failure": ["The model 'broken' failed", 1],
            "errors": [
                ["NotFoundError", "not_found_error"],
                ["BadRequestError", "invalid_request_error"],
            ],
            "leaving endless": "0",
            "leaving endless-plain": "0",
        },
    ),
    Client(
        "openai-node",
        "openai-node",
        None,
        "node.mjs",
        {
            "chat": PIECES,
            "stream": PIECES,
            "usage": [5, [5]],
            "stream helper": PIECES,
            "schema": 36,
            "parallel tools": RAIN,
            "embeddings": VECTORS,
            "responses": PIECES,
            "responses stream": "Hello",
            "images": "iVBOR",
            "image edits": "iVBOR",
            "image stream": ["image_generation.completed"],
            "retry": "at last",
            "errors": ["NotFoundError", "not_found_error"],
            "leaving": "0",
        },
        "openai",
        "openai",
    ),
    Client(
        "ai-sdk",
        "AI SDK, `@ai-sdk/openai`",
        None,
        "node.mjs",
        # It asks /v1/responses unless told otherwise.
        {**AI_SDK, "responses": PIECES},
        "ai-sdk",
        "@ai-sdk/openai",
    ),
    Client(
        "ai-sdk-compatible",
        "AI SDK, `@ai-sdk/openai-compatible`",
        None,
        "node.mjs",
        AI_SDK,
        "compatible",
        "@ai-sdk/openai-compatible",
    ),
    Client(
        "langchain",
        "langchain-openai",
        Package("langchain-openai", "1.7.4"),
        "langchain.py",
        {
            "chat": PIECES,
            "stream": PIECES,
            "stream helper": [f"on_chat_model_{what}" for what in ("end", "start", "stream")],
            "usage": [5, [5]],
            "schema": [["Person", 36], ["Person", 36]],
            "parallel tools": RAIN,
            "embeddings": VECTORS,
            "responses": ["Hello", "Hello"],
            "responses tools": RAIN,
            "retry": "at last",
            "errors": "OpenAIModelNotFoundError",
            "leaving": "0",
        },
    ),
    Client(
        "pydantic-ai",
        "pydantic-ai",
        Package("pydantic-ai-slim", "2.68.0", extra="openai"),
        "pydantic_ai_agent.py",
        {
            **{
                f"{face}{what}": seen
                for face in ("", "responses ")
                for what, seen in (
                    ("chat", PIECES),
                    ("stream", ["Hello ", "world "]),
                    ("stream helper", ["PartStartEvent", "AgentRunResultEvent"]),
                    ("usage", [5, 5]),
                    ("schema", [36, 36]),
                    ("parallel tools", RAIN),
                )
            },
            "embeddings": VECTORS,
            "retry": "at last",
            "errors": 404,
            "leaving": "0",
        },
    ),
    Client(
        "instructor",
        "instructor",
        Package("instructor", "1.17.0"),
        "instructor_client.py",
        {
            "chat": PIECES,
            "stream": PIECES,
            "stream helper": 36,
            "usage": 5,
            "tools": ["Person", 36],
            "schema": ["Person", 36],
            "responses": ["Person", 36],
            "parallel tools": ["Paris", "Rome"],
            "retry": "at last",
            "errors": ["InstructorRetryException", True],
            "leaving": "0",
        },
    ),
    Client(
        "litellm",
        "LiteLLM",
        Package("litellm", "1.110.2"),
        "litellm_client.py",
        {
            "chat": PIECES,
            "stream": PIECES,
            "stream helper": PIECES,
            "usage": [5, [5]],
            "schema": 36,
            "reasoning": "Let me see",
            "parallel tools": CALLS,
            "embeddings": VECTORS,
            "responses": PIECES,
            "images": [2, "iVBOR"],
            "image edits": "iVBOR",
            "retry": "at last",
            "errors": "NotFoundError",
            "leaving": "0",
        },
    ),
    Client(
        "llm",
        "the llm command",
        Package("llm", "0.36"),
        "llm_command.py",
        {
            "chat": "Hello world",
            "stream": "Hello world",
            "usage": ["Token usage: 3 input, 2 output", 0],
            "schema": 36,
            "parallel tools": RAIN,
            "responses": ["Hello world", "Hello world"],
            "retry": "at last",
            "errors": [
                "Error: Error code: 400 - max_tokens: Input should be greater than or equal to 1",
                1,
            ],
            "leaving": "0",
        },
    ),
)
