"""Which options of a request an upstream gets.

The upstream answers the clients of this server with the key of its owner. So options pass that
change the answer alone. Those that choose another model, have the provider reach other servers, or
read and store what belongs to the owner's account pass only by `passes=`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from mcp_mount.backends.models.upstreams.links import has_link
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import several_names

CHAT_OPTIONS: Final = frozenset(
    {
        # How tokens are chosen.
        *("temperature", "top_p", "top_k", "top_a", "min_p", "seed", "logit_bias"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty"),
        # How long the answer is, how many there are, and in which form.
        *("max_tokens", "n", "stop", "response_format", "verbosity", "logprobs", "top_logprobs"),
        # How much the model reasons.
        *("reasoning_effort", "reasoning", "include_reasoning", "thinking", "output_config"),
        # Tools that the client runs: see `_refuse_run_tools`.
        *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        # What the answer does not depend on: its time, and who asks.
        *("prediction", "prompt_cache_key", "prompt_cache_retention", "cache_control"),
        *("user", "safety_identifier"),
    }
)
"""Options of chat completions, responses and messages that change the answer alone."""

EMBEDDING_OPTIONS: Final = frozenset({"dimensions", "input_type", "user"})
"""Options of embeddings that change the answer alone."""

IMAGE_OPTIONS: Final = frozenset(
    {
        *("prompt", "size", "quality", "style", "background", "input_fidelity"),
        *("output_format", "output_compression", "user"),
    }
)
"""Options of pictures that change the answer alone."""

_LEFT_OUT: Final = frozenset({"metadata", "service_tier", "store"})
"""Options for the account of whoever pays. Many clients send them, and no answer depends on them.
"""

_OURS: Final = ("model", "stream", "stream_options")
"""What the model itself decides on."""

_RUN_BY_CLIENTS: Final = ("bash_", "computer_", "memory_", "text_editor_")
"""How types of tools begin that Anthropic describes and clients run."""

_LONGEST_NAME: Final = 100


class PassedOptions:
    """Which options of a request an upstream gets.

    Args:
        known: Those that change the answer alone.
        passes: The names of further ones. "tools" lets tools through that the provider runs, and
            "messages" references to files that the provider keeps. "links" lets links in messages
            through, which the upstream fetches.
        takes_links: Whether links in messages pass without it: see `fetches_links`.

    Raises:
        DefinitionError: For names that are none, or that the model itself decides on.
    """

    def __init__(
        self, known: frozenset[str], passes: Collection[str] = (), *, takes_links: bool = False
    ) -> None:
        names = several_names("passes", passes)
        for name in names:
            if not name or name in _OURS:
                raise DefinitionError(f"passes has names of options of a request, not {name!r}")
        self.further = frozenset(names)
        self._known = known | self.further
        self._takes_links = takes_links or "links" in self.further

    def of(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that pass, of those that a request gives.

        Args:
            options: All options of the request.

        Raises:
            ModelError: 400 for one that does not.
        """
        passed: dict[str, Any] = {}
        for name, value in options.items():
            if name in self._known:
                passed[name] = value
            elif name not in _LEFT_OUT:
                shown = name[:_LONGEST_NAME]
                raise _refused(f"The option {shown!r} is not passed on to the model", shown)
        return passed

    def of_chat(self, request: ChatRequest) -> dict[str, Any]:
        """The options of a chat request that pass.

        Args:
            request: The request.

        Raises:
            ModelError: 400 for an option, a tool or a part of a message that does not.
        """
        options = self.of(request.options())
        if "tools" not in self.further:
            _refuse_run_tools(options.get("tools") or ())
        if "messages" not in self.further:
            _refuse_kept_files(request)
        if not self._takes_links and has_link(request):
            message = "Links are not fetched here, so send the data itself, as a data: URL"
            raise _refused(message, "messages")
        return options


def _refuse_run_tools(tools: Iterable[Mapping[str, Any]]) -> None:
    """Refuse tools that the provider runs, such as a search of the web."""
    for tool in tools:
        kind = tool.get("type", "function")
        if kind in ("function", "custom") or str(kind).startswith(_RUN_BY_CLIENTS):
            continue
        shown = str(kind)[:_LONGEST_NAME]
        raise _refused(f"Tools of the type {shown!r} are not passed on to the model", "tools")


def _refuse_kept_files(request: ChatRequest) -> None:
    """Refuse references to files that the provider keeps for the owner of the key."""
    for message in request.messages:
        for part in message.content if isinstance(message.content, list) else ():
            if _has_kept_file(part):
                raise _refused("Files are not kept here, so send the data itself", "messages")


def _has_kept_file(part: Any) -> bool:
    """Whether a part of a message names a file, at any depth: documents have parts of their own."""
    open_: list[Any] = [part]
    while open_:
        one = open_.pop()
        if isinstance(one, Mapping):
            if "file_id" in one:
                return True
            open_ += one.values()
        elif isinstance(one, list):
            open_ += one
    return False


def _refused(message: str, param: str) -> ModelError:
    return ModelError(message, status=400, code="unsupported", param=param, again=False)
