"""What a handler may ask of a client: the user's answer, a model's, the roots."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypedDict, TypeVar

from pydantic import BaseModel, ValidationError
from typing_extensions import Unpack

from mcp_mount.calls.questions import FORMS, InputRequest, UnfitAnswer
from mcp_mount.wire.messages import plain

T = TypeVar("T", bound=BaseModel)

_ACTIONS: Final = ("accept", "decline", "cancel")
_FIELDS: Final = ("string", "number", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class Elicited(Generic[T]):
    """The user's answer. It is true only if the user accepted: `if ctx.elicit(...)`.

    Attributes:
        action: "accept", "decline" or "cancel".
        data: The form that the user accepted; None otherwise, and for a page to visit.
    """

    action: str
    data: T | None = None

    def __bool__(self) -> bool:
        return self.action == "accept"


def elicitation(message: str, schema: type[T]) -> InputRequest[Elicited[T]]:
    """A form for the user to fill in (2026-07-28, client/elicitation), for `ctx.ask`.

    Args:
        message: What the user is asked.
        schema: A flat pydantic model: texts, numbers, booleans and choices.

    Raises:
        TypeError: If the model has fields that a form cannot have.
    """

    def read(answer: Any) -> Elicited[T]:
        action = _action(answer)
        if action != "accept":
            return Elicited(action)
        try:
            return Elicited(action, schema.model_validate(answer.get("content") or {}))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}"
                for one in error.errors()
            )
            raise UnfitAnswer(f"The client's answer does not fit: {problems}") from None

    params = {"mode": "form", "message": message, "requestedSchema": _flat_schema(schema)}
    return InputRequest("elicitation/create", params, FORMS, read)


def url_elicitation(message: str, url: str) -> InputRequest[Elicited[Any]]:
    """A page for the user to visit, for `ctx.ask`: a payment or a login, which no client may see.

    The action "accept" means that the user agreed to open the page, not that anything was done
    there: the server of the page knows that.

    Args:
        message: Why the user should visit it.
        url: The page.
    """

    def read(answer: Any) -> Elicited[Any]:
        return Elicited(_action(answer))

    params = {
        "mode": "url",
        "message": message,
        "url": url,
        # 2025-11-25 requires it; 2026-07-28 has no use for it.
        "elicitationId": secrets.token_urlsafe(12),
    }
    return InputRequest("elicitation/create", params, (*FORMS, "url"), read)


class SamplingOptions(TypedDict, total=False):
    """What may be said of a request to the client's model (2026-07-28, client/sampling)."""

    system: str | None
    """The system prompt."""
    temperature: float | None
    """How freely the model answers; the client may ignore it."""
    stop: Sequence[str]
    """Texts at which the answer ends."""
    model_preferences: Any
    """`mcp_types.ModelPreferences`, or plain data."""
    tools: Sequence[Any]
    """`mcp_types.Tool`s or plain data that the model may use, if the client declares
    `sampling.tools`; its calls are the caller's to carry out."""
    tool_choice: Literal["auto", "required", "none"] | None
    """Whether the model must, or must not, use a tool."""
    metadata: Mapping[str, Any] | None
    """For the provider of the model."""


def sampling(
    messages: str | Sequence[Any], *, max_tokens: int = 1024, **options: Unpack[SamplingOptions]
) -> InputRequest[Mapping[str, Any]]:
    """A request to the client's model (2026-07-28, client/sampling), for `ctx.ask`.

    Args:
        messages: One text of the user, or `SamplingMessage`s of `mcp_types`, or plain data.
        max_tokens: The most tokens of the answer.
        options: Further parameters of the request.

    Returns:
        The request; its answer is a `CreateMessageResult` as plain data.

    Raises:
        TypeError: If there is no such option.
    """
    for name in options.keys() - SamplingOptions.__annotations__.keys():
        raise TypeError(f"sampling() got an unexpected keyword argument {name!r}")
    if isinstance(messages, str):
        messages = [{"role": "user", "content": {"type": "text", "text": messages}}]
    params: dict[str, Any] = {"messages": plain(messages), "maxTokens": max_tokens}
    tools, tool_choice = options.get("tools", ()), options.get("tool_choice")
    further = {
        "systemPrompt": options.get("system"),
        "temperature": options.get("temperature"),
        "stopSequences": list(options.get("stop", ())) or None,
        "modelPreferences": plain(options.get("model_preferences")),
        "tools": plain(tools) or None,
        "toolChoice": None if tool_choice is None else {"mode": tool_choice},
        "metadata": options.get("metadata"),
    }
    params |= {name: value for name, value in further.items() if value is not None}
    uses_tools = bool(tools) or tool_choice is not None
    capability = ("sampling", "tools") if uses_tools else ("sampling",)
    return InputRequest("sampling/createMessage", params, capability, _object)


def roots() -> InputRequest[Sequence[Mapping[str, Any]]]:
    """A request for the client's roots (2026-07-28, client/roots), for `ctx.ask`."""

    def read(answer: Any) -> Sequence[Mapping[str, Any]]:
        listed = _object(answer).get("roots")
        if not isinstance(listed, list):
            raise UnfitAnswer("The client's answer has no roots")
        return listed

    return InputRequest("roots/list", {}, ("roots",), read)


def _flat_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The schema of a form: an object of simple fields, without references."""
    whole = schema.model_json_schema()
    definitions = whole.get("$defs", {})
    properties = {
        name: _inlined(field, definitions) for name, field in whole.get("properties", {}).items()
    }
    for name, field in properties.items():
        if not _is_simple(field):
            raise TypeError(
                f"{schema.__name__}.{name}: a form has texts, numbers, booleans and choices only, "
                f"not {field}"
            )
    flat: dict[str, Any] = {"type": "object", "properties": properties}
    if "required" in whole:
        flat["required"] = whole["required"]
    return flat


def _inlined(field: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A field as clients know it: references resolved (an enum, say), `| None` left out."""
    own = dict(field)
    reference = own.pop("$ref", None)
    if reference is not None:
        own = {**definitions[reference.removeprefix("#/$defs/")], **own}
    kinds = [kind for kind in own.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        # An optional field: leaving it out is how a form says None.
        del own["anyOf"]
        own = {**_inlined(kinds[0], definitions), **own}
        if own.get("default", ...) is None:
            del own["default"]
    if isinstance(own.get("items"), dict):
        own["items"] = _inlined(own["items"], definitions)
    if "const" in own and "type" in own and "enum" not in own:
        own["enum"] = [own.pop("const")]
    return own


def _is_simple(field: Mapping[str, Any]) -> bool:
    if field.get("type") == "array":
        items = field.get("items", {})
        return "enum" in items or "anyOf" in items
    return field.get("type") in _FIELDS


def _action(answer: Any) -> str:
    action = _object(answer).get("action")
    if action not in _ACTIONS:
        raise UnfitAnswer("The client's answer has no valid action")
    return str(action)


def _object(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise UnfitAnswer("The client's answer is not an object")
    return answer
