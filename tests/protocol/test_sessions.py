"""The session revisions: initialize, sealed sessions, batches."""

from __future__ import annotations

import gc
import json
import logging
import time
from typing import Any

import mcp_types
import pytest

from mcp_mount import Audio, Image, MCPServer, Message
from mcp_mount.protocol import Reply, Request
from mcp_mount.protocol.resumption import EventLog
from mcp_mount.wire.revisions import SESSION_REVISIONS
from tests.requests import (
    JSON_HEADERS,
    Session,
    initialize,
    message,
    meta,
    session_headers,
    stateless,
)

VERSIONS = list(SESSION_REVISIONS)


def make(**options: object) -> MCPServer:
    server = MCPServer("tests", **options)  # type: ignore[arg-type]

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    async def slow() -> str:
        return "done"

    return server


@pytest.mark.parametrize("version", VERSIONS)
def test_each_revision_is_negotiated_and_served(version: str) -> None:
    session = Session(make(instructions="Add."), version)
    assert session.result["protocolVersion"] == version
    assert session.result["instructions"] == "Add."
    assert session.result["capabilities"] == {"logging": {}, "tools": {"listChanged": True}}
    assert session.ask("ping")["result"] == {}
    assert session.call("add", {"a": 1, "b": 2})["content"][0]["text"] == "3"
    assert session.call("slow")["content"][0]["text"] == "done"


@pytest.mark.parametrize("wanted", ["2026-07-28", "1999-01-01", ""])
def test_another_revision_is_answered_with_the_newest_session_revision(wanted: str) -> None:
    body = initialize(wanted)
    reply = make().core.wsgi_endpoint.respond_to(Request("POST", dict(JSON_HEADERS), body))
    assert json.loads(reply.body)["result"]["protocolVersion"] == "2025-11-25"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"protocolVersion": 1, "capabilities": {}, "clientInfo": {"name": "x"}},
        {"protocolVersion": "2025-11-25", "capabilities": [], "clientInfo": {"name": "x"}},
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}},
    ],
)
def test_a_malformed_initialize_is_refused(params: dict[str, object]) -> None:
    body = json.dumps(message("initialize", params)).encode()
    reply = make().core.wsgi_endpoint.respond_to(Request("POST", dict(JSON_HEADERS), body))
    assert json.loads(reply.body)["error"]["code"] == -32602  # type: ignore[union-attr]
    assert "mcp-session-id" not in dict(reply.headers)  # type: ignore[union-attr]


def test_another_worker_with_the_same_key_serves_the_session() -> None:
    session = Session(make(secret_key="shared"), "2025-11-25")
    session._server = make(secret_key="shared")
    assert session.call("add", {"a": 2, "b": 2})["content"][0]["text"] == "4"


def test_a_rotated_key_still_opens_sessions() -> None:
    session = Session(make(secret_key="old"), "2025-11-25")
    session._server = make(secret_key=["new", "old"])
    assert session.ask("ping")["result"] == {}
    session._server = make(secret_key=["new"])
    assert session.send(message("ping")).status == 404


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_MOUNT_SECRET_KEY", "from outside")
    session = Session(make(), "2025-11-25")
    session._server = make()
    assert session.ask("ping")["result"] == {}


def test_a_second_process_without_a_key_is_met_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = Session(make(), "2025-11-25")
    session._server = make()
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        assert session.send(message("ping")).status == 404
    assert "sealed by another process" in caplog.text


def test_an_expired_session_is_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(make(session_ttl=60), "2025-11-25")
    assert session.send(message("ping")).status == 200
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 62)
    assert session.send(message("ping")).status == 404


def test_a_deleted_session_is_not_open_and_others_are() -> None:
    server = make()
    first, second = Session(server, "2025-11-25"), Session(server, "2025-11-25")
    reply = server.core.wsgi_endpoint.respond_to(Request("DELETE", first.headers))
    assert reply.status == 204  # type: ignore[union-attr]
    assert first.send(message("ping")).status == 404
    assert second.send(message("ping")).status == 200


def test_a_session_id_is_visible_ascii() -> None:
    session = Session(make(), "2025-11-25", {"roots": {}, "sampling": {}, "elicitation": {}})
    token = session.headers["mcp-session-id"]
    assert all(0x21 <= ord(letter) <= 0x7E for letter in token)


@pytest.mark.parametrize(
    "body",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/unknown", "params": {}},
        {"jsonrpc": "2.0", "id": "nobody-asked", "result": {}},
        {"jsonrpc": "2.0", "id": 7, "error": {"code": 1, "message": "no"}},
    ],
)
def test_notifications_and_answers_are_accepted(body: dict[str, object]) -> None:
    reply = Session(make(), "2025-11-25").send(body)
    assert (reply.status, reply.body) == (202, b"")


def test_a_log_level_is_kept_for_the_session() -> None:
    session = Session(make(), "2025-11-25")
    assert session.ask("logging/setLevel", {"level": "error"})["result"] == {}
    assert session.ask("logging/setLevel", {"level": "loud"})["error"]["code"] == -32602


def subscribe(session: Session, uri: str) -> Any:
    return session.ask("resources/subscribe", {"uri": uri})


def test_a_session_subscribes_to_resources_up_to_a_bound() -> None:
    server = make()
    without = subscribe(Session(server, "2025-11-25"), "a://b")
    assert without["error"]["code"] == -32601
    server.resource("a://b")(lambda: "x")
    server.resource("a://numbers/{number}")(lambda number: "x")
    session = Session(server, "2025-11-25")
    assert subscribe(session, "a://b")["result"] == {}
    assert session.ask("resources/subscribe", {})["error"]["code"] == -32602
    for number in range(999):
        assert "result" in subscribe(session, f"a://numbers/{number}")
    assert "result" in subscribe(session, "a://b")
    assert subscribe(session, "a://numbers/more")["error"]["code"] == -32602
    assert session.ask("resources/unsubscribe", {"uri": "a://b"})["result"] == {}
    assert subscribe(session, "a://numbers/more")["result"] == {}


def test_only_resources_that_there_are_can_be_subscribed_to() -> None:
    server = make()
    server.resource("a://b/{+path}")(lambda path: "x")
    session = Session(server, "2025-11-25")
    assert subscribe(session, "a://b/c/d")["result"] == {}
    assert subscribe(session, "a://other")["error"] == {
        "code": -32002,
        "message": "Resource not found: a://other",
        "data": {"uri": "a://other"},
    }


def test_the_uris_of_subscriptions_have_a_length_and_a_budget() -> None:
    server = make()
    server.resource("a://b/{+path}")(lambda path: "x")
    session = Session(server, "2025-11-25")
    assert subscribe(session, "a://b/".ljust(8193, "x"))["error"]["code"] == -32602
    taken = [subscribe(session, f"a://b/{number}/".ljust(8192, "x")) for number in range(64)]
    assert [one.get("result") for one in taken] == [{}] * 63 + [None]
    assert taken[-1]["error"]["code"] == -32602
    # Another session has a budget of its own.
    assert subscribe(Session(server, "2025-11-25"), "a://b/".ljust(8192, "x"))["result"] == {}


def poll(session: Session, last_event_id: str | None = None) -> list[str]:
    """The fields of the events that a visit to the session's own stream fetches."""
    headers = {**session.headers, "accept": "text/event-stream"}
    if last_event_id is not None:
        headers["last-event-id"] = last_event_id
    reply = session._server.core.wsgi_endpoint.respond_to(Request("GET", headers))
    assert isinstance(reply, Reply)
    assert reply.status == 200
    return reply.body.decode().splitlines()


def event_ids(lines: list[str]) -> list[str]:
    return [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]


def test_a_client_that_comes_by_for_ever_costs_no_more_than_once() -> None:
    server = make()
    sessions = [Session(server, "2025-11-25") for _ in range(3)]
    others = logs()
    for _ in range(100):
        for session in sessions:
            poll(session)
    assert len(new_logs(others)) == 3
    size = [log.bytes for log in new_logs(others)]
    newest = event_ids(poll(sessions[0]))[-1]
    for _ in range(100):
        newest = event_ids(poll(sessions[0], newest))[-1]
    assert sum(log.bytes for log in new_logs(others)) < sum(size) + 100


def test_a_log_that_nobody_comes_by_for_is_dropped_with_its_listener() -> None:
    server = make()
    server.core.protocol.settings.resume_ttl = server.core.protocol.settings.max_poll_seconds = 0.0
    others = logs()
    for _ in range(20):
        poll(Session(server, "2025-11-25"))
    # The last one, and those that were not looked at yet.
    assert len(new_logs(others)) <= 5


def test_the_end_of_a_session_ends_its_stream() -> None:
    server = make()
    session, others = Session(server, "2025-11-25"), logs()
    poll(session)
    reply = server.core.wsgi_endpoint.respond_to(Request("DELETE", session.headers))
    assert reply.status == 204  # type: ignore[union-attr]
    assert new_logs(others) == []


def changes(lines: list[str]) -> int:
    return sum("list_changed" in line for line in lines)


def test_each_change_is_told_on_one_visit_and_again_to_a_client_that_did_not_get_it() -> None:
    server = make()
    session = Session(server, "2025-11-25")
    [first] = event_ids(poll(session))
    server.notify.tools_list_changed()
    assert changes(poll(session, first)) == 1
    # The answer was lost on its way.
    told = poll(session, first)
    assert changes(told) == 1
    assert changes(poll(session, event_ids(told)[-1])) == 0
    server.notify.tools_list_changed()
    assert changes(poll(session)) == 1
    assert changes(poll(session)) == 0


def test_a_session_that_comes_by_at_another_worker_begins_its_stream_anew() -> None:
    session = Session(make(secret_key="shared"), "2025-11-25")
    [old] = event_ids(poll(session))
    session._server = make(secret_key="shared")
    [new] = event_ids(poll(session, old))
    assert new.partition(".")[0] != old.partition(".")[0]
    session._server.notify.tools_list_changed()
    assert changes(poll(session, new)) == 1


def logs() -> list[EventLog]:
    gc.collect()
    # By type: to ask an object of Django's for its class may make it.
    return [one for one in gc.get_objects() if type(one) is EventLog]


def new_logs(others: list[EventLog]) -> list[EventLog]:
    """Those that are not of another test."""
    return [one for one in logs() if not any(one is other for other in others)]


def test_a_batch_is_answered_as_a_batch() -> None:
    session = Session(make(), "2025-03-26")
    reply = session.send(
        [
            message("ping", id="a"),
            message("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}}, id="b"),
            message("tools/call", {"name": "slow"}, id="c"),
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            message("no/method", id="d"),
            {"jsonrpc": "2.0", "id": 9, "method": 9},
            3,
        ]
    )
    answers = {answer.get("id"): answer for answer in json.loads(reply.body)}
    assert reply.status == 200
    assert set(answers) == {"a", "b", "c", "d", 9, None}
    assert answers["b"]["result"]["content"][0]["text"] == "2"
    assert answers["d"]["error"]["code"] == -32601
    assert answers[9]["error"]["code"] == -32600
    assert answers[None]["error"]["code"] == -32600


def test_a_batch_without_requests_has_no_answer() -> None:
    session = Session(make(), "2025-03-26")
    reply = session.send([{"jsonrpc": "2.0", "method": "notifications/initialized"}])
    assert (reply.status, reply.body) == (202, b"")


@pytest.mark.parametrize(
    ("version", "batch"),
    [
        ("2025-03-26", []),
        ("2025-03-26", [message("ping")] * 101),
        ("2025-06-18", [message("ping")]),
        ("2025-11-25", [message("ping")]),
    ],
)
def test_a_batch_that_is_not_allowed_is_refused(version: str, batch: list[object]) -> None:
    reply = Session(make(), version).send(batch)
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["code"] == -32600


def test_initialize_cannot_be_part_of_a_batch() -> None:
    reply = Session(make(), "2025-03-26").send([json.loads(initialize())])
    assert json.loads(reply.body)[0]["error"]["code"] == -32600


def test_a_request_without_the_version_header_has_that_of_its_session() -> None:
    server = make()
    session = Session(server, "2025-03-26")
    session.headers = {
        key: value for key, value in session.headers.items() if key != "mcp-protocol-version"
    }
    assert json.loads(session.send([message("ping")]).body) == [
        {"jsonrpc": "2.0", "id": 1, "result": {}}
    ]


def test_an_unsupported_version_header_is_refused_within_a_session() -> None:
    session = Session(make(), "2025-11-25")
    session.headers |= session_headers(session.headers["mcp-session-id"], "foobar")
    for body in (message("ping"), [message("ping")]):
        reply = session.send(body)
        assert reply.status == 400
        error = json.loads(reply.body)["error"]
        assert error["code"] == -32022
        assert error["data"]["requested"] == "foobar"
        assert "2025-11-25" in error["data"]["supported"]
    assert (
        session._server.core.wsgi_endpoint.respond_to(Request("DELETE", session.headers)).status
        == 400
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_null_is_as_good_as_missing_within_a_session(version: str) -> None:
    session = Session(make(), version)
    null = None
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": null}
    assert json.loads(session.send(ping).body)["result"] == {}
    listed = session.ask("tools/list", {"cursor": null, "_meta": null})
    assert [one["name"] for one in listed["result"]["tools"]] == ["add", "slow"]
    answer = session.ask("tools/call", {"name": "slow", "arguments": null, "_meta": null})
    assert answer["result"]["content"] == [{"type": "text", "text": "done"}]
    notification = {"jsonrpc": "2.0", "method": "notifications/initialized", "params": null}
    assert session.send(notification).status == 202
    response = {"jsonrpc": "2.0", "id": "no question", "result": {}, "error": null}
    assert session.send(response).status == 202


def test_null_for_a_prompts_arguments_is_as_good_as_missing_within_a_session() -> None:
    server = make()

    @server.prompt
    def greet(name: str = "world") -> str:
        return f"Hello {name}"

    session = Session(server, "2025-11-25")
    answer = session.ask("prompts/get", {"name": "greet", "arguments": None})
    assert answer["result"]["messages"][0]["content"]["text"] == "Hello world"


def test_null_is_refused_where_the_revisions_schema_has_no_null() -> None:
    headers, _ = stateless("tools/call", {"name": "slow"})
    server = make()
    for params, code in (
        (None, -32600),
        ({"name": "slow", "arguments": {}, "_meta": None}, -32602),
        ({"name": "slow", "arguments": None, "_meta": meta()}, -32602),
    ):
        whole = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        request = Request("POST", headers, json.dumps(whole).encode())
        reply = server.core.wsgi_endpoint.respond_to(request)
        assert json.loads(reply.body)["error"]["code"] == code  # type: ignore[union-attr]


@pytest.mark.parametrize("version", VERSIONS)
def test_lists_of_what_a_server_does_not_have_are_empty_in_a_session(version: str) -> None:
    session = Session(make(), version)
    assert session.ask("resources/list")["result"] == {"resources": []}
    assert session.ask("resources/templates/list")["result"] == {"resourceTemplates": []}
    assert session.ask("prompts/list")["result"] == {"prompts": []}
    assert session.ask("resources/read", {"uri": "a://b"})["error"]["code"] == -32601


def test_a_client_of_2024_11_05_gets_what_it_can_read() -> None:
    server = make()

    @server.tool(annotations={"readOnlyHint": True})
    def media() -> list[Any]:
        link = mcp_types.ResourceLink(name="rules", uri="a://rules", description="Of the house.")
        return [Image(data=b"\x89PNG"), Audio(data=b"RIFF", format="wav"), link]

    @server.prompt
    def listen() -> Message:
        return Message(Audio(data=b"RIFF", format="wav"))

    session = Session(server, "2024-11-05")
    assert session.result["protocolVersion"] == "2024-11-05"
    [tool] = [one for one in session.ask("tools/list")["result"]["tools"] if one["name"] == "media"]
    assert set(tool) == {"name", "inputSchema"}
    image, audio, link = session.call("media")["content"]
    assert image["type"] == "image"
    unreadable = "[audio/wav, 4 bytes: the client cannot read content of this kind]"
    assert audio == {"type": "text", "text": unreadable}
    assert link == {"type": "text", "text": "rules: a://rules\nOf the house."}
    [said] = session.ask("prompts/get", {"name": "listen"})["result"]["messages"]
    assert said["content"] == {"type": "text", "text": unreadable}
    newer = [one["type"] for one in Session(server, "2025-03-26").call("media")["content"]]
    assert newer == ["image", "audio", "text"]
    newest = [one["type"] for one in Session(server, "2025-06-18").call("media")["content"]]
    assert newest == ["image", "audio", "resource_link"]


def test_an_answer_to_a_question_of_another_process_is_refused_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = Session(make(), "2025-11-25")
    elsewhere = {"jsonrpc": "2.0", "id": "0000000000000000-0123456789abcdef", "result": {}}
    reply = session.send(elsewhere)
    assert reply.status == 400
    assert json.loads(reply.body)["id"] is None
    assert "another process" in json.loads(reply.body)["error"]["message"]
    assert "sticky sessions" in caplog.text


def test_a_message_goes_to_the_newest_of_two_loops_of_a_client() -> None:
    server = make()
    session = Session(server, "2025-11-25")
    older = event_ids(poll(session))[-1]
    newer = event_ids(poll(session))[-1]
    server.notify.tools_list_changed()
    assert "notifications/tools/list_changed" not in "".join(poll(session, older))
    told = poll(session, newer)
    assert "".join(told).count("notifications/tools/list_changed") == 1
    older = event_ids(poll(session, older))[-1]
    server.notify.tools_list_changed()
    assert "list_changed" not in "".join(poll(session, older))


def test_a_loop_takes_over_when_the_newest_comes_by_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = make()
    session = Session(server, "2025-11-25")
    older = event_ids(poll(session))[-1]
    poll(session)
    server.notify.tools_list_changed()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 30)
    assert "list_changed" in "".join(poll(session, older))


def test_visits_become_rare_while_nothing_happens() -> None:
    server = make()
    session = Session(server, "2025-11-25")

    def visit(newest: str | None) -> tuple[str, int]:
        lines = poll(session, newest)
        [retry] = [line for line in lines if line.startswith("retry: ")][-1:]
        return event_ids(lines)[-1], int(retry.removeprefix("retry: "))

    newest, first = visit(None)
    times = [first]
    for _ in range(30):
        newest, later = visit(newest)
        times.append(later)
    assert (times[0], times[-1]) == (3000, 30_000)
    assert times == sorted(times)
    server.notify.tools_list_changed()
    newest, after_news = visit(newest)
    assert after_news == 3000


def test_a_visit_at_another_worker_or_after_a_restart_gets_a_fresh_stream() -> None:
    before, after = make(secret_key="k" * 32), make(secret_key="k" * 32)
    session = Session(before, "2025-11-25")
    newest = event_ids(poll(session))[-1]
    session._server = after
    assert event_ids(poll(session, newest))
    newest = event_ids(poll(session))[-1]
    after.notify.tools_list_changed()
    assert "list_changed" in "".join(poll(session, newest))
