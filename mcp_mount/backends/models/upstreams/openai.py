"""Upstreams with OpenAI's interface: OpenAI, Azure, vLLM, Ollama, OpenRouter, LiteLLM, …"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from typing_extensions import Unpack

from mcp_mount.backends.models.upstreams.connections import ConnectionOptions
from mcp_mount.backends.models.upstreams.links import fetches_links
from mcp_mount.backends.models.upstreams.openai_answers import OpenAIAnswerReader, embeddings_in
from mcp_mount.backends.models.upstreams.openai_reasoning import is_openai, messages_of
from mcp_mount.backends.models.upstreams.options import (
    CHAT_OPTIONS,
    EMBEDDING_OPTIONS,
    PassedOptions,
)
from mcp_mount.backends.models.upstreams.upstream import Key, Upstream
from mcp_mount.backends.models.upstreams.upstream_answers import answer_of
from mcp_mount.backends.models.upstreams.upstream_models import UpstreamModel
from mcp_mount.llm.answers import ChatCompletion, Embeddings
from mcp_mount.llm.models import Invocation
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.schemas.values import filled, flag, or_none


class OpenAI(UpstreamModel):
    """A model of an upstream with OpenAI's interface, for chat and for embeddings.

    Options of a request that change the answer alone go to the upstream as they are; `passes` names
    further ones, and all others are refused.

    Args:
        base_url: The URL before `/chat/completions`, such as "https://api.openai.com/v1". A query
            in it (`?api-version=…`) is sent with each request.
        model: The name of the model there.
        key: The API key, sent as a bearer token; or a function that returns it for each request,
            plain and quick or a coroutine function. None for none.
        defaults: Options for requests that do not give them, in OpenAI's form or that of the
            upstream.
        passes: The names of further options that requests may give, such as "plugins"; "tools"
            lets tools through that the upstream runs.
        max_tokens_name: How the upstream calls the limit of an answer; by default
            "max_completion_tokens" at OpenAI and Azure, "max_tokens" elsewhere.
        stream_usage: Whether streams are asked for their usage; an upstream that refuses
            `stream_options` needs False.
        options: How the upstream is reached: headers, timeouts, limits, a proxy.

    Raises:
        DefinitionError: For an argument that cannot be.
        MissingExtra: If httpx2 is not installed: it comes with the extra `llm`.
    """

    provider = "openai"

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: Key = None,
        defaults: Mapping[str, Any] | None = None,
        passes: Collection[str] = (),
        max_tokens_name: str | None = None,
        stream_usage: bool = True,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        authorization = ("authorization", "Bearer ")
        upstream = Upstream("OpenAI", base_url, authorization, key, **options)
        super().__init__(upstream, model, defaults)
        self.priced_as = self._model, str(self._upstream.url.copy_with(query=None))
        takes_links = fetches_links(self._upstream.url.host)
        self._passed = PassedOptions(CHAT_OPTIONS, passes, takes_links=takes_links)
        self._passed_to_embed = PassedOptions(EMBEDDING_OPTIONS, passes)
        # OpenAI's models that reason refuse `max_tokens`.
        self._limit = or_none(filled)("max_tokens_name", max_tokens_name) or (
            "max_completion_tokens" if is_openai(self._upstream.url.host) else "max_tokens"
        )
        self._stream_usage = flag("stream_usage", stream_usage)

    async def answer(self, invocation: Invocation) -> ChatCompletion:
        """Ask the upstream.

        Args:
            invocation: The request, and what takes the pieces of the answer.

        Raises:
            ModelError: If it does not answer.
        """
        host = self._upstream.url.host
        body = openai_body(invocation.request, self._passed, host, self._limit, self._defaults)
        body["model"] = self._model
        if invocation.request.stream:
            body["stream"] = True
            if self._stream_usage:
                body["stream_options"] = {"include_usage": True}
        async with self._upstream.ask("/chat/completions", body) as reply:
            return await answer_of(reply, OpenAIAnswerReader(), invocation)

    async def embed(self, texts: Sequence[str], options: Mapping[str, Any]) -> Embeddings:
        """Ask the upstream for the vectors of texts.

        Args:
            texts: The texts.
            options: Those of the request, in OpenAI's form.

        Raises:
            ModelError: If it does not answer.
        """
        given = self._passed_to_embed.of(options)
        body = {**given, "model": self._model, "input": list(texts)}
        async with self._upstream.ask("/embeddings", body) as reply:
            return embeddings_in(await reply.json(), len(texts))


def openai_body(
    request: ChatRequest,
    passed: PassedOptions,
    host: str,
    limit: str = "max_completion_tokens",
    defaults: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """A request in OpenAI's form, but for its model and stream.

    Args:
        request: The request.
        passed: Which of its options the upstream gets.
        host: That of the upstream.
        limit: How the limit of the answer is called.
        defaults: Options that the request may not give.

    Raises:
        ModelError: If it has an option that does not pass.
    """
    options = {**defaults, **passed.of_chat(request)}
    if options.get("n") == 1:
        # What everybody does anyhow, and some know no such option.
        del options["n"]
    if "max_tokens" in options:
        options[limit] = options.pop("max_tokens")
    return {**options, "messages": messages_of(request, host)}
