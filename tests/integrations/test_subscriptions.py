"""Clients that listen for changes, on every host: real servers, real streams."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client

from mcp_mount import MCPServer
from sample_projects.processes import free_port, running
from tests.conformance.hosts import HOSTS
from tests.conformance.serve import command
from tests.requests import initialize, message, session_headers, stateless
from tests.routes.test_composition import get

ON_ASGI = [host for host, (server, _) in HOSTS.items() if server.startswith("uvicorn")]
ON_WSGI = [host for host, (server, _) in HOSTS.items() if server == "gunicorn"]
URI = "test://watched-resource"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


@contextmanager
def listening(url: str, wanted: Any, id: Any = "s") -> Iterator[Iterator[Any]]:
    """The messages of a subscription that has been acknowledged."""
    headers, body = stateless("subscriptions/listen", {"notifications": wanted}, id=id)
    with httpx2.stream("POST", f"{url}/mcp", headers=headers, content=body, timeout=60) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "text/event-stream"
        yield messages(response)


def is_listened_to(url: str) -> bool:
    """Whether a subscription is acknowledged; False if the client is to come again."""
    headers, body = stateless("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    with httpx2.stream("POST", f"{url}/mcp", headers=headers, content=body, timeout=60) as response:
        if response.status_code == 503:
            assert response.headers["retry-after"] == "1"
            return False
        assert response.status_code == 200
        next(messages(response))
        return True


def messages(response: httpx2.Response) -> Iterator[Any]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def trigger(url: str, tool: str, **arguments: Any) -> None:
    headers, body = stateless("tools/call", {"name": tool, "arguments": arguments})
    answer = httpx2.post(f"{url}/mcp", headers=headers, content=body).json()
    assert "isError" not in answer["result"], answer


def test_a_subscription_hears_what_it_asked_for_and_no_more(host_url: str) -> None:
    wanted = {"toolsListChanged": True, "resourceSubscriptions": [URI], "promptsListChanged": False}
    with listening(host_url, wanted, id=7) as heard:
        assert next(heard) == {
            "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged",
            "params": {
                "_meta": {SUBSCRIPTION: 7},
                "notifications": {"toolsListChanged": True, "resourceSubscriptions": [URI]},
            },
        }
        trigger(host_url, "test_trigger_prompt_change")
        trigger(host_url, "test_trigger_resource_update", uri="test://other")
        trigger(host_url, "test_trigger_resource_update", uri=URI)
        assert next(heard) == {
            "jsonrpc": "2.0",
            "method": "notifications/resources/updated",
            "params": {"_meta": {SUBSCRIPTION: 7}, "uri": URI},
        }
        trigger(host_url, "test_trigger_tool_change")
        assert next(heard)["method"] == "notifications/tools/list_changed"


def test_the_official_client_hears_of_changes(host_url: str) -> None:
    async def session() -> list[str]:
        with anyio.fail_after(60):
            async with (
                Client(f"{host_url}/mcp") as client,
                client.listen(tools_list_changed=True, resource_subscriptions=[URI]) as events,
            ):
                heard = []
                await client.call_tool("test_trigger_resource_update", {"uri": URI})
                async for event in events:
                    heard.append(type(event).__name__)
                    if len(heard) == 2:
                        return heard
                    await client.call_tool("test_trigger_tool_change", {})
                return heard

    assert anyio.run(session) == ["ResourceUpdated", "ToolsListChanged"]


def test_a_resource_is_heard_of_in_every_form_of_its_uri(host_url: str) -> None:
    written, encoded = "test://template/é b/data", "test://template/%C3%A9%20b/data"
    for wanted, told in (
        (written, encoded),
        (encoded, written),
        ("test://template/%c3%a9%20b/data", written),
    ):
        with listening(host_url, {"resourceSubscriptions": [wanted]}) as heard:
            agreed = next(heard)["params"]["notifications"]
            assert agreed == {"resourceSubscriptions": [wanted]}
            trigger(host_url, "test_trigger_resource_update", uri=told)
            assert next(heard)["params"]["uri"] == wanted


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
def test_the_official_client_of_a_session_hears_of_changes(host_url: str) -> None:
    async def session() -> set[str]:
        send, receive = anyio.create_memory_object_stream[str](1000)

        async def hear(message: Any) -> None:
            await send.send(type(message).__name__)

        with anyio.fail_after(60), send, receive:
            async with Client(f"{host_url}/mcp", mode="legacy", message_handler=hear) as client:
                await client.subscribe_resource(URI)
                heard: set[str] = set()
                while len(heard) < 2:
                    # The client opens the stream of its session in the background.
                    await client.call_tool("test_trigger_resource_update", {"uri": URI})
                    await client.call_tool("test_trigger_tool_change", {})
                    with anyio.move_on_after(1):
                        while len(heard) < 2:
                            heard.add(await receive.receive())
                return heard

    assert anyio.run(session) == {
        "ResourceUpdatedNotification",
        "ToolListChangedNotification",
    }


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [],
        {"toolsListChanged": 1},
        {"resourceSubscriptions": "x"},
        {"resourceSubscriptions": [1]},
    ],
)
def test_a_malformed_filter_is_refused(host_url: str, wanted: Any) -> None:
    headers, body = stateless("subscriptions/listen", {"notifications": wanted})
    answer = httpx2.post(f"{host_url}/mcp", headers=headers, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32602)


def test_a_client_without_streams_cannot_listen(host_url: str) -> None:
    wanted = {"notifications": {"toolsListChanged": True}}
    headers, body = stateless("subscriptions/listen", wanted, accept="application/json")
    assert httpx2.post(f"{host_url}/mcp", headers=headers, content=body).status_code == 406


def open_session(url: str) -> dict[str, str]:
    headers = {"content-type": "application/json", "accept": "*/*"}
    opened = httpx2.post(f"{url}/mcp", headers=headers, content=initialize())
    return session_headers(opened.headers["mcp-session-id"])


@pytest.mark.parametrize("host", ON_ASGI)
def test_a_session_hears_of_changes_on_its_stream(
    serve_host: Callable[[str], str], host: str
) -> None:
    url = serve_host(host)
    headers = open_session(url)

    def send(method: str) -> Any:
        body = message(method, {"uri": URI})
        return httpx2.post(f"{url}/mcp", headers=headers, json=body).json()

    assert send("resources/subscribe")["result"] == {}
    own = {**headers, "accept": "text/event-stream"}
    with httpx2.stream("GET", f"{url}/mcp", headers=own, timeout=60) as response:
        assert response.status_code == 200
        heard = messages(response)
        trigger(url, "test_trigger_resource_update", uri="test://other")
        trigger(url, "test_trigger_resource_update", uri=URI)
        assert next(heard) == {
            "jsonrpc": "2.0",
            "method": "notifications/resources/updated",
            "params": {"uri": URI},
        }
        assert send("resources/unsubscribe")["result"] == {}
        trigger(url, "test_trigger_resource_update", uri=URI)
        trigger(url, "test_trigger_prompt_change")
        assert next(heard) == {
            "jsonrpc": "2.0",
            "method": "notifications/prompts/list_changed",
            "params": {},
        }


@pytest.mark.parametrize("host", ON_ASGI)
def test_of_two_streams_of_a_session_the_newest_gets_each_message(
    serve_host: Callable[[str], str], host: str
) -> None:
    url = serve_host(host)
    own = {**open_session(url), "accept": "text/event-stream"}
    with httpx2.stream("GET", f"{url}/mcp", headers=own, timeout=60) as older:
        with httpx2.stream("GET", f"{url}/mcp", headers=own, timeout=60) as newer:
            trigger(url, "test_trigger_tool_change")
            told = next(messages(newer))["method"]
            assert told == "notifications/tools/list_changed"
        heard: list[Any] = []
        reading = threading.Thread(target=lambda: heard.append(next(messages(older))))
        reading.start()
        while reading.is_alive():
            # Until the server has noticed that the newer one is gone.
            trigger(url, "test_trigger_prompt_change")
            reading.join(0.1)
        assert [one["method"] for one in heard] == ["notifications/prompts/list_changed"]


@pytest.mark.parametrize("host", ON_WSGI)
def test_a_session_comes_by_for_changes_under_wsgi(
    serve_host: Callable[[str], str], host: str
) -> None:
    """Clients of the session revisions open their stream unasked: under WSGI it holds no thread."""
    url = serve_host(host)
    headers = {**open_session(url), "accept": "text/event-stream"}
    body = message("resources/subscribe", {"uri": URI})
    assert httpx2.post(f"{url}/mcp", headers={**headers, "accept": "*/*"}, json=body).is_success
    heard: list[Any] = []

    def come_by() -> None:
        response = httpx2.get(f"{url}/mcp", headers=headers)
        assert response.headers["content-type"] == "text/event-stream"
        *events, retry_event, rest = response.text.split("\n\n")
        assert rest == ""
        event_id, retry, data = retry_event.split("\n")
        assert (retry, data) == ("retry: 3000", "data: ")
        headers["last-event-id"] = event_id.removeprefix("id: ")
        heard.extend(json.loads(event.split("data: ")[1])["method"] for event in events)

    come_by()
    assert heard == []
    trigger(url, "test_trigger_resource_update", uri="test://other")
    trigger(url, "test_trigger_resource_update", uri=URI)
    come_by()
    trigger(url, "test_trigger_prompt_change")
    come_by()
    come_by()
    assert heard == [
        "notifications/resources/updated",
        "notifications/prompts/list_changed",
    ]


@pytest.mark.parametrize("host", ON_WSGI)
def test_older_sessions_have_no_stream_under_wsgi(
    serve_host: Callable[[str], str], host: str
) -> None:
    url = serve_host(host)
    headers = {"content-type": "application/json", "accept": "*/*"}
    opened = httpx2.post(f"{url}/mcp", headers=headers, content=initialize("2025-06-18"))
    own = session_headers(opened.headers["mcp-session-id"], "2025-06-18")
    refused = httpx2.get(f"{url}/mcp", headers={**own, "accept": "text/event-stream"})
    assert refused.status_code == 405


def test_a_stream_needs_an_open_session(host_url: str) -> None:
    url = host_url + "/mcp"
    headers = {"accept": "text/event-stream"}
    assert httpx2.get(url, headers=headers).status_code == 405
    foreign = httpx2.get(url, headers={**headers, "mcp-session-id": "a.b.c"})
    assert foreign.status_code == 404


@pytest.mark.parametrize("host", ON_WSGI)
def test_subscriptions_leave_threads_to_a_wsgi_server(host: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    wanted = {"toolsListChanged": True}
    with running(command(host, port), port):
        with (
            listening(url, wanted) as one,
            listening(url, wanted) as two,
            listening(url, wanted) as three,
            listening(url, wanted) as four,
        ):
            for heard in (one, two, three, four):
                next(heard)
            own, body = stateless("subscriptions/listen", {"notifications": wanted})
            refused = httpx2.post(f"{url}/mcp", headers=own, content=body)
            assert refused.status_code == 503
            trigger(url, "test_trigger_tool_change")
            assert [next(heard)["method"] for heard in (one, two, three, four)] == [
                "notifications/tools/list_changed"
            ] * 4
        # Their places are free at once: whoever comes next has it looked whether they are there.
        assert not all(refuses(url, wanted) for _ in range(8))


def refuses(url: str, wanted: Any) -> bool:
    """Whether the server has no thread for one more subscription."""
    headers, body = stateless("subscriptions/listen", {"notifications": wanted})
    with httpx2.stream("POST", f"{url}/mcp", headers=headers, content=body) as response:
        return response.status_code == 503


SHUTDOWNS = [
    *(("asgi", "", signal.SIGTERM), ("fastapi", "", signal.SIGTERM)),
    *(("django-asgi", "", signal.SIGTERM), ("flask-asgi", "", signal.SIGTERM)),
    *((host, options, signal.SIGTERM) for host in ON_WSGI for options in ("", "--preload")),
    # It loads the application anew.
    ("flask-wsgi", "--workers 2", signal.SIGHUP),
    ("flask-wsgi", "--worker-class gevent", signal.SIGTERM),
]


@pytest.mark.parametrize(("host", "options", "number"), SHUTDOWNS)
def test_a_shutdown_ends_a_subscription_with_its_result(
    host: str, options: str, number: signal.Signals
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = [*command(host, port), *options.split()]
    if host in ON_WSGI:
        # What holds it is seen, and does not break before it ends.
        words += ["--graceful-timeout", "60"]
    with running(words, port) as process:
        with listening(url, {"toolsListChanged": True}, id="x") as heard:
            next(heard)
            # With --preload the first subscription of a process is what has it hear of its end.
            time.sleep(1.5 if options == "--preload" else 0)
            os.kill(process.pid, number)
            began = time.monotonic()
            last = list(heard)[-1]
        assert last["id"] == "x"
        assert last["result"]["resultType"] == "complete"
        assert last["result"]["_meta"][SUBSCRIPTION] == "x"
        if number == signal.SIGHUP:
            # A worker that is about to end may still take connections.
            while not is_listened_to(url):
                assert time.monotonic() - began < 60
                time.sleep(0.1)
            return
        process.wait(timeout=60)
        assert time.monotonic() - began < 30


OTHERS = {
    "hypercorn": (
        *("hypercorn", "tests.conformance.hosts:asgi()", "--graceful-timeout", "60"),
        "--bind",
        "127.0.0.1:{}",
    ),
    "granian-wsgi": (
        *("granian", "tests.conformance.hosts:flask_wsgi", "--factory", "--interface", "wsgi"),
        *("--blocking-threads", "16", "--port", "{}"),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_web_servers_end_a_subscription_with_its_result(name: str) -> None:
    port = free_port()
    words = [sys.executable, "-m", *(word.format(port) for word in OTHERS[name])]
    with running(words, port) as process:
        with listening(f"http://127.0.0.1:{port}", {"toolsListChanged": True}, id="x") as heard:
            next(heard)
            process.terminate()
            assert list(heard)[-1]["result"]["resultType"] == "complete"
        process.wait(timeout=30)


LIMITS = [
    ("flask-wsgi", "--max-requests 4 --graceful-timeout 60"),
    ("flask-wsgi", "--worker-class gevent --max-requests 4 --graceful-timeout 60"),
    ("asgi", "--limit-max-requests 4"),
]


@pytest.mark.parametrize(("host", "options"), LIMITS)
def test_a_worker_that_has_had_its_requests_ends_its_subscriptions(
    host: str, options: str, tmp_path: Path
) -> None:
    """No signal tells of that, and the web server waits for the stream."""
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    with (
        running([*command(host, port), *options.split()], port, log=log),
        listening(url, {"toolsListChanged": True}, id="x") as heard,
    ):
        next(heard)
        for _ in range(6):
            # uvicorn listens no more when it has had them.
            with suppress(httpx2.TransportError):
                trigger(url, "test_trigger_resource_update", uri=URI)
        assert list(heard)[-1]["result"]["resultType"] == "complete"
    assert "Traceback" not in log.read_text()


def test_a_process_that_goes_down_begins_no_subscription() -> None:
    server = MCPServer("going down", open=True)

    @server.tool
    def one() -> int:
        return 1

    server.core._changes.end()
    headers, body = stateless("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    refused = get(server, "/mcp", "POST", headers=headers, content=body)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "The server is restarting" in refused.text
    headers, body = stateless("tools/call", {"name": "one", "arguments": {}})
    assert get(server, "/mcp", "POST", headers=headers, content=body).status_code == 200
