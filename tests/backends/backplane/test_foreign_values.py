"""Values in Redis that this library has not written: they harm nobody but who reads them, and what
clients send takes no more room there than it must."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest
from pydantic import BaseModel

from mcp_mount import Context, MCPServer, TaskPolicy
from mcp_mount.backends.backplane import redis, redis_node
from mcp_mount.backends.backplane.redis import RedisBackplane
from mcp_mount.calls.backplane import BackplaneRefused, Message
from mcp_mount.protocol import Reply, Request
from tests.requests import Session, ask, message, meta
from tests.valkey import Valkey

SECONDS = 20
TASKS = meta(capabilities={"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}})
DEEP = "[" * 100_000
LARGE = "x" * 300_000


class Sure(BaseModel):
    sure: bool


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture(autouse=True)
def readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends what reads in this process for the servers of a test."""
    made: list[redis_node.RedisNode] = []

    class Reader(redis_node.RedisNode):
        def start(self) -> None:
            made.append(self)
            super().start()

    def running() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if one.name == "mcp-mount-backplane"}

    monkeypatch.setattr(redis_node, "_BLOCK_SECONDS", 0.05)
    monkeypatch.setattr(redis, "RedisNode", Reader)
    before = running()
    yield
    for one in made:
        one.stop()
    until(lambda: running() <= before)


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Any]:
    with valkey.admin() as opened:
        opened.flushall()
        yield opened


def make(valkey: Valkey) -> MCPServer:
    server = MCPServer("shop", secret_key="k", backplane=valkey.url, open=True)

    @server.tool(task=TaskPolicy(ttl=60))
    async def job(ctx: Context) -> str:
        answer = await ctx.elicit("Sure?", Sure)
        return "sure" if answer.data and answer.data.sure else "unsure"

    @server.tool
    async def chatter(ctx: Context) -> str:
        await ctx.info("hello")
        return "said"

    return server


@pytest.fixture
def servers(valkey: Valkey, client: Any) -> tuple[MCPServer, MCPServer]:
    """Two processes, as far as Redis can tell."""
    return make(valkey), make(valkey)


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def asked(server: MCPServer, method: str, task: str, **params: Any) -> Any:
    return ask(server, method, {"taskId": task, "_meta": TASKS, **params})


def sent(server: MCPServer, session: Session, method: str, body: Any = None, **more: str) -> str:
    """The body of a response, whole."""
    raw = b"" if body is None else json.dumps(body).encode()
    headers = {**session.headers, **{name.replace("_", "-"): one for name, one in more.items()}}
    reply = server.core.wsgi_endpoint.respond_to(Request(method, headers, raw))
    whole = [reply.body] if isinstance(reply, Reply) else list(reply.events)
    return b"".join(whole).decode()


def begun(server: MCPServer, client: Any) -> str:
    """The id of a task that waits for an answer, as others see it."""
    made = ask(server, "tools/call", {"name": "job", "_meta": TASKS})["result"]
    task: str = made["taskId"]
    key = f"mcp-mount:1:shop:t:{task}"
    until(lambda: client.hget(key, "status") == "input_required")
    return task


@pytest.mark.parametrize("text", ["word", "[]", "5", '{"kind":[]}', "{}", DEEP, b"\xff\xfe"])
def test_what_is_no_message_is_passed_over(valkey: Valkey, client: Any, text: Any) -> None:
    backplane, heard = RedisBackplane(valkey.url, lambda: "shop"), Queue[Message]()
    stop = backplane.listen("one", heard.put).do()
    place = backplane.published(None).do().place
    for key in client.keys("*:changes") + client.keys("*:n:one"):
        client.xadd(key, {"m": text})
        client.xadd(key, {"other": "x"})
    backplane.publish({"kind": "news"}).do()
    backplane.send("one", {"kind": "answer"}).do()
    kinds: set[str] = set()
    while not {"news", "answer"} <= kinds:
        kinds.add(heard.get(timeout=SECONDS)["kind"])
    assert kinds <= {"news", "answer", "begin", "beat"}
    assert backplane.published(place).do().messages == [{"kind": "news"}]
    stop()


def test_a_key_of_another_type_is_told_apart_from_an_outage(valkey: Valkey, client: Any) -> None:
    backplane = RedisBackplane(valkey.url, lambda: "shop")
    client.set("mcp-mount:1:shop:s:one", "foreign")
    with pytest.raises(BackplaneRefused):
        backplane.session("one").do()
    with pytest.raises(BackplaneRefused):
        backplane.set_log_level("one", "error", ttl=60).do()


@pytest.mark.parametrize("which", [[], {}, 5])
def test_a_change_of_nothing_is_none(
    servers: tuple[MCPServer, MCPServer], client: Any, which: Any
) -> None:
    session = Session(servers[0], "2025-11-25")
    client.delete("mcp-mount:1:{shop}:changes")
    stream = sent(servers[0], session, "GET")
    place = next(line for line in stream.splitlines() if line.startswith("id: "))[4:]
    for what in ("resource", "closing", [], None):
        text = json.dumps({"kind": "change", "what": what, "which": which})
        client.xadd("mcp-mount:1:{shop}:changes", {"m": text})
    client.xadd("mcp-mount:1:{shop}:changes", {"m": '{"kind":"change"}'})
    assert "notifications" not in sent(servers[1], session, "GET", last_event_id=place)


@pytest.mark.parametrize("damage", ["", "word", "[[]]", "5e400", "NaN", "-1", DEEP, b"\xff", None])
@pytest.mark.parametrize("field", ["ttl", "created", "caller", "needs", "message", "requests"])
def test_a_task_that_cannot_be_read_is_none(
    servers: tuple[MCPServer, MCPServer], client: Any, field: str, damage: Any
) -> None:
    task = begun(servers[0], client)
    key = f"mcp-mount:1:shop:t:{task}"
    if damage is None:
        client.hdel(key, field)
    else:
        client.hset(key, field, damage)
    for method, params in (
        ("tasks/get", {}),
        ("tasks/update", {"inputResponses": {}}),
        ("tasks/cancel", {}),
    ):
        error = asked(servers[1], method, task, **params)["error"]
        assert error["message"] == "There is no such task, or it has expired"


@pytest.mark.parametrize("item", ["word", "5", "[]", "null", DEEP, b"\xff"])
def test_what_is_no_answer_answers_nothing(
    servers: tuple[MCPServer, MCPServer], client: Any, item: Any
) -> None:
    task = begun(servers[0], client)
    client.rpush(f"mcp-mount:1:shop:t:{task}:a", item)
    for server in servers:
        [key] = asked(server, "tasks/get", task)["result"]["inputRequests"]
    yes = {key: {"action": "accept", "content": {"sure": True}}}
    asked(servers[1], "tasks/update", task, inputResponses=yes)
    ended = until(lambda: asked(servers[1], "tasks/get", task)["result"].get("result"))
    assert ended["content"][0]["text"] == "sure"


@pytest.mark.parametrize("level", ["loud", "", b"\xff"])
def test_an_unknown_log_level_is_none(
    servers: tuple[MCPServer, MCPServer], client: Any, level: Any
) -> None:
    session = Session(servers[0], "2025-11-25")
    session.ask("logging/setLevel", {"level": "error"})
    [key] = client.keys("mcp-mount:1:shop:s:*")
    client.hset(key, "level", level)
    assert session.ask("ping") == {"jsonrpc": "2.0", "id": 1, "result": {}}
    call = message("tools/call", {"name": "chatter", "arguments": {}})
    told = sent(servers[0], session, "POST", call)
    assert "hello" in told
    assert "said" in told


@pytest.mark.parametrize(
    "record",
    [
        {"node": "n"},
        {"node": "n", "id": "word", "needs": "[]"},
        {"node": "n", "id": "{}", "needs": "[]"},
        {"node": "n", "id": "1", "needs": "5"},
        {"node": "n", "id": "1", "needs": "[[]]"},
        {"node": "n", "id": "1", "needs": DEEP},
        {"node": "n", "id": "1", "needs": b"\xff"},
    ],
)
def test_a_stream_that_cannot_be_read_is_not_kept(
    servers: tuple[MCPServer, MCPServer], client: Any, record: dict[str, Any]
) -> None:
    session = Session(servers[0], "2025-11-25")
    session.ask("logging/setLevel", {"level": "error"})
    [key] = client.keys("mcp-mount:1:shop:s:*")
    client.hset(f"mcp-mount:1:shop:log:{key.rpartition(':')[2]}.{'0' * 16}", mapping=record)
    assert "not kept" in sent(servers[1], session, "GET", last_event_id="0" * 16 + ".1")


def test_what_is_no_event_is_left_out(servers: tuple[MCPServer, MCPServer], client: Any) -> None:
    session = Session(servers[0], "2025-11-25")
    session.ask("logging/setLevel", {"level": "error"})
    [key] = client.keys("mcp-mount:1:shop:s:*")
    log = f"mcp-mount:1:shop:log:{key.rpartition(':')[2]}.{'0' * 16}"
    client.hset(log, mapping={"node": "n", "id": "1", "needs": "[]", "ended": "1"})
    client.rpush(f"{log}:e", "", "word", "12", "e", "9" * 30 + "edata", b"\xff", "2edata: {}\n\n")
    assert sent(servers[1], session, "GET", last_event_id="0" * 16 + ".1") == "data: {}\n\n"


def test_what_a_process_has_read_is_not_kept(valkey: Valkey, client: Any) -> None:
    backplane, heard = RedisBackplane(valkey.url, lambda: "shop"), Queue[Message]()
    stop = backplane.listen("one", heard.put).do()
    for number in range(20):
        backplane.send("one", {"kind": "answer", "number": number, "text": LARGE}).do()
    numbers = []
    while len(numbers) < 20:
        one = heard.get(timeout=SECONDS)
        numbers += [one["number"]] if one["kind"] == "answer" else []
    assert numbers == list(range(20))
    [key] = client.keys("*:n:one")
    until(lambda: client.xlen(key) <= 2)
    backplane.send("one", {"kind": "last"}).do()
    while heard.get(timeout=SECONDS)["kind"] != "last":
        pass
    stop()


def test_a_cancellation_with_a_long_id_is_told_to_nobody(
    servers: tuple[MCPServer, MCPServer], client: Any
) -> None:
    session = Session(servers[0], "2025-11-25")
    for request in (LARGE, "short"):
        params = {"requestId": request}
        session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
    told = [json.loads(fields["m"]) for _, fields in client.xrange("mcp-mount:1:{shop}:changes")]
    assert [one["id"] for one in told if one["kind"] == "cancelled"] == ["short"]


def test_answers_to_no_question_of_a_task_do_not_pile_up(
    servers: tuple[MCPServer, MCPServer], client: Any
) -> None:
    task = begun(servers[0], client)
    key = f"mcp-mount:1:shop:t:{task}:a"
    seen = [
        asked(servers[1], "tasks/update", task, inputResponses={f"no-{number}": LARGE})
        for number in range(10)
    ]
    assert [name for one in seen for name in ("result", "error") if name in one] == [
        *["result"] * 3,
        *["error"] * 7,
    ]
    assert sum(map(len, client.lrange(key, 0, -1))) < 1024 * 1024
    # Those to a question are taken, however large, and once.
    [question] = asked(servers[1], "tasks/get", task)["result"]["inputRequests"]
    kept = client.llen(key)
    yes = {"action": "accept", "content": {"sure": True}, "_meta": {"x": LARGE * 4}}
    for _ in range(3):
        assert "result" in asked(servers[1], "tasks/update", task, inputResponses={question: yes})
    assert client.llen(key) == kept + 1
    until(lambda: asked(servers[1], "tasks/get", task)["result"]["status"] == "completed")
    asked(servers[1], "tasks/update", task, inputResponses={"late": {}})
    assert client.llen(key) == kept + 1
