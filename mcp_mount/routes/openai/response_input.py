"""What a client of `/v1/responses` asks, and the conversation that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mcp_mount.llm.requests import MAX_TOKENS, ChatRequest, kept_of_call
from mcp_mount.routes.errors import unfit
from mcp_mount.routes.openai.response_reasoning import WANTED, details_in
from mcp_mount.routes.openai.response_tools import (
    BETWEEN,
    LOADED,
    TEXT,
    as_choice,
    as_functions,
    is_offered,
    objects,
    text_of,
    tool_calls,
)
from mcp_mount.wire.encoding import encode

_STORED: Final = ("previous_response_id", "conversation")
"""Options that refer to what an earlier request has left."""

_ABSENT: Final = {"background": False, "prompt": None}
"""Options that ask for what there is not here, with what asks for nothing."""

_OWN: Final = {
    "model",
    "input",
    "instructions",
    "stream",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "max_output_tokens",
    "top_logprobs",
    "include",
}
_UNREADABLE: Final = (
    "additional_tools",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "context_compaction",
    "file_search_call",
    "ghost_snapshot",
    "image_generation_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "web_search_call",
)
"""Items of what a provider has run or keeps, in a conversation that has begun elsewhere: the model
reads the rest."""

_LEFT_OUT: Final = {
    "store",
    "metadata",
    "stream_options",
    "truncation",
    "max_tool_calls",
    "client_metadata",
}
"""Options that mean nothing to a model: they are for OpenAI's storage, or for tools of its own."""


_JOINED: Final = ("tool_calls", "reasoning_details")
"""What several items add to one message."""


class ResponseRequest(BaseModel):
    """A request for a response. Options that have no attribute here go to the model.

    Attributes:
        model: The name of the model; None for the default one.
        input: What the user says, or the items of the conversation.
        instructions: What stands before the conversation.
        stream: Whether the response is to come in events.
        tools: The tools that the client has.
        tool_choice: Which of them the model may or must call.
        text: The form of the answer: `{"format": …}`.
        reasoning: How much the model is to reason: `{"effort": …}`.
        max_output_tokens: The longest answer, in tokens.
        include: What the response is to have besides: "reasoning.encrypted_content".
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str | None = None
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool = False
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] = Field(default_factory=dict)
    reasoning: dict[str, Any] = Field(default_factory=dict)
    max_output_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS)
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    parallel_tool_calls: bool = True
    include: list[str] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = {key: value for key, value in data.items() if value is not None}
        for key in _STORED:
            if key in given:
                raise ValueError(
                    f"{key} is not supported: responses are not stored here, so send the whole "
                    "conversation as input"
                )
        for key, nothing in _ABSENT.items():
            if given.pop(key, nothing) != nothing:
                raise ValueError(f"{key} is not supported")
        return given

    def question(self) -> ChatRequest:
        """The conversation that a model is asked to continue.

        Raises:
            RequestValidationError: For an item or a tool that there is not here.
        """
        given = self.model_dump(exclude_unset=True, exclude=_OWN | _LEFT_OUT)
        instructions = [{"role": "system", "content": self.instructions}]
        given |= {
            "model": self.model,
            "messages": [*(instructions if self.instructions else ()), *_messages(self.input)],
            "stream": self.stream,
            "tools": as_functions(self._all_tools()) or None,
            "tool_choice": as_choice(self.tool_choice),
            "response_format": _format(self.text.get("format")),
            "verbosity": self.text.get("verbosity"),
            "reasoning_effort": self.reasoning.get("effort"),
            "max_tokens": self.max_output_tokens,
        }
        if self.top_logprobs is not None:
            given |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        if not given["tools"]:
            given.pop("tool_choice")
            given.pop("parallel_tool_calls", None)
        return ChatRequest.model_validate(given)

    @property
    def wants_details(self) -> bool:
        """Whether the response is to have what the provider wants back of its reasoning."""
        return WANTED in self.include

    def tool_calls(self) -> dict[str, dict[str, Any]]:
        """What the client calls its tools, by the names that the model has for them."""
        return tool_calls(self._all_tools())

    def _all_tools(self) -> list[Mapping[str, Any]]:
        """The tools of the request, and those that the client has found on its way."""
        items = () if isinstance(self.input, str) else self.input
        found = [
            tool
            for number, item in enumerate(items)
            if item.get("type") in LOADED
            for tool in objects(item.get("tools"), f"input.{number}.tools")
        ]
        return [*self.tools, *found]

    def shown(self) -> dict[str, Any]:
        """The request, as the response repeats it."""
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata,
            "parallel_tool_calls": self.parallel_tool_calls,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None, **self.reasoning},
            "store": False,
            "temperature": self.temperature,
            "text": {"format": {"type": "text"}, **self.text},
            "tool_choice": self.tool_choice or "auto",
            "tools": [one for one in self.tools if is_offered(one)],
            "top_p": self.top_p,
            "truncation": "disabled",
        }


def _messages(given: str | Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The messages of what a client sends as input."""
    if isinstance(given, str):
        yield {"role": "user", "content": given}
        return
    # What an assistant thinks, says and calls in one turn are several items, and one message.
    turn: dict[str, Any] = {}
    for number, item in enumerate(given):
        own = _assistants_part(item, f"input.{number}")
        if own is None:
            if item.get("type") in _UNREADABLE:
                continue
            if turn:
                yield turn
            turn = {}
            yield _message(item, f"input.{number}")
            continue
        if "content" in turn and "content" in own:
            yield turn
            turn = {}
        lists = {name: turn.get(name, []) + own.get(name, []) for name in _JOINED}
        turn = {"role": "assistant", **turn, **own}
        turn |= {name: one for name, one in lists.items() if one}
    if turn:
        yield turn


def _assistants_part(item: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """What an item adds to the message of an assistant; None if it is another one's."""
    kind = item.get("type", "message")
    if kind == "message" and item.get("role") == "assistant":
        return {"content": _content(item.get("content"), where)}
    if kind in _CALLS:
        function = {"name": _name(item, where), "arguments": _arguments(item, where)}
        call = {"id": _call_id(item), "type": "function", "function": function}
        call |= kept_of_call(item)
        return {"tool_calls": [call]}
    if kind == "reasoning":
        details = details_in(item.get("encrypted_content"))
        if details:
            return {"reasoning_details": details}
        parts = [
            one
            for key in ("content", "summary")
            for one in objects(item.get(key), f"{where}.{key}")
        ]
        text = "\n\n".join(str(one.get("text", "")) for one in parts)
        return {"reasoning_content": text} if text else {}
    return None


def _message(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "message":
        content = _content(item.get("content"), where)
        return {"role": item.get("role"), "content": content}
    if kind in ("function_call_output", "custom_tool_call_output", "local_shell_call_output"):
        output = _content(item.get("output"), where)
        return {"role": "tool", "tool_call_id": _call_id(item), "content": output}
    if kind == "tool_search_output":
        names = [one["function"]["name"] for one in as_functions(objects(item.get("tools"), where))]
        found = f"Found these tools: {', '.join(names)}" if names else "No tool was found"
        return {"role": "tool", "tool_call_id": _call_id(item), "content": found}
    if kind == "item_reference":
        raise unfit(where, "responses are not stored here, so send the item itself")
    raise unfit(where, f"items of type {str(kind)[:100]!r} are not supported")


def _content(given: Any, where: str) -> Any:
    """The content of a message: its text, if it has no other parts."""
    if given is None or isinstance(given, str):
        return given
    parts = [_part(one, where) for one in objects(given, f"{where}.content")]
    if all(one["type"] == "text" for one in parts):
        return "".join(one["text"] for one in parts)
    return parts


_CALLS: Final = ("function_call", "custom_tool_call", "local_shell_call", "tool_search_call")


def _call_id(item: Mapping[str, Any]) -> Any:
    # Some clients have only one of them for a shell.
    return item.get("call_id") or item.get("id")


def _arguments(item: Mapping[str, Any], where: str) -> str:
    """The arguments of a call, as JSON."""
    kind = item["type"]
    if kind == "function_call":
        return text_of(item.get("arguments", ""), f"{where}.arguments")
    if kind == "custom_tool_call":
        return encode({TEXT: text_of(item.get("input", ""), f"{where}.input")}).decode()
    given = item.get("action" if kind == "local_shell_call" else "arguments") or {}
    if not isinstance(given, Mapping):
        return text_of(given, f"{where}.arguments")
    known = {key: one for key, one in given.items() if one and key != "type"}
    return encode(known).decode()


def _name(item: Mapping[str, Any], where: str) -> str:
    if item["type"] in ("local_shell_call", "tool_search_call"):
        name: str = item["type"].removesuffix("_call")
        return name
    name = text_of(item.get("name", ""), f"{where}.name")
    within = item.get("namespace")
    return name if within is None else f"{text_of(within, f'{where}.namespace')}{BETWEEN}{name}"


def _part(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    kind = given.get("type")
    if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        return {"type": "text", "text": str(given.get("text", ""))}
    if kind == "refusal":
        return {"type": "text", "text": str(given.get("refusal", ""))}
    if kind == "input_image" and given.get("image_url"):
        image = {"url": given["image_url"], "detail": given.get("detail")}
        return {"type": "image_url", "image_url": {k: v for k, v in image.items() if v}}
    if kind == "input_file" and given.get("file_data"):
        file = {key: given.get(key) for key in ("filename", "file_data")}
        return {"type": "file", "file": {key: value for key, value in file.items() if value}}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": given.get("input_audio")}
    if kind in ("input_image", "input_file"):
        raise unfit(where, "files are not stored here, so send the data itself")
    raise unfit(where, f"content of type {str(kind)[:100]!r} is not supported")


def _format(given: Any) -> Any:
    if given is None:
        return None
    if not isinstance(given, Mapping) or not isinstance(given.get("type"), str):
        raise unfit("text.format", "an object with a type is expected")
    if given["type"] == "text":
        return None
    if given["type"] != "json_schema":
        return dict(given)
    schema = {key: given[key] for key in given if key != "type" and given[key] is not None}
    return {"type": "json_schema", "json_schema": schema}
