"""The items of which the output of a response consists, and the events that build them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from pydantic_core import from_json

from mcp_mount.llm.answers import ToolDelta, ToolProgress, join_details
from mcp_mount.llm.media import ImagePart
from mcp_mount.routes.openai.response_reasoning import written
from mcp_mount.routes.openai.response_tools import TEXT

Event: TypeAlias = dict[str, Any]


class OutputItem:
    """An item in the making.

    Args:
        place: The number of the item in the output.

    Attributes:
        id: The id of the item.
        is_done: Whether it has ended.
    """

    prefix: str
    delta: str
    """The type of the events that have pieces of it, without what all types have in common."""

    def __init__(self, place: int) -> None:
        self.id = f"{self.prefix}_{secrets.token_hex(24)}"
        self.is_done = False
        self._place = place
        self._said: list[str] = []

    def begin(self) -> Iterator[Event]:
        """The events that begin it."""
        yield {
            "type": "response.output_item.added",
            "output_index": self._place,
            "item": self._item("", "in_progress"),
        }

    def goes_with(self, other: OutputItem) -> bool:
        """Whether another item goes on when this one begins."""
        return False

    def add(self, text: str, logprobs: Any = None) -> Iterator[Event]:
        """The events of a piece of it."""
        self._said.append(text)
        yield {"type": f"response.{self.delta}.delta", **self._where(), "delta": text}

    def end(self) -> Iterator[Event]:
        """The events that end it."""
        item = self.whole()
        self.is_done = True
        yield {"type": "response.output_item.done", "output_index": self._place, "item": item}

    def whole(self) -> dict[str, Any]:
        """The whole item."""
        return self._item(self._text, "completed")

    @property
    def _text(self) -> str:
        return "".join(self._said)

    def _item(self, text: str, status: str) -> dict[str, Any]:
        raise NotImplementedError

    def _where(self) -> Event:
        return {"item_id": self.id, "output_index": self._place}


class TextItem(OutputItem):
    """A message of the assistant: text."""

    prefix = "msg"
    delta = "output_text"

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self._logprobs: list[Any] = []

    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        yield {"type": "response.content_part.added", **self._where(), "part": self._part("")}

    def add(self, text: str, logprobs: Any = None) -> Iterator[Event]:
        own = logprobs.get("content") or [] if isinstance(logprobs, dict) else []
        self._logprobs += own
        for event in super().add(text):
            yield {**event, "logprobs": own}

    def end(self) -> Iterator[Event]:
        where, text = self._where(), self._text
        logprobs = self._logprobs
        yield {"type": "response.output_text.done", **where, "text": text, "logprobs": logprobs}
        yield {"type": "response.content_part.done", **where, "part": self._part(text)}
        yield from super().end()

    def _item(self, text: str, status: str) -> dict[str, Any]:
        content = [self._part(text)] if status == "completed" else []
        return _message(self.id, status, content)

    def _part(self, text: str) -> dict[str, Any]:
        logprobs = list(self._logprobs)
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}

    def _where(self) -> Event:
        return {**super()._where(), "content_index": 0}


class RefusalItem(OutputItem):
    """A message of the assistant: why the model does not answer."""

    prefix = "msg"
    delta = "refusal"

    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        yield {"type": "response.content_part.added", **self._where(), "part": self._part("")}

    def end(self) -> Iterator[Event]:
        where, text = self._where(), self._text
        yield {"type": "response.refusal.done", **where, "refusal": text}
        yield {"type": "response.content_part.done", **where, "part": self._part(text)}
        yield from super().end()

    def _item(self, text: str, status: str) -> dict[str, Any]:
        return _message(self.id, status, [self._part(text)] if status == "completed" else [])

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "refusal", "refusal": text}

    def _where(self) -> Event:
        return {**super()._where(), "content_index": 0}


class ReasoningItem(OutputItem):
    """What the model thinks. It stands where OpenAI's models have a summary of that: what clients
    show is the summary."""

    prefix = "rs"
    delta = "reasoning_summary_text"

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self._details: list[dict[str, Any]] = []

    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        kind = "response.reasoning_summary_part.added"
        yield {"type": kind, **self._where(), "part": _summary("")}

    def end(self) -> Iterator[Event]:
        where, text = self._where(), self._text
        yield {"type": "response.reasoning_summary_text.done", **where, "text": text}
        kind = "response.reasoning_summary_part.done"
        yield {"type": kind, **where, "part": _summary(text)}
        yield from super().end()

    def keep(self, details: Sequence[Mapping[str, Any]]) -> None:
        """Keep what the provider wants back."""
        join_details(self._details, details)

    def _item(self, text: str, status: str) -> dict[str, Any]:
        summary = [_summary(text)] if text and status == "completed" else []
        item = {"id": self.id, "type": "reasoning", "summary": summary}
        if self._details and status == "completed":
            item["encrypted_content"] = written(self._details)
        return item

    def _where(self) -> Event:
        return {**super()._where(), "summary_index": 0}


class ImageItem(OutputItem):
    """A picture. It stands where OpenAI's models have what their own tool for pictures has drawn,
    which is the one place for pictures in a response."""

    prefix = "ig"

    def __init__(self, place: int, image: ImagePart) -> None:
        """Begin a picture.

        Args:
            place: The number of the item in the output.
            image: The picture, with its data.
        """
        super().__init__(place)
        self._image = image

    def end(self) -> Iterator[Event]:
        yield {"type": "response.image_generation_call.completed", **self._where()}
        yield from super().end()

    def _item(self, text: str, status: str) -> dict[str, Any]:
        item = {"id": self.id, "type": "image_generation_call", "status": status, "result": None}
        file = self._image.file
        if file is not None and status == "completed":
            item["result"] = file.base64()
            item["output_format"] = file.media_type.partition("/")[2]
        return item


class ServerCallItem(OutputItem):
    """A call of a tool of this server, which the model itself uses: clients see that it runs. What
    it was asked and what it has answered stay with the model.

    Attributes:
        has_returned: Whether the tool has completed or failed.
    """

    prefix = "mcp"
    _event = "response.mcp_call"

    def __init__(self, place: int, name: str) -> None:
        """Begin a call.

        Args:
            place: The number of the item in the output.
            name: The name of the tool.
        """
        super().__init__(place)
        self.has_returned = False
        self._name = name
        self._status = "completed"

    def goes_with(self, other: OutputItem) -> bool:
        return isinstance(other, ServerCallItem)

    def tell(self, told: ToolProgress) -> Iterator[Event]:
        """The events of what is known of it.

        Args:
            told: What is known.
        """
        if told.status != "in_progress":
            self.has_returned = True
            self._status = told.status
            yield from self.end()
            return
        members = {"progress": told.progress, "total": told.total, "message": told.message}
        known = {key: one for key, one in members.items() if one is not None}
        yield {"type": f"{self._event}.in_progress", **self._where(), **known}

    def end(self) -> Iterator[Event]:
        yield {"type": f"{self._event}.{self._status}", **self._where()}
        yield from super().end()

    def _item(self, text: str, status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "mcp_call",
            "status": self._status if status == "completed" else status,
            "server_label": "server",
            "name": self._name,
            "arguments": "{}",
            "output": None,
            "error": None,
        }


class CallItem(OutputItem):
    """A call of a tool that the client has."""

    prefix = "fc"
    delta = "function_call_arguments"

    def __init__(self, place: int, call: ToolDelta, named: Mapping[str, Any]) -> None:
        """Begin a call.

        Args:
            place: The number of the item in the output.
            call: The first piece of it.
            named: What the client calls the tool: its name, and its namespace if it has one.
        """
        super().__init__(place)
        self._extra: dict[str, Any] = {}
        self._call_id = call.id or f"call_{secrets.token_hex(12)}"
        self._named = named

    def keep(self, extra: Mapping[str, Any]) -> None:
        """Keep what the provider wants back with the call, as members of the item."""
        self._extra |= extra

    def whole(self) -> dict[str, Any]:
        return {**super().whole(), **self._extra}

    def goes_with(self, other: OutputItem) -> bool:
        # Of several calls, some models send the pieces in turn: they end together.
        return isinstance(other, CallItem)

    def end(self) -> Iterator[Event]:
        yield {
            "type": "response.function_call_arguments.done",
            **self._where(),
            "name": self._named["name"],
            "arguments": self._text,
        }
        yield from super().end()

    def _item(self, text: str, status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            **self._named,
            "arguments": text,
        }


class TextCallItem(CallItem):
    """A call of a tool of the client that takes text. The model writes it as the argument of a
    function, so it is known at the end."""

    prefix = "ctc"

    def add(self, text: str, logprobs: Any = None) -> Iterator[Event]:
        self._said.append(text)
        yield from ()

    def end(self) -> Iterator[Event]:
        text = self._input(self._text)
        kind, where = "response.custom_tool_call_input", self._where()
        yield {"type": f"{kind}.delta", **where, "delta": text}
        yield {"type": f"{kind}.done", **where, "input": text}
        yield from OutputItem.end(self)

    def _item(self, text: str, status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "custom_tool_call",
            "status": status,
            "call_id": self._call_id,
            **self._named,
            "input": self._input(text),
        }

    def _input(self, arguments: str) -> str:
        try:
            return str(from_json(arguments)[TEXT])
        except (ValueError, TypeError, KeyError):
            # No argument of that name: then what it has written.
            return arguments


class WholeCallItem(CallItem):
    """A call of a tool that the client runs and that is no function: it comes as a whole."""

    def add(self, text: str, logprobs: Any = None) -> Iterator[Event]:
        self._said.append(text)
        yield from ()

    def end(self) -> Iterator[Event]:
        yield from OutputItem.end(self)

    def _item(self, text: str, status: str) -> dict[str, Any]:
        members = {"id": self.id, "status": status, "call_id": self._call_id}
        return {**members, **self._called(_object(text))}

    def _called(self, arguments: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


class ShellItem(WholeCallItem):
    """A command that the client is to run."""

    prefix = "lsh"

    def _called(self, arguments: dict[str, Any]) -> dict[str, Any]:
        command = arguments.get("command", [])
        if isinstance(command, str):
            command = ["bash", "-lc", command]
        action = {"type": "exec", "env": {}, **arguments, "command": command}
        return {"type": "local_shell_call", "action": action}


class SearchItem(WholeCallItem):
    """A search for tools that the client is to make among its own."""

    prefix = "tsc"

    def _called(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"type": "tool_search_call", "execution": "client", "arguments": arguments}


CALLED: Final[Mapping[str, type[CallItem]]] = {
    "custom_tool_call": TextCallItem,
    "local_shell_call": ShellItem,
    "tool_search_call": SearchItem,
}
"""The items of calls that are none of functions."""


def _object(text: str) -> dict[str, Any]:
    try:
        value = from_json(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


SPOKEN: Final = {"reasoning": ReasoningItem, "text": TextItem, "refusal": RefusalItem}
"""The items that the members of a piece belong to, in the order in which they come."""


def _message(id_: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}
