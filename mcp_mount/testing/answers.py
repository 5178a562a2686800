"""What the user of a client answers, when the server has a question for the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from mcp_mount.wire.extensions import TASKS


@dataclass(frozen=True, slots=True)
class Functions:
    """How the user of a client answers questions; a client cannot be asked what is None.

    Attributes:
        elicit: Gets the parameters of the question; returns the content of the form (a mapping or a
            pydantic model), None to decline, or a whole result with an "action".
        sample: Gets the parameters; returns a text or a whole result.
        roots: URIs.
    """

    elicit: Callable[[Mapping[str, Any]], Any] | None = None
    sample: Callable[[Mapping[str, Any]], Any] | None = None
    roots: Sequence[str] | None = None

    def capabilities(self, *, tasks: bool) -> dict[str, Any]:
        """What a client with these functions declares."""
        declared: dict[str, Any] = {}
        if self.elicit is not None:
            declared["elicitation"] = {"form": {}, "url": {}}
        if self.sample is not None:
            declared["sampling"] = {"tools": {}}
        if self.roots is not None:
            declared["roots"] = {}
        if tasks:
            declared["extensions"] = {TASKS: {}}
        return declared

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """What the function for a question returns: perhaps an awaitable."""
        if method == "elicitation/create" and self.elicit is not None:
            return self.elicit(params)
        if method == "sampling/createMessage" and self.sample is not None:
            return self.sample(params)
        if method == "roots/list" and self.roots is not None:
            return self.roots
        raise RuntimeError(f"The server asks {method}, which this client has no function for")

    @staticmethod
    def result(method: str, params: Mapping[str, Any], value: Any) -> Any:
        """The result on the wire for what a function returned."""
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", by_alias=True)
        if method == "roots/list":
            return {"roots": [{"uri": uri} for uri in value]}
        if method == "sampling/createMessage":
            if isinstance(value, str):
                content = {"type": "text", "text": value}
                return {"role": "assistant", "model": "test", "content": content}
            return value
        if value is None:
            return {"action": "decline"}
        if "action" in value and set(value) <= {"action", "content"}:
            return value
        if params.get("mode") == "url":
            return {"action": "accept"}
        return {"action": "accept", "content": value}
