"""Sessions whose connections end before their calls do, on every host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client

from tests.requests import initialize, message, session_headers


@dataclass
class Event:
    id: str = ""
    data: Any = None
    retry: int | None = None


def events(response: httpx2.Response) -> Iterator[Event]:
    event = Event()
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if not line:
            if event != Event():
                yield event
            event = Event()
        elif name == "id":
            event.id = value
        elif name == "data" and value:
            event.data = json.loads(value)
        elif name == "retry":
            event.retry = int(value)


@dataclass
class Peer:
    """A session at a host, by hand."""

    url: str
    version: str = "2025-11-25"
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        body = initialize(self.version, {"elicitation": {}})
        own = {**session_headers("", self.version)}
        del own["mcp-session-id"]
        reply = httpx2.post(self.url, headers=own, content=body)
        self.headers = session_headers(reply.headers["mcp-session-id"], self.version)

    def call(self, tool: str, id: Any = 1, **arguments: Any) -> Any:
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}}
        body = json.dumps(message("tools/call", params, id))
        return httpx2.stream("POST", self.url, headers=self.headers, content=body, timeout=12)

    def resume(self, event_id: str) -> Any:
        headers = {**self.headers, "accept": "text/event-stream", "last-event-id": event_id}
        return httpx2.stream("GET", self.url, headers=headers, timeout=12)

    def cancel(self, id: Any) -> None:
        body = message("notifications/cancelled", {"requestId": id})
        del body["id"]
        assert httpx2.post(self.url, headers=self.headers, json=body).status_code == 202


@pytest.fixture
def peer(host_url: str) -> Peer:
    return Peer(f"{host_url}/mcp")


@pytest.mark.parametrize("tool", ["test_reconnection", "test_sync_reconnection"])
def test_a_client_that_is_sent_away_comes_back_for_the_rest(peer: Peer, tool: str) -> None:
    with peer.call(tool) as response:
        heard = list(events(response))
    assert heard[0].id
    assert heard[0].data is None
    assert heard[-1].retry == 100
    with peer.resume(heard[-1].id) as response:
        rest = list(events(response))
    assert rest[-1].data["result"]["content"][0]["text"] == "Reconnected"
    ids = [event.id for event in heard + rest]
    assert len(set(ids)) == len(ids)
    # Whatever was missed comes again, for as long as the stream is kept.
    with peer.resume(heard[0].id) as response:
        assert [event.id for event in events(response)] == ids[1:]


@pytest.mark.parametrize("tool", ["slow_talk", "slow_sync_talk"])
def test_a_client_that_was_cut_off_misses_nothing(peer: Peer, tool: str) -> None:
    with peer.call(tool, pause=0.01) as response:
        stream = events(response)
        seen = [next(stream) for _ in range(3)]
    with peer.resume(seen[-1].id) as response:
        seen += events(response)
    progress = [event.data["params"]["progress"] for event in seen[1:-1]]
    assert progress == list(range(1, len(progress) + 1))
    assert seen[-1].data["result"]["content"][0]["text"] == f"said {len(progress)}"


def test_the_newest_reader_of_a_stream_gets_it(peer: Peer) -> None:
    with peer.call("slow_talk") as response:
        stream = events(response)
        first = next(stream)
        with peer.resume(first.id) as other:
            assert len(list(events(other))) > 5
        # One stream, one reader: nothing is told twice.
        assert all("result" not in (event.data or {}) for event in stream)


@pytest.mark.parametrize("event_id", ["x", "abc.1", "abc.99999999999999999999", "", "é.1"])
def test_a_stream_that_is_not_kept_is_refused(peer: Peer, event_id: str) -> None:
    headers = {**peer.headers, "accept": "text/event-stream"}
    raw = [*headers.items(), ("last-event-id", event_id.encode())]
    reply = httpx2.get(peer.url, headers=raw)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, -32600)


def test_a_stream_belongs_to_its_session(peer: Peer) -> None:
    with peer.call("test_reconnection") as response:
        heard = list(events(response))
    with Peer(peer.url).resume(heard[0].id) as response:
        assert response.status_code == 400
    with peer.resume(f"{heard[0].id.partition('.')[0]}.7") as response:
        assert response.status_code == 400


def test_older_clients_get_no_event_without_data(peer: Peer) -> None:
    older = Peer(peer.url, "2025-06-18")
    with older.call("slow_talk") as response:
        assert next(events(response)).data["params"]["progress"] == 1


def talk_until_cancelled(peer: Peer, tool: str) -> list[Event]:
    with peer.call(tool, id="to-cancel") as response:
        stream = events(response)
        seen = [next(stream) for _ in range(3)]
        peer.cancel("to-cancel")
        return seen + list(stream)


@pytest.mark.parametrize("tool", ["slow_talk", "slow_sync_talk"])
def test_a_cancelled_call_ends_without_a_result(peer: Peer, tool: str) -> None:
    seen = talk_until_cancelled(peer, tool)
    assert all("result" not in (event.data or {}) for event in seen)
    assert len(seen) < 20


@pytest.mark.parametrize("tool", ["slow_talk", "slow_sync_talk"])
def test_the_stream_of_a_cancelled_call_is_over_for_a_client_that_comes_back(
    peer: Peer, tool: str
) -> None:
    with peer.call(tool, id="to-cancel") as response:
        last = next(events(response)).id
    peer.cancel("to-cancel")
    with peer.resume(last) as response:
        rest = list(events(response))
    assert all("result" not in (event.data or {}) for event in rest)
    status, visits = 200, 0
    while status == 200:
        # What was said before the cancellation comes, and nothing after it.
        with peer.resume(rest[-1].id if rest else last) as response:
            status = response.status_code
            rest = list(events(response)) or rest if status == 200 else rest
        visits += 1
    assert status == 400
    assert visits < 20


def wait_in_background(wait: Callable[[], Any]) -> Any:
    """Start to wait on a thread; returns what gives the outcome."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(1)
    outcome = pool.submit(wait)
    pool.shutdown(wait=False)
    return outcome


def test_a_cancelled_call_without_a_stream_is_accepted_and_no_more(peer: Peer) -> None:
    body = message("tools/call", {"name": "slow_compute", "arguments": {"seconds": 60}}, "long")
    reply = wait_in_background(
        lambda: httpx2.post(peer.url, headers=peer.headers, json=body, timeout=60)
    )
    time.sleep(0.3)
    Peer(peer.url).cancel("long")
    peer.cancel("unknown")
    peer.cancel([1])
    assert not reply.done()
    while not reply.done():
        # It may only be on its way yet.
        peer.cancel("long")
        time.sleep(0.05)
    assert (reply.result(60).status_code, reply.result().content) == (202, b"")


@pytest.mark.parametrize("tool", ["test_reconnection", "test_sync_reconnection"])
def test_the_official_client_comes_back(host_url: str, tool: str) -> None:
    async def session() -> str:
        with anyio.fail_after(60):
            async with Client(f"{host_url}/mcp", mode="legacy") as client:
                result = await client.call_tool(tool, {})
                text: str = result.content[0].text  # type: ignore[union-attr]
                return text

    assert anyio.run(session) == "Reconnected"
