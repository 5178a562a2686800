"""Servers in several processes, which share a backplane: two servers here that share one."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import cycle
from queue import Queue
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

from mcp_mount import Audit, Context, MCPServer, SyncContext, TaskPolicy
from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.calls.backplane import (
    BEAT,
    RESYNC,
    BackplaneUnavailable,
    Message,
    Published,
    Record,
    SessionState,
)
from mcp_mount.calls.flows import Do
from mcp_mount.protocol import Reply, Request, shared_logs
from mcp_mount.transports.async_answers import AsyncAnswers
from mcp_mount.transports.driving import open_request_async
from mcp_mount.transports.threads import PLAIN
from tests.requests import JSON_HEADERS, ask, initialize, message, meta, session_headers, stateless

T = TypeVar("T")
URI = "text://news"
SECONDS = 20


class Remote:
    """A backplane behind something like a network: every operation blocks, or is awaited."""

    shared = True

    def __init__(self) -> None:
        self._state = MemoryBackplane()
        self._nodes: dict[str, list[Callable[[Message], None]]] = {}
        self._records: dict[str, dict[str, str]] = {}
        self._lists: dict[str, list[str]] = {}
        self.is_down = False
        self.published_messages: list[Message] = []
        self.looking: Callable[[], object] = lambda: None

    def _step(self, do: Callable[[], T]) -> Do[T]:
        async def awaited() -> T:
            await asyncio.sleep(0.001)
            return self._checked(do)

        def plain() -> T:
            time.sleep(0.001)
            return self._checked(do)

        return Do(plain, awaited)

    def _checked(self, do: Callable[[], T]) -> T:
        if self.is_down:
            raise BackplaneUnavailable
        return do()

    def session(self, session: str) -> Do[SessionState]:
        return self._step(lambda: self._state.session(session))

    def end_session(self, session: str, *, ttl: float) -> Do[None]:
        return self._step(lambda: self._state.end_session(session, ttl=ttl))

    def set_log_level(self, session: str, level: str, *, ttl: float) -> Do[None]:
        return self._step(lambda: self._state.set_log_level(session, level, ttl=ttl))

    def subscribe(self, session: str, uri: str, *, on: bool, ttl: float) -> Do[None]:
        return self._step(lambda: self._state.subscribe(session, uri, on=on, ttl=ttl))

    def subscribed(self, session: str) -> Do[frozenset[str]]:
        """Those at the time of the look; what `looking` does happens before they arrive."""

        def look() -> frozenset[str]:
            found = self._state.subscribed(session)
            looking, self.looking = self.looking, lambda: None
            looking()
            return found

        return self._step(look)

    def publish(self, message: Message) -> Do[None]:
        text = json.dumps(message)

        def tell() -> None:
            self.published_messages.append(json.loads(text))
            for hear in [one for listeners in self._nodes.values() for one in listeners]:
                hear(json.loads(text))

        return self._step(tell)

    def published(self, place: str | None) -> Do[Published]:
        def look() -> Published:
            end = len(self.published_messages)
            known = place is not None and place.isdecimal() and int(place) <= end
            messages = self.published_messages[int(place or end) if known else end :]
            return Published(messages, str(end), is_complete=known)

        return self._step(look)

    def send(self, node: str, message: Message) -> Do[bool]:
        text = json.dumps(message)

        def tell() -> bool:
            for hear in self._nodes.get(node, []):
                hear(json.loads(text))
            return node in self._nodes

        return self._step(tell)

    def listen(self, node: str, hear: Callable[[Message], None]) -> Do[Callable[[], None]]:
        self._nodes.setdefault(node, []).append(hear)
        return Do(lambda: lambda: self._nodes[node].remove(hear))

    def is_alive(self, node: str) -> Do[bool]:
        return self._step(lambda: node in self._nodes)

    def record(self, key: str) -> Do[Record]:
        return self._step(lambda: dict(self._records.get(key, {})))

    def note(
        self, key: str, fields: Record, *, ttl: float, new: bool = False, final: str | None = None
    ) -> Do[bool]:
        def change() -> bool:
            known = self._records.setdefault(key, {}) if new else self._records.get(key)
            if known is None or final in known:
                return False
            known.update(fields)
            return True

        return self._step(change)

    def append(self, key: str, items: Sequence[str], *, ttl: float, most: int) -> Do[None]:
        def change() -> None:
            self._lists[key] = [*self._lists.get(key, []), *items][-most:]

        return self._step(change)

    def items(self, key: str, *, last: int | None = None) -> Do[Sequence[str]]:
        return self._step(lambda: self._lists.get(key, [])[-(last or 0) :])


class OnThreads:
    """Requests as a WSGI server makes them: each on a thread of its own."""

    def start(self, server: MCPServer, request: Request) -> Queue[Any]:
        """Send a request; a queue with the status, then the body in pieces, then None."""
        pieces: Queue[Any] = Queue()

        def serve() -> None:
            reply = server.core.wsgi_endpoint.respond_to(request)
            if isinstance(reply, Reply):
                pieces.put((reply.status, dict(reply.headers)))
                pieces.put(reply.body)
            else:
                pieces.put((200, {}))
                for piece in reply.events:
                    pieces.put(piece)
            pieces.put(None)

        threading.Thread(target=serve, daemon=True).start()
        return pieces

    def close(self) -> None: ...


class OnALoop:
    """Requests as an ASGI server makes them: all on one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._served: list[Future[None]] = []

    def start(self, server: MCPServer, request: Request) -> Queue[Any]:
        pieces: Queue[Any] = Queue()
        self._served.append(self._run(self._serve(server, request, pieces)))
        return pieces

    async def _serve(self, server: MCPServer, request: Request, pieces: Queue[Any]) -> None:
        opened = await open_request_async(server.core.protocol, request, PLAIN)
        reply = await AsyncAnswers(server.core.protocol, server.core.runner).answer(opened)
        if isinstance(reply, Reply):
            pieces.put((reply.status, dict(reply.headers)))
            pieces.put(reply.body)
        else:
            pieces.put((200, {}))
            async for piece in reply.events:
                pieces.put(piece)
        pieces.put(None)

    def _run(self, work: Awaitable[None]) -> Future[None]:
        async def run() -> None:
            await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop)

    def close(self) -> None:
        for one in self._served:
            one.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class Bare(Remote):
    """A backplane as those that wait for nothing: every operation has its outcome at once."""

    def _step(self, do: Callable[[], T]) -> Any:
        return self._checked(do)


BACKPLANES: dict[str, Callable[[], Remote]] = {"behind a network": Remote, "at once": Bare}
"""Makers of backplanes that processes share, by their names."""


class Answer(BaseModel):
    sure: bool


stopped = threading.Event()


def make(backplane: Remote) -> MCPServer:
    server = MCPServer("shop", secret_key="k", backplane=backplane, open=True)

    @server.resource(URI)
    def news() -> str:
        return "none"

    @server.tool
    async def ask(ctx: Context) -> str:
        answer = await ctx.elicit("Sure?", Answer)
        return "sure" if answer.data and answer.data.sure else "unsure"

    @server.tool
    async def wait(ctx: Context) -> str:
        await ctx.report_progress(1)
        try:
            await asyncio.sleep(SECONDS)
        finally:
            stopped.set()
        return "slept"

    @server.tool
    async def chatter(ctx: Context) -> str:
        await ctx.info("hello")
        return ""

    return server


class Processes:
    """Two servers that share a backplane, and requests to them."""

    def __init__(self, driver: OnThreads | OnALoop, backplane: Remote) -> None:
        self.backplane = backplane
        self.one, self.other = make(self.backplane), make(self.backplane)
        self.driver = driver

    def open(self) -> dict[str, str]:
        """The headers of a new session."""
        request = Request("POST", dict(JSON_HEADERS), initialize(capabilities={"elicitation": {}}))
        pieces = self.driver.start(self.one, request)
        headers = pieces.get(timeout=SECONDS)[1]
        return session_headers(headers["mcp-session-id"])

    def start(self, server: MCPServer, method: str, headers: Any, body: Any = None) -> Queue[Any]:
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        return self.driver.start(server, Request(method, dict(headers), raw))

    def send(
        self, server: MCPServer, headers: Any, body: Any, method: str = "POST"
    ) -> tuple[int, str]:
        """The status and the body of a reply."""
        pieces = self.start(server, method, headers, body)
        status, _ = pieces.get(timeout=SECONDS)
        return status, "".join(piece.decode() for piece in whole(pieces))


def whole(pieces: Queue[Any]) -> Iterator[bytes]:
    while (piece := pieces.get(timeout=SECONDS)) is not None:
        yield bytes(piece)


def find(pieces: Queue[Any], word: str) -> str:
    """The first piece of a body with a word."""
    seen = []
    while (piece := pieces.get(timeout=SECONDS)) is not None:
        seen.append(piece)
        if not isinstance(piece, tuple) and word in piece.decode():
            return bytes(piece).decode()
    raise AssertionError(f"{word} is not in {seen}")


def data_of(event: str) -> Any:
    [line] = [line for line in event.splitlines() if line.startswith("data: {")]
    return json.loads(line.removeprefix("data: "))


@pytest.fixture(params=BACKPLANES)
def backplane(request: pytest.FixtureRequest) -> Remote:
    return BACKPLANES[request.param]()


@pytest.fixture(params=[OnThreads, OnALoop])
def processes(request: pytest.FixtureRequest, backplane: Remote) -> Iterator[Processes]:
    driver = request.param()
    yield Processes(driver, backplane)
    driver.close()


def test_a_session_that_one_process_ends_is_closed_in_the_other(processes: Processes) -> None:
    session = processes.open()
    assert processes.send(processes.other, session, message("ping"))[0] == 200
    assert processes.send(processes.one, session, None, "DELETE")[0] == 204
    assert processes.send(processes.other, session, message("ping"))[0] == 404


def test_a_log_level_holds_in_all_processes(processes: Processes) -> None:
    session = processes.open()
    call = message("tools/call", {"name": "chatter"})
    assert "hello" in processes.send(processes.other, session, call)[1]
    processes.send(processes.one, session, message("logging/setLevel", {"level": "error"}))
    assert "hello" not in processes.send(processes.other, session, call)[1]


def test_a_change_is_heard_in_the_other_process(processes: Processes) -> None:
    wanted = {"notifications": {"resourceSubscriptions": [URI]}}
    headers, body = stateless("subscriptions/listen", wanted)
    pieces = processes.start(processes.one, "POST", headers, body)
    find(pieces, "acknowledged")
    processes.other.notify.resource_updated(URI)
    assert URI in find(pieces, "notifications/resources/updated")
    processes.one.notify.close()
    list(whole(pieces))


def last_id(events: str) -> str:
    """The id of the last event that has one."""
    return [line[4:] for line in events.splitlines() if line.startswith("id: ")][-1]


def come_by(processes: Processes, server: MCPServer, session: Any, seen: str | None) -> str:
    """The events of a GET that ends at once."""
    headers = {**session, "accept": "text/event-stream"}
    headers |= {} if seen is None else {"last-event-id": seen}
    status, events = processes.send(server, headers, None, "GET")
    assert status == 200
    return events


def test_a_subscription_of_one_process_counts_in_the_other(on_a_loop: Processes) -> None:
    session = on_a_loop.open()
    pieces = get_stream(on_a_loop, on_a_loop.one, session)
    subscribe = message("resources/subscribe", {"uri": URI})
    assert on_a_loop.send(on_a_loop.other, session, subscribe)[0] == 200
    on_a_loop.other.notify.resource_updated(URI)
    assert URI in find(pieces, "notifications/resources/updated")
    on_a_loop.one.notify.close()
    list(whole(pieces))


def test_who_comes_by_hears_of_each_change_once_at_any_process(on_threads: Processes) -> None:
    session = on_threads.open()
    servers = cycle([on_threads.one, on_threads.other])
    seen = last_id(come_by(on_threads, on_threads.one, session, None))
    subscribe = message("resources/subscribe", {"uri": URI})
    assert on_threads.send(on_threads.other, session, subscribe)[0] == 200
    on_threads.other.notify.resource_updated(URI)
    on_threads.other.notify.resource_updated("text://other")
    on_threads.one.notify.tools_list_changed()
    heard = ""
    deadline = time.monotonic() + SECONDS
    while "tools/list_changed" not in heard:
        assert time.monotonic() < deadline
        events = come_by(on_threads, next(servers), session, seen)
        heard, seen = heard + events, last_id(events)
    assert (heard.count(URI), heard.count("text://other")) == (1, 0)
    assert "notifications" not in come_by(on_threads, on_threads.one, session, seen)


def test_who_comes_by_for_nothing_is_told_to_come_later(on_threads: Processes) -> None:
    session, seen, pauses = on_threads.open(), None, []
    for _ in range(12):
        events = come_by(on_threads, on_threads.one, session, seen)
        seen = last_id(events)
        pauses += [line for line in events.splitlines() if line.startswith("retry: ")]
    assert pauses == ["retry: 3000"] * 5 + ["retry: 6000"] * 5 + ["retry: 12000"] * 2


@pytest.mark.parametrize("seen", ["own-0123456789abcdef~1.7", "at-nowhere.0", "at-99999.3"])
def test_who_may_have_missed_something_is_told_that_all_may_have_changed(
    on_threads: Processes, seen: str
) -> None:
    session = on_threads.open()
    subscribe = message("resources/subscribe", {"uri": URI})
    assert on_threads.send(on_threads.other, session, subscribe)[0] == 200
    events = come_by(on_threads, on_threads.one, session, seen)
    told = [data_of(one)["method"] for one in events.split("\n\n") if "data: {" in one]
    everything = [
        f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources")
    ]
    # Where there was another kind of server, a stream begins.
    assert told == ([] if "own" in seen else [*everything, "notifications/resources/updated"])


def test_an_answer_reaches_the_process_that_asked(processes: Processes) -> None:
    session = processes.open()
    call = message("tools/call", {"name": "ask"})
    pieces = processes.start(processes.one, "POST", session, call)
    question = data_of(find(pieces, "elicitation/create"))
    content = {"action": "accept", "content": {"sure": True}}
    answer = {"jsonrpc": "2.0", "id": question["id"], "result": content}
    assert processes.send(processes.other, session, answer)[0] == 202
    assert '"sure"' in find(pieces, '"result"')
    list(whole(pieces))


def test_a_call_is_cancelled_from_the_other_process(processes: Processes) -> None:
    stopped.clear()
    session = processes.open()
    params = {"name": "wait", "_meta": {"progressToken": "p"}}
    pieces = processes.start(processes.one, "POST", session, message("tools/call", params, id=7))
    find(pieces, "notifications/progress")
    cancelled = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": 7},
    }
    assert processes.send(processes.other, session, cancelled)[0] == 202
    assert stopped.wait(SECONDS)
    assert not any(b'"result"' in piece for piece in whole(pieces))


def test_without_the_backplane_a_session_is_served_as_it_was_last_known(
    processes: Processes,
) -> None:
    session, unknown = processes.open(), processes.open()
    level = message("logging/setLevel", {"level": "error"})
    assert processes.send(processes.one, session, level)[0] == 200
    assert processes.send(processes.other, session, message("ping"))[0] == 200
    processes.backplane.is_down = True
    assert processes.send(processes.other, unknown, message("ping"))[0] == 200
    call = message("tools/call", {"name": "chatter"})
    status, body = processes.send(processes.other, session, call)
    assert (status, "hello" in body) == (200, False)


def test_what_cannot_be_noted_without_the_backplane_is_a_503(
    processes: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    session = processes.open()
    processes.backplane.is_down = True
    answer = {"jsonrpc": "2.0", "id": "0000000000000000-0123456789abcdef", "result": {}}
    for body in (
        message("logging/setLevel", {"level": "error"}),
        message("resources/subscribe", {"uri": URI}),
        answer,
    ):
        pieces = processes.start(processes.one, "POST", session, body)
        status, headers = pieces.get(timeout=SECONDS)
        assert (status, headers["retry-after"]) == (503, "1")
        assert "try again" in b"".join(whole(pieces)).decode()
    assert processes.send(processes.one, session, None, "DELETE")[0] == 503
    assert "Requests are refused, since the backplane cannot be reached" in caplog.text
    processes.backplane.is_down = False
    assert processes.send(processes.one, session, None, "DELETE")[0] == 204


def get_stream(processes: Processes, server: MCPServer, session: dict[str, str]) -> Queue[Any]:
    """A session's GET stream, open: it has written something."""
    pieces = processes.start(server, "GET", {**session, "accept": "text/event-stream"})
    find(pieces, ":")
    return pieces


@pytest.fixture
def on_threads(backplane: Remote) -> Processes:
    return Processes(OnThreads(), backplane)


@pytest.fixture
def on_a_loop(backplane: Remote) -> Iterator[Processes]:
    driver = OnALoop()
    yield Processes(driver, backplane)
    driver.close()


def subscribe_elsewhere(
    processes: Processes, session: dict[str, str], name: str
) -> Callable[[], None]:
    """What sends a request of the session to the other process, and waits for its answer."""

    def send() -> None:
        body = json.dumps(message(name, {"uri": URI})).encode()
        request = Request("POST", dict(session), body)
        driver = OnThreads()
        pieces = driver.start(processes.other, request)
        assert pieces.get(timeout=SECONDS)[0] == 200

    return send


def test_a_subscription_counts_that_is_made_while_the_stream_opens(on_a_loop: Processes) -> None:
    session = on_a_loop.open()
    on_a_loop.backplane.looking = subscribe_elsewhere(on_a_loop, session, "resources/subscribe")
    pieces = get_stream(on_a_loop, on_a_loop.one, session)
    on_a_loop.one.notify.resource_updated(URI)
    assert URI in find(pieces, "notifications/")
    on_a_loop.one.notify.close()
    list(whole(pieces))


def test_an_unsubscription_counts_that_is_made_while_the_stream_opens(
    on_a_loop: Processes,
) -> None:
    session = on_a_loop.open()
    subscribe = message("resources/subscribe", {"uri": URI})
    assert on_a_loop.send(on_a_loop.one, session, subscribe)[0] == 200
    on_a_loop.backplane.looking = subscribe_elsewhere(on_a_loop, session, "resources/unsubscribe")
    pieces = get_stream(on_a_loop, on_a_loop.one, session)
    on_a_loop.one.notify.resource_updated(URI)
    on_a_loop.one.notify.tools_list_changed()
    assert "tools/list_changed" in find(pieces, "notifications/")
    on_a_loop.one.notify.close()
    list(whole(pieces))


def test_the_streams_of_a_session_end_with_it_in_all_processes(on_a_loop: Processes) -> None:
    session = on_a_loop.open()
    streams = [get_stream(on_a_loop, one, session) for one in (on_a_loop.one, on_a_loop.other)]
    assert on_a_loop.send(on_a_loop.one, session, None, "DELETE")[0] == 204
    for pieces in streams:
        assert not any(b"notifications" in piece for piece in whole(pieces))


def test_a_stream_does_not_open_in_a_session_that_ends_meanwhile(on_a_loop: Processes) -> None:
    session = on_a_loop.open()
    on_a_loop.send(on_a_loop.one, session, message("ping"))

    def end() -> None:
        pieces = OnThreads().start(on_a_loop.other, Request("DELETE", dict(session)))
        assert pieces.get(timeout=SECONDS)[0] == 204

    on_a_loop.backplane.looking = end
    stream = {**session, "accept": "text/event-stream"}
    assert on_a_loop.send(on_a_loop.one, stream, None, "GET")[0] == 404


def test_what_is_registered_is_published_once_requests_come(processes: Processes) -> None:
    assert processes.backplane.published_messages == []
    processes.send(processes.one, *stateless("tools/list"))

    @processes.one.tool
    def late() -> None: ...

    deadline = time.monotonic() + SECONDS
    while not processes.backplane.published_messages:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [one["what"] for one in processes.backplane.published_messages] == ["tools"]


def test_what_cannot_be_published_is_published_once_the_backplane_is_there(
    processes: Processes,
) -> None:
    processes.send(processes.one, *stateless("tools/list"))
    processes.backplane.is_down = True
    processes.one.notify.resource_updated(URI)

    @processes.one.tool
    def late() -> None: ...

    time.sleep(0.1)
    assert processes.backplane.published_messages == []
    processes.backplane.is_down = False
    deadline = time.monotonic() + SECONDS
    while len(processes.backplane.published_messages) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    messages = processes.backplane.published_messages
    assert [one["what"] for one in messages] == ["resource", "tools"]


def test_a_request_that_needs_no_other_process_is_answered_without_the_backplane(
    processes: Processes,
) -> None:
    processes.backplane.is_down = True
    assert processes.send(processes.one, *stateless("tools/list"))[0] == 200
    assert processes.send(processes.one, *stateless("tools/list"), method="PUT")[0] == 405
    headers = {**stateless("tools/list")[0], "origin": "https://evil.example"}
    assert processes.send(processes.one, headers, stateless("tools/list")[1])[0] == 403


def test_observers_see_what_is_refused_for_want_of_the_backplane(processes: Processes) -> None:
    seen: list[tuple[str, Any]] = []
    server = MCPServer(
        "shop",
        secret_key="k",
        backplane=processes.backplane,
        open=True,
        audit=Audit(after=lambda record: seen.append((record.method, record.outcome))),
    )
    processes.one = server
    session = processes.open()
    seen.clear()
    processes.backplane.is_down = True
    level = message("logging/setLevel", {"level": "error"})
    assert processes.send(server, session, level)[0] == 503
    assert [method for method, _ in seen] == ["logging/setLevel"]


def test_a_batch_obeys_the_log_level_that_it_sets(processes: Processes) -> None:
    request = Request("POST", dict(JSON_HEADERS), initialize("2025-03-26"))
    headers = processes.driver.start(processes.one, request).get(timeout=SECONDS)[1]
    session = session_headers(headers["mcp-session-id"], "2025-03-26")
    chatter = message("tools/call", {"name": "chatter"}, id=2)
    batch = [message("logging/setLevel", {"level": "error"}), chatter]
    status, body = processes.send(processes.one, session, batch)
    assert (status, "hello" in body) == (200, False)


def test_other_processes_hear_of_the_states_of_a_task() -> None:
    backplane = Bare()
    server = make(backplane)
    done = threading.Event()

    @server.tool(task=TaskPolicy(ttl=60))
    def count(ctx: SyncContext) -> str:
        for number in range(3):
            ctx.report_progress(number, 3)
        done.set()
        return ""

    tasks = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    asked = ask(server, "tools/call", {"name": "count", "_meta": meta(capabilities=tasks)})
    assert done.wait(SECONDS)
    seen = {"status": "working"}
    while seen["status"] == "working":
        params = {"taskId": asked["result"]["taskId"], "_meta": meta(capabilities=tasks)}
        seen = ask(server, "tasks/get", params)["result"]
    deadline = time.monotonic() + SECONDS
    while not backplane.published_messages:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert {one["what"] for one in backplane.published_messages} == {"task"}


def test_calls_of_no_session_are_direct_once_the_process_serves(processes: Processes) -> None:
    direct = processes.one.core.protocol.direct
    assert not direct.allowed
    session = processes.open()
    assert direct.allowed
    assert processes.one.core.protocol._sessions.known(session["mcp-session-id"], "") is None


def lose_messages(processes: Processes, act: Callable[[], object]) -> None:
    """Do something of which other processes hear nothing, and tell them that this was so."""
    backplane = processes.backplane
    nodes, backplane._nodes = backplane._nodes, {}
    act()
    backplane._nodes = nodes
    for hear in [one for listeners in nodes.values() for one in listeners]:
        hear(RESYNC)


def test_after_lost_messages_a_stream_tells_of_everything_and_knows_its_subscriptions(
    on_a_loop: Processes,
) -> None:
    session = on_a_loop.open()
    pieces = get_stream(on_a_loop, on_a_loop.one, session)
    subscribe = message("resources/subscribe", {"uri": URI})
    lose_messages(on_a_loop, lambda: on_a_loop.send(on_a_loop.other, session, subscribe))
    for kind in ("tools", "prompts", "resources"):
        find(pieces, f"notifications/{kind}/list_changed")
    deadline = time.monotonic() + SECONDS
    stream = next(iter(on_a_loop.one.core.protocol._sessions._streams._read.values()))
    while not next(iter(stream)).uris:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    on_a_loop.other.notify.resource_updated(URI)
    assert URI in find(pieces, "notifications/resources/updated")
    on_a_loop.one.notify.close()
    list(whole(pieces))


def test_after_lost_messages_the_streams_of_sessions_that_have_ended_end(
    on_a_loop: Processes,
) -> None:
    session = on_a_loop.open()
    pieces = get_stream(on_a_loop, on_a_loop.one, session)
    lose_messages(on_a_loop, lambda: on_a_loop.send(on_a_loop.other, session, None, "DELETE"))
    list(whole(pieces))


@pytest.fixture
def cut_off(on_a_loop: Processes) -> tuple[dict[str, str], Queue[Any], str]:
    """A session with a call that speaks and waits, its stream, and the place of its client."""
    for server in (on_a_loop.one, on_a_loop.other):

        @server.tool(when=lambda caller: caller.address == "10.0.0.1")
        async def secret(ctx: Context) -> str:
            await ctx.report_progress(1)
            while not go_on.is_set():
                await asyncio.sleep(0.01)
            return "done"

    go_on.clear()
    session = on_a_loop.open()
    params = {"name": "secret", "_meta": {"progressToken": "p"}}
    body = json.dumps(message("tools/call", params, id=7)).encode()
    request = Request("POST", dict(session), body, address="10.0.0.1")
    pieces = on_a_loop.driver.start(on_a_loop.one, request)
    return session, pieces, last_id(find(pieces, "notifications/progress"))


go_on = threading.Event()


def resume(processes: Processes, session: dict[str, str], seen: str, address: str) -> Queue[Any]:
    headers = {**session, "accept": "text/event-stream", "last-event-id": seen}
    return processes.driver.start(processes.other, Request("GET", headers, address=address))


def test_the_stream_of_a_call_goes_on_at_another_process(
    on_a_loop: Processes, cut_off: tuple[dict[str, str], Queue[Any], str]
) -> None:
    session, pieces, seen = cut_off
    again = resume(on_a_loop, session, seen, "10.0.0.1")
    assert again.get(timeout=SECONDS)[0] == 200
    # The first reader has been sent away.
    assert not any(b'"result"' in piece for piece in whole(pieces))
    go_on.set()
    answer = data_of(find(again, '"result"'))
    assert answer["result"]["content"][0]["text"] == "done"
    assert list(whole(again)) == []


def test_who_may_not_use_a_tool_does_not_read_its_stream_at_another_process(
    on_a_loop: Processes, cut_off: tuple[dict[str, str], Queue[Any], str]
) -> None:
    session, pieces, seen = cut_off
    refused = resume(on_a_loop, session, seen, "10.0.0.2")
    assert refused.get(timeout=SECONDS)[0] == 400
    go_on.set()
    assert "done" in find(pieces, '"result"')
    list(whole(pieces))
    list(whole(refused))


def test_a_stream_whose_process_is_lost_ends_with_an_error(
    on_a_loop: Processes,
    cut_off: tuple[dict[str, str], Queue[Any], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_logs, "MISSING_SECONDS", 0.0)
    session, pieces, seen = cut_off
    backplane, node = on_a_loop.backplane, on_a_loop.one.core._peers.node
    deadline = time.monotonic() + SECONDS
    while not any(key.startswith("log:") for key in backplane._records):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lost = backplane._nodes.pop(node)
    again = resume(on_a_loop, session, seen, "10.0.0.1")
    assert again.get(timeout=SECONDS)[0] == 200
    while not any("The worker that ran this was lost" in str(one) for one in list(again.queue)):
        assert time.monotonic() < deadline
        for hear in backplane._nodes[on_a_loop.other.core._peers.node]:
            hear(BEAT)
        time.sleep(0.05)
    list(whole(again))
    backplane._nodes[node] = lost
    go_on.set()
    list(whole(pieces))


def test_a_task_that_reports_all_the_time_is_told_to_others_now_and_then() -> None:
    backplane = Remote()
    server = make(backplane)

    @server.tool(task=TaskPolicy(ttl=60))
    def count(ctx: SyncContext) -> str:
        for number in range(2000):
            ctx.report_progress(number, message=str(number))
        return "counted"

    tasks = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    asked = ask(server, "tools/call", {"name": "count", "_meta": meta(capabilities=tasks)})
    key = f"t:{asked['result']['taskId']}"
    deadline = time.monotonic() + SECONDS
    while backplane._records[key]["status"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "counted" in backplane._records[key]["outcome"]
    assert len(backplane.published_messages) < 500
