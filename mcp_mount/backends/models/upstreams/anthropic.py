"""Upstreams with Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from typing_extensions import Unpack

from mcp_mount.backends.models.upstreams.anthropic_answers import AnthropicAnswerReader
from mcp_mount.backends.models.upstreams.anthropic_requests import (
    answers_by_tool,
    anthropic_body,
    wraps_answer,
)
from mcp_mount.backends.models.upstreams.connections import ConnectionOptions
from mcp_mount.backends.models.upstreams.links import fetches_links
from mcp_mount.backends.models.upstreams.options import CHAT_OPTIONS, PassedOptions
from mcp_mount.backends.models.upstreams.upstream import Key, Upstream
from mcp_mount.backends.models.upstreams.upstream_answers import answer_of
from mcp_mount.backends.models.upstreams.upstream_models import UpstreamModel
from mcp_mount.llm.answers import ChatCompletion
from mcp_mount.llm.models import Invocation
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.values import filled, whole

_VERSION: Final = "2023-06-01"
DEFAULT_MAX_TOKENS: Final = 8192
"""The longest answer to a request without a limit: the API requires one."""


class Anthropic(UpstreamModel):
    """A model of Anthropic, or of an upstream with its Messages API.

    Requests are translated: system messages, tools, pictures, the form of the answer. Options
    without a counterpart, such as `seed`, are left out; those that do more than change the answer
    are refused, unless `passes` names them. `reasoning_effort` is sent as the effort; thinking is a
    default: `defaults={"thinking": {"type": "adaptive"}}`.

    Args:
        model: The name of the model.
        key: The API key; or a function that returns it for each request, plain and quick or a
            coroutine function. None for none, where headers have it.
        base_url: The URL before `/v1/messages`.
        max_tokens: The limit of an answer, in tokens, for requests that give none.
        defaults: Further options for requests that do not give them, in OpenAI's form or
            Anthropic's.
        passes: The names of further options that requests may give, in Anthropic's form, such as
            "container"; "tools" lets tools through that Anthropic runs.
        options: How the upstream is reached: headers, timeouts, limits, a proxy.

    Raises:
        DefinitionError: For an argument that cannot be.
        MissingExtra: If httpx2 is not installed: it comes with the extra `llm`.
    """

    provider = "anthropic"
    has_system_apart = True

    def __init__(
        self,
        model: str,
        *,
        key: Key,
        base_url: str = "https://api.anthropic.com",
        max_tokens: int = DEFAULT_MAX_TOKENS,
        defaults: Mapping[str, Any] | None = None,
        passes: Collection[str] = (),
        **options: Unpack[ConnectionOptions],
    ) -> None:
        if key is None and "headers" not in options:
            raise DefinitionError("Anthropic needs a key=, or headers= with one")
        base_url = filled("base_url", base_url).rstrip("/").removesuffix("/v1")
        upstream = Upstream("Anthropic", base_url, ("x-api-key", ""), key, **options)
        super().__init__(upstream, model, defaults)
        self.priced_as = self._model, str(self._upstream.url.copy_with(query=None))
        limit: int = whole(1)("max_tokens", max_tokens)
        self._defaults = {"max_tokens": limit, **self._defaults}
        takes_links = fetches_links(self._upstream.url.host)
        self._passed = PassedOptions(CHAT_OPTIONS, passes, takes_links=takes_links)

    async def answer(self, invocation: Invocation) -> ChatCompletion:
        """Ask the upstream.

        Args:
            invocation: The request, and what takes the pieces of the answer.

        Raises:
            ModelError: If it does not answer.
        """
        body = {
            "model": self._model,
            **anthropic_body(invocation.request, self._passed, self._defaults),
        }
        if invocation.request.stream:
            body["stream"] = True
        version = {"anthropic_version": _VERSION}
        async with self._upstream.ask("/v1/messages", body, **version) as reply:
            return await answer_of(reply, anthropic_reader(invocation.request, body), invocation)


def anthropic_reader(request: ChatRequest, body: Mapping[str, Any]) -> AnthropicAnswerReader:
    """What reads the answer to a request.

    Args:
        request: The request.
        body: Its translation.
    """
    is_json = answers_by_tool(body)
    return AnthropicAnswerReader(is_json=is_json, unwraps=is_json and wraps_answer(request))
