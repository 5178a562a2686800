"""Direct calls over WSGI and the long way: whatever comes, both answer alike."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_mount import MCPServer, mount_wsgi
from tests.requests import Session, message
from tests.transports.plain_shop import (
    CALLS,
    DIRECT,
    Application,
    PlainShop,
    Twins,
    changed,
    changes,
    counted,
    edits,
    request,
    send,
    spoilt,
)
from tests.transports.test_direct import edited

EXAMPLES = int(os.environ.get("DIRECT_EXAMPLES", "150"))


def blank(environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [])
    return []


HOSTS: dict[str, Any] = {
    "alone": lambda server: server.wsgi,
    "in front": lambda server: mount_wsgi(blank, "/mcp", server),
}
TWINS = {name: Twins(host) for name, host in HOSTS.items()}


@pytest.mark.parametrize("host", TWINS)
@pytest.mark.parametrize(("tool", "arguments"), CALLS)
def test_right_requests_are_answered_alike(tool: str, arguments: dict[str, Any], host: str) -> None:
    environ, body = request(tool, arguments)
    with counted() as direct:
        TWINS[host].both(environ, json.dumps(body).encode())
    assert len(direct) == (1 if tool in DIRECT else 0)


@pytest.mark.parametrize("host", TWINS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    tool=st.sampled_from(CALLS),
    given_changes=changes,
    given_edits=edits,
    given_spoilt=spoilt,
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT"]),
)
def test_odd_requests_are_answered_alike(
    host: str,
    tool: tuple[str, dict[str, Any]],
    given_changes: list[tuple[str, Any]],
    given_edits: list[Any],
    given_spoilt: tuple[bytes, bytes],
    method: str,
) -> None:
    environ, body = request(*tool)
    content = json.dumps(edited(body, given_edits)).encode().replace(*given_spoilt, 1)
    TWINS[host].both(changed(environ, given_changes, method), content)


class Broken:
    """The input of a client that has left."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("gone")


@pytest.mark.parametrize("host", TWINS)
@pytest.mark.parametrize("lost", ["short", "gone"])
def test_a_body_that_does_not_come_whole_is_refused(host: str, lost: str) -> None:
    environ, body = request("echo", {"text": "a"})
    content = json.dumps(body).encode()
    length = {**environ, "CONTENT_LENGTH": str(len(content) + (lost == "short"))}

    def leave(application: Application) -> Application:
        def serve(own: Any, start_response: Any) -> Any:
            return application({**own, "wsgi.input": Broken()}, start_response)

        return serve if lost == "gone" else application

    answers = [send(leave(one), length, content) for one in TWINS[host].applications]
    assert answers[0] == answers[1]
    assert answers[0][0].startswith("400")


@pytest.mark.parametrize("host", TWINS)
def test_a_body_over_the_limit_is_refused(host: str) -> None:
    twins = TWINS[host]
    for shop in twins.shops:
        shop.server.configure(max_body_bytes=1000)
    try:
        environ, body = request("echo", {"text": "a" * 2000})
        assert twins.both(environ, json.dumps(body).encode())[0].startswith("413")
    finally:
        for shop in twins.shops:
            shop.server.configure(max_body_bytes=4 * 1024 * 1024)


@pytest.mark.parametrize(
    "options",
    [
        {"permission": lambda request: False},
        {"caller": lambda request: "a"},
        {"timeout": 60.0},
        {"log_calls": True},
        {"allowed_hosts": ["elsewhere.example"]},
        {"extra_arguments": "ignore"},
        {"telemetry": True},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("host", HOSTS)
def test_what_is_declared_later_holds(host: str, options: dict[str, Any]) -> None:
    twins = Twins(HOSTS[host])
    environ, body = request("echo", {"text": "a", "more": 1})
    content = json.dumps(body).encode()
    twins.both(environ, content)
    for shop in twins.shops:
        shop.server.configure(**options)
    with counted() as direct:
        twins.both(environ, content)
    assert direct == []


def test_a_call_within_a_session_can_be_cancelled_while_it_runs() -> None:
    server = MCPServer("cancelled", secret_key="for-tests-only", open=True)
    begun, cancelled = threading.Event(), threading.Event()

    @server.tool
    def waits() -> str:
        begun.set()
        assert cancelled.wait(10)
        return "never"

    session = Session(server, "2025-11-25")
    environ, _ = request("waits", {})
    for name, value in session.headers.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    body = json.dumps(message("tools/call", {"name": "waits", "arguments": {}}, 5)).encode()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(send, server.wsgi, environ, body)
        assert begun.wait(10)
        notification = {"method": "notifications/cancelled", "params": {"requestId": 5}}
        session.send({"jsonrpc": "2.0", **notification})
        cancelled.set()
        assert answer.result(10)[0].startswith("202")


@pytest.mark.parametrize("host", HOSTS)
def test_threads_get_their_own_answers(host: str) -> None:
    application = HOSTS[host](PlainShop(direct=True).server)

    def ask(number: int) -> None:
        environ, body = request("echo", {"text": f"number {number}"})
        content = send(application, environ, json.dumps({**body, "id": number}).encode())[2]
        answer = json.loads(content)
        assert answer["id"] == number
        assert answer["result"]["content"][0]["text"] == f"number {number}"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(400)))
