"""Options of requests that an upstream gets, and those that a client may not choose."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount import CompletionsRouter, DefinitionError, MCPServer
from mcp_mount.backends.models.upstreams.links import fetches_links
from mcp_mount.backends.models.upstreams.options import CHAT_OPTIONS, PassedOptions
from mcp_mount.images import OpenAIImages
from mcp_mount.llm.requests import chat_request
from mcp_mount.models import ClientModel, ModelError, OpenAI, Route
from tests.backends.images.test_upstreams import asked as image_request
from tests.backends.images.test_upstreams import draw
from tests.backends.models.adapters.test_clients import LangChainModel, Message
from tests.backends.models.asking import KINDS, ask, model_of, tool
from tests.routes.test_composition import get
from tests.upstream import Upstream

EXPENSIVE: list[tuple[str, Any]] = [
    ("models", ["dear-model"]),
    ("plugins", [{"id": "web"}]),
    ("provider", {"order": ["dear"]}),
    ("web_search_options", {}),
    ("mcp_servers", [{"type": "url", "url": "https://example.com", "name": "x"}]),
    ("container", {"skills": []}),
    ("extra_headers", {"x": "y"}),
    ("config", {"callbacks": []}),
    ("x" * 1000, 1),
]


def messages_with(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "Read"}, part]}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "value"), EXPENSIVE)
def test_an_option_that_does_more_than_change_the_answer_is_refused(
    kind: str, name: str, value: Any, upstream: Upstream
) -> None:
    with pytest.raises(ModelError, match="not passed on to the model") as caught:
        ask(model_of(kind, upstream), **{name: value})
    error = caught.value
    assert (error.status, error.param, error.again) == (400, name[:100], False)
    assert upstream.requests == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_owner_may_let_an_option_pass(kind: str, upstream: Upstream) -> None:
    ask(model_of(kind, upstream, passes=["models", "mcp_servers"]), models=["a"], mcp_servers=[])
    body = upstream.requests[-1]["body"]
    assert (body["models"], body["mcp_servers"]) == (["a"], [])


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_the_owners_and_pass(kind: str, upstream: Upstream) -> None:
    ask(model_of(kind, upstream, defaults={"mcp_servers": [1], "service_tier": "auto"}))
    body = upstream.requests[-1]["body"]
    assert (body["mcp_servers"], body["service_tier"]) == ([1], "auto")


@pytest.mark.parametrize("kind", KINDS)
def test_options_for_the_account_of_the_owner_are_left_out(kind: str, upstream: Upstream) -> None:
    options = {"store": True, "metadata": {"a": "b"}, "service_tier": "priority"}
    ask(model_of(kind, upstream), stream=True, stream_options={"x": 1}, **options)
    body = upstream.requests[-1]["body"]
    assert not body.keys() & options.keys()
    assert body.get("stream_options") in (None, {"include_usage": True})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "run_by_provider",
    [
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "openrouter:web_search"},
        {"type": "builtin_function", "function": {"name": "$web_search"}},
        {"type": ["function"]},
        {"type": "mcp", "server_url": "https://example.com"},
    ],
)
def test_tools_that_the_provider_runs_are_refused(
    kind: str, run_by_provider: dict[str, Any], upstream: Upstream
) -> None:
    with pytest.raises(ModelError) as caught:
        ask(model_of(kind, upstream), tools=[tool("a"), run_by_provider])
    assert (caught.value.status, caught.value.param) == (400, "tools")
    assert upstream.requests == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_owner_may_let_tools_of_the_provider_pass(kind: str, upstream: Upstream) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    ask(model_of(kind, upstream, passes=("tools",)), tools=[search])
    assert upstream.requests[-1]["body"]["tools"] == [search]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "document", "source": {"type": "file", "file_id": "file-1"}},
        {"type": "input_image", "file_id": "file-1"},
        {
            "type": "document",
            "source": {
                "type": "content",
                "content": [{"type": "image", "source": {"type": "file", "file_id": "file-1"}}],
            },
        },
    ],
)
def test_files_that_the_provider_keeps_are_refused(
    kind: str, part: dict[str, Any], upstream: Upstream
) -> None:
    with pytest.raises(ModelError) as caught:
        ask(model_of(kind, upstream), messages_with(part))
    assert (caught.value.status, caught.value.param) == (400, "messages")
    assert upstream.requests == []


def test_the_owner_may_let_files_of_the_provider_pass(upstream: Upstream) -> None:
    messages = messages_with({"type": "file", "file": {"file_id": "file-1"}})
    ask(model_of("openai", upstream, passes="messages"), messages)
    assert upstream.requests[-1]["body"]["messages"] == messages


@pytest.mark.parametrize("passes", [["model"], ["stream"], [""], [1], 5])
@pytest.mark.parametrize("kind", KINDS)
def test_what_no_request_may_decide_cannot_pass(kind: str, passes: Any, upstream: Upstream) -> None:
    with pytest.raises(DefinitionError, match="passes"):
        model_of(kind, upstream, passes=passes)


def test_embeddings_have_a_list_of_their_own(upstream: Upstream) -> None:
    import asyncio

    model = model_of("openai", upstream)
    with pytest.raises(ModelError) as caught:
        asyncio.run(model.embed(["a"], {"models": ["dear-model"]}))
    assert (caught.value.status, caught.value.param) == (400, "models")
    asyncio.run(model.embed(["a"], {"user": "ann"}))
    assert [one["body"].get("user") for one in upstream.requests] == ["ann"]


def test_pictures_have_a_list_of_their_own(upstream: Upstream) -> None:
    backend = OpenAIImages(f"{upstream.url}/v1", "dall-e-3")
    with pytest.raises(ModelError) as caught:
        draw(backend, image_request(moderation="low"))
    assert (caught.value.status, caught.value.param) == (400, "moderation")
    assert upstream.requests == []
    backend = OpenAIImages(f"{upstream.url}/v1", "dall-e-3", passes=["moderation"])
    draw(backend, image_request(moderation="low"))
    assert upstream.requests[0]["body"]["moderation"] == "low"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_clients_of_providers_have_the_same_list(asynchronous: bool) -> None:
    class Completions:
        def create(self, **given: Any) -> Any:
            asked.append(given)
            message = {"content": "Hello"}
            answer = {"choices": [{"message": message, "finish_reason": "stop"}]}

            async def later() -> Any:
                return answer

            return later() if asynchronous else answer

    class Client:
        class chat:
            completions = Completions()

    if asynchronous:
        Client.__aenter__ = None  # type: ignore[attr-defined]
    asked: list[Any] = []
    with pytest.raises(ModelError, match="plugins"):
        ask(ClientModel(Client(), "m"), plugins=[])
    assert asked == []
    ask(ClientModel(Client(), "m", passes=["plugins"]), plugins=[], seed=1)
    assert asked[0]["extra_body"] == {"plugins": [], "seed": 1}


def test_a_chat_model_of_langchain_has_the_same_list() -> None:
    own = LangChainModel(Message("Hello"))
    from mcp_mount.backends.models.given import model_of as given

    with pytest.raises(ModelError, match="config"):
        ask(given(own), config={"callbacks": []})
    assert own.asked == []


@pytest.mark.parametrize("model", ["gpt", "smart"])
@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/completions", {"prompt": "Hello"}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_is_told_which_option_it_may_not_choose(
    model: str, path: str, question: dict[str, Any], stream: bool, upstream: Upstream
) -> None:
    server = MCPServer("tests", open=True)
    router = CompletionsRouter()
    router.add_model("gpt", model_of("openai", upstream))
    router.add_model("smart", Route({"gpt": 1}, "stand-by", retries=2))
    router.add_model("stand-by", model_of("openai", upstream))
    server.include_router(router)
    body = {"model": model, "stream": stream, "plugins": [{"id": "web"}], **question}
    answer = get(server, path, "POST", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["type"]) == ("plugins", "invalid_request_error")
    assert error["message"] == "The option 'plugins' is not passed on to the model"
    assert upstream.requests == []


def asked_with_link(part: Any) -> Any:
    return chat_request([{"role": "user", "content": [part]}])


LINKS = [
    {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}},
    {"type": "image_url", "image_url": "HTTPS://example.com/a.png"},
    {"type": "image_url", "image_url": {"url": " file:///etc/passwd"}},
    {"type": "video_url", "video_url": {"url": "http://127.0.0.1/a"}},
    {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
    {"type": "document", "source": {"type": "url", "url": "http://db/a.pdf"}},
    # As readers of URLs see them, and readers of files.
    {"type": "image_url", "image_url": {"url": "\x00http://db/a.png"}},
    {"type": "image_url", "image_url": {"url": "ht\ttp://db/a.png"}},
    {"type": "image_url", "image_url": {"url": "http\n://db/a.png"}},
    {"type": "image_url", "image_url": {"url": "\ufeffhttp://db/a.png"}},
    {"type": "image_url", "image_url": {"url": "//db/a.png"}},
    {"type": "image_url", "image_url": {"url": "/srv/secret/a.png"}},
    {"type": "image_url", "image_url": ["secret/a.png"]},
    {"type": "image", "image": "/srv/secret/a.png"},
    {"type": "input_audio", "input_audio": {"data": " " * 10_000 + "http://db/a.wav"}},
    {"type": "tool_result", "content": [{"type": "image", "source": {"url": "//db/a.png"}}]},
    {"image_url": {"text": {"url": "//db"}}},
]


@pytest.mark.parametrize("part", LINKS)
@pytest.mark.parametrize("host", ["127.0.0.1", "vllm", "models.example.com", "notopenai.com", ""])
def test_links_do_not_reach_upstreams_that_would_fetch_them_here(host: str, part: Any) -> None:
    with pytest.raises(ModelError, match="send the data itself") as raised:
        PassedOptions(CHAT_OPTIONS, takes_links=fetches_links(host)).of_chat(asked_with_link(part))
    assert (raised.value.status, raised.value.param) == (400, "messages")
    PassedOptions(CHAT_OPTIONS, ["links"]).of_chat(asked_with_link(part))


@pytest.mark.parametrize("host", ["api.openai.com", "x.openai.azure.com", "openrouter.ai"])
def test_links_reach_providers_that_fetch_them_themselves(host: str) -> None:
    PassedOptions(CHAT_OPTIONS, takes_links=fetches_links(host)).of_chat(asked_with_link(LINKS[0]))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "http://example.com"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        {"type": "file", "file": {"file_data": "QUJD", "filename": "Re: a.pdf"}},
        {"type": "image_url", "image_url": {"url": "DATA:image/png;base64,QUJD"}},
        {"type": "input_audio", "input_audio": {"data": "//uQxAAA", "format": "mp3"}},
    ],
)
def test_data_and_texts_are_no_links(part: Any) -> None:
    PassedOptions(CHAT_OPTIONS).of_chat(asked_with_link(part))


def test_links_to_pictures_of_earlier_answers_are_links() -> None:
    said = {"role": "assistant", "content": "Here", "images": [LINKS[0]]}
    asked = chat_request([said, {"role": "user", "content": "Bigger"}])
    with pytest.raises(ModelError, match="send the data itself"):
        PassedOptions(CHAT_OPTIONS).of_chat(asked)
    PassedOptions(CHAT_OPTIONS, takes_links=True).of_chat(asked)


def test_a_client_of_a_self_hosted_upstream_is_told(upstream: Upstream) -> None:
    model = OpenAI(f"{upstream.url}/v1", "ok")
    with pytest.raises(ModelError, match="Links are not fetched here"):
        ask(model, [{"role": "user", "content": [LINKS[0]]}])
    assert upstream.requests == []
