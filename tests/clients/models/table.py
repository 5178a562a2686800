"""The clients of models, and what each is to see, written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.clients.table import Package

PIECES = "Hello world "
VECTORS = [[3.0, 0.5], [1.0, 0.5]]
RAIN = "rain in Paris, rain in Rome"
CALLS = ['{"city":"Paris"}', '{"city":"Rome"}']


@dataclass(frozen=True)
class Client:
    """One client.

    title: as people know it. package: None for those of package.json. program: of `programs/`.
    seen: what it is to see, by the names of what it does. mode: the first argument of the program.
    """

    name: str
    title: str
    package: Package | None
    program: str
    seen: dict[str, Any]
    mode: str = ""


AI_SDK: dict[str, Any] = {
    "chat": [PIECES, 5],
    "stream": [PIECES, 5],
    "reasoning": ["Let me see", "Yes"],
    "schema": 36,
    "parallel tools": RAIN,
    "embeddings": VECTORS,
}

CLIENTS = (
    Client(
        "openai",
        "openai-python",
        Package("openai", "3.57.0"),
        "openai_python.py",
        {
            "models": "echo",
            "chat echo": [PIECES, 5],
            "stream echo": [["Hello ", "world "], 5],
            "chat plain": [PIECES, 5],
            "stream plain": [["Hello ", "world "], 5],
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
            "chat": [PIECES, 5],
            "stream": [PIECES, 5],
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
    ),
    Client("ai-sdk", "AI SDK", None, "node.mjs", AI_SDK, "ai-sdk"),
    Client("ai-sdk-compatible", "AI SDK, compatible", None, "node.mjs", AI_SDK, "compatible"),
    Client(
        "langchain",
        "langchain-openai",
        Package("langchain-openai", "1.7.4"),
        "langchain.py",
        {
            "chat": [PIECES, 5],
            "stream": [PIECES, [5]],
            "async": PIECES,
            "schema": [["Person", 36], ["Person", 36]],
            "parallel tools": RAIN,
            "embeddings": VECTORS,
            "responses": ["Hello", "Hello"],
            "responses tools": RAIN,
        },
    ),
    Client(
        "pydantic-ai",
        "pydantic-ai",
        Package("pydantic-ai-slim", "2.68.0", extra="openai"),
        "pydantic_ai_agent.py",
        {
            f"{face}{what}": seen
            for face in ("", "responses ")
            for what, seen in (
                ("chat", [PIECES, 5]),
                ("stream", ["Hello ", "world "]),
                ("schema", [36, 36]),
                ("parallel tools", RAIN),
            )
        },
    ),
    Client(
        "instructor",
        "instructor",
        Package("instructor", "1.17.0"),
        "instructor_client.py",
        {"tools": ["Person", 36], "schema": ["Person", 36]},
    ),
    Client(
        "litellm",
        "LiteLLM",
        Package("litellm", "1.110.2"),
        "litellm_client.py",
        {
            "chat": [PIECES, 5],
            "stream": PIECES,
            "reasoning": "Let me see",
            "parallel tools": CALLS,
            "embeddings": VECTORS,
            "responses": PIECES,
            "retry": "at last",
            "errors": "NotFoundError",
        },
    ),
    Client(
        "llm",
        "the llm command",
        Package("llm", "0.36"),
        "llm_command.py",
        {"chat": "Hello world", "stream": "Hello world", "schema": 36, "tools": RAIN},
    ),
)
