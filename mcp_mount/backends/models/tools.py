"""Models that use the tools of their own server, for the caller."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from mcp_mount.context import operations
from mcp_mount.context.context import Context
from mcp_mount.context.nested import CallFailed
from mcp_mount.context.operations import perform_async
from mcp_mount.llm.answers import (
    ChatCompletion,
    Delta,
    ProgressStatus,
    ToolCall,
    ToolProgress,
    Usage,
)
from mcp_mount.llm.media import AudioPart, ImagePart, joined_audio
from mcp_mount.llm.models import (
    Invocation,
    Model,
    ModelTraits,
    Pieces,
    ReaderLeft,
    given_for,
    traits_of,
)
from mcp_mount.llm.requests import ChatMessage, ChatRequest, name_of_tool
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import suggestion
from mcp_mount.schemas.values import whole
from mcp_mount.wire.errors import ClientError
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME: Final = 64
"""OpenAI and Anthropic allow no other names of tools."""


class Tools:
    """Which tools of the server a model may use, and how often.

    Args:
        names: Patterns of names, such as "order_*"; by default all. Of these, a caller's model uses
            those that the caller may use.
        max_calls: How many calls one answer may take.
        max_rounds: How often the model may ask for calls in one answer.

    Raises:
        DefinitionError: If an argument is not one of these.
    """

    def __init__(self, *names: str, max_calls: int = 8, max_rounds: int = 4) -> None:
        for name in names:
            if not isinstance(name, str) or not name:
                raise DefinitionError(f"Tools takes patterns of names, not {name!r}")
        self.names = names or ("*",)
        self.max_calls: int = whole(1)("max_calls", max_calls)
        self.max_rounds: int = whole(1)("max_rounds", max_rounds)

    def include(self, name: str) -> bool:
        """Whether a tool is among them.

        Args:
            name: The name of the tool.
        """
        return any(fnmatchcase(name, pattern) for pattern in self.names)


class ToolUser(ModelTraits):
    """A model that may use the tools of its server.

    The tools that the client has sent go back to the client. Where a model asks for tools of both
    in one round, those of the server are called, and it is asked again. So it is if it asks for a
    tool that neither of them has, which it is told.

    Args:
        model: The model.
        tools: Which tools.
    """

    is_async = True
    wants_context = True
    delegates = True
    has_rounds = True
    """What each round takes is reserved and counted for itself."""

    def __init__(self, model: Model, tools: Tools) -> None:
        traits = traits_of(model)
        self.function = given_for(model)
        self.members = traits.members
        self.spends_key = traits.spends_key
        self.tool_patterns = [one for one in tools.names if one != "*"]
        self._model = model
        self._tools = tools

    async def answer(self, invocation: Invocation) -> ChatCompletion:
        """Answer a request, with as many rounds of calls as it takes."""
        return await _Conversation(self._model, self._tools, invocation).run()


@dataclass(slots=True)
class _ServerTool:
    """A tool of the server, as the model knows it.

    Attributes:
        name: Its own name.
        definition: Its definition in OpenAI's form.
        only_reads: Whether several calls may run at a time.
    """

    name: str
    definition: dict[str, Any]
    only_reads: bool


class _Conversation:
    """One answer."""

    def __init__(self, model: Model, tools: Tools, invocation: Invocation) -> None:
        self._model = model
        self._limits = tools
        self._request = invocation.request
        self._context: Context[Any] = invocation.context
        self._spoken = _SpokenPieces(invocation.pieces)
        self._own: dict[str, _ServerTool] = {}
        self._name = invocation.name
        self._of_client = {name_of_tool(one) for one in invocation.request.tools or ()}
        self._messages: list[ChatMessage] = list(invocation.request.messages)
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._images: list[ImagePart] = []
        self._audio: list[AudioPart] = []
        self._usage: Usage | None = None
        self._rounds = invocation.rounds
        # Call middleware may let the call run again.
        self._rounds.clear()
        self._calls = 0

    async def run(self) -> ChatCompletion:
        definitions = await perform_async(operations.tools_of(self._context))
        self._own = _own_tools(definitions, self._limits, self._request)
        for number in range(self._limits.max_rounds + 1):
            # The last time without them, so that the model answers with what it has.
            may_call = number < self._limits.max_rounds and self._calls < self._limits.max_calls
            completion = await self._ask(may_call=may_call, is_first=number == 0)
            own = [call for call in completion.tool_calls if call.name not in self._of_client]
            if own and not may_call:
                self._warn_of_limit()
            if not own or not may_call:
                return await self._ended(completion, own)
            await self._context.report_progress(
                number + 1,
                message=f"Calling {', '.join(map(self._name_of, own))}",
            )
            self._messages += [_said(completion, own), *await self._called(own)]
        raise AssertionError("the last round ends the answer")

    async def _ask(self, *, may_call: bool, is_first: bool) -> ChatCompletion:
        tools = [*(self._request.tools or ())]
        if may_call:
            tools += [own.definition for own in self._own.values()]
        update = {"messages": self._messages, "tools": tools or None, "n": 1}
        if not is_first or not (may_call or self._request.tools):
            # A model that must call a tool would never answer.
            update["tool_choice"] = None
        request = self._request.model_copy(update=update)
        operation = operations.complete(self._context, request, self._spoken, self._model)
        completion = await perform_async(operation)
        self._spoken.model = self._spoken.model or completion.model
        if completion.usage is not None:
            self._rounds.append(completion.usage)
            self._usage = completion.usage + (self._usage or Usage())
        self._texts.append(completion.text)
        self._reasoning.append(completion.reasoning)
        self._images += completion.images
        if completion.audio is not None:
            self._audio.append(completion.audio)
        return completion

    def _warn_of_limit(self) -> None:
        limits = self._limits
        if self._calls >= limits.max_calls:
            limit = f"max_calls={limits.max_calls}"
        else:
            limit = f"max_rounds={limits.max_rounds}"
        logger.warning(
            "The model %r still asks for tools after %s, so its answer ends there: raise the limit "
            "in tools=Tools(…), or let the model answer where it is offered no tools",
            self._name,
            limit,
        )

    def _name_of(self, call: ToolCall) -> str:
        own = self._own.get(call.name)
        return call.name if own is None else own.name

    def _only_reads(self, call: ToolCall) -> bool:
        own = self._own.get(call.name)
        return own is None or own.only_reads

    async def _ended(self, completion: ChatCompletion, own: Sequence[ToolCall]) -> ChatCompletion:
        """The whole answer: the texts of all rounds, and the calls that are left to the client."""
        left = [call for call in completion.tool_calls if call not in own]
        reason = "length" if own and not left else completion.finish_reason
        whole = replace(
            completion,
            text="".join(self._texts),
            reasoning="".join(self._reasoning),
            images=self._images,
            audio=joined_audio(self._audio),
            tool_calls=left,
            finish_reason=reason,
            usage=self._usage,
            model=self._spoken.model,
        )
        rest = replace(whole, text="", reasoning="", refusal="", images=(), audio=None, model=None)
        for delta in rest.deltas():
            await self._spoken.put_last(delta)
        return whole

    async def _called(self, calls: Sequence[ToolCall]) -> list[ChatMessage]:
        """Call tools; what the model is told of each."""
        if len(calls) > 1 and all(map(self._only_reads, calls)):
            texts = list(await asyncio.gather(*map(self._call, calls)))
        else:
            texts = [await self._call(call) for call in calls]
        return [
            ChatMessage(role="tool", tool_call_id=call.id, content=text)
            for call, text in zip(calls, texts, strict=True)
        ]

    async def _call(self, call: ToolCall) -> str:
        self._calls += 1
        if self._calls > self._limits.max_calls:
            return f"Error: no more than {self._limits.max_calls} calls are allowed"
        if call.name not in self._own:
            hint = suggestion(call.name, [*self._own, *self._of_client])
            return f"Error: unknown tool {call.name!r}; {hint}"
        if isinstance(call.arguments, str):
            return "Error: the arguments are no JSON object"
        name = self._own[call.name].name
        params = {"name": name, "arguments": call.arguments}
        teller = _ToolTeller(self._spoken, call.id, name) if self._request.stream else None
        operation = operations.call(self._context, "tools/call", name, params, teller)
        if teller is not None:
            await teller.tell("in_progress")
        try:
            text = _text_of(await perform_async(operation))
        except (CallFailed, ClientError) as error:
            if teller is not None:
                await teller.tell("failed")
            return f"Error: {error}"
        if teller is not None:
            await teller.tell("completed")
        return text


class _SpokenPieces:
    """Passes on what a model says in all rounds, but not what ends a round or is for the server.

    Args:
        pieces: Where it goes.

    Attributes:
        model: The name of the model that answers, which the first piece tells, if there is one.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self.model: str | None = None
        self._has_begun = False

    async def put(self, delta: Delta) -> None:
        if (spoken := self._spoken(delta)) is not None:
            await self._pieces.put(spoken)

    def put_from_thread(self, delta: Delta) -> None:
        if (spoken := self._spoken(delta)) is not None:
            self._pieces.put_from_thread(spoken)

    async def put_last(self, delta: Delta) -> None:
        """Pass on a piece that ends the whole answer."""
        await self._pieces.put(self._named(delta))

    def _spoken(self, delta: Delta) -> Delta | None:
        self.model = self.model or delta.model
        spoken = replace(delta, finish=None, usage=None, tool=None, reasoning_details=())
        return self._named(spoken) if spoken.says_something or spoken.progress else None

    def _named(self, delta: Delta) -> Delta:
        """A piece with the name of the model, if it is the first: an answer has one name, whoever
        has answered in further rounds."""
        name, self._has_begun = None if self._has_begun else self.model, True
        return replace(delta, model=name)


class _ToolTeller:
    """Tells the client how far a tool of the server is.

    Args:
        pieces: Where it is told.
        id: The id of the call.
        name: The name of the tool.
    """

    def __init__(self, pieces: _SpokenPieces, id: str, name: str) -> None:
        self._pieces = pieces
        self._id = id
        self._name = name

    async def tell(self, status: ProgressStatus) -> None:
        """Tell how the call does."""
        await self._pieces.put(Delta(progress=ToolProgress(self._id, self._name, status)))

    async def hear(self, progress: float, total: float | None, message: str | None) -> None:
        """Tell what the tool reports. If nobody listens any more, the model is told."""
        with suppress(ReaderLeft):
            await self._pieces.put(self._report(progress, total, message))

    def hear_from_thread(self, progress: float, total: float | None, message: str | None) -> None:
        """Tell what a tool reports that is a plain function."""
        with suppress(ReaderLeft):
            self._pieces.put_from_thread(self._report(progress, total, message))

    def _report(self, progress: float, total: float | None, message: str | None) -> Delta:
        told = ToolProgress(self._id, self._name, "in_progress", progress, total, message)
        return Delta(progress=told)


def _own_tools(
    definitions: Sequence[dict[str, Any]], tools: Tools, request: ChatRequest
) -> dict[str, _ServerTool]:
    """The tools of the server that a model may use for its caller, by the names that it knows."""
    taken = {name_of_tool(one) for one in request.tools or ()}
    found: dict[str, _ServerTool] = {}
    for definition in definitions:
        name = definition["name"]
        known_as = _NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME]
        if not tools.include(name) or known_as in taken:
            continue
        taken.add(known_as)
        function = {
            "name": known_as,
            "description": definition.get("description", ""),
            "parameters": definition["inputSchema"],
        }
        only_reads = bool((definition.get("annotations") or {}).get("readOnlyHint"))
        found[known_as] = _ServerTool(name, {"type": "function", "function": function}, only_reads)
    return found


def _said(completion: ChatCompletion, calls: Sequence[ToolCall]) -> ChatMessage:
    """What a model has said in a round, for the next one."""
    tool_calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_text},
            **call.extra,
        }
        for call in calls
    ]
    message = ChatMessage(role="assistant", content=completion.text or None, tool_calls=tool_calls)
    if completion.reasoning_details:
        message.reasoning_details = [dict(one) for one in completion.reasoning_details]
    return message


def _text_of(result: Mapping[str, Any]) -> str:
    """The result of a tool as a model reads it."""
    if "structuredContent" in result:
        return json.dumps(result["structuredContent"], ensure_ascii=False)
    return "\n".join(
        str(one["text"]) if one.get("type") == "text" else f"[{one.get('type', 'content')}]"
        for one in result.get("content", ())
    )
