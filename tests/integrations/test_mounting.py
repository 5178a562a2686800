"""Every way to mount, under the web servers that people deploy."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import mcp_types
import pytest
from mcp import Client

from tests.integrations.conftest import Serve
from tests.requests import initialize, stateless


def call(
    url: str, tool: str, arguments: Any = None, *, progress: bool = False, **options: Any
) -> Any:
    """Call a tool by the official client, with and without sessions, to the same result."""
    heard: list[float] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append(done)

    async def session(mode: str) -> Any:
        with anyio.fail_after(60):
            async with Client(url, mode=mode, **options) as client:
                callback = hear if progress else None
                return await client.call_tool(tool, arguments or {}, progress_callback=callback)

    results = [anyio.run(session, mode) for mode in ("auto", "legacy")]
    if progress:
        assert heard == [1, 2, 1, 2]
    return results[0].is_error, results[0].content[0].text, results[1].content[0].text


def post(url: str, tool: str, **headers: str) -> httpx2.Response:
    own, body = stateless("tools/call", {"name": tool, "arguments": {}}, **headers)
    return httpx2.post(url, headers=own, content=body)


MOUNTS = [
    ("uvicorn", "fastapi_redirecting", "/mcp", "starlette"),
    ("uvicorn-h11", "fastapi_redirecting", "/mcp", "starlette"),
    ("hypercorn", "fastapi_redirecting", "/mcp", "starlette"),
    ("daphne", "fastapi_redirecting", "/mcp", "starlette"),
    ("uvicorn-prefix", "fastapi_redirecting", "/mcp", "starlette"),
    ("uvicorn", "starlette_nested", "/deep/mcp", "starlette"),
    ("uvicorn", "starlette_lifespan", "/mcp", "starlette"),
    ("uvicorn", "starlette_lifespan", "/other/mcp", "starlette"),
    ("gthread", "flask_app", "/mcp", "flask"),
    ("sync", "flask_app", "/mcp", "flask"),
    ("uvicorn", "flask_under_asgi", "/mcp", "flask"),
    ("gthread", "wsgi_prefix", "/prefix/mcp", "flask"),
    ("gthread", "flask_beside", "/mcp", "flask"),
    ("uvicorn", "flask_beside_asgi", "/mcp", "flask"),
    ("hypercorn", "flask_beside_asgi", "/mcp", "flask"),
    ("gthread", "wsgi_beside", "/mcp", "builtins"),
    ("gthread", "django_wsgi", "/mcp", "django"),
    ("sync", "django_wsgi", "/mcp", "django"),
    ("gthread", "django_wsgi", "/deep/er/mcp", "django"),
    ("uvicorn", "django_asgi", "/mcp", "django"),
    ("hypercorn", "django_asgi", "/mcp", "django"),
    ("daphne", "django_asgi", "/mcp", "django"),
    ("gthread", "django_beside_wsgi", "/beside", "django"),
    ("uvicorn", "django_beside_asgi", "/beside", "django"),
]


@pytest.mark.parametrize(("server", "app", "path", "request_type"), MOUNTS)
def test_a_server_answers_at_its_mount_point_with_the_hosts_request(
    serve: Serve, server: str, app: str, path: str, request_type: str
) -> None:
    url = serve(server, app) + path
    assert call(url, "request_type") == (False, request_type, request_type)
    assert call(url, "async_request_type") == (False, request_type, request_type)
    headers, body = stateless("tools/list")
    for spelling in {path, path.rstrip("/") + "/"}:
        response = httpx2.post(serve(server, app) + spelling, headers=headers, content=body)
        assert response.status_code == 200
        assert response.history == []
    # The plain HTTP side of the tools stands below, wherever the mount point is.
    listed = httpx2.get(url.rstrip("/") + "/tools")
    assert "request_type" in {tool["name"] for tool in listed.json()}
    called = httpx2.post(url.rstrip("/") + "/tools/request_type", json={})
    assert called.status_code == 200, called.text


@pytest.mark.parametrize(
    ("server", "app"),
    [
        ("gthread", "flask_app"),
        ("gthread", "flask_beside"),
        ("uvicorn", "flask_beside_asgi"),
        ("gthread", "wsgi_beside"),
        ("gthread", "django_wsgi"),
        ("uvicorn", "django_asgi"),
        ("gthread", "django_beside_wsgi"),
        ("uvicorn", "django_beside_asgi"),
    ],
)
def test_the_hosts_own_pages_are_still_there(serve: Serve, server: str, app: str) -> None:
    response = httpx2.get(serve(server, app) + "/page")
    assert response.status_code == 200
    assert response.text.startswith("page")


def test_lifespans_are_composed(serve: Serve) -> None:
    state = httpx2.get(serve("uvicorn", "starlette_lifespan") + "/state").json()
    assert state == {"from_app": "yes", "from_server": "yes", "events": ["server started"]}


def test_a_worker_restart_keeps_sessions(serve: Serve) -> None:
    """Another host with the same key serves a session: a token is all there is to it."""
    headers = {"content-type": "application/json"}
    first = serve("uvicorn", "fastapi_redirecting") + "/mcp"
    opened = httpx2.post(first, headers=headers, content=initialize())
    headers["mcp-session-id"] = opened.headers["mcp-session-id"]
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    for server, app in (("gthread", "flask_app"), ("gthread", "django_wsgi")):
        answer = httpx2.post(serve(server, app) + "/mcp", headers=headers, content=body)
        assert answer.json()["result"] == {}


# Flask


@pytest.mark.parametrize("app", ["flask_app", "flask_middleware"])
@pytest.mark.parametrize("tool", ["caller", "async_caller"])
def test_tools_run_in_the_context_of_the_flask_request(serve: Serve, app: str, tool: str) -> None:
    response = post(serve("gthread", app) + "/mcp", tool, x_caller="ada")
    text = response.json()["result"]["content"][0]["text"]
    assert text == "mounted ada /mcp"
    assert response.headers["x-after"] == "yes"
    assert response.headers.get("x-mark") == ("yes" if app == "flask_middleware" else None)


def test_before_request_functions_of_flask_are_in_force(serve: Serve) -> None:
    url = serve("gthread", "flask_app")
    assert post(url + "/mcp", "caller", x_caller="mallory").status_code == 401
    response = httpx2.get(url + "/mcp/tools", headers={"x-caller": "mallory"})
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("server", "app"), [("gthread", "flask_beside"), ("uvicorn", "flask_beside_asgi")]
)
def test_tools_beside_flask_have_its_application(serve: Serve, server: str, app: str) -> None:
    assert call(serve(server, app) + "/mcp", "caller") == (False, "mounted", "mounted")


# Django


DJANGO = [
    ("gthread", "django_wsgi", "/mcp", {}),
    ("sync", "django_wsgi", "/mcp", {}),
    ("uvicorn", "django_asgi", "/mcp", {}),
    ("uvicorn", "django_asgi", "/mcp", {"TEST_SYNC": "1"}),
    ("gthread", "django_wsgi", "/mcp", {"TEST_SYNC": "1"}),
    ("daphne", "django_asgi", "/mcp", {}),
    ("gthread", "django_beside_wsgi", "/beside", {}),
    ("uvicorn", "django_beside_asgi", "/beside", {}),
]


@pytest.mark.parametrize(("server", "app", "path", "environment"), DJANGO)
def test_a_failing_tool_leaves_no_writes_and_its_answer_goes_out(
    serve: Serve, server: str, app: str, path: str, environment: dict[str, str]
) -> None:
    url = serve(server, app, **environment) + path
    name = f"{server}{app}{len(environment)}"

    def rows() -> int:
        _, before, after = call(url, "count")
        assert before == after == call(url, "async_count")[1]
        return int(before)

    start = rows()
    failed, text, _ = call(url, "add", {"name": f"{name}-failed", "fail": True})
    assert (failed, text) == (True, "No")
    assert call(url, "add", {"name": f"{name}-crashed", "crash": True})[0] is True
    failed, _, _ = call(url, "add_and_tell", {"name": f"{name}-x", "fail": True}, progress=True)
    assert failed is True
    assert rows() == start
    own, body = stateless("tools/call", {"name": "add", "arguments": {"name": name}})
    answer = httpx2.post(url, headers=own, content=body).json()
    assert answer["result"]["structuredContent"]["result"] is True
    assert rows() == start + 1


@pytest.mark.parametrize(("server", "app", "path", "environment"), DJANGO)
def test_a_transaction_that_cannot_commit_is_the_tools_failure(
    serve: Serve, server: str, app: str, path: str, environment: dict[str, str]
) -> None:
    url = serve(server, app, **environment) + path
    sentence = "The tool 'break_commit' failed. The server has logged the reason."
    for speak in (False, True):
        assert call(url, "break_commit", {"speak": speak}) == (True, sentence, sentence)
    assert call(url, "break_commit_silently")[0] is True


def test_a_single_thread_does_not_wait_for_what_cannot_come(serve: Serve) -> None:
    """Neither for an answer, which would be another request, nor for changes."""

    async def answer(context: Any, params: Any) -> mcp_types.ElicitResult:
        return mcp_types.ElicitResult(action="accept", content={"sure": True})

    async def session() -> str:
        with anyio.fail_after(60):
            async with Client(url, mode="legacy", elicitation_callback=answer) as client:
                result = await client.call_tool("add_and_ask", {"name": "single"})
                return str(result.content[0].text)

    url = serve("sync", "django_wsgi") + "/mcp"
    assert anyio.run(session) == "This server has a single thread: it cannot wait for an answer"
    wanted = {"notifications": {"toolsListChanged": True}}
    headers, body = stateless("subscriptions/listen", wanted)
    assert httpx2.post(url, headers=headers, content=body).status_code == 503


def test_middleware_does_not_let_streams_take_all_threads(serve: Serve) -> None:
    """Through middleware a request comes by the bridge, and still holds a thread of WSGI."""
    url = serve("gthread", "flask_middleware") + "/mcp"
    headers = {"content-type": "application/json"}
    opened = httpx2.post(url, headers=headers, content=initialize())
    stream = {"accept": "text/event-stream", "mcp-session-id": opened.headers["mcp-session-id"]}
    for _ in range(20):
        # Each is polled: it ends at once.
        assert "retry: 3000" in httpx2.get(url, headers=stream, timeout=12).text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(
    ("server", "app", "path"),
    [
        ("gthread", "django_wsgi", "/mcp"),
        ("uvicorn", "django_asgi", "/mcp"),
        ("uvicorn", "django_beside_asgi", "/beside"),
    ],
)
def test_what_a_tool_wrote_before_it_asked_is_there_once(
    serve: Serve, server: str, app: str, path: str, mode: str
) -> None:
    """A stateless tool runs again when its answer has come: its writes must not double."""

    async def answer(context: Any, params: Any) -> mcp_types.ElicitResult:
        return mcp_types.ElicitResult(action="accept", content={"sure": True})

    async def session() -> tuple[int, int]:
        with anyio.fail_after(60):
            async with Client(url, mode=mode, elicitation_callback=answer) as client:
                before = await client.call_tool("count", {})
                after = await client.call_tool("add_and_ask", {"name": f"{app}-{mode}"})
                return int(before.content[0].text), int(after.content[0].text)

    url = serve(server, app) + path
    before, after = anyio.run(session)
    assert after == before + 2


@pytest.mark.parametrize(
    ("server", "app"), [("gthread", "django_wsgi"), ("uvicorn", "django_asgi")]
)
def test_hosts_are_checked_by_django(serve: Serve, server: str, app: str) -> None:
    url = serve(server, app) + "/mcp"
    assert post(url, "count", host="evil.example").status_code == 400
    assert post(url, "count", origin=url.removesuffix("/mcp")).status_code == 200


@pytest.mark.parametrize(
    ("server", "app", "environment", "status"),
    [
        ("gthread", "django_wsgi", {}, 404),
        ("gthread", "django_wsgi", {"TEST_DEBUG": "1"}, 200),
        ("uvicorn", "django_asgi", {"TEST_DEBUG": "1"}, 200),
        ("gthread", "flask_app", {}, 404),
    ],
)
def test_docs_are_shown_in_debug_mode_only(
    serve: Serve, server: str, app: str, environment: dict[str, str], status: int
) -> None:
    url = serve(server, app, **environment)
    response = httpx2.get(url + "/mcp/docs")
    assert response.status_code == status
    if status == 200:
        assert "/mcp/openapi.json" in response.text
        document = httpx2.get(url + "/mcp/openapi.json").json()
        assert document["servers"] == [{"url": "/mcp"}]


def test_a_middleware_of_the_old_kind_stands_before_the_server(serve: Serve) -> None:
    for server, app in (("gthread", "django_wsgi"), ("uvicorn", "django_asgi")):
        response = post(serve(server, app, TEST_SYNC="1") + "/mcp", "count")
        assert response.headers["x-sync"] == "yes"
