"""An MCP server of its own, composed of routers, middleware and a route of the user's."""

import logging
import os
import time
from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from notebook import connect
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware

from mcp_mount import ChatRequest, CompletionsRouter, ImageRouter, MCPServer, ToolsRouter
from mcp_mount.models import OpenAI, Route, Tools

logger = logging.getLogger("uvicorn.error")


class Note(BaseModel):
    id: int
    text: str


tools = ToolsRouter()


@tools.tool(annotations={"readOnlyHint": True})
def notes(containing: str = "") -> list[Note]:
    """Find notes that contain a text; all of them by default."""
    with connect() as connection:
        rows = connection.execute("SELECT * FROM note WHERE instr(text, ?)", (containing,))
        return [Note(**row) for row in rows]


@tools.tool
def write_note(text: str) -> Note:
    """Write a note."""
    with connect() as connection:
        row = connection.execute(
            "INSERT INTO note (text) VALUES (?) RETURNING *", (text,)
        ).fetchone()
    return Note(**row)


@tools.tool
async def word_count(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


# MCP clients have a tool `chat` as well.
completions = CompletionsRouter(timeout=60, chat_tool=True)


@completions.prompt
def plan_day(focus: str = "anything") -> str:
    """Plan a day out of the notes."""
    return f"Read my notes and plan my day around {focus}."


@completions.chat("echo")
def echo(request: ChatRequest) -> Iterator[str]:
    """A model that gives back what it was told, word by word."""
    for word in request.messages[-1].text.split():
        yield word + " "


UPSTREAM = os.environ.get("NOTEBOOK_UPSTREAM", "http://127.0.0.1:8001/v1")
completions.add_model("north", OpenAI(UPSTREAM, "north"))
completions.add_model("south", OpenAI(UPSTREAM, "south"))
# They take turns. Where one fails, the other one is asked, and then the echo.
completions.add_model("smart", Route(["north", "south"], "echo", retries=1))
# It looks into the notebook for whoever asks.
completions.add_model("secretary", "smart", tools=Tools("notes", "word_count", max_calls=4))


custom = APIRouter()


@custom.get("/health")
async def check() -> dict[str, str]:
    return {"status": "alive"}


@custom.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page() -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Notebook</title><h1>Notebook</h1>"
        "<p>MCP: <code>/mcp</code>. <a href=tools>Tools</a>, <a href=docs>docs</a>.</p></html>"
    )


class LogMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        started = time.perf_counter()
        response = await call_next(request)
        milliseconds = (time.perf_counter() - started) * 1000
        logger.info("%s %s in %.1f ms", request.method, request.url.path, milliseconds)
        return response


app = MCPServer("notebook", instructions="A notebook, and a few other things.")
app.include_router(tools)
app.include_router(completions)
app.include_router(ImageRouter())
app.include_router(custom)
app.add_middleware(LogMiddleware)
