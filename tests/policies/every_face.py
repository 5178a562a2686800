"""Whatever policies wrap: a tool, a chat model, a model of embeddings, an image backend.

Each is asked by all ways that lead to it, with policies on itself, its router, the router around
that or its server.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2

from mcp_mount import (
    Audit,
    CallRecord,
    ChatRequest,
    CompletionsRouter,
    ImageRouter,
    MCPRouter,
    MCPServer,
    ToolsRouter,
)
from mcp_mount.auth import APIKey, APIKeys
from mcp_mount.images import ImageRequest
from mcp_mount.models import Usage
from mcp_mount.testing import AsyncClient, HTTPError, RPCError

Send = Callable[[dict[str, Any]], Awaitable["Answer"]]

PNG = b"\x89PNG\r\n\x1a\n"
LEVELS = ("entry", "router", "outer router", "server")

MAY, MAY_NOT = "may-do-all-of-this", "may-do-nothing-at-all"
KEYS = APIKeys(
    [APIKey("ada", MAY, scopes=["work"], roles=["worker"]), APIKey("bob", MAY_NOT)],
)


@dataclass(frozen=True)
class Answer:
    """What a client was answered. status: of HTTP; None where a tool said it."""

    is_good: bool
    text: str
    status: int | None = None
    retry_after: str | None = None


@dataclass(frozen=True)
class Face:
    """A way to something that policies wrap.

    entry: what it is: "tool", "chat", "embedding" or "image". path: of HTTP; without one it is a
    call of `tool` over MCP. body: what is sent for a text. secret: the argument that has it. shows:
    what the answer has if it is good. recorded: how records name the call. deep: what the body may
    have besides that is nested more than four levels deep; none if clients cannot send such.
    """

    entry: str
    body: Callable[[str], dict[str, Any]]
    secret: str
    shows: str
    recorded: str
    path: str = ""
    tool: str = ""
    is_form: bool = False
    deep: Mapping[str, Any] = field(default_factory=dict)


def _chat(text: str) -> dict[str, Any]:
    return {"model": "work", "messages": [{"role": "user", "content": text}]}


def _text(text: str) -> dict[str, Any]:
    return {"text": text}


def _input(text: str) -> dict[str, Any]:
    return {"model": "work", "input": text}


def _prompt(text: str) -> dict[str, Any]:
    return {"model": "work", "prompt": text}


def _streamed(body: Callable[[str], dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    return lambda text: {**body(text), "stream": True}


_DEEP = {"metadata": {"a": [[[1]]]}}
_SPOKEN = ("messages", "done", "chat/completions work")
_DRAWN = ("prompt", "b64_json", "images/generations work")
_CALLED = ("text", "done", "tools/call work")
_DEEP_TOOL = {"type": "function", "name": "one", "parameters": {"properties": {"a": [[1]]}}}
_RESPONSES = {"path": "/v1/responses", "deep": {"tools": [_DEEP_TOOL]}}
_CHAT = {"path": "/v1/chat/completions", "deep": _DEEP}

FACES = {
    "tool": Face("tool", _text, *_CALLED, tool="work", deep={"text": [[[[1]]]]}),
    "tool over HTTP": Face("tool", _text, *_CALLED, "/tools/work", deep={"text": [[[[1]]]]}),
    "chat": Face("chat", _chat, *_SPOKEN, **_CHAT),
    "streamed chat": Face("chat", _streamed(_chat), *_SPOKEN, **_CHAT),
    "responses": Face("chat", _input, *_SPOKEN, **_RESPONSES),
    "streamed responses": Face("chat", _streamed(_input), *_SPOKEN, **_RESPONSES),
    "text": Face("chat", _prompt, *_SPOKEN, "/v1/completions", deep=_DEEP),
    "embeddings": Face(
        "embedding", _input, "input", "data", "embeddings work", "/v1/embeddings", deep=_DEEP
    ),
    "images": Face("image", _prompt, *_DRAWN, "/v1/images/generations", deep=_DEEP),
    "image edits": Face(
        "image",
        _prompt,
        "prompt",
        "b64_json",
        "images/edits work",
        "/v1/images/edits",
        is_form=True,
        deep={**_DEEP, "image": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"},
    ),
    "chat tool": Face(
        "chat", lambda text: {"model": "work", "message": text}, *_SPOKEN, tool="chat"
    ),
    "image tool": Face(
        "image",
        _prompt,
        "prompt",
        "image/png",
        "images/generations work",
        tool="generate_image",
    ),
}


class Work:
    """A handler, and a server that has it where a face leads to.

    Args:
        face: The way to it.
        level: Where `options` are declared.
        options: Policies.
        handle: What the handler does, besides answering.
        keyed: Whether callers have keys.

    Attributes:
        runs: How often the handler has begun.
        records: What the audit was told.
    """

    def __init__(
        self,
        face: Face,
        level: str,
        options: dict[str, Any],
        handle: Callable[[], Awaitable[None]] | None = None,
        *,
        keyed: bool = False,
    ) -> None:
        self.runs = 0
        self.records: list[CallRecord] = []
        self._face = face
        self._handle = handle
        around = {one: options if one == level else {} for one in LEVELS}
        own = {"auth": KEYS} if keyed else {"open": True}
        audit = Audit(after=self.records.append)
        self._server = MCPServer("tests", audit=audit, **own, **around["server"])
        outer = MCPRouter(**around["outer router"])
        outer.include_router(self._router(around["router"], around["entry"]))
        self._server.include_router(outer)

    def _router(self, options: dict[str, Any], own: dict[str, Any]) -> MCPRouter:
        if self._face.entry == "tool":
            tools = ToolsRouter(**options)
            tools.tool(name="work", **own)(self.call)
            return tools
        if self._face.entry == "image":
            images = ImageRouter(image_tools=bool(self._face.tool), **options)
            images.backend("work", edits=True, **own)(self.draw)
            return images
        models = CompletionsRouter(chat_tool=bool(self._face.tool), **options)
        if self._face.entry == "chat":
            models.chat("work", **own)(self.say)
        else:
            models.embedding("work", **own)(self.embed)
        return models

    async def _run(self) -> None:
        self.runs += 1
        if self._handle is not None:
            await self._handle()

    async def call(self, text: Any) -> str:
        await self._run()
        return "done"

    async def say(self, request: ChatRequest) -> AsyncIterator[Any]:
        await self._run()
        yield "done"
        yield Usage(1, 1)

    async def embed(self, texts: list[str]) -> list[list[float]]:
        await self._run()
        return [[0.25] for _ in texts]

    async def draw(self, request: ImageRequest) -> bytes:
        await self._run()
        return PNG

    def send(self, *texts: str, key: str = MAY, **more: Any) -> list[Answer]:
        """Send requests one after another, for each text one; `more` is for their bodies."""

        async def each() -> list[Answer]:
            async with self._client(key) as send:
                return [await send({**self._face.body(text), **more}) for text in texts]

        return asyncio.run(each())

    def send_together(self, *texts: str) -> list[Answer]:
        """Send requests at the same time."""

        async def all_() -> list[Answer]:
            async with self._client(MAY) as send:
                bodies = map(self._face.body, texts)
                return list(await asyncio.gather(*map(send, bodies)))

        return asyncio.run(all_())

    @asynccontextmanager
    async def _client(self, key: str) -> AsyncIterator[Send]:
        headers = {"x-api-key": key}
        if self._face.path:
            transport = httpx2.ASGITransport(app=self._server)
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://localhost", headers=headers
            ) as http:
                yield partial(self._over_http, http)
        else:
            async with AsyncClient(self._server, headers=headers) as client:
                yield partial(self._over_mcp, client)

    async def _over_http(self, client: httpx2.AsyncClient, body: dict[str, Any]) -> Answer:
        given: dict[str, Any] = {"json": body}
        if self._face.is_form and "image" not in body:
            given = {"data": body, "files": [("image", ("a.png", PNG, "image/png"))]}
        answer = await client.post(self._face.path, **given)
        # What fails after it has begun to speak says so in its stream.
        has_failed = answer.status_code != 200 or '"error":{' in answer.text
        is_good = not has_failed and self._face.shows in answer.text
        after = answer.headers.get("retry-after")
        return Answer(is_good, answer.text, answer.status_code, after)

    async def _over_mcp(self, client: AsyncClient, body: dict[str, Any]) -> Answer:
        try:
            result = await client.call_tool(self._face.tool, body)
        except (HTTPError, RPCError) as error:
            return Answer(False, str(error))
        shown = str(result.content)
        return Answer(not result.is_error and self._face.shows in shown, shown)
