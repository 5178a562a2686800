"""`Depends` in tools, resources and prompts, as FastAPI's endpoints have it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes
from pydantic import BaseModel

from mcp_mount import Context, DefinitionError, MCPServer, SyncContext, ToolError
from mcp_mount.testing import AsyncClient, Client
from mcp_mount_fastapi import mount

events: list[str] = []


def tenant(x_tenant: Annotated[str, Header()]) -> str:
    events.append("tenant")
    return x_tenant


async def session(name: Annotated[str, Depends(tenant)]) -> AsyncIterator[str]:
    events.append("open")
    try:
        yield f"session of {name}"
    except ToolError:
        events.append("rollback")
        raise
    else:
        events.append("commit")
    finally:
        events.append("close")


def sync_session(name: Annotated[str, Depends(tenant)]) -> Iterator[str]:
    yield f"sync session of {name}"
    events.append("sync close")


def scopes_of(
    scopes: SecurityScopes, token: Annotated[Any, Depends(HTTPBearer(auto_error=False))]
) -> str:
    if token is None:
        raise HTTPException(401, "Log in first")
    return f"{token.credentials} {scopes.scope_str}"


Session = Annotated[str, Depends(session)]


def build() -> MCPServer:
    server = MCPServer("dependencies", secret_key="k")

    @server.tool
    async def both(
        word: str,
        session: Session,
        again: Annotated[str, Depends(tenant)],
        request: Request,
        ctx: Context,
    ) -> str:
        await ctx.report_progress(1)
        events.append("call")
        return f"{word}: {session}, {again}, {request.url.path}"

    @server.tool
    def plain(sync: Annotated[str, Depends(sync_session)], word: str = "x") -> str:
        events.append("call")
        return f"{word}: {sync}"

    @server.tool
    async def fail(session: Session) -> str:
        raise ToolError("No")

    @server.tool
    def secured(who: Annotated[str, Security(scopes_of, scopes=["read"])]) -> str:
        return who

    @server.tool
    def by_default(name: str = Depends(tenant)) -> str:
        return name

    @server.resource("test://{id}")
    def resource(id: str, name: Annotated[str, Depends(tenant)]) -> str:
        return f"{id} of {name}"

    @server.prompt
    def prompt(about: str, name: Annotated[str, Depends(tenant)]) -> str:
        return f"{about} for {name}"

    return server


@pytest.fixture
def app() -> FastAPI:
    events.clear()
    api = FastAPI()
    mount(api, "/mcp", build())
    return api


@pytest.fixture(params=["2026-07-28", "2025-11-25"])
def client(request: pytest.FixtureRequest, app: FastAPI) -> Iterator[Client]:
    with Client(app, headers={"x-tenant": "acme"}, revision=request.param) as client:
        yield client


def test_a_coroutine_gets_its_dependencies_once_and_ends_them(client: Client) -> None:
    result = client.call_tool("both", {"word": "hi"})
    assert result.text == "hi: session of acme, acme, /mcp"
    assert result.progress == [1]
    assert events == ["tenant", "open", "call", "commit", "close"]


def test_a_plain_function_gets_them_too(client: Client) -> None:
    assert client.call_tool("plain", {"word": "y"}).text == "y: sync session of acme"
    assert events == ["tenant", "call", "sync close"]
    assert client.call_tool("by_default").text == "acme"


def test_a_dependency_sees_that_the_call_has_failed(client: Client) -> None:
    result = client.call_tool("fail")
    assert (result.is_error, result.text) == (True, "No")
    assert events == ["tenant", "open", "rollback", "close"]


def test_dependencies_are_no_arguments(client: Client) -> None:
    tools = {tool["name"]: tool["inputSchema"] for tool in client.list_tools()}
    assert list(tools["both"]["properties"]) == ["word"]
    assert tools["fail"]["properties"] == {}
    assert client.call_tool("plain", {"sync": "x"}).is_error


def test_resources_and_prompts_have_them(client: Client) -> None:
    assert client.read_resource("test://7")[0]["text"] == "7 of acme"
    assert client.get_prompt("prompt", {"about": "x"})[0]["content"]["text"] == "x for acme"


def test_security_scopes_and_refusals(app: FastAPI) -> None:
    with Client(app, headers={"authorization": "Bearer me"}) as client:
        assert client.call_tool("secured").text == "me read"
    with Client(app) as client:
        refused = client.call_tool("secured")
        assert (refused.is_error, refused.text) == (True, "Log in first")
        missing = client.call_tool("by_default")
        assert "header.x-tenant: Field required" in missing.text


def test_overrides_of_the_application_are_in_force(app: FastAPI) -> None:
    app.dependency_overrides[tenant] = lambda: "nobody"
    with Client(app) as client:
        assert client.call_tool("by_default").text == "nobody"
        assert (
            client.call_tool("both", {"word": "hi"}).text == "hi: session of nobody, nobody, /mcp"
        )


def test_over_plain_http_they_are_the_same() -> None:
    from starlette.testclient import TestClient

    from mcp_mount import ToolsRouter

    tools = ToolsRouter()

    @tools.tool
    def whose(name: Annotated[str, Depends(tenant)]) -> str:
        return name

    server = MCPServer("http")
    server.include_router(tools)
    answer = TestClient(server).post("/tools/whose", json={}, headers={"x-tenant": "acme"})
    assert answer.json() == "acme"


def test_a_plain_function_with_dependencies_has_a_context_too() -> None:
    server = MCPServer()

    @server.tool
    def tool(ctx: SyncContext, name: Annotated[str, Depends(tenant)]) -> str:
        ctx.report_progress(1)
        return name

    with Client(asgi(server), path="/mcp", headers={"x-tenant": "acme"}) as client:
        result = client.call_tool("tool")
    assert (result.text, result.progress) == ("acme", [1])


def test_a_dependency_beside_positional_arguments_is_keyword_only() -> None:
    def tool(name: Annotated[str, Depends(tenant)], *words: str) -> str:
        return name

    with pytest.raises(DefinitionError, match="the parameter 'name' must be keyword-only"):
        MCPServer().tool(tool)


def asgi(server: MCPServer) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await server(scope, receive, send)

    return app


class Database:
    """A session as a `yield` dependency: what is written counts if nothing failed."""

    def __init__(self) -> None:
        self.committed: list[str] = []
        self.events: list[str] = []

    async def session(self) -> AsyncIterator[list[str]]:
        rows: list[str] = []
        try:
            yield rows
        except BaseException as error:
            self.events.append(f"rolled back: {type(error).__name__}")
            raise
        self.committed += rows
        self.events.append("committed")

    def sync_session(self) -> Iterator[list[str]]:
        rows: list[str] = []
        try:
            yield rows
        except BaseException as error:
            self.events.append(f"rolled back: {type(error).__name__}")
            raise
        self.committed += rows
        self.events.append("committed")


def refuse(value: Any, rows: Any) -> None:
    assert rows == ["a", "b"]
    raise ValueError("This may not be told")


@pytest.mark.parametrize("kind", ["session", "sync_session"])
@pytest.mark.parametrize("written", ["def", "async def"])
@pytest.mark.parametrize(
    ("options", "returns", "told"),
    [
        ({"check_result": refuse}, "done", "This may not be told"),
        ({"max_result_bytes": 10}, "done" * 10, "more than the 10 that may be sent"),
        ({"output_schema": int}, "no number", "failed. The server has logged the reason."),
    ],
)
def test_whatever_fails_the_call_rolls_back(
    kind: str, written: str, options: dict[str, Any], returns: Any, told: str
) -> None:
    database, server = Database(), MCPServer()
    session: Any = Depends(getattr(database, kind))

    def plain(rows: list[str] = session) -> Any:
        rows += ["a", "b"]
        return returns

    async def coroutine(rows: list[str] = session) -> Any:
        rows += ["a", "b"]
        return returns

    server.add_tool(plain if written == "def" else coroutine, name="write", **options)
    with Client(asgi(server), path="/mcp") as client:
        result = client.call_tool("write")
    assert result.is_error
    assert told in result.text
    assert database.committed == []
    assert [one.split(":")[0] for one in database.events] == ["rolled back"]


def test_a_commit_that_fails_is_no_success() -> None:
    server = MCPServer()

    async def session() -> AsyncIterator[str]:
        yield "x"
        raise RuntimeError("the database is gone")

    @server.tool
    def write(rows: Annotated[str, Depends(session)]) -> str:
        return "saved"

    with Client(asgi(server), path="/mcp") as client:
        result = client.call_tool("write")
    assert (result.is_error, "logged the reason" in result.text) == (True, True)


def test_a_dependency_that_swallows_what_the_call_raised_hides_nothing() -> None:
    server = MCPServer()

    async def session() -> AsyncIterator[str]:
        try:
            yield "x"
        except ToolError:
            events.append("swallowed")

    @server.tool
    async def write(rows: Annotated[str, Depends(session)]) -> str:
        raise ToolError("No")

    with Client(asgi(server), path="/mcp") as client:
        result = client.call_tool("write")
    assert (result.is_error, result.text) == (True, "No")


def admin(x_role: Annotated[str, Header()] = "") -> str:
    if x_role != "admin":
        raise HTTPException(403, "Only for admins")
    return x_role


@pytest.mark.parametrize("written", ["def", "async def"])
def test_a_kept_result_is_given_to_nobody_whom_a_dependency_refuses(written: str) -> None:
    server, runs = MCPServer(), list[int]()

    def plain(who: Annotated[str, Depends(admin)]) -> str:
        runs.append(1)
        return "secret"

    async def coroutine(who: Annotated[str, Depends(admin)]) -> str:
        runs.append(1)
        return "secret"

    server.add_tool(plain if written == "def" else coroutine, name="secret", cache=60)
    with Client(asgi(server), path="/mcp", headers={"x-role": "admin"}) as client:
        assert client.call_tool("secret").text == "secret"
        assert client.call_tool("secret").text == "secret"
    assert runs == [1]
    with Client(asgi(server), path="/mcp") as client:
        refused = client.call_tool("secret")
    assert (refused.is_error, refused.text) == (True, "Only for admins")


def test_what_a_dependency_reads_of_a_request_tells_kept_results_apart() -> None:
    server = MCPServer()

    @server.tool(cache=60)
    def whose(name: Annotated[str, Depends(tenant)]) -> str:
        return name

    for name in ("acme", "other"):
        with Client(asgi(server), path="/mcp", headers={"x-tenant": name}) as client:
            assert client.call_tool("whose").text == name


def test_a_kept_result_is_given_to_nobody_whom_a_check_refuses(app: FastAPI) -> None:
    server, open_for = MCPServer(), {"all"}

    def is_open(number: int) -> None:
        if "all" not in open_for:
            raise ValueError("Closed")

    @server.tool(cache=60, check=is_open)
    def double(number: int) -> int:
        return 2 * number

    with Client(asgi(server), path="/mcp") as client:
        assert client.call_tool("double", {"number": 2}).data == 4
        open_for.clear()
        assert client.call_tool("double", {"number": 2}).text == "Closed"
        assert "number" in client.call_tool("double", {"number": "x"}).text


def test_over_plain_http_a_dependency_refuses_with_its_status() -> None:
    from starlette.testclient import TestClient

    from mcp_mount import ToolsRouter

    tools = ToolsRouter()

    @tools.tool
    def secret(who: Annotated[str, Depends(admin)]) -> str:
        return "secret"

    server = MCPServer("http")
    server.include_router(tools)
    answer = TestClient(server).post("/tools/secret", json={})
    assert (answer.status_code, answer.json()) == (403, {"detail": "Only for admins"})


def test_a_call_that_asks_its_client_first_is_rolled_back_until_it_has_its_answer() -> None:
    database, server = Database(), MCPServer(secret_key="k")

    class Name(BaseModel):
        name: str

    @server.tool
    async def write(ctx: Context, rows: Annotated[list[str], Depends(database.session)]) -> str:
        rows.append("a")
        answer = await ctx.elicit("Who?", Name)
        rows.append("b")
        return f"{answer.data and answer.data.name}"

    with Client(asgi(server), path="/mcp", elicit=lambda question: {"name": "Ada"}) as client:
        assert client.call_tool("write").text == "Ada"
    assert database.committed == ["a", "b"]
    assert [one.split(":")[0] for one in database.events] == ["rolled back", "committed"]


def plain_around(call: Any, call_next: Any) -> Any:
    return call_next()


async def coroutine_around(call: Any, call_next: Any) -> Any:
    return await call_next()


@pytest.mark.parametrize("around", [plain_around, coroutine_around])
@pytest.mark.parametrize("written", ["def", "async def"])
def test_within_middleware_they_are_the_same(around: Any, written: str) -> None:
    database, server = Database(), MCPServer(call_middleware=around, timeout=2)
    session: Any = Depends(database.session)
    released = threading.Event()

    def plain(late: bool, rows: list[str] = session) -> str:
        rows.append("a")
        if late:
            released.wait(2.5)
        return "done"

    async def coroutine(late: bool, rows: list[str] = session) -> str:
        rows.append("a")
        if late:
            await asyncio.sleep(60)
        return "done"

    server.add_tool(plain if written == "def" else coroutine, name="write")
    with Client(asgi(server), path="/mcp") as client:
        assert client.call_tool("write", {"late": False}).text == "done"
        assert database.committed == ["a"]
        assert "took longer than 2 seconds" in client.call_tool("write", {"late": True}).text
        # The client may be answered before the function has ended, and its dependencies with it.
        deadline = time.monotonic() + 30
        while len(database.events) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert database.events == ["committed", "rolled back: CallRejected"]
    assert database.committed == ["a"]


def test_a_plain_tool_that_runs_as_a_task_has_its_dependencies_on_the_loop_of_the_application() -> (
    None
):
    loops: list[Any] = []

    async def session() -> AsyncIterator[str]:
        loops.append(asyncio.get_running_loop())
        yield "x"

    server = MCPServer()

    @server.tool(task=True)
    def work(name: Annotated[str, Depends(session)]) -> str:
        return name

    async def use() -> Any:
        loops.append(asyncio.get_running_loop())
        async with AsyncClient(asgi(server), path="/mcp", tasks=True) as client:
            return (await client.call_tool("work")).text

    assert asyncio.run(use()) == "x"
    assert loops[0] is loops[1]
