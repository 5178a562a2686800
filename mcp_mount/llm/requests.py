"""What a chat model is asked, in the form in which OpenAI clients write it.

That form is the one that most clients, servers and libraries have in common; the upstreams of
other kinds translate it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from mcp_mount.wire.data_urls import DataURL, data_url

MAX_TOKENS: Final = 2**31 - 1
"""The largest limit of an answer: what it costs at most is counted, in whole numbers that stores
can keep."""


IMAGES: Final = "images"
"""The member of an assistant's message that has the pictures of its answer, which OpenAI's form has
no place for. OpenRouter and LiteLLM read it again."""


class ChatMessage(BaseModel):
    """One message of a conversation. Members that have no attribute here are kept as they came.

    Attributes:
        role: Who says it: "system", "developer", "user", "assistant" or "tool".
        content: Text, or a list of parts (text, images, audio, files), or nothing.
        name: The name of who says it, if there are several in one role.
        tool_calls: The tools that an assistant calls.
        tool_call_id: The call that the message of a tool answers.
        reasoning_details: What the provider of an assistant's message wants back: see
            `ChatCompletion`.
    """

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    reasoning_details: list[dict[str, Any]] | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _parts(cls, content: Any) -> Any:
        # Some clients send a single part, or texts among the parts.
        if isinstance(content, Mapping):
            content = [content]
        if isinstance(content, list):
            return [_text_part(one) if isinstance(one, str) else one for one in content]
        return content

    @property
    def text(self) -> str:
        """The text of the message, out of its parts if it has several."""
        if isinstance(self.content, list):
            return "".join(part["text"] for part in self.content if is_text(part))
        return self.content or ""

    def parts_but_text(self) -> Iterator[Mapping[str, Any]]:
        """The parts that are no text, and the pictures of an earlier answer."""
        for part in self.content if isinstance(self.content, list) else ():
            if not is_text(part):
                yield part
        images = (self.model_extra or {}).get(IMAGES)
        for image in images if isinstance(images, list) else [images]:
            if image is not None:
                yield image if isinstance(image, Mapping) else {"image": image}


class ChatRequest(BaseModel):
    """A request for a chat completion. Options that have no attribute here are kept as they came.

    An option that is null counts as left out.

    Attributes:
        model: The name of the model; None for the default one.
        messages: The conversation, at least one message.
        stream: Whether the answer is to come in pieces.
        stream_options: `include_usage` asks for the usage at the end of a stream.
        temperature: How random the answer is.
        top_p: From how much of the probability mass tokens are drawn.
        max_tokens: The longest answer, in tokens. `max_completion_tokens` means the same.
        n: How many answers are wanted.
        stop: Texts at which the answer ends.
        seed: Asks for the same answer to the same request.
        tools: The tools that the client has.
        tool_choice: Which of them the model may or must call.
        response_format: The form of the answer, such as a JSON Schema.
        reasoning_effort: How much the model is to reason.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str | None = None
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS)
    n: int = Field(1, ge=1, le=128)
    stop: list[str] | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = {key: value for key, value in data.items() if value is not None}
        limit = given.pop("max_completion_tokens", None)
        if limit is not None:
            given["max_tokens"] = limit
        return given

    @field_validator("stop", mode="before")
    @classmethod
    def _several(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else stop

    @field_validator("tools")
    @classmethod
    def _functions_with_names(cls, tools: list[dict[str, Any]] | None) -> Any:
        for tool in tools or ():
            if tool.get("type", "function") == "function" and not name_of_tool(tool):
                raise ValueError("a function needs a name")
        return tools

    @property
    def text(self) -> str:
        """The text of the last message of the user; "" if there is none."""
        return next((one.text for one in reversed(self.messages) if one.role == "user"), "")

    @property
    def instructions(self) -> str:
        """The text of all system and developer messages, by paragraphs."""
        own = (one.text for one in self.messages if one.role in ("system", "developer"))
        return "\n\n".join(text for text in own if text)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with the usage."""
        return bool((self.stream_options or {}).get("include_usage"))

    def options(self) -> dict[str, Any]:
        """All that was given, in JSON form, but for the model, the messages and the stream."""
        left_out = {"model", "messages", "stream", "stream_options"}
        return self.model_dump(mode="json", exclude_unset=True, exclude=left_out)

    def dumped_messages(self) -> list[dict[str, Any]]:
        """The messages in JSON form, as they were given."""
        return [one.model_dump(mode="json", exclude_unset=True) for one in self.messages]


def chat_request(question: Any, **options: Any) -> ChatRequest:
    """A request of what users ask a model from Python.

    Args:
        question: A text, which the user says; a list of messages, as `ChatMessage` or as dicts; or
            a `ChatRequest`, which is copied.
        options: Those of `ChatRequest`; None leaves one out.

    Raises:
        ValidationError: If they are no request.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if isinstance(question, ChatRequest):
        return question.model_copy(update=given)
    messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
    return ChatRequest.model_validate({**given, "messages": messages})


def schema_format(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The `response_format` that asks for JSON of a schema."""
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema)}}


def name_of_tool(tool: Mapping[str, Any]) -> str:
    """The name of the function that a tool of a request is; "" if it is none."""
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""


KEPT_OF_CALLS: Final = ("extra_content", "thought_signature", "provider_specific_fields")
"""Members of tool calls that some providers want back unchanged: Gemini refuses a call that has
lost the signature of its thought."""


def kept_of_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a tool call that its provider wants back."""
    return {name: call[name] for name in KEPT_OF_CALLS if call.get(name) is not None}


def arguments_of(call: Mapping[str, Any]) -> Any:
    """The arguments of a tool call in a message; its text, if that is no JSON."""
    text = call.get("function", {}).get("arguments") or "{}"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def file_in(url: Any) -> DataURL | None:
    """The file in a data: URL that a part of a message has; None for another URL, and for one that
    does not say what it is.

    Args:
        url: The URL.
    """
    try:
        found = data_url(url)
    except ValueError:
        return None
    return found if found is not None and found.media_type else None


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def is_text(part: Mapping[str, Any]) -> bool:
    """Whether a part of a message is text."""
    return part.get("type") in ("text", "input_text", "output_text") and isinstance(
        part.get("text"), str
    )
