"""Clients of providers and agents as models, which are recognised by their methods.

The objects here have the methods of the packages, which are no dependencies of the tests.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from mcp_mount import CompletionsRouter, DefinitionError
from mcp_mount.backends.models.given import model_of
from mcp_mount.models import ClientModel, ModelError, ToolCall, Usage
from tests.backends.models.asking import ask, ask_in_pieces, tool
from tests.upstream import AnthropicForm, OpenAIForm

STREAMS = (False, True)


class Said(BaseModel):
    """Something that a package has read: a model that keeps all members."""

    model_config = ConfigDict(extra="allow")


class Stream:
    """A stream of a package, of either kind; a failure ends it."""

    def __init__(self, pieces: list[Any]) -> None:
        self._pieces = pieces
        self.is_closed = False

    def _next(self) -> Iterator[Said]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield Said.model_validate(piece)

    def __iter__(self) -> Iterator[Said]:
        return self._next()

    def close(self) -> None:
        self.is_closed = True


class AsyncStream(Stream):
    async def __aiter__(self) -> AsyncIterator[Said]:
        for piece in self._next():
            yield piece

    async def close(self) -> None:  # type: ignore[override]
        self.is_closed = True


class SomeClient:
    """Has the methods of a client of openai or anthropic."""

    def __init__(self, form: Any, behaviour: str = "ok", failure: Exception | None = None) -> None:
        self._form = form
        self._behaviour = behaviour
        self._failure = failure
        self.asked: dict[str, Any] = {}
        self.stream: Any = None
        if form is OpenAIForm:
            self.chat = SimpleNamespace(completions=SimpleNamespace(create=self.create))
        else:
            self.messages = SimpleNamespace(create=self.create)

    def create(self, *, extra_body: dict[str, Any], **arguments: Any) -> Any:
        self.asked = {**arguments, **extra_body}
        if not arguments["stream"]:
            if self._failure:
                raise self._failure
            return Said.model_validate(self._form(self.asked).whole(self._behaviour))
        pieces: list[Any] = self._form(self.asked).data(self._behaviour)
        if self._failure:
            pieces[2:] = [self._failure]
        self.stream = self.kind(pieces)
        return self.stream

    kind = Stream


class SomeAsyncClient(SomeClient):
    kind = AsyncStream

    def create(self, **arguments: Any) -> Any:
        async def create() -> Any:
            return super(SomeAsyncClient, self).create(**arguments)

        return create()

    async def __aenter__(self) -> Any: ...


CLIENTS = [
    pytest.param(kind, form, id=f"{kind.__name__}-{form.__name__}")
    for kind in (SomeClient, SomeAsyncClient)
    for form in (OpenAIForm, AnthropicForm)
]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("kind", "form"), CLIENTS)
def test_a_client_of_a_provider_answers(kind: Any, form: Any, stream: bool) -> None:
    client = kind(form)
    model = ClientModel(client, "m", defaults={"top_p": 0.5})
    said, pieces = ask_in_pieces(model, stream=stream, temperature=0.1)
    assert (said.text, said.finish, said.model) == ("Hello you there", "stop", "stand-in-m")
    assert said.usage is not None
    assert (said.usage.input_tokens, said.usage.output_tokens) == (11, 7)
    assert "".join(one.text for one in pieces) == ("Hello you there" if stream else "")
    assert (client.asked["temperature"], client.asked["top_p"]) == (0.1, 0.5)
    if stream:
        assert client.stream.is_closed


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("kind", "form"), CLIENTS)
def test_a_client_of_a_provider_calls_tools(kind: Any, form: Any, stream: bool) -> None:
    model = ClientModel(kind(form, "tools"), "m")
    said = ask(model, stream=stream, tools=[tool("a", number={})])
    assert [(one.name, one.arguments) for one in said.tool_calls] == [("a", {"number": 1})]
    assert said.finish == "tool_calls"


class APIError(Exception):
    body: Any = None


class APIStatusError(APIError):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"Error code: {status}")
        self.status_code = status
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = SimpleNamespace(headers=named or {"retry-after": "7"})
        self.body = {"message": "Slow down", "code": "slow"}


class APIConnectionError(APIError): ...


class APITimeoutError(APIConnectionError): ...


class TransportError(Exception): ...


FAILURES: list[tuple[Exception, tuple[int, float | None, str]]] = [
    (APIStatusError(429), (429, 7, "The upstream model refuses the request: Slow down")),
    (APIStatusError(401), (502, None, "The upstream model does not serve this server")),
    (APIStatusError(503), (502, 7, "The upstream model fails")),
    (APITimeoutError("Request timed out."), (504, None, "does not answer in time")),
    (APIConnectionError("Connection error."), (502, None, "cannot be reached")),
    (TransportError("peer closed connection"), (502, None, "cannot be reached")),
    (APIError("Overloaded"), (502, None, "breaks off: Overloaded")),
    (APIStatusError(200), (502, None, "breaks off: Slow down")),
]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("kind", "form"), CLIENTS)
@pytest.mark.parametrize(("failure", "expected"), FAILURES)
def test_failures_of_a_client_are_model_errors(
    failure: Exception, expected: tuple[int, float | None, str], kind: Any, form: Any, stream: bool
) -> None:
    client = kind(form, failure=failure)
    with pytest.raises(ModelError, match=expected[2]) as caught:
        ask(ClientModel(client, "m"), stream=stream)
    assert (caught.value.status, caught.value.retry_after) == expected[:2]
    if stream:
        assert client.stream.is_closed


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "2", "retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"retry_after": "-3"}, 0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
    ],
)
def test_an_upstream_says_when_to_come_again(
    headers: dict[str, str], expected: float | None
) -> None:
    client = SomeClient(OpenAIForm, failure=APIStatusError(429, **headers))
    with pytest.raises(ModelError) as caught:
        ask(ClientModel(client, "m"))
    assert caught.value.retry_after == expected


def test_other_failures_of_a_client_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        ask(ClientModel(SomeClient(OpenAIForm, failure=ZeroDivisionError()), "m"))


@pytest.mark.parametrize("given", [SomeClient(OpenAIForm), SomeClient(AnthropicForm)])
def test_a_client_needs_the_name_of_a_model(given: Any) -> None:
    with pytest.raises(DefinitionError, match=r"ClientModel\(client, 'NAME'\)"):
        CompletionsRouter().add_model("gpt", given)


@pytest.mark.parametrize("given", [3, object(), ClientModel])
def test_other_objects_are_no_models(given: Any) -> None:
    with pytest.raises(DefinitionError, match="a chat model is"):
        CompletionsRouter().add_model("gpt", given)
    with pytest.raises(DefinitionError, match="ClientModel takes a client"):
        ClientModel(given, "m")


class Message:
    """A message of LangChain, or a piece of one."""

    type = "ai"

    def __init__(self, content: Any = "", **attributes: Any) -> None:
        self.content = content
        self.usage_metadata = None
        self.response_metadata: dict[str, Any] = {}
        self.additional_kwargs: dict[str, Any] = {}
        vars(self).update(attributes)


class LangChainModel:
    """Has the methods of LangChain's chat models."""

    def __init__(self, *messages: Any) -> None:
        self._messages = messages
        self.asked: list[Any] = []

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        self.asked.append((tools, options))
        return self

    async def ainvoke(self, messages: Any, **options: Any) -> Any:
        self.asked.append((messages, options))
        return self._messages[0]

    async def astream(self, messages: Any, **options: Any) -> AsyncIterator[Any]:
        self.asked.append((messages, options))
        for message in self._messages:
            yield message


class Graph:
    """Has the methods of LangGraph's agents."""

    def get_state(self) -> None: ...

    async def ainvoke(self, given: Any) -> Any:
        called = Message(usage_metadata={"input_tokens": 3})
        last = Message("Hello", usage_metadata={**COUNTS, "input_tokens": 0})
        return {"messages": [*given["messages"], called, Message("Sunny", type="tool"), last]}

    async def astream(self, given: Any, *, stream_mode: str) -> AsyncIterator[Any]:
        assert stream_mode == "messages"
        calls = [{"name": "a", "args": "{}", "id": "1", "index": 0}]
        yield Message(tool_call_chunks=calls), {}
        yield Message("Sunny", type="tool"), {}
        yield Message("Hel"), {}
        yield Message("lo", usage_metadata=COUNTS), {}


COUNTS = {
    "input_tokens": 3,
    "output_tokens": 2,
    "input_token_details": {"cache_read": 1},
    "output_token_details": {"reasoning": 1},
}


def test_a_chat_model_of_langchain_answers() -> None:
    calls = [{"name": "a", "args": {"x": 1}, "id": "1"}]
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}]
    about = {"stop_reason": "tool_use", "model_name": "m"}
    own = LangChainModel(
        Message(parts, tool_calls=calls, usage_metadata=COUNTS, response_metadata=about)
    )
    said = ask(model_of(own), temperature=0.1, tools=[tool("a")], tool_choice="auto")
    assert (said.text, said.reasoning, said.model) == ("Hello", "hm", "m")
    assert said.tool_calls == [ToolCall("a", {"x": 1}, "1")]
    assert (said.finish, said.usage) == ("tool_calls", Usage(3, 2, 1, 1))
    (tools, options), (messages, others) = own.asked
    assert (tools, options) == ([tool("a")], {"tool_choice": "auto"})
    assert messages == [{"role": "user", "content": "Hello you there"}]
    assert others == {"temperature": 0.1}


def test_a_chat_model_of_langchain_answers_in_pieces() -> None:
    half = {"input_tokens": 3}
    other = {**COUNTS, "input_tokens": 0}
    pieces = [
        Message("Hel", usage_metadata=half),
        Message("lo"),
        Message(tool_call_chunks=[{"name": "a", "args": '{"x"', "id": "1", "index": 0}]),
        Message(tool_call_chunks=[{"name": None, "args": ":1}", "id": None, "index": 0}]),
        Message(usage_metadata=other, response_metadata={"finish_reason": "tool_calls"}),
    ]
    said, deltas = ask_in_pieces(model_of(LangChainModel(*pieces)), stream=True)
    assert (said.text, said.tool_calls) == ("Hello", [ToolCall("a", {"x": 1}, "1")])
    assert [one.text for one in deltas if one.text] == ["Hel", "lo"]
    assert said.usage == Usage(3, 2, 1, 1)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_chain_of_langchain_answers(stream: bool) -> None:
    class Chain:
        async def ainvoke(self, messages: Any) -> str:
            return "Hello"

        async def astream(self, messages: Any) -> AsyncIterator[str]:
            yield "Hel"
            yield "lo"

    assert ask(model_of(Chain()), stream=stream, temperature=1).text == "Hello"


@pytest.mark.parametrize("stream", STREAMS)
def test_an_agent_of_langgraph_keeps_its_tools_for_itself(stream: bool) -> None:
    said = ask(model_of(Graph()), stream=stream, tools=[tool("b")])
    assert (said.text, said.tool_calls, said.finish) == ("Hello", [], "stop")
    assert said.usage == Usage(3, 2, 1, 1)


class PydanticAgent:
    """Has the methods of pydantic-ai's agents."""

    output_type: Any = str

    def __init__(self, output: Any = "Hello", usage: Any = None) -> None:
        self._output = output
        self._usage = usage or SimpleNamespace(input_tokens=3, output_tokens=2, cache_read_tokens=1)
        self.asked: dict[str, Any] = {}

    async def run(self, **arguments: Any) -> Any:
        self.asked = arguments
        response = SimpleNamespace(model_name="m")
        return SimpleNamespace(output=self._output, usage=self._usage, response=response)

    @asynccontextmanager
    async def run_stream(self, **arguments: Any) -> AsyncIterator[Any]:
        self.asked = arguments

        async def stream_text(*, delta: bool) -> AsyncIterator[str]:
            assert delta
            yield "Hel"
            yield "lo"

        yield SimpleNamespace(usage=self._usage, stream_text=stream_text)


@pytest.fixture
def pydantic_ai(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(messages: list[Any]) -> list[Any]:
        return [
            SimpleNamespace(
                kind=one["kind"], parts=[SimpleNamespace(**part) for part in one["parts"]]
            )
            for one in messages
        ]

    adapter = SimpleNamespace(validate_python=read)
    messages = SimpleNamespace(ModelMessagesTypeAdapter=adapter)
    monkeypatch.setitem(sys.modules, "pydantic_ai.messages", messages)  # type: ignore[arg-type]


CONVERSATION = [
    {"role": "system", "content": "Be kind"},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "three"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        ],
    },
]


@pytest.mark.parametrize("stream", STREAMS)
def test_an_agent_of_pydantic_ai_answers(stream: bool, pydantic_ai: None) -> None:
    agent = PydanticAgent()
    options = {"temperature": 0.1, "stop": ["x"], "top_k": 3}
    said, deltas = ask_in_pieces(model_of(agent), CONVERSATION, stream=stream, **options)
    assert (said.text, said.usage) == ("Hello", Usage(3, 2, 1))
    texts = [one.text for one in deltas if one.text]
    assert texts == (["Hel", "lo"] if stream else [])
    picture = {"kind": "binary", "data": "AA==", "media_type": "image/png"}
    assert agent.asked["user_prompt"] == ["three", picture]
    history = [(one.kind, one.parts[0].content) for one in agent.asked["message_history"]]
    assert history == [("request", "Be kind"), ("request", "one"), ("response", "two")]
    assert agent.asked["model_settings"] == {"temperature": 0.1, "stop_sequences": ["x"]}


@pytest.mark.parametrize("stream", STREAMS)
def test_an_agent_that_returns_no_text_returns_json(stream: bool, pydantic_ai: None) -> None:
    class Mood(BaseModel):
        word: str

    agent = PydanticAgent(Mood(word="fine"))
    agent.output_type = Mood
    said, deltas = ask_in_pieces(model_of(agent), stream=stream)
    assert said.text == '{"word":"fine"}'
    assert "".join(one.text for one in deltas) == (said.text if stream else "")


def test_the_usage_of_an_agent_may_be_a_method(pydantic_ai: None) -> None:
    usage: Callable[[], Any] = lambda: SimpleNamespace(input_tokens=3, output_tokens=2)  # noqa: E731
    assert ask(model_of(PydanticAgent(usage=usage))).usage == Usage(3, 2)


@pytest.mark.parametrize("given", [PydanticAgent(), LangChainModel()])
def test_an_agent_gives_one_answer(given: Any, pydantic_ai: None) -> None:
    with pytest.raises(ModelError) as caught:
        ask(model_of(given), n=2)
    assert (caught.value.status, caught.value.param) == (400, "n")


def test_the_last_message_for_an_agent_is_the_users(pydantic_ai: None) -> None:
    with pytest.raises(ModelError) as caught:
        ask(model_of(PydanticAgent()), CONVERSATION[:3])
    assert (caught.value.status, caught.value.param) == (400, "messages")
