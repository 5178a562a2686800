"""LangChain's chat models, chains and agents as models. The package is not imported here."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final

from mcp_mount.backends.models.adapters.clients import client_failures
from mcp_mount.backends.models.adapters.refusals import refuse_several
from mcp_mount.backends.models.upstreams.json_members import count_in, object_in, text_in
from mcp_mount.backends.models.upstreams.openai_answers import OpenAIAnswerReader
from mcp_mount.backends.models.upstreams.options import CHAT_OPTIONS, PassedOptions
from mcp_mount.backends.models.upstreams.upstream_answers import ended
from mcp_mount.llm.answers import ChatCompletion, Gathering
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import Invocation, ModelTraits
from mcp_mount.llm.requests import ChatRequest

_AI: Final = ("ai", "AIMessageChunk")
_PASSED: Final = PassedOptions(CHAT_OPTIONS, takes_links=True)


class RunnableModel(ModelTraits):
    """A chat model, chain or agent of LangChain as a model.

    A chat model gets the tools of the request, and its options that change the answer alone. A
    graph (`create_agent`) gets the messages, and keeps the tools that it calls for itself; so does
    a chain, which must take messages.

    Args:
        runnable: The object: it has `ainvoke` and `astream`.
    """

    is_async = True
    wants_context = False

    def __init__(self, runnable: Any) -> None:
        self.function = runnable
        self._is_graph = hasattr(runnable, "get_state")
        self._is_chat_model = hasattr(runnable, "bind_tools")

    async def answer(self, invocation: Invocation) -> ChatCompletion:
        """Run it.

        Raises:
            ModelError: If the model behind it does not answer.
        """
        request = invocation.request
        refuse_several(request)
        reader, gathering = OpenAIAnswerReader(), Gathering()
        usage = dict.fromkeys(("input_tokens", "output_tokens", "cache_read", "reasoning"), 0)
        with client_failures():
            async with aclosing(self._messages(request, usage)) as messages:
                async for message in messages:
                    _count(message, usage)
                    for delta in reader.read(_chunk(message, with_calls=not self._is_graph)):
                        gathering.add(delta)
                        if request.stream:
                            await invocation.pieces.put(delta)
        if any(usage.values()):
            list(reader.read({"choices": [], "usage": _openai_usage(usage)}))
        reader.is_done = True
        return await ended(gathering, reader, invocation)

    async def _messages(self, request: ChatRequest, usage: dict[str, int]) -> Any:
        """What it says: its message, or the pieces of it."""
        messages: Any = request.dumped_messages()
        if self._is_graph:
            given = {"messages": messages}
            if not request.stream:
                *steps, last = (await self.function.ainvoke(given))["messages"]
                for message in steps[len(messages) :]:
                    _count(message, usage)
                yield last
                return
            async for message, _ in self.function.astream(given, stream_mode="messages"):
                if getattr(message, "type", None) in _AI:
                    yield message
            return
        target, options = self._with_options(request)
        if request.stream:
            async for message in target.astream(messages, **options):
                yield message
        else:
            yield await target.ainvoke(messages, **options)

    def _with_options(self, request: ChatRequest) -> tuple[Any, dict[str, Any]]:
        if not self._is_chat_model:
            return self.function, {}
        options = _PASSED.of_chat(request)
        tools, choice = options.pop("tools", None), options.pop("tool_choice", None)
        options.pop("n", None)
        if not tools:
            return self.function, options
        chosen = {} if choice is None else {"tool_choice": choice}
        try:
            return self.function.bind_tools(tools, **chosen), options
        except NotImplementedError:
            message = "The model knows no tools"
            raise ModelError(message, status=400, param="tools") from None


def _chunk(message: Any, *, with_calls: bool) -> dict[str, Any]:
    """A message, or a piece of one, in OpenAI's form."""
    if isinstance(message, str):
        return {"choices": [{"delta": {"content": message}}]}
    content = getattr(message, "content", "")
    said: dict[str, Any] = {"content": content}
    if isinstance(content, list):
        said["content"] = "".join(map(_text, content))
        said["reasoning_content"] = "".join(map(_reasoning, content))
    further = getattr(message, "additional_kwargs", None)
    said["reasoning_content"] = said.get("reasoning_content") or text_in(
        further, "reasoning_content"
    )
    if with_calls:
        said["tool_calls"] = _calls(message)
    about = getattr(message, "response_metadata", None)
    # An agent calls its tools and goes on: why one of its messages ends says nothing.
    reason = text_in(about, "finish_reason") or text_in(about, "stop_reason") if with_calls else ""
    return {
        "model": text_in(about, "model_name") or text_in(about, "model"),
        "choices": [{"delta": said, "finish_reason": reason}],
    }


def _calls(message: Any) -> list[dict[str, Any]]:
    pieces = getattr(message, "tool_call_chunks", None)
    calls = pieces if pieces is not None else getattr(message, "tool_calls", None)
    return [
        {
            "index": call.get("index"),
            "id": call.get("id"),
            "function": {"name": call.get("name"), "arguments": call.get("args")},
        }
        for call in calls or ()
    ]


def _text(part: Any) -> str:
    if isinstance(part, str):
        return part
    return text_in(part, "text") if text_in(part, "type") in ("text", "output_text") else ""


def _reasoning(part: Any) -> str:
    return text_in(part, "thinking") or text_in(part, "reasoning")


def _count(message: Any, usage: dict[str, int]) -> None:
    """Add the counts of a message: those of its pieces are their sum."""
    known = getattr(message, "usage_metadata", None)
    for name in ("input_tokens", "output_tokens"):
        usage[name] += count_in(known, name)
    usage["cache_read"] += count_in(object_in(known, "input_token_details"), "cache_read")
    usage["reasoning"] += count_in(object_in(known, "output_token_details"), "reasoning")


def _openai_usage(usage: dict[str, int]) -> dict[str, Any]:
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "prompt_tokens_details": {"cached_tokens": usage["cache_read"]},
        "completion_tokens_details": {"reasoning_tokens": usage["reasoning"]},
    }
