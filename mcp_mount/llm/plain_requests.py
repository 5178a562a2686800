"""Requests for chats with nothing unusual in them, read and checked in one pass.

`ChatRequest` takes whatever clients send, by functions in Python that look at a body before its
fields are read: 9 µs for a short one. Most bodies need none of that: a schema without these
functions reads them in 5. What does not fit it may be a request all the same: `ChatRequest` has the
last word. A test holds both together (tests/routes/test_direct_chats.py).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as core

from mcp_mount.llm.requests import MAX_TOKENS, ChatMessage, ChatRequest
from mcp_mount.wire.encoding import may_have_no_numbers

_TEXT: Final = core.str_schema(strict=True)
_NUMBER: Final = core.float_schema(strict=True, allow_inf_nan=False)
_VALUE: Final = core.definition_reference_schema("value")
"""Whatever JSON has. Numbers that are too large for a float are infinities otherwise."""

_OBJECT: Final = core.dict_schema(core.str_schema(), _VALUE, strict=True)
_OBJECTS: Final = core.list_schema(_OBJECT, strict=True)
_NOTHING: Final = core.callable_schema()
"""Refuses all that JSON has: members that a model does not know are left to `ChatRequest`."""

_MESSAGE: Final[dict[str, CoreSchema]] = {
    "role": _TEXT,
    "content": core.nullable_schema(core.union_schema([_TEXT, _OBJECTS], mode="left_to_right")),
    "name": _TEXT,
    "tool_calls": _OBJECTS,
    "tool_call_id": _TEXT,
}

_REQUEST: Final[dict[str, CoreSchema]] = {
    "model": _TEXT,
    "stream": core.bool_schema(strict=True),
    "stream_options": _OBJECT,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "max_tokens": core.int_schema(strict=True, ge=1, le=MAX_TOKENS),
    "n": core.int_schema(strict=True, ge=1, le=128),
    "stop": core.list_schema(_TEXT, strict=True),
    "seed": core.int_schema(strict=True),
    "response_format": _OBJECT,
    "reasoning_effort": _TEXT,
}


def plain_request(body: bytes) -> ChatRequest | None:
    """The request in a body, if it is one with nothing unusual; None for any other body.

    Args:
        body: JSON, as a client has sent it.
    """
    if may_have_no_numbers(body):
        return None
    try:
        found: ChatRequest = _validator().validate_json(body)
    except ValidationError:
        return None
    return found


@cache
def _validator() -> SchemaValidator:
    message = _model(ChatMessage, _MESSAGE)
    messages = core.list_schema(message, min_length=1, strict=True)
    schema = _model(ChatRequest, {**_REQUEST, "messages": messages})
    value = core.nullable_schema(
        core.union_schema(
            [
                core.str_schema(strict=True),
                core.bool_schema(strict=True),
                core.int_schema(strict=True),
                _NUMBER,
                _OBJECT,
                core.list_schema(_VALUE, strict=True),
            ],
            mode="left_to_right",
        ),
        ref="value",
    )
    schema = core.definitions_schema(schema, [value])
    # By default it would take the validators that these classes have already.
    return SchemaValidator(schema, None, _use_prebuilt=False)


def _model(kind: Any, known: dict[str, CoreSchema]) -> CoreSchema:
    """The schema of a model, of those of its fields that may be in a plain request."""
    fields = {}
    for name, field in kind.model_fields.items():
        schema = known.get(name, _NOTHING)
        if not field.is_required():
            schema = core.with_default_schema(schema, default=field.default)
        fields[name] = core.model_field(schema)
    inner = core.model_fields_schema(fields, extra_behavior="allow", extras_schema=_NOTHING)
    return core.model_schema(kind, inner)
