"""The clients for users' own tests, with every kind of host and with and without sessions."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from flask import Flask
from pydantic import BaseModel

from mcp_mount import (
    Completion,
    Context,
    McpHeader,
    MCPServer,
    SyncContext,
    mount_asgi,
    mount_wsgi,
)
from mcp_mount.testing import AsyncClient, Client, HTTPError, RPCError
from tests.conformance import hosts

REVISIONS = ["2026-07-28", "2025-11-25", "2025-06-18"]
"""Those that ask a person by forms."""


class Name(BaseModel):
    name: str


def build() -> MCPServer:
    server = MCPServer("tests", secret_key="k")

    @server.tool
    def thread() -> str:
        return threading.current_thread().name

    @server.tool
    def greet(ctx: SyncContext) -> str:
        answer = ctx.elicit("Your name?", Name)
        return f"{answer.action} {answer.data.name if answer.data else ''}"

    @server.tool
    async def agreet(ctx: Context) -> str:
        answer = await ctx.elicit("Your name?", Name)
        said = await ctx.sample(f"Greet {answer.data and answer.data.name}")
        roots = await ctx.list_roots()
        return f"{said['content']['text']} {roots[0]['uri']}"

    @server.tool
    def ask_model(ctx: SyncContext) -> str:
        return f"{ctx.sample('Greet')['content']['text']} {ctx.list_roots()[0]['uri']}"

    @server.tool
    def pay(ctx: SyncContext) -> str:
        return ctx.elicit_url("Pay", "https://example.org/pay").action

    @server.tool
    async def tell(ctx: Context) -> dict[str, int]:
        await ctx.report_progress(1)
        await ctx.report_progress(2)
        await ctx.debug("quiet")
        await ctx.warning({"much": 1})
        return {"told": 2}

    @server.tool
    def region(region: Annotated[str, McpHeader("Region")]) -> str:
        return region

    @server.tool(task="required")
    def slow(ctx: SyncContext) -> str:
        return f"task {ctx.task_id is not None} {ctx.elicit('Your name?', Name).action}"

    @server.tool
    def fail() -> str:
        raise RuntimeError("secret")

    @server.tool
    def caller(ctx: SyncContext) -> str:
        return ctx.headers["x-caller"]

    @server.resource("test://{id}")
    def resource(id: str) -> str:
        return f"resource {id}"

    @server.resource("test://one")
    def one() -> bytes:
        return b"one"

    @server.prompt
    def prompt(about: str) -> str:
        return f"About {about}"

    @server.completion("prompt", "about")
    def complete(completion: Completion) -> list[str]:
        return [one for one in ("paris", "park") if one.startswith(completion.value)]

    return server


def blank_wsgi(environ: Any, start_response: Any) -> Any:
    start_response("404 Not Found", [("content-type", "text/plain")])
    return [b"nothing here"]


async def blank_asgi(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"nothing here"})


APPS: dict[str, Any] = {
    "server": build,
    "wsgi": lambda: mount_wsgi(blank_wsgi, "/mcp", build()),
    "asgi": lambda: mount_asgi(blank_asgi, "/mcp", build()),
}


@pytest.fixture(params=APPS)
def app(request: pytest.FixtureRequest) -> Any:
    return APPS[request.param]()


@pytest.fixture(params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def elicit(question: Mapping[str, Any]) -> dict[str, Any]:
    assert question["message"] == "Your name?"
    return {"name": "Ada"}


def test_a_plain_test_asks_for_everything(app: Any, revision: str) -> None:
    with Client(app, revision=revision, elicit=elicit) as client:
        names = [tool["name"] for tool in client.list_tools()]
        assert names[:2] == ["thread", "greet"]
        assert client.call_tool("greet").text == "accept Ada"
        result = client.call_tool("tell")
        assert (result.text, result.progress) == ('{"told":2}', [1, 2])
        assert client.call_tool("region", {"region": " für alle "}).text == " für alle "
        assert client.list_resources()[0]["uri"] == "test://one"
        assert client.list_resource_templates()[0]["uriTemplate"] == "test://{id}"
        assert client.read_resource("test://7")[0]["text"] == "resource 7"
        assert client.read_resource("test://one")[0]["blob"] == "b25l"
        assert [one["name"] for one in client.list_prompts()] == ["prompt"]
        message = client.get_prompt("prompt", {"about": "x"})[0]
        assert message["content"]["text"] == "About x"
        assert client.complete("prompt", "about", "pari") == ["paris"]
        assert client.call_tool("fail").is_error


def test_a_coroutine_test_asks_for_everything(app: Any, revision: str) -> None:
    async def answer(question: Mapping[str, Any]) -> Name:
        await asyncio.sleep(0)
        return Name(name="Ada")

    async def test() -> None:
        options: Any = {"sample": lambda params: "Hello", "roots": ["file:///x"]}
        async with AsyncClient(app, revision=revision, elicit=answer, **options) as client:
            assert (await client.call_tool("agreet")).text == "Hello file:///x"
            assert (await client.call_tool("tell")).progress == [1, 2]
            assert [one["name"] for one in await client.list_tools()][:1] == ["thread"]
            assert (await client.list_prompts())[0]["name"] == "prompt"
            assert (await client.get_prompt("prompt", {"about": "x"}))[0]["role"] == "user"
            assert (await client.list_resources())[0]["name"] == "one"
            assert len(await client.list_resource_templates()) == 1
            assert (await client.read_resource("test://7"))[0]["text"] == "resource 7"
            assert await client.complete("prompt", "about", "pa") == ["paris", "park"]
            with pytest.raises(RPCError, match="Unknown tool"):
                await client.call_tool("nothing")

    asyncio.run(asyncio.wait_for(test(), 60))


@pytest.mark.parametrize("host", [host for host in hosts.HOSTS if not host.startswith("django")])
def test_any_host_will_do(host: str, revision: str) -> None:
    use_a_host(getattr(hosts, hosts.HOSTS[host][1])(), revision)


@pytest.mark.parametrize("host", ["django_wsgi", "django_asgi"])
def test_django_will_do(host: str) -> None:
    # Django is configured once in a process.
    script = (
        f"from tests.conformance import hosts; from tests.testing import test_clients as t; "
        f"app = hosts.{host}(); [t.use_a_host(app, one) for one in t.REVISIONS]"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def use_a_host(app: Any, revision: str) -> None:
    with Client(app, revision=revision, elicit=lambda question: {"name": "Ada"}) as client:
        assert "Ada" in client.call_tool("test_streaming_elicitation").text
        for tool in ("test_reconnection", "test_sync_reconnection"):
            assert client.call_tool(tool).text == "Reconnected"


@pytest.mark.parametrize("name", ["server", "wsgi"])
def test_plain_tools_run_on_the_thread_of_the_test(name: str, revision: str) -> None:
    with Client(APPS[name](), revision=revision) as client:
        assert client.call_tool("thread").text == threading.current_thread().name


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "decline "),
        ({"action": "cancel"}, "cancel "),
        (Name(name="Bob"), "accept Bob"),
        ({"action": "accept", "content": {"name": "Eve"}}, "accept Eve"),
    ],
)
def test_answers_of_all_kinds(answer: Any, text: str, revision: str) -> None:
    with Client(build(), revision=revision, elicit=lambda question: answer) as client:
        assert client.call_tool("greet").text == text


def test_a_page_is_visited() -> None:
    seen: list[str] = []

    def visit(question: Mapping[str, Any]) -> dict[str, Any]:
        seen.append(question["url"])
        return {}

    for revision in ("2026-07-28", "2025-11-25"):
        with Client(build(), revision=revision, elicit=visit) as client:
            assert client.call_tool("pay").text == "accept"
    assert seen == ["https://example.org/pay"] * 2


def test_the_oldest_revision_asks_models_and_for_roots_but_no_person() -> None:
    options: Any = {"sample": lambda params: "Hello", "roots": ["file:///x"], "elicit": elicit}
    with Client(build(), revision="2025-03-26", **options) as client:
        assert client.call_tool("ask_model").text == "Hello file:///x"
        assert client.call_tool("greet").text == "2025-03-26 does not have elicitation"


def test_tasks_are_waited_for() -> None:
    with Client(build(), tasks=True, elicit=elicit) as client:
        assert client.call_tool("slow").text == "task True accept"
    with Client(build()) as client, pytest.raises(RPCError) as caught:
        client.call_tool("slow")
    assert caught.value.code == -32021


def test_log_messages_are_heard_from_the_level_on(revision: str) -> None:
    with Client(build(), revision=revision, log_level="info") as client:
        assert client.call_tool("tell").logs == [("warning", {"much": 1})]


def test_headers_go_with_each_request(revision: str) -> None:
    with Client(build(), revision=revision, headers={"X-Caller": "ada"}) as client:
        assert client.call_tool("caller").text == "ada"


def test_what_is_no_answer_is_an_error(revision: str) -> None:
    for app in (blank_wsgi, blank_asgi):
        with Client(app, revision=revision) as client, pytest.raises(HTTPError) as caught:
            client.list_tools()
        assert (caught.value.status, caught.value.body) == (404, "nothing here")


def test_a_question_nobody_answers_is_not_asked(revision: str) -> None:
    with Client(build(), revision=revision) as client:
        if revision == "2026-07-28":
            with pytest.raises(RPCError) as caught:
                client.call_tool("greet")
            assert caught.value.code == -32021
        else:
            assert "does not support elicitation" in client.call_tool("greet").text


def test_any_request_can_be_sent() -> None:
    with Client(build()) as client:
        assert "2026-07-28" in client.request("server/discover")["supportedVersions"]


def test_a_revision_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="revision must be one of"):
        Client(build(), revision="2023-01-01")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_application_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"takes an MCPServer, or the application .* not str"):
        kind("shop:app")


def test_a_path_where_nothing_is_names_the_argument_for_it() -> None:
    app = Flask("shop")
    with Client(app) as client, pytest.raises(HTTPError, match=r"HTTP 404 .*path= says"):
        client.list_tools()


def test_coroutine_functions_answer_for_the_person_in_plain_tests() -> None:
    server = build()

    @server.tool
    def welcome(ctx: SyncContext) -> str:
        answer = ctx.elicit("Who are you?", Name)
        assert answer.data is not None
        return answer.data.name

    async def elicit(question: Mapping[str, Any]) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"name": "Ada"}

    with Client(server, elicit=elicit) as client:
        assert client.call_tool("welcome").text == "Ada"
