"""Processes whose clocks are minutes apart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import BaseModel

from mcp_mount import MCPServer, SyncContext, TaskPolicy
from mcp_mount.backends.redis_store import RedisStore
from mcp_mount.protocol import Request
from tests.protocol.test_backplanes import Remote
from tests.requests import JSON_HEADERS, initialize, message, meta, session_headers, stateless
from tests.valkey import Valkey

MINUTES = 60.0
really = time.time


class Sure(BaseModel):
    sure: bool


@contextmanager
def clock(seconds: float) -> Iterator[None]:
    """What runs here is on a machine whose clock is ahead, or behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: really() + seconds)
        yield


def make(backplane: Remote | None = None, **options: Any) -> MCPServer:
    server = MCPServer(
        "shop", secret_key="k", open=True, backplane=backplane, page_size=1, **options
    )

    @server.tool
    def ask(ctx: SyncContext) -> str:
        answer = ctx.elicit("Sure?", Sure)
        return f"{answer.data is not None and answer.data.sure}"

    @server.tool(task=TaskPolicy(ttl=60))
    def job() -> str:
        return "done"

    return server


def send(server: MCPServer, method: str, headers: Any, body: bytes = b"") -> Any:
    """A reply, whole."""
    return server.core.wsgi_endpoint.respond_to(Request(method, dict(headers), body))


def post(server: MCPServer, headers: Any, value: Any) -> Any:
    return send(server, "POST", headers, json.dumps(value).encode())


def open_session(server: MCPServer) -> dict[str, str]:
    opened = send(server, "POST", JSON_HEADERS, initialize())
    return session_headers(dict(opened.headers)["mcp-session-id"])


@pytest.mark.parametrize(("minutes", "status"), [(29, 200), (31, 404)])
def test_a_session_that_a_machine_opens_half_an_hour_ahead_is_open(
    minutes: int, status: int
) -> None:
    with clock(minutes * MINUTES):
        session = open_session(make())
    assert post(make(), session, message("ping")).status == status


def result(server: MCPServer, method: str, params: dict[str, Any], **more: Any) -> Any:
    given = {**params, "_meta": meta(capabilities={"elicitation": {}, **more})}
    return json.loads(send(server, "POST", *stateless(method, given)).body)["result"]


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_list_goes_on_at_a_machine_with_another_clock(minutes: int) -> None:
    with clock(minutes * MINUTES):
        first = result(make(), "tools/list", {})
    rest = result(make(), "tools/list", {"cursor": first["nextCursor"]})
    assert [one["name"] for one in rest["tools"]] == ["job"]


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_question_is_answered_at_a_machine_with_another_clock(minutes: int) -> None:
    call = {"name": "ask", "arguments": {}}
    with clock(minutes * MINUTES):
        asked = result(make(), "tools/call", call)
    [key] = asked["inputRequests"]
    answers = {key: {"action": "accept", "content": {"sure": True}}}
    again = {**call, "requestState": asked["requestState"], "inputResponses": answers}
    assert result(make(), "tools/call", again)["content"][0]["text"] == "True"


def test_a_session_that_has_ended_stays_ended_where_its_token_lives_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backplane = Remote()
    one, other = make(backplane, session_ttl=3600), make(backplane, session_ttl=3600)
    session = open_session(one)
    with clock(59 * MINUTES):
        assert send(other, "DELETE", session).status == 204
    # By the clock of the first, ten minutes later.
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 10 * MINUTES)
    with clock(10 * MINUTES):
        assert post(one, session, message("ping")).status == 404


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_task_is_kept_for_its_time_whatever_a_clock_is_set_to(minutes: int) -> None:
    server = make()
    tasks = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    task_id = result(server, "tools/call", {"name": "job", "arguments": {}}, **tasks)["taskId"]
    with clock(minutes * MINUTES):
        seen = result(server, "tasks/get", {"taskId": task_id}, **tasks)
    assert seen["createdAt"] <= seen["lastUpdatedAt"]


@pytest.fixture(scope="module")
def store() -> Iterator[RedisStore]:
    with Valkey() as server:
        yield RedisStore(server.url)


@pytest.mark.parametrize("strategy", ["moving-window", "fixed-window", "sliding-window-counter"])
@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_throttle_counts_what_comes_to_machines_with_other_clocks(
    store: RedisStore, strategy: str, minutes: int
) -> None:
    from limits import parse

    def wait(cost: int = 1) -> float | None:
        return store.rate(strategy, parse("3/minute"), "n", f"{strategy} {minutes}", cost).do()

    assert wait(2) is None
    with clock(minutes * MINUTES):
        assert wait() is None
        waits = [wait()]
    waits.append(wait())
    # A window of the clock may have ended between any two of them: then there is room again.
    for seconds in waits:
        assert strategy == "fixed-window" or seconds is not None
        assert seconds is None or 0 <= seconds <= 60


def test_a_moving_window_has_room_again_when_its_calls_leave_it(store: RedisStore) -> None:
    from limits import parse

    def wait(cost: int) -> float | None:
        return store.rate("moving-window", parse("3/second"), "n", "moves", cost).do()

    assert wait(3) is None
    assert wait(4) == 1
    waits = 0
    while (seconds := wait(3)) is not None:
        assert 0 < seconds <= 1
        time.sleep(seconds)
        waits += 1
    assert waits <= 2
