"""Servers in several processes, which share a backplane: two servers here that share one."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from queue import Empty, Queue
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

from mcp_mount import Audit, ClientError, Context, MCPServer, SyncContext, TaskPolicy
from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.calls.backplane import (
    BEAT,
    RESYNC,
    BackplaneUnavailable,
    Message,
    Pool,
    PoolEntry,
    Published,
    Record,
    SessionState,
)
from mcp_mount.calls.flows import Do, Flow, done, step
from mcp_mount.calls.tasks import Task
from mcp_mount.protocol import Reply, Request, peers, shared_logs
from mcp_mount.protocol.changes import SessionStream
from mcp_mount.transports.async_answers import AsyncAnswers
from mcp_mount.transports.driving import open_request_async
from mcp_mount.transports.threads import PLAIN
from tests.requests import JSON_HEADERS, ask, initialize, message, meta, session_headers, stateless

T = TypeVar("T")
URI = "text://news"
SECONDS = 20


@dataclass
class Member:
    ends: float
    size: int = 0
    may_go: bool = False


class Remote:
    """A backplane behind something like a network: every operation blocks, or is awaited."""

    shared = True

    def __init__(self) -> None:
        self._state = MemoryBackplane()
        self._nodes: dict[str, list[Callable[[Message], None]]] = {}
        self.records: dict[str, dict[str, str]] = {}
        self._ends: dict[str, float] = {}
        self._lists: dict[str, list[str]] = {}
        self.pools: dict[str, dict[str, Member]] = {}
        self._lock = threading.Lock()
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
        return self._step(lambda: dict(self.records.get(key, {})))

    def left(self, key: str) -> Do[float]:
        return self._step(lambda: max(0.0, self._ends.get(key, 0.0) - time.monotonic()))

    def note(
        self, key: str, fields: Record, *, ttl: float, new: bool = False, final: str | None = None
    ) -> Do[bool]:
        def change() -> bool:
            known = self.records.setdefault(key, {}) if new else self.records.get(key)
            if new:
                self._ends[key] = time.monotonic() + ttl
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

    def forget(self, key: str) -> Do[None]:
        def drop() -> None:
            self.records.pop(key, None)
            self._ends.pop(key, None)
            self._lists.pop(key, None)

        return self._step(drop)

    def enter(
        self, pools: Sequence[Pool], member: str, *, ttl: float, size: int = 0
    ) -> Do[PoolEntry]:
        def take() -> PoolEntry:
            with self._lock:
                return self._enter(pools, member, time.monotonic() + ttl, size)

        return self._step(take)

    def _enter(self, pools: Sequence[Pool], member: str, ends: float, size: int) -> PoolEntry:
        dropped: list[str] = []
        now = time.monotonic()
        for pool in pools:
            members = self.pools.setdefault(pool.name, {})
            for name in [name for name, one in members.items() if one.ends <= now]:
                del members[name]
            is_new = member not in members
            needed = max(size, 1) if is_new else size - members[member].size
            while (is_new and len(members) >= pool.most) or (
                needed > 0 and sum(one.size for one in members.values()) + needed > pool.most_size
            ):
                may_go = [name for name, one in members.items() if one.may_go and name != member]
                if not may_go:
                    left = [one.ends - now for one in members.values()]
                    return PoolEntry(pool.name, min(left, default=0.0), tuple(dropped))
                dropped.append(min(may_go, key=lambda name: members[name].ends))
                for other in pools:
                    self.pools.get(other.name, {}).pop(dropped[-1], None)
        for pool in pools:
            self.pools[pool.name].setdefault(member, Member(ends)).size = size
        return PoolEntry(dropped=tuple(dropped))

    def leave(self, pools: Sequence[str], member: str, *, at_need: bool = False) -> Do[None]:
        def give_back() -> None:
            for members in [self.pools.get(one, {}) for one in pools]:
                if at_need and member in members:
                    members[member].may_go = True
                elif not at_need:
                    members.pop(member, None)

        return self._step(give_back)


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
    async def ask_again(ctx: Context) -> str:
        with suppress(ClientError):
            await ctx.elicit("Sure?", Answer)
        await ctx.elicit("Really?", Answer)
        return "sure"

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


@pytest.mark.parametrize("where", ["one", "other"])
@pytest.mark.parametrize("tool", ["ask", "ask_again"])
def test_questions_end_with_their_session(
    processes: Processes, where: str, tool: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = processes.open()
    call = message("tools/call", {"name": tool})
    pieces = processes.start(processes.one, "POST", session, call)
    find(pieces, "elicitation/create")
    assert processes.send(getattr(processes, where), session, None, "DELETE")[0] == 204
    assert "The client has ended the session" in find(pieces, '"result"')
    list(whole(pieces))
    # An event loop would log what nobody has looked at.
    gc.collect()
    assert "never retrieved" not in caplog.text


ANSWER_OF_NOBODY = {"jsonrpc": "2.0", "id": "0000000000000000-0123456789abcdef", "result": {}}
"""The answer to the question of a process that there is not any more."""


def test_the_answer_to_a_question_of_a_lost_process_is_refused(processes: Processes) -> None:
    session = processes.open()
    status, body = processes.send(processes.one, session, ANSWER_OF_NOBODY)
    assert (status, "The worker that asked this question was lost" in body) == (400, True)


@pytest.mark.parametrize("what", ["this process has not come back", "others may not have"])
def test_while_the_backplane_knows_nobody_an_answer_is_to_be_sent_again(
    processes: Processes, what: str
) -> None:
    session = processes.open()
    assert processes.send(processes.one, session, message("ping"))[0] == 200
    nodes = processes.backplane._nodes
    if what == "others may not have":
        for hear in [one for listeners in nodes.values() for one in listeners]:
            hear(RESYNC)
    else:
        nodes.clear()
    pieces = processes.start(processes.one, "POST", session, ANSWER_OF_NOBODY)
    status, headers = pieces.get(timeout=SECONDS)
    assert (status, headers["retry-after"]) == (503, "1")
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
    for body in (
        message("logging/setLevel", {"level": "error"}),
        message("resources/subscribe", {"uri": URI}),
        ANSWER_OF_NOBODY,
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


def test_of_ids_that_nobody_has_got_the_backplane_is_not_asked(processes: Processes) -> None:
    session = processes.open()
    processes.send(processes.one, session, message("ping"))
    processes.backplane.is_down = True
    for server in (processes.one, processes.other):

        @server.tool(task=True)
        def later() -> str:
            return ""

    tasks = meta(capabilities={"extensions": {"io.modelcontextprotocol/tasks": {}}})
    headers, body = stateless("tasks/get", {"taskId": "abc:a", "_meta": tasks})
    status, text = processes.send(processes.one, headers, body)
    assert (status, "There is no such task" in text) == (400, True)
    place = {"accept": "text/event-stream", "last-event-id": "0123456789abcdef:e.1"}
    status, text = processes.send(processes.one, {**session, **place}, None, "GET")
    assert (status, "not kept" in text) == (400, True)


def test_the_end_of_a_task_that_could_not_be_looked_at_is_told_later(on_a_loop: Processes) -> None:
    may_end, has_failed = threading.Event(), threading.Event()
    for server in (on_a_loop.one, on_a_loop.other):

        @server.tool(task=TaskPolicy(ttl=60))
        def later() -> str:
            may_end.wait(SECONDS)
            return "done"

    tasks = meta(capabilities={"extensions": {"io.modelcontextprotocol/tasks": {}}})
    made = ask(on_a_loop.other, "tools/call", {"name": "later", "_meta": tasks})
    wanted = {"taskIds": [made["result"]["taskId"]]}
    headers, body = stateless("subscriptions/listen", {"notifications": wanted, "_meta": tasks})
    pieces = on_a_loop.start(on_a_loop.one, "POST", headers, body)
    assert made["result"]["taskId"] in find(pieces, "acknowledged")
    record = on_a_loop.backplane.record

    def fail() -> Record:
        has_failed.set()
        raise BackplaneUnavailable

    on_a_loop.backplane.record = lambda key: Do(fail)  # type: ignore[method-assign]
    may_end.set()
    assert has_failed.wait(SECONDS)
    on_a_loop.backplane.record = record  # type: ignore[method-assign]
    for hear in [one for heard in on_a_loop.backplane._nodes.values() for one in heard]:
        hear(BEAT)
    assert '"status":"completed"' in find(pieces, "notifications/tasks")
    on_a_loop.one.notify.close()
    list(whole(pieces))


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


def test_a_subscription_counts_that_is_made_during_the_look_after_lost_messages(
    on_a_loop: Processes,
) -> None:
    session = on_a_loop.open()
    pieces = get_stream(on_a_loop, on_a_loop.one, session)
    subscribe = subscribe_elsewhere(on_a_loop, session, "resources/subscribe")
    looked = threading.Event()

    def look() -> None:
        subscribe()
        looked.set()

    on_a_loop.backplane.looking = look
    lose_messages(on_a_loop, lambda: None)
    assert looked.wait(SECONDS)
    on_a_loop.other.notify.resource_updated(URI)
    assert URI in find(pieces, "notifications/resources/updated")
    on_a_loop.one.notify.close()
    list(whole(pieces))


def test_after_lost_messages_many_sessions_are_looked_up_in_a_few_steps() -> None:
    backplane = Remote()
    core = make(backplane).core
    sessions, peers, steps = core.protocol._sessions, core._peers, Queue[Do[Any]]()
    streams = [SessionStream(f"s{number}", sessions._streams) for number in range(250)]
    for one in streams:
        backplane.subscribe(one.session, URI, on=True, ttl=60).do()
    peers.later = steps.put
    peers._hear(RESYNC)
    for _ in range(3):
        steps.get_nowait().do()
    assert steps.empty()
    assert {one.uris for one in streams} == {frozenset({URI})}


def test_a_session_ends_everywhere_though_others_cannot_be_told_at_once(
    on_a_loop: Processes,
) -> None:
    session = on_a_loop.open()
    pieces = get_stream(on_a_loop, on_a_loop.other, session)
    publish = on_a_loop.backplane.publish

    def fail(sent: Message) -> Do[None]:
        on_a_loop.backplane.publish = publish  # type: ignore[method-assign]
        raise BackplaneUnavailable

    on_a_loop.backplane.publish = fail  # type: ignore[method-assign]
    assert on_a_loop.send(on_a_loop.one, session, None, "DELETE")[0] == 204
    list(whole(pieces))


def test_a_state_of_a_session_may_be_dropped_as_soon_as_it_is_kept(on_threads: Processes) -> None:
    class Dropping(OrderedDict[str, SessionState]):
        """As if other threads had many sessions."""

        def __setitem__(self, key: str, value: SessionState) -> None:
            super().__setitem__(key, value)
            self.popitem(last=False)

    session = on_threads.open()
    level = message("logging/setLevel", {"level": "error"})
    assert on_threads.send(on_threads.one, session, level)[0] == 200
    on_threads.one.core.protocol._sessions._last_known = Dropping()
    assert on_threads.send(on_threads.one, session, message("ping"))[0] == 200


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


def test_the_events_of_a_stream_that_is_cancelled_are_kept_no_longer_than_those_of_others(
    on_a_loop: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    backplane, kept = on_a_loop.backplane, []
    append = backplane.append

    def noted(key: str, items: Sequence[str], *, ttl: float, most: int) -> Do[None]:
        kept.append((len(items), ttl))
        return append(key, items, ttl=ttl, most=most)

    monkeypatch.setattr(backplane, "append", noted)
    session = on_a_loop.open()
    params = {"name": "wait", "_meta": {"progressToken": "p"}}
    pieces = on_a_loop.start(on_a_loop.one, "POST", session, message("tools/call", params, id=7))
    find(pieces, "notifications/progress")
    deadline = time.monotonic() + SECONDS
    while sum(count for count, _ in kept) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cancel = {"method": "notifications/cancelled", "params": {"requestId": 7}}
    on_a_loop.send(on_a_loop.other, session, {"jsonrpc": "2.0", **cancel})
    list(whole(pieces))
    while kept[-1] != (0, on_a_loop.one.core.protocol.settings.resume_ttl):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stream_that_a_slow_backplane_does_not_have_yet_is_waited_for(
    on_a_loop: Processes,
    cut_off: tuple[dict[str, str], Queue[Any], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_logs, "_BEGUN_SECONDS", 0.05)
    session, pieces, seen = cut_off
    backplane, looks = on_a_loop.backplane, 0
    record = backplane.record

    def late(key: str) -> Do[Record]:
        def look() -> Record:
            nonlocal looks
            looks += 1
            time.sleep(0.1)
            return {} if looks < 3 else dict(backplane.records[key])

        return backplane._step(look) if key.startswith("log:") else record(key)

    monkeypatch.setattr(backplane, "record", late)
    again = resume(on_a_loop, session, seen, "10.0.0.1")
    assert again.get(timeout=SECONDS)[0] == 200
    go_on.set()
    find(again, '"result"')
    for one in (again, pieces):
        list(whole(one))


def test_few_clients_wait_for_streams_that_there_are_not(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_logs, "_BEGUN_SECONDS", 0.01)
    session = processes.open()
    unknown = {"accept": "text/event-stream", "last-event-id": "0123456789abcdef.1"}

    def asked(most: int) -> int:
        monkeypatch.setattr(shared_logs, "_MAX_AWAITED", most)
        return processes.send(processes.one, {**session, **unknown}, None, "GET")[0]

    # One after another has waited: then there is room again.
    assert [asked(1), asked(1), asked(0), asked(1)] == [400, 400, 503, 400]


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
    monkeypatch.setattr(peers, "MISSING_SECONDS", 0.0)
    session, pieces, seen = cut_off
    backplane, node = on_a_loop.backplane, on_a_loop.one.core._peers.node
    deadline = time.monotonic() + SECONDS
    while not any(key.startswith("log:") for key in backplane.records):
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


def test_a_stream_of_which_a_lost_process_has_written_no_event_ends_with_an_error(
    on_a_loop: Processes, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The process is killed between the two writes, after the client has read the first event."""
    monkeypatch.setattr(peers, "MISSING_SECONDS", 0.0)
    backplane, node = on_a_loop.backplane, on_a_loop.one.core._peers.node
    reached, append = threading.Event(), backplane.append

    def killed(key: str, items: Sequence[str], *, ttl: float, most: int) -> Do[None]:
        reached.set()
        raise BackplaneUnavailable

    monkeypatch.setattr(backplane, "append", killed)
    session, pieces, seen = request.getfixturevalue("cut_off")
    assert reached.wait(SECONDS)
    lost = backplane._nodes.pop(node)
    again = resume(on_a_loop, session, seen, "10.0.0.1")
    assert again.get(timeout=SECONDS)[0] == 200
    assert "The worker that ran this was lost" in find(again, '"error"')
    assert list(whole(again)) == []
    backplane._nodes[node] = lost
    monkeypatch.setattr(backplane, "append", append)
    go_on.set()
    list(whole(pieces))


def test_other_processes_are_shown_the_states_of_a_task_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = make(Remote())
    board, shown = server.core.tasks._board, []
    show = board.show
    ending: list[threading.Thread] = []

    def show_late(task: Task) -> None:
        if task.message == "halfway":
            # The server ends at this moment.
            ending.append(threading.Thread(target=server.core.tasks.close))
            ending[0].start()
            ending[0].join(0.2)
        shown.append(task.status)
        show(task)

    monkeypatch.setattr(board, "show", show_late)

    @server.tool(task=True)
    def work(ctx: SyncContext) -> str:
        ctx.report_progress(1, message="halfway")
        while not ctx.cancelled:
            time.sleep(0.01)
        return "done"

    tasks = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    ask(server, "tools/call", {"name": "work", "_meta": meta(capabilities=tasks)})
    until(lambda: "failed" in shown)
    ending[0].join()
    until(lambda: not board._changed and len(shown) == 2)
    assert shown == ["working", "failed"]
    assert not board._paces


@pytest.mark.parametrize("policy", [True, TaskPolicy(deferred=True)], ids=["task", "deferred"])
def test_first_requests_at_once_may_all_start_tasks(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, policy: bool | TaskPolicy
) -> None:
    """Of those one joins the others; the rest wait for it."""
    listen, joining, may_join = processes.backplane.listen, threading.Event(), threading.Event()

    def listen_late(node: str, hear: Callable[[Message], object]) -> Do[None]:
        asked = step(partial(listened, node, hear))

        async def awaited() -> None:
            joining.set()
            await asyncio.to_thread(may_join.wait, SECONDS)
            assert asked.awaited is not None
            await asked.awaited()

        def plain() -> None:
            joining.set()
            may_join.wait(SECONDS)
            asked.do()

        return Do(plain, awaited)

    def listened(node: str, hear: Callable[[Message], object]) -> Flow[None]:
        yield from done(listen(node, hear))

    monkeypatch.setattr(processes.backplane, "listen", listen_late)

    @processes.one.tool(task=policy)
    def order(ctx: SyncContext) -> str:
        ctx.start_task()
        return "tea"

    tasks = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    params = {"name": "order", "arguments": {}, "_meta": meta(capabilities=tasks)}
    headers, body = stateless("tools/call", params)
    first = processes.start(processes.one, "POST", headers, body)
    assert joining.wait(SECONDS)
    second = processes.start(processes.one, "POST", headers, body)
    with pytest.raises(Empty):
        second.get(timeout=0.2)
    may_join.set()
    for pieces in (first, second):
        assert pieces.get(timeout=SECONDS)[0] == 200
        begun = json.loads(b"".join(whole(pieces)))["result"]
        assert begun["resultType"] == "task"
    until(lambda: all(record["status"] == "completed" for record in task_records(processes)))


def task_records(processes: Processes) -> list[dict[str, str]]:
    records = processes.backplane.records
    return [record for key, record in records.items() if key.startswith("t:")]


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def watched(
    on_a_loop: Processes, cut_off: tuple[dict[str, str], Queue[Any], str]
) -> Iterator[tuple[shared_logs._Written, list[Any]]]:
    """A stream that a client reads at the other process, and what that listens with."""
    session, pieces, seen = cut_off
    written = on_a_loop.one.core.protocol._sessions._shared_logs._written
    until(lambda: any(key.startswith("log:") for key in on_a_loop.backplane.records))
    again = resume(on_a_loop, session, seen, "10.0.0.1")
    assert again.get(timeout=SECONDS)[0] == 200
    [stream] = written.values()
    until(lambda: stream.elsewhere)
    # It has been told what there is.
    on_a_loop.one.core._peers.later.__self__.finish(time.monotonic() + SECONDS)
    node = on_a_loop.other.core._peers.node
    listeners = on_a_loop.backplane._nodes.pop(node)
    yield stream, listeners
    on_a_loop.backplane._nodes[node] = listeners
    go_on.set()
    list(whole(pieces))
    # The reader may not be told any more: it looks by itself.
    until(lambda: not written)
    for hear in listeners:
        hear(BEAT)
    list(whole(again))


def test_a_stream_whose_reader_is_lost_with_its_process_has_no_reader(
    on_a_loop: Processes,
    watched: tuple[shared_logs._Written, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, _ = watched
    node = on_a_loop.one.core._peers.node
    for hear in on_a_loop.backplane._nodes[node]:
        hear(BEAT)
    time.sleep(0.1)
    # It may be away for a moment.
    assert stream.log.unread_seconds() == 0.0
    monkeypatch.setattr(peers, "MISSING_SECONDS", 0.0)
    for hear in on_a_loop.backplane._nodes[node]:
        hear(BEAT)
    until(stream.log.unread_seconds)


def test_a_process_that_could_not_be_told_of_news_asks_for_them_again(
    on_a_loop: Processes, watched: tuple[shared_logs._Written, list[Any]]
) -> None:
    stream, listeners = watched
    stream.log.append(b": news\n\n")
    until(stream.log.unread_seconds)
    on_a_loop.backplane._nodes[on_a_loop.other.core._peers.node] = listeners
    for hear in listeners:
        hear(RESYNC)
    until(lambda: stream.log.unread_seconds() == 0.0)


def test_of_missing_processes_a_bounded_number_is_remembered() -> None:
    one = make(Bare()).core._peers

    def is_lost(node: str) -> bool:
        return bool(step(lambda: one.is_lost(node)).do())

    assert not any(is_lost(str(number)) for number in range(2000))
    assert len(one._missing) == 1000


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
    while backplane.records[key]["status"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "counted" in backplane.records[key]["outcome"]
    assert len(backplane.published_messages) < 500


def parts_of(part: Any, seen: dict[int, Any]) -> dict[int, Any]:
    """A part of a server, and its parts, by their identity."""
    if id(part) not in seen and type(part).__module__.startswith("mcp_mount."):
        seen[id(part)] = part
        for one in list(vars(part).values()) if hasattr(part, "__dict__") else ():
            parts_of(getattr(one, "__self__", one), seen)
    return seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("store", [None, "redis://localhost"], ids=["in memory", "in Redis"])
@pytest.mark.parametrize("make", [lambda: None, Remote], ids=["alone", "of several"])
def test_a_forked_process_waits_for_no_thread_of_its_parent(
    make: Callable[[], Remote | None], store: str | None
) -> None:
    server = MCPServer("shop", open=True, secret_key="k", backplane=make(), store=store)
    ask(server, "tools/list")
    owners = [one for one in parts_of(server.core, {}).values() if hasattr(one, "_lock")]
    names = {type(one).__name__ for one in owners}
    assert names > {"TaskBoard", "SharedLogs", "KeptLogs", "Changes", "LocalTasks", "Outbox"}
    is_held, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for one in {id(one._lock): one._lock for one in owners}.values():
                stack.enter_context(one)
            is_held.set()
            is_over.wait(SECONDS)

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(SECONDS)
    child = os.fork()
    if child == 0:
        held = [type(one).__name__ for one in owners if not one._lock.acquire(blocking=False)]
        os.write(2, " ".join(held).encode())
        os._exit(len(held))
    status = os.waitpid(child, 0)[1]
    is_over.set()
    holder.join()
    assert status == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_has_served_nobody() -> None:
    server = MCPServer("shop", open=True, secret_key="k", backplane=Remote())
    ask(server, "tools/list")
    peers = server.core._peers
    assert peers.is_serving
    child = os.fork()
    if child == 0:
        os._exit(int(peers.is_serving))
    assert os.waitpid(child, 0)[1] == 0
    assert peers.is_serving
