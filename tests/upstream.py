"""A stand-in for the servers of model providers, over real HTTP on loopback.

It speaks OpenAI's chat completions and embeddings, and Anthropic's Messages API. How it answers is
said by the name of the model that it is asked for, so that it can be told so from every process:

- a status such as "429" or "500": an error of this status ("429" with `Retry-After: 7`)
- "ok", and any other name: the text of the last message, each word as a piece
- "tools": a call of each tool of the request, in pieces that are mixed; "reasoning": thinks first
- "signed", "named", "gemini", "none": reasons, calls a tool, and wants it back (`reasoning.py`)
- "length", "refusal": ends so
- "slow": 50 ms before each piece; "endless": pieces until the client leaves
- "stall": nothing at all; "hang": nothing after the first piece
- "drop": the connection is cut in the middle; "cut": the stream ends before the answer does
- "error": an error event in the middle of a stream
- "tells": status 400, with the headers of the request in the message
- "garbage", "html": what is no answer, with status 200; "huge": an answer without end

Several names with commas are for one request after the other, the last one for all others: "500,ok"
fails once. A name after a colon tells models apart: "ok:first".

`python -m tests.upstream 8100` serves it; `GET /counts` returns what it was asked.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from typing import Any

import pytest
import uvicorn

from sample_projects.processes import free_port
from tests.reasoning import reasoned

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
ANTHROPIC_USAGE = {
    "input_tokens": 7,
    "cache_read_input_tokens": 4,
    "cache_creation_input_tokens": 0,
    "output_tokens": 7,
}
PIECE_SECONDS = 0.05


class Upstream:
    """The stand-in, as an ASGI application that counts.

    Attributes:
        url: Where it is served, without a path.
        requests: What it was asked: `path`, `headers` and `body` of each request, in order.
        asked: How often it was asked for each model.
        open: How many requests it is answering.
        most_open: The most at one time.
        left: How many clients have left before the end of their answer.
        raw: What to answer in place of all else: a content type and a body, in small pieces.
    """

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.server: uvicorn.Server | None = None
        self.open = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was asked."""
        self.requests: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.most_open = self.open
        self.left = 0
        self.raw: tuple[str, bytes] | None = None

    @property
    def connections(self) -> int:
        """How many connections are open, idle ones of clients' pools included."""
        assert self.server is not None
        return len(self.server.server_state.connections)

    def counts(self) -> dict[str, Any]:
        """What `GET /counts` returns."""
        return {
            "asked": dict(self.asked),
            "open": self.open,
            "most_open": self.most_open,
            "left": self.left,
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _body(receive)
        if scope["path"] == "/counts":
            await _Answer(send).json(self.counts())
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked = _asked(headers, body)
        name = asked["model"]
        request = {"path": scope["path"], "query": scope["query_string"].decode(), "body": asked}
        self.requests.append({**request, "headers": headers, "port": scope["client"][1]})
        turns = name.partition(":")[0].split(",")
        behaviour = turns[min(self.asked[name], len(turns) - 1)]
        self.asked[name] += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        answer = _Answer(send)
        if self.raw is not None:
            answering = asyncio.ensure_future(answer.raw(*self.raw))
        elif behaviour == "tells":
            answering = asyncio.ensure_future(answer.json({"error": json.dumps(headers)}, 400))
        else:
            answering = asyncio.ensure_future(_answer(scope["path"], asked, behaviour, answer))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.left += 1
                return
            await answering
        finally:
            self.open -= 1
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _asked(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """What a request asks: JSON, or a form, whose files are under "files"."""
    kind = headers.get("content-type", "")
    if not kind.startswith("multipart/"):
        whole: dict[str, Any] = json.loads(body)
        return whole
    form = message_from_bytes(b"content-type: %b\r\n\r\n%b" % (kind.encode(), body))
    asked: dict[str, Any] = {"files": []}
    for part in form.get_payload():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if part.get_filename() is None:
            asked[name] = data.decode()
        else:
            about = (name, part.get_filename(), part.get_content_type(), data)
            asked["files"].append(about)
    return asked


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Dropped(Exception):
    """Ends a connection in the middle of an answer."""


class _Answer:
    """Writes a response."""

    def __init__(self, send: Any) -> None:
        self._send = send

    async def start(self, status: int = 200, kind: str = "application/json", **more: str) -> None:
        headers = {"content-type": kind, "x-request-id": "req_1", **more}
        named = [(name.replace("_", "-").encode(), one.encode()) for name, one in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": named})

    async def write(self, data: bytes, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def raw(self, kind: str, data: bytes) -> None:
        await self.start(kind=kind)
        size = 1 + len(data) // 2000
        for begin in range(0, len(data), size):
            await self.write(data[begin : begin + size])
        await self.write(b"", more=False)

    async def json(self, value: Any, status: int = 200, **headers: str) -> None:
        await self.start(status, **headers)
        await self.write(json.dumps(value).encode(), more=False)


async def _answer(path: str, asked: dict[str, Any], behaviour: str, answer: _Answer) -> None:
    if behaviour.isdigit():
        headers = {"retry_after": "7"} if behaviour == "429" else {}
        error = {"type": "stand_in_error", "message": f"The stand-in answers {behaviour}"}
        await answer.json({"type": "error", "error": error}, int(behaviour), **headers)
    elif behaviour in ("signed", "named", "gemini", "none"):
        status, kind, data = reasoned(path, asked, behaviour)
        await answer.start(status, kind)
        await answer.write(data, more=False)
    elif behaviour == "stall":
        await asyncio.Event().wait()
    elif behaviour in ("garbage", "html"):
        kind = "application/json" if behaviour == "garbage" else "text/html"
        await answer.start(kind=kind)
        await answer.write(b"<html><title>Sign in</title></html>", more=False)
    elif behaviour == "huge":
        await answer.start(kind="text/event-stream" if asked.get("stream") else "application/json")
        while True:
            await answer.write(b'{"text": "' + b"x" * 65536)
            # Where the client has left, nothing else lets others run.
            await asyncio.sleep(0)
    elif "/images/" in path:
        await _images(path, asked, behaviour, answer)
    elif path.endswith("/embeddings"):
        await answer.json(_embeddings(asked))
    else:
        form = AnthropicForm(asked) if path.endswith("/messages") else OpenAIForm(asked)
        if asked.get("stream"):
            await _stream(form, behaviour, answer)
        else:
            await _whole(form, behaviour, answer)


async def _whole(form: Any, behaviour: str, answer: _Answer) -> None:
    if behaviour in ("hang", "endless"):
        await asyncio.Event().wait()
    if behaviour == "slow":
        await asyncio.sleep(PIECE_SECONDS)
    if behaviour in ("drop", "cut"):
        whole = json.dumps(form.whole("ok")).encode()
        await answer.start(content_length=str(len(whole)))
        await answer.write(whole[: len(whole) // 2])
        raise Dropped
    await answer.json(form.whole(behaviour))


async def _stream(form: Any, behaviour: str, answer: _Answer) -> None:
    await answer.start(kind="text/event-stream")
    async for number, event in _events(form, behaviour):
        if behaviour == "slow":
            await asyncio.sleep(PIECE_SECONDS)
        await answer.write(event)
        if number == form.first_text:
            if behaviour == "hang":
                await asyncio.Event().wait()
            elif behaviour == "drop":
                raise Dropped
            elif behaviour == "cut":
                break
            elif behaviour == "error":
                await answer.write(form.error())
                break
    await answer.write(b"", more=False)


async def _events(form: Any, behaviour: str) -> AsyncIterator[tuple[int, bytes]]:
    for number, event in enumerate(form.events(behaviour)):
        yield number, event
        if behaviour == "endless" and number == form.first_text:
            while True:
                await asyncio.sleep(0.005)
                yield -1, event


class _Form:
    def events(self, behaviour: str) -> Iterator[bytes]:
        raise NotImplementedError

    def data(self, behaviour: str) -> list[Any]:
        """The data of the events, decoded, without the one that ends the stream."""
        lines = [line for event in self.events(behaviour) for line in event.split(b"\n")]
        texts = [line[6:] for line in lines if line.startswith(b"data: ")]
        return [json.loads(text) for text in texts if text != b"[DONE]"]


class OpenAIForm(_Form):
    """Answers in OpenAI's form."""

    first_text = 1

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked

    def whole(self, behaviour: str) -> dict[str, Any]:
        calls = [
            {
                "id": f"call_{index}",
                "type": "function",
                "function": {"name": tool["function"]["name"], "arguments": '{"number":1}'},
            }
            for index, tool in enumerate(self._tools(behaviour))
        ]
        message: dict[str, Any] = {"role": "assistant", "content": _said(self._asked)}
        if behaviour == "reasoning":
            message["reasoning_content"] = "Let me think"
        if behaviour == "refusal":
            message |= {"content": None, "refusal": "I will not"}
        if calls:
            message |= {"content": None, "tool_calls": calls}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": f"stand-in-{self._asked['model']}",
            "choices": [
                {
                    "index": index,
                    "message": message,
                    "logprobs": self._logprobs(_said(self._asked)),
                    "finish_reason": _reason(behaviour, calls),
                }
                for index in range(self._asked.get("n", 1))
            ],
            "usage": USAGE,
        }

    def events(self, behaviour: str) -> Iterator[bytes]:
        for choice in range(self._asked.get("n", 1)):
            yield self._chunk({"role": "assistant", "content": ""}, choice=choice)
            tools = self._tools(behaviour)
            if behaviour == "reasoning":
                yield self._chunk({"reasoning_content": "Let me "}, choice=choice)
                yield self._chunk({"reasoning_content": "think"}, choice=choice)
            if behaviour == "refusal":
                yield self._chunk({"refusal": "I will not"}, choice=choice)
            elif not tools:
                for word in _words(self._asked):
                    yield self._chunk({"content": word}, choice=choice, text=word)
            for index, tool in enumerate(tools):
                function = {"name": tool["function"]["name"], "arguments": ""}
                call = {"index": index, "id": f"call_{index}", "type": "function"}
                yield self._chunk({"tool_calls": [{**call, "function": function}]})
            for piece in ('{"num', 'ber":1}'):
                for index in range(len(tools)):
                    call = {"index": index, "function": {"arguments": piece}}
                    yield self._chunk({"tool_calls": [call]})
            yield self._chunk({}, choice=choice, finish=_reason(behaviour, tools))
        if (self._asked.get("stream_options") or {}).get("include_usage"):
            model = f"stand-in-{self._asked['model']}"
            yield _event({"id": "1", "model": model, "choices": [], "usage": USAGE})
        yield b"data: [DONE]\n\n"

    def error(self) -> bytes:
        return _event({"error": {"message": "The stand-in is tired", "type": "server_error"}})

    def _tools(self, behaviour: str) -> list[dict[str, Any]]:
        return self._asked.get("tools") or [] if behaviour == "tools" else []

    def _logprobs(self, text: str) -> Any:
        if not self._asked.get("logprobs"):
            return None
        return {"content": [{"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}]}

    def _chunk(
        self, delta: dict[str, Any], choice: int = 0, finish: str | None = None, text: str = ""
    ) -> bytes:
        one: dict[str, Any] = {"index": choice, "delta": delta, "finish_reason": finish}
        if text:
            one["logprobs"] = self._logprobs(text)
        model = f"stand-in-{self._asked['model']}"
        # As azure and others do, the usage is null until it is known.
        return _event({"id": "1", "model": model, "choices": [one], "usage": None})


class AnthropicForm(_Form):
    """Answers in the form of Anthropic's Messages API."""

    first_text = 3

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked

    def whole(self, behaviour: str) -> dict[str, Any]:
        blocks = [
            {
                "type": "tool_use",
                "id": f"toolu_{index}",
                "name": tool["name"],
                "input": _arguments(tool),
            }
            for index, tool in enumerate(self._tools(behaviour))
        ] or [{"type": "text", "text": "" if behaviour == "refusal" else _said(self._asked)}]
        if behaviour == "reasoning":
            thinking = {"type": "thinking", "thinking": "Let me think", "signature": "s"}
            blocks.insert(0, thinking)
        return {
            **self._head(),
            "content": blocks,
            "stop_reason": self._reason(behaviour, self._tools(behaviour)),
            "usage": ANTHROPIC_USAGE,
        }

    def events(self, behaviour: str) -> Iterator[bytes]:
        usage = {"input_tokens": 7, "cache_read_input_tokens": 4, "output_tokens": 1}
        yield _typed("message_start", message={**self._head(), "content": [], "usage": usage})
        yield _typed("ping")
        index = 0
        if behaviour == "reasoning":
            pieces = ["Let me ", "think"]
            yield from self._block(0, {"type": "thinking", "thinking": ""}, "thinking", pieces)
            yield _typed("content_block_start", index=1, content_block={"type": "redacted"})
            index = 2
        tools = self._tools(behaviour)
        if not tools and behaviour != "refusal":
            block = {"type": "text", "text": ""}
            yield from self._block(index, block, "text", _words(self._asked))
        for number, tool in enumerate(tools):
            block = {"type": "tool_use", "id": f"toolu_{number}", "name": tool["name"], "input": {}}
            text = json.dumps(_arguments(tool))
            pieces = ["", text[:3], text[3:]] if text != "{}" else []
            yield from self._block(index + number, block, "partial_json", pieces)
        delta = {"stop_reason": self._reason(behaviour, tools), "stop_sequence": None}
        yield _typed("message_delta", delta=delta, usage=ANTHROPIC_USAGE)
        yield _typed("message_stop")

    def error(self) -> bytes:
        error = {"type": "overloaded_error", "message": "The stand-in is tired"}
        return _typed("error", error=error)

    def _block(
        self, index: int, block: dict[str, Any], member: str, pieces: list[str]
    ) -> Iterator[bytes]:
        kind = "input_json_delta" if member == "partial_json" else f"{member}_delta"
        yield _typed("content_block_start", index=index, content_block=block)
        for piece in pieces:
            delta = {"type": kind, member: piece}
            yield _typed("content_block_delta", index=index, delta=delta)
        yield _typed("content_block_stop", index=index)

    def _head(self) -> dict[str, Any]:
        model = f"stand-in-{self._asked['model']}"
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": model}

    def _tools(self, behaviour: str) -> list[dict[str, Any]]:
        return self._asked.get("tools") or [] if behaviour == "tools" else []

    def _reason(self, behaviour: str, tools: Any) -> str:
        if behaviour in ("length", "refusal"):
            return {"length": "max_tokens", "refusal": "refusal"}[behaviour]
        return "tool_use" if tools else "end_turn"


def _arguments(tool: dict[str, Any]) -> dict[str, int]:
    return dict.fromkeys(tool["input_schema"].get("properties", {}), 1)


PNG = b"\x89PNG\r\n\x1a\n"


async def _images(path: str, asked: dict[str, Any], behaviour: str, answer: _Answer) -> None:
    """Pictures that tell what was asked for; "gif" gives another format, "url" a URL."""
    size = asked.get("size", "auto")
    data = b"GIF89a" if behaviour == "gif" else PNG + f"{asked['prompt']} {size}".encode()
    encoded = base64.b64encode(data).decode()
    usage = {"total_tokens": 5, "input_tokens": 2, "output_tokens": 3}
    if not asked.get("stream"):
        one = {"url": "http://127.0.0.1/secret"} if behaviour == "url" else {"b64_json": encoded}
        item = {**one, "revised_prompt": f"{asked['prompt']}, revised"}
        await answer.json({"created": 1, "data": [item], "usage": usage})
        return
    kind = "image_edit" if path.endswith("/edits") else "image_generation"
    await answer.start(kind="text/event-stream")
    for index in range(int(asked["partial_images"])):
        partial = base64.b64encode(PNG + str(index).encode()).decode()
        name = f"{kind}.partial_image"
        await answer.write(_typed(name, b64_json=partial, partial_image_index=index))
    if behaviour == "error":
        await answer.write(_event({"error": {"message": "The stand-in is tired"}}))
    elif behaviour != "cut":
        await answer.write(_typed(f"{kind}.completed", b64_json=encoded, usage=usage))
    await answer.write(b"", more=False)


def _embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    texts = asked["input"]
    vectors = [[float(len(text)), 0.5] for text in ([texts] if isinstance(texts, str) else texts)]
    data: list[dict[str, Any]] = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    # The last one first: what counts is the index.
    data.reverse()
    return {"object": "list", "data": data, "model": "stand-in", "usage": usage}


def _said(asked: dict[str, Any]) -> str:
    content = asked["messages"][-1].get("content") or ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    text: str = content
    return text


def _words(asked: dict[str, Any]) -> list[str]:
    first, *others = _said(asked).split(" ")
    return [first, *(f" {word}" for word in others)]


def _reason(behaviour: str, calls: Any) -> str:
    return "length" if behaviour == "length" else "tool_calls" if calls else "stop"


def _event(value: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(value).encode()


def _typed(kind: str, **members: Any) -> bytes:
    data = json.dumps({"type": kind, **members}).encode()
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


@contextmanager
def serving() -> Iterator[Upstream]:
    """Serve a stand-in on a thread, until the block ends."""
    port = free_port()
    upstream = Upstream(f"http://127.0.0.1:{port}")
    config = uvicorn.Config(
        upstream, port=port, log_config=None, log_level=100, lifespan="off", ws="none"
    )
    config.timeout_graceful_shutdown = 1
    config.timeout_keep_alive = 60
    upstream.server = server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.005)
        yield upstream
    finally:
        server.should_exit = True
        thread.join()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, for half a minute at most."""

    async def wait() -> None:
        while not is_so():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), 30)


@pytest.fixture(scope="session")
def served_upstream() -> Iterator[Upstream]:
    with serving() as upstream:
        yield upstream


@pytest.fixture
def upstream(served_upstream: Upstream) -> Upstream:
    """A stand-in upstream that has been asked nothing."""
    served_upstream.reset()
    return served_upstream


if __name__ == "__main__":
    import sys

    uvicorn.run(Upstream(), port=int(sys.argv[1]), log_level="error")
