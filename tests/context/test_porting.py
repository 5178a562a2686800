"""Servers of the official SDK's repository, moved here: what carries over, and what the errors say.

The handlers are as there (examples/servers/everything-server, examples/snippets/servers): only
imports differ, and what docs/porting.md says.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    CompletionArgument,
    CompletionContext,
    EmbeddedResource,
    ImageContent,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

from mcp_mount import (
    AssistantMessage,
    Context,
    DefinitionError,
    MCPError,
    MCPServer,
    Message,
    SyncContext,
    UserMessage,
    elsewhere,
)
from mcp_mount.base import server_options
from mcp_mount.schemas.names import keywords_of
from mcp_mount.testing import Client, RPCError

IMAGE = "iVBORw0KGgo="
ROOT = Path(__file__).parent.parent.parent


def everything() -> MCPServer:
    mcp = MCPServer(name="mcp-conformance-test-server", version="0.1.0")

    @mcp.tool()
    def test_simple_text() -> str:
        """Tests simple text content response"""
        return "This is a simple text response for testing."

    @mcp.tool()
    def test_audio_content() -> list[AudioContent]:
        """Tests audio content response"""
        return [AudioContent(type="audio", data="UklGRg==", mime_type="audio/wav")]

    @mcp.tool()
    def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
        """Tests response with multiple content types (text, image, resource)"""
        return [
            TextContent(type="text", text="Multiple content types test:"),
            ImageContent(type="image", data=IMAGE, mime_type="image/png"),
            EmbeddedResource(
                type="resource",
                resource=TextResourceContents(
                    uri="test://mixed-content-resource", mime_type="application/json", text="{}"
                ),
            ),
        ]

    @mcp.tool()
    async def test_tool_with_progress(ctx: Context) -> str:
        """Tests tool that reports progress notifications"""
        await ctx.report_progress(progress=0, total=100, message="Completed step 0 of 100")
        await asyncio.sleep(0)
        await ctx.report_progress(progress=50, total=100, message="Completed step 50 of 100")
        await ctx.report_progress(progress=100, total=100, message="Completed step 100 of 100")
        token = ctx.request_context.meta.get("progressToken") if ctx.request_context.meta else 0
        return str(token)

    class UserResponse(BaseModel):
        response: str = Field(description="User's response")

    @mcp.tool()
    async def test_elicitation(message: str, ctx: Context) -> str:
        """Tests server-initiated elicitation (user input request)"""
        result = await ctx.elicit(message=message, schema=UserResponse)
        content = result.data.model_dump_json() if result.action == "accept" else "{}"
        return f"User response: action={result.action}, content={content}"

    @mcp.tool()
    async def test_missing_capability(ctx: Context) -> str:
        """Tests that MISSING_REQUIRED_CLIENT_CAPABILITY surfaces as a JSON-RPC error."""
        if "sampling" not in ctx.client_capabilities:
            raise MCPError(
                code=MISSING_REQUIRED_CLIENT_CAPABILITY,
                message="This tool requires the client 'sampling' capability",
                data={"requiredCapabilities": {"sampling": {}}},
            )
        return "Client declared sampling capability; proceeding."

    def _dynamic_tool() -> str:
        """A tool registered and removed by test_trigger_tool_change."""
        return "dynamic"

    @mcp.tool()
    async def test_trigger_tool_change(ctx: Context) -> str:
        """Mutates the tool list"""
        mcp.add_tool(_dynamic_tool, name="test_dynamic_tool")
        mcp.remove_tool("test_dynamic_tool")
        mcp.add_prompt(_dynamic_tool, name="test_dynamic_prompt", description="dynamic")
        mcp.remove_prompt("test_dynamic_prompt")
        return "lists changed"

    @mcp.resource("test://static-binary")
    def static_binary_resource() -> bytes:
        """A static binary resource (image) for testing"""
        return base64.b64decode(IMAGE)

    @mcp.resource("test://template/{id}/data")
    def template_resource(id: str) -> str:
        """A resource template with parameter substitution"""
        return json.dumps({"id": id, "templateTest": True})

    @mcp.prompt()
    def test_prompt_with_image() -> list[UserMessage]:
        """A prompt that includes image content"""
        image = ImageContent(type="image", data=IMAGE, mime_type="image/png")
        return [
            UserMessage(role="user", content=image),
            UserMessage(role="user", content=TextContent(type="text", text="Analyze the image.")),
        ]

    @mcp.completion()
    async def _handle_completion(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        """Handle completion requests"""
        return Completion(values=[], total=0, has_more=False)

    return mcp


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_the_everything_server_moves_by_its_imports(revision: str) -> None:
    def answer(method: str, params: Any) -> Any:
        return {"action": "accept", "content": {"response": "yes"}}

    with Client(
        everything(), revision=revision, elicit=lambda params: {"response": "yes"}
    ) as client:
        assert client.call_tool("test_simple_text").data.startswith("This is a simple text")
        kinds = [one["type"] for one in client.call_tool("test_multiple_content_types").content]
        assert kinds == ["text", "image", "resource"]
        progress = client.call_tool("test_tool_with_progress")
        assert (progress.text, progress.progress) == ("1", [0, 50, 100])
        with pytest.raises(RPCError, match="requires the client 'sampling' capability"):
            client.call_tool("test_missing_capability")
        assert client.call_tool("test_trigger_tool_change").text == "lists changed"
        assert "test_dynamic_tool" not in [one["name"] for one in client.list_tools()]
        [image, text] = client.request("prompts/get", {"name": "test_prompt_with_image"})[
            "messages"
        ]
        assert (image["content"]["type"], text["role"]) == ("image", "user")
        ref = {"type": "ref/prompt", "name": "test_prompt_with_image"}
        argument = {"name": "x", "value": ""}
        found = client.request("completion/complete", {"ref": ref, "argument": argument})
        assert found["completion"]["values"] == []


class Database:
    """Mock database class for example."""

    @classmethod
    async def connect(cls) -> Database:
        return cls()

    async def disconnect(self) -> None:
        """Disconnect from database."""

    def query(self) -> str:
        return "Query result"


@dataclass
class AppContext:
    """Application context with typed dependencies."""

    db: Database


def test_the_lifespan_example_moves_with_the_context_of_plain_functions() -> None:
    @asynccontextmanager
    async def app_lifespan(server: MCPServer) -> AsyncIterator[AppContext]:
        db = await Database.connect()
        try:
            yield AppContext(db=db)
        finally:
            await db.disconnect()

    mcp = MCPServer("My App", lifespan=app_lifespan)

    @mcp.tool()
    def query_db(ctx: SyncContext[AppContext]) -> str:
        """Tool that uses initialized resources."""
        db = ctx.request_context.lifespan_context.db
        return str(db.query())

    with Client(mcp) as client:
        assert client.call_tool("query_db").data == "Query result"


def test_the_completion_example_moves_by_its_imports() -> None:
    mcp = MCPServer(name="Example")

    @mcp.resource("github://repos/{owner}/{repo}")
    def github_repo(owner: str, repo: str) -> str:
        return f"Repository: {owner}/{repo}"

    @mcp.prompt(description="Code review prompt")
    def review_code(language: str, code: str) -> str:
        return f"Review this {language} code:\n{code}"

    @mcp.prompt(title="Debug Assistant")
    def debug_error(error: str) -> list[Message]:
        return [UserMessage(error), AssistantMessage("What have you tried so far?")]

    @mcp.completion()
    async def handle_completion(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        if isinstance(ref, PromptReference) and argument.name == "language":
            languages = ["python", "javascript", "typescript", "go", "rust"]
            return Completion(
                values=[lang for lang in languages if lang.startswith(argument.value)],
                has_more=False,
            )
        known = context and context.arguments
        if isinstance(ref, ResourceTemplateReference) and known and known.get("owner") == "mcp":
            return Completion(values=["python-sdk"], has_more=False)
        return None

    def complete(client: Client, ref: Any, name: str, value: str, **known: str) -> Any:
        params = {
            "ref": ref,
            "argument": {"name": name, "value": value},
            "context": {"arguments": known},
        }
        return client.request("completion/complete", params)["completion"]["values"]

    prompt = {"type": "ref/prompt", "name": "review_code"}
    template = {"type": "ref/resource", "uri": "github://repos/{owner}/{repo}"}
    with Client(mcp) as client:
        assert complete(client, prompt, "language", "py") == ["python"]
        assert complete(client, prompt, "code", "") == []
        assert complete(client, template, "repo", "", owner="mcp") == ["python-sdk"]
        assert complete(client, template, "repo", "") == []
        said = client.request("prompts/get", {"name": "debug_error", "arguments": {"error": "x"}})
        assert [one["role"] for one in said["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ctx.session.create_message", r"ctx\.session\.create_message is ctx\.sample"),
        ("ctx.session.send_tool_list_changed", r"server\.notify\.tools_list_changed"),
        ("ctx.session.client_params", r"ctx\.client_info"),
        ("ctx.close_sse_stream", r"ctx\.close_stream"),
        ("ctx.get_state", r"your own store"),
        ("ctx.request_context.session.list_roots", r"ctx\.list_roots"),
    ],
)
def test_what_has_another_name_is_named(code: str, words: str) -> None:
    server = MCPServer("tests")
    seen: list[str] = []

    @server.tool
    def look(ctx: SyncContext) -> None:
        try:
            eval(code, {"ctx": ctx})
        except AttributeError as error:
            seen.append(str(error))

    with Client(server) as client:
        client.call_tool("look")
    assert re.search(words, seen[0]), seen


@pytest.mark.parametrize("name", ["McpError", "NotFoundError", "PromptError", "TextContent"])
def test_an_import_of_another_name_says_what_it_is_here(name: str) -> None:
    with pytest.raises(ImportError, match=f"mcp_mount has no '{name}'"):
        exec(f"from mcp_mount import {name}")


def test_what_is_removed_must_be_there() -> None:
    server = MCPServer("tests")

    @server.tool
    def add() -> None: ...

    with pytest.raises(DefinitionError, match="there is no tool 'ad'; did you mean 'add'"):
        server.remove_tool("ad")
    with pytest.raises(DefinitionError, match="takes the function of a prompt, not dict"):
        server.add_prompt({})  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match=r"@server\.completion\(\)"):
        server.completion("prompt")
    with pytest.raises(DefinitionError, match="takes a Completion, or ref, argument and context"):
        server.completion()(lambda reference, argument: [])
    with pytest.raises(DefinitionError, match="not 'sse'; the old HTTP"):
        server.run("sse")  # type: ignore[arg-type]


def test_a_resource_that_is_removed_is_not_there() -> None:
    server = MCPServer("tests")
    server.resource("a://b/{c}")(lambda c: "x")
    with Client(server) as client:
        server.remove_resource("a://b/{c}")
        with pytest.raises(RPCError):
            client.request("resources/read", {"uri": "a://b/c"})


def test_a_server_that_runs_itself_speaks_over_stdio(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(
        textwrap.dedent(
            """
            from mcp_mount import MCPServer

            mcp = MCPServer("own")

            @mcp.tool()
            def add(a: int, b: int) -> int:
                return a + b

            if __name__ == "__main__":
                mcp.run()
            """
        )
    )
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        },
    }
    done = subprocess.run(
        [sys.executable, script],
        input=json.dumps(initialize) + "\n",
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert json.loads(done.stdout)["result"]["serverInfo"]["name"] == "own"


ROWS = re.findall(
    r"^\| (.*?) \| .* \|$", (ROOT / "docs" / "porting.md").read_text(), flags=re.MULTILINE
)
"""What the page names of the other libraries."""


@pytest.mark.parametrize(
    ("pattern", "known", "one"),
    [
        (
            r"\b([a-z_]+)=",
            {
                *(*elsewhere.OF_SERVER_OPTIONS, *elsewhere.OF_RUN_OPTIONS),
                *(*elsewhere.OF_ENTRY_OPTIONS, *server_options()),
                *(*keywords_of(MCPServer.run), *keywords_of(MCPServer.add_prompt)),
            },
            "structured_output",
        ),
        (
            r"\b(?:mcp|FastMCP)\.(\w+)\b(?!\.)",
            {*dir(MCPServer), *elsewhere.OF_SERVERS, *elsewhere.OF_SERVER_CLASS},
            "as_proxy",
        ),
        (r"\bctx\.(\w+)\b", {*dir(Context), *elsewhere.OF_CONTEXTS}, "get_state"),
        (r"\bctx\.session\.(\w+)\b", {*elsewhere.OF_SESSIONS}, "create_message"),
    ],
    ids=["options", "members of servers", "members of contexts", "members of sessions"],
)
def test_whatever_the_porting_page_names_is_ours_or_explained_by_an_error(
    pattern: str, known: set[str], one: str
) -> None:
    named = {name for row in ROWS for name in re.findall(pattern, row)}
    assert one in named
    assert named - known - {"server", "types"} == set()
