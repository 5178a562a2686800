"""Models and image backends that say nothing for long, and limits of bodies, in each host, for real
web servers."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from mcp_mount import (
    Audio,
    ChatRequest,
    CompletionsRouter,
    Context,
    Image,
    ImageRouter,
    MCPServer,
    SyncContext,
    ToolError,
)
from mcp_mount.images import ImageRequest, PartialImage
from mcp_mount.models import ModelError, OpenAI, ToolCall, Tools

MAX_BODY_BYTES = 20_000
MAX_OF_HOST = 85_000
"""What Flask and Django are told to take themselves."""
OPTIONS: dict[str, Any] = {
    "secret_key": "for-tests-only",
    "open": True,
    "keep_alive": 0.3,
    "max_body_bytes": MAX_BODY_BYTES,
}
BEGUN: Counter[str] = Counter()
ENDED: Counter[str] = Counter()
PNG = b"\x89PNG\r\n\x1a\n"


def register(server: Any) -> None:
    usual = CompletionsRouter()

    @usual.chat
    async def silent(request: ChatRequest) -> AsyncIterator[str]:
        BEGUN["silent"] += 1
        try:
            await asyncio.Event().wait()
            yield "never"
        finally:
            ENDED["silent"] += 1

    @usual.chat
    async def late(request: ChatRequest) -> str:
        await asyncio.sleep(1)
        raise ModelError("Too late", code="late")

    @usual.chat
    async def slow(request: ChatRequest) -> AsyncIterator[str]:
        await asyncio.sleep(1)
        yield "at last"

    @usual.chat
    def ended(request: ChatRequest) -> str:
        return str(ENDED[request.text])

    @usual.chat
    def begun(request: ChatRequest) -> str:
        return str(BEGUN[request.text])

    @usual.chat(max_body_bytes=60_000)
    def most(request: ChatRequest) -> str:
        return "ok"

    @usual.chat
    def painter(request: ChatRequest) -> Iterator[object]:
        yield "Look: "
        yield Image(data=PNG)
        yield Audio(data=b"sound", format="wav")

    def calling(request: ChatRequest) -> object:
        return "done" if request.messages[-1].role == "tool" else ToolCall(request.text)

    @server.tool
    def plain_steps(ctx: SyncContext) -> str:
        for number in (1, 2):
            ctx.report_progress(number, 2, f"step {number}")
        return "ok"

    @server.tool
    async def steps(ctx: Context) -> str:
        for number in (1, 2):
            await ctx.report_progress(number, 2, f"step {number}")
        raise ToolError("no")

    usual.add_model("clerk", calling, tools=Tools("*steps"))
    usual.add_model("stalled", OpenAI(os.environ["UPSTREAM"] + "/v1", "stall"))
    small = CompletionsRouter(max_body_bytes=2_000)
    small.chat("small")(lambda request: "ok")
    small.chat("raised", max_body_bytes=40_000)(lambda request: "ok")
    small.chat("lifted", max_body_bytes=None)(lambda request: "ok")
    images = ImageRouter(max_body_bytes=200_000)

    @images.backend(edits=True)
    async def picture(request: ImageRequest) -> bytes:
        return PNG

    @images.backend
    async def canvas(request: ImageRequest) -> bytes:
        try:
            await asyncio.Event().wait()
            return PNG
        finally:
            ENDED["canvas"] += 1

    drawing: list[object] = []

    @images.backend("pair")
    async def pair(request: ImageRequest) -> AsyncIterator[object]:
        drawing.append(None)
        number = len(drawing)
        yield PartialImage(PNG)
        while len(drawing) < number + number % 2:
            await asyncio.sleep(0.01)
        yield PNG

    for router in (usual, small, images):
        server.include_router(router)


def standalone() -> MCPServer:
    server = MCPServer("faces", **OPTIONS)
    register(server)
    return server


def mounted() -> Any:
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    mount(app, "/mcp", standalone())
    return app


def wsgi() -> Any:
    return standalone().wsgi


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_OF_HOST
    register(MCPMount(app, "/mcp", name="faces", **OPTIONS))
    return app


def django() -> Any:
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    settings.configure(
        ROOT_URLCONF="tests.routes.face_urls",
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="for-tests-only",
        INSTALLED_APPS=["mcp_mount_django"],
        MIDDLEWARE=[],
        DATA_UPLOAD_MAX_MEMORY_SIZE=MAX_OF_HOST,
        USE_TZ=True,
    )
    return get_wsgi_application() if os.environ["INTERFACE"] == "wsgi" else get_asgi_application()
