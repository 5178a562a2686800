"""Tools: functions that a model may call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, PydanticUserError, TypeAdapter
from pydantic_core import ValidationError, from_json, to_json
from typing_extensions import Unpack

from mcp_mount.calls.call import Call, Checks, DelegatingCall
from mcp_mount.calls.catalogue import DirectTool, HandlerCall
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.policies import NO_POLICIES, Policies
from mcp_mount.calls.results import Result
from mcp_mount.calls.tasks import TaskPolicy
from mcp_mount.elsewhere import value_here
from mcp_mount.features import content
from mcp_mount.features.definitions import ANY_ENTRY, Definition, check_definition, members
from mcp_mount.features.hints import check_hints
from mcp_mount.features.pages import tool_meta
from mcp_mount.schemas.arguments import (
    MAX_TOLD,
    Arguments,
    HandlerArguments,
    InvalidArguments,
    known_arguments,
)
from mcp_mount.schemas.declared import DeclaredArguments
from mcp_mount.schemas.functions import (
    DefinitionError,
    Documentation,
    describe,
    is_coroutine_function,
    name_of,
    refuse_what_answers_later,
    signature_of,
)
from mcp_mount.schemas.json_schema import JSONSchema, finite_schema, is_open
from mcp_mount.schemas.mirrored import Mirrored, mirrored_parameters
from mcp_mount.schemas.values import Check, flag, or_none, text, unlike
from mcp_mount.wire.adapters import adapter_of
from mcp_mount.wire.answers import is_yes
from mcp_mount.wire.binary import SchemaGenerator
from mcp_mount.wire.encoding import NotFinite, encode, encode_typed
from mcp_mount.wire.errors import (
    INVALID_PARAMS,
    ProtocolError,
    ToolError,
    requires_extension,
)
from mcp_mount.wire.extensions import TASKS
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import Rule, plain
from mcp_mount.wire.revisions import LATEST, Revision

logger = own_logger("mcp_mount")

# 2026-07-28, server/tools, "Tool Names".
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


_TEXT_TWICE: Final = b'"content":[{"type":"text","text":%b}],"structuredContent":{"result":%b}'


class UnfitResult(ValueError):
    """A value that is not of the type that its tool promises."""

    def __init__(self, described: str, promised: Any, error: ValidationError) -> None:
        lines = [
            ".".join(map(str, one["loc"])) + (": " if one["loc"] else "") + one["msg"]
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        super().__init__(
            f"{described} has returned what is no {inspect.formatannotation(promised)}, which is "
            "promised by its return annotation (or output_schema=): " + "; ".join(lines[:MAX_TOLD])
        )


class Output:
    """How a tool's values become results, decided when the tool is registered.

    A return annotation that describes data gives an output schema: values are validated against it
    and serialised once, for `structuredContent` and its text twin alike. Without one, or with
    content types, values become content blocks. A value that may be something other than an object
    is wrapped in one, as `{"result": value}`, in every revision: older ones allow nothing else,
    several clients of 2026-07-28 take null, false and 0 for no structured content, and those of
    FastMCP unwrap it by the member `x-fastmcp-wrap-result` of the schema.

    Args:
        function: The tool's function.
        returned: Its return annotation.
        declared: A type or a JSON Schema in place of the annotation; False for no output schema.

    Attributes:
        type: The type of the data, if it is known.
    """

    def __init__(self, function: Callable[..., Any], returned: Any, declared: Any) -> None:
        self.schema: dict[str, Any] | None = None
        self.type: Any = None
        self._adapter: TypeAdapter[Any] | None = None
        self._checked: JSONSchema | None = None
        self._described = describe(function)
        if declared is False:
            return
        if isinstance(declared, Mapping):
            self.schema = dict(declared)
            self._checked = JSONSchema(function, "output_schema", self.schema, "the value")
            self._adapter = adapter_of(Any, reads_json=False)
        else:
            if declared is None and not _is_data(returned):
                return
            annotation = NoneType if returned is None else returned
            annotation = annotation if declared is None else declared
            self._adapter, self.schema = _adapter(function, annotation)
            self.type = annotation
        self._is_open = isinstance(declared, Mapping) or is_open(self.schema)
        self._is_object = self.schema.get("type") == "object"

    @property
    def is_wrapped(self) -> bool:
        """Whether a value is the member `result` of the structured content, and not all of it."""
        return self.schema is not None and not self._is_object

    @property
    def wire_schema(self) -> dict[str, Any] | None:
        """The output schema as clients see it: always that of an object."""
        if self.schema is None or self._is_object:
            return self.schema
        nested = {key: value for key, value in self.schema.items() if key != "$defs"}
        wrapped = {"type": "object", "properties": {"result": nested}, "required": ["result"]}
        if "$defs" in self.schema:
            wrapped["$defs"] = self.schema["$defs"]
        return {**wrapped, "x-fastmcp-wrap-result": True}

    def encode(self, value: Any, revision: Revision) -> Result:
        """The result for what a tool returned.

        Args:
            value: The value.
            revision: The revision in use.

        Raises:
            ValueError: If the value does not fit (pydantic's ValidationError, for one).
        """
        if type(value) is str and self.type is str and revision.structured_content:
            # The most common case in one step: it takes a third of the time.
            try:
                data = to_json(value)
            except ValueError:
                data = encode(value)
            return Result(_TEXT_TWICE % (data, data))
        if _is_call_result(value):
            return _encode_call_result(value, revision)
        if self._adapter is None:
            return _encode_free(value, revision)
        if self.type is str and not isinstance(value, str):
            return self._encode_as_text(value, revision)
        return self.encode_structured(self.encode_data(value), revision)

    def encode_structured(self, data: bytes, revision: Revision) -> Result:
        """The result for a structured value that is JSON already; a text goes as it is."""
        is_text = data[:1] == b'"'
        block = content.TEXT_BLOCK % data if is_text else content.text_block(data.decode())
        is_object = data[:1] == b"{" and self._is_object
        return Result(content.join((block,)) + _structured(data, revision, is_object=is_object))

    def _encode_as_text(self, value: Any, revision: Revision) -> Result:
        """The result of a function that is annotated `str` and returned something else."""
        blocks = list(content.readable(content.blocks(value), revision))
        texts = [str(one["text"]) for one in map(from_json, blocks) if one["type"] == "text"]
        data = encode("\n".join(texts))
        return Result(content.join(blocks) + _structured(data, revision, is_object=False))

    def encode_data(self, value: Any) -> bytes:
        """A structured value as JSON; validated first."""
        assert self._adapter is not None
        if self.type is str and type(value) is str:
            return encode(value)
        try:
            validated = self._adapter.validator.validate_python(value)
        except ValidationError as error:
            raise UnfitResult(self._described, self.type, error) from None
        data = encode_typed(self._adapter, validated, is_open=self._is_open)
        if self._checked is not None and (problems := self._checked.problems(from_json(data))):
            raise ValueError("\n".join(["The value does not fit output_schema.", *problems]))
        return data


class ToolDefinition(Definition, total=False):
    """What users may say of a tool."""

    annotations: Any
    """Hints for clients, such as {"readOnlyHint": True}. A misspelt one is refused; other keys are
    sent as they are."""
    input_schema: Mapping[str, Any] | HandlerArguments | None
    """A JSON Schema in place of the signature's; the function gets what it allows by name. Needs
    the `schema` extra."""
    output_schema: Any
    """A type or a JSON Schema in place of the return annotation; False for none."""
    task: bool | Literal["required"] | TaskPolicy
    """Whether calls run as tasks, in the background, for clients that know the tasks extension:
    True, "required", or by a policy."""
    page: str | None
    """The `ui://` URI of the page that shows its results."""
    app_only: bool
    """Whether only pages call it, and no model sees it."""


def _input_schema(name: str, value: Any) -> None:
    other = None if isinstance(value, Mapping) else unlike(value, HandlerArguments)
    if other is not None:
        raise DefinitionError(f"{name} is a JSON Schema, as a dict, not {other}")


def _output_schema(name: str, value: Any) -> None:
    if isinstance(value, str):
        raise DefinitionError(f"{name} is a type, a JSON Schema (a dict) or False, not {value!r}")


_CHECKS: Final[Mapping[str, Check]] = {
    **ANY_ENTRY,
    "annotations": or_none(check_hints),
    "input_schema": or_none(_input_schema),
    "output_schema": _output_schema,
    "page": or_none(text),
    "app_only": flag,
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A registered tool."""

    name: str
    function: Callable[..., Any]
    arguments: HandlerArguments
    output: Output
    is_async: bool
    mirrored: Sequence[Mirrored] = ()
    task: TaskPolicy | None = None
    rules: Sequence[Rule] = ()
    policies: Policies = NO_POLICIES
    checks: Checks | None = None
    members: Mapping[str, Any] = field(default_factory=dict)
    """The members of the definition that do not depend on the revision."""
    delegates: bool = False
    """Whether it only asks another entry, so that policies around both count its calls once."""

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        rules: Sequence[Rule] = (),
        policies: Policies = NO_POLICIES,
        checks: Checks | None = None,
        **definition: Unpack[ToolDefinition],
    ) -> Tool:
        """Make a tool of a function.

        Args:
            function: Its handler.
            name: By default the function's.
            rules: Who may see and call it.
            policies: Wrap its calls.
            checks: Checks of the arguments.
            definition: What the user says of it; an integration may give a `HandlerArguments` as
                `input_schema` and an `Output` as `output_schema`.

        Raises:
            DefinitionError: For a function that cannot be a tool.
        """
        if not callable(function):
            raise DefinitionError(f"a tool must be a function, not {function!r}")
        check_definition(function, {**definition, "name": name}, _CHECKS)
        input_schema = definition.get("input_schema")
        output_schema = definition.get("output_schema")
        meta = {
            **tool_meta(definition.get("page"), definition.get("app_only", False)),
            **(definition.get("meta") or {}),
        }
        own_name = name_of(function) if name is None else name
        if not _NAME.fullmatch(own_name):
            raise DefinitionError(
                f"{describe(function)}: {own_name!r} is no tool name; use 1 to 128 ASCII letters, "
                "digits, '_', '-' and '.', and pass name= for a lambda"
            )
        documentation, signature = Documentation(function), signature_of(function)
        arguments: HandlerArguments
        if input_schema is None:
            arguments = Arguments(function, signature, documentation)
        elif isinstance(input_schema, Mapping):
            arguments = DeclaredArguments(function, signature, input_schema)
        else:
            arguments = input_schema
        output = (
            output_schema
            if isinstance(output_schema, Output)
            else Output(function, signature.return_annotation, output_schema)
        )
        try:
            # A list of tools must not fail over one of them.
            encode([finite_schema(arguments.schema), finite_schema(output.schema)])
            mirrored = mirrored_parameters(arguments.schema)
        except ValueError as error:
            raise DefinitionError(f"{describe(function)}: {error}") from None
        return cls(
            name=own_name,
            function=function,
            arguments=arguments,
            mirrored=mirrored,
            output=output,
            is_async=is_coroutine_function(function),
            task=_task_policy(definition.get("task", False)),
            rules=rules,
            policies=policies,
            checks=checks,
            members=members(
                documentation,
                {**definition, "meta": meta or None},
                name=own_name,
                annotations=plain(definition.get("annotations")),
            ),
        )

    @property
    def is_seen_by_models(self) -> bool:
        """Whether models may call it, and not only pages."""
        shown = (self.members.get("_meta") or {}).get("ui") or {}
        return "model" in shown.get("visibility", ("model",))

    @property
    def input_schema(self) -> dict[str, Any]:
        """The schema of the arguments, as clients see it."""
        schema = self.arguments.schema
        if self.policies.ignores_extra_arguments and schema.get("additionalProperties") is False:
            return {**schema, "additionalProperties": True}
        return schema

    def definition(self, revision: Revision = LATEST) -> dict[str, Any]:
        """The tool as `tools/list` shows it."""
        whole = {**self.members, "inputSchema": finite_schema(self.input_schema)}
        output_schema = self.output.wire_schema
        if output_schema is not None:
            whole["outputSchema"] = finite_schema(output_schema)
        return {key: value for key, value in whole.items() if key in revision.tool_fields}

    def call(
        self,
        incoming: IncomingRequest,
        arguments: Mapping[str, Any],
        *,
        encode: Callable[[Any, Revision], Result] | None = None,
        recover: Callable[[Call, Exception], Result] | None = None,
        task: TaskPolicy | None = None,
        validated: HandlerCall | None = None,
    ) -> Call:
        """The call of the tool.

        Args:
            incoming: The request.
            arguments: By their names.
            encode: Makes a result of its value; by default as MCP has it.
            recover: Makes a result of its exception; by default as MCP has it.
            task: How it is to become a task, if it is.
            validated: The arguments as they have been validated, if they have.

        Raises:
            InvalidArguments: If they do not fit, unless there are policies, which see that first.
        """
        policies = self.policies.chain
        if self.policies.ignores_extra_arguments:
            arguments = known_arguments(arguments, self.arguments.schema)
        args: tuple[Any, ...]
        kwargs: dict[str, Any] | None
        if policies:
            args, kwargs = (), None
        else:
            args, kwargs = validated or self.arguments.validate(arguments)
        kind = DelegatingCall if self.delegates else Call
        return kind(
            incoming,
            self.function,
            args,
            kwargs,
            policies=policies,
            arguments=arguments,
            validate=self.arguments.validate if policies else None,
            is_async=self.is_async,
            encode=encode or self.output.encode,
            recover=recover or self.recover,
            context=self.arguments.context,
            request=self.arguments.request,
            task=task,
            checks=self.checks,
        )

    def direct(self) -> DirectTool | None:
        """The tool for direct calls, if it has nothing around them."""
        arguments = self.arguments
        if (
            self.rules
            or self.checks is not None
            or self.task is not None
            or self.mirrored
            or arguments.context is not None
            or arguments.request is not None
            or self.policies.chain
            or self.policies.ignores_extra_arguments
        ):
            return None
        return DirectTool(
            self.name,
            self.function,
            self.is_async,
            arguments.validate,
            self.output.encode,
            self._call_directly,
        )

    def _call_directly(
        self,
        incoming: IncomingRequest,
        arguments: Mapping[str, Any],
        validated: HandlerCall | None,
    ) -> Result | Call:
        try:
            return self.call(incoming, arguments, validated=validated)
        except InvalidArguments as error:
            return error_result(str(error))

    def task_of(self, incoming: IncomingRequest, arguments: Mapping[str, Any]) -> TaskPolicy | None:
        """The policy by which a call is to become a task; None if it is not.

        Args:
            incoming: The request.
            arguments: By their names.

        Raises:
            ProtocolError: -32021, if it must become one, and the client does not support tasks.
        """
        policy = self.task
        if policy is None:
            return None
        if policy.when is not None and not is_yes(policy.when, policy.when(arguments)):
            return None
        knows_tasks = incoming.revision.stateless and incoming.client.declares(TASKS)
        if policy.required and not knows_tasks:
            raise requires_extension(TASKS)
        return policy if knows_tasks else None

    def recover(self, call: Call, error: Exception) -> Result:
        """The result for what a tool raised: its own words, or a neutral sentence."""
        if isinstance(error, ToolError | InvalidArguments):
            return error_result(str(error) or "The tool failed")
        call.report(error)
        if isinstance(error, NotFinite):
            return error_result(f"The tool {self.name!r} failed. {error}.")
        return error_result(f"The tool {self.name!r} failed. The server has logged the reason.")


class DirectTools(dict[str | bytes, DirectTool | None]):
    """The tools that have nothing around their calls, by their names; None for any other name.

    What a name is found to be is kept, also under its bytes: to find it again calls no function.

    Args:
        tools: All tools, by their names.
    """

    __slots__ = ("_tools",)

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        super().__init__()
        self._tools = tools

    def __missing__(self, name: str | bytes) -> DirectTool | None:
        text = name if isinstance(name, str) else name.decode("latin-1")
        tool = self._tools.get(text)
        if tool is None:
            # Not kept: clients ask for any name.
            return None
        if text not in self:
            # Whatever other threads do: a tool that is another object under its bytes would always
            # look as if it had been replaced meanwhile.
            self.setdefault(text, tool.direct())
        found = self[name] = self[text]
        return found


def answer_call(tools: Mapping[str, Tool], incoming: IncomingRequest) -> Result | Call:
    """Answer `tools/call`; arguments that do not fit are told to the model as a result."""
    name = incoming.params["name"]
    tool = tools.get(name)
    if tool is None:
        raise _unknown(name)
    if tool.rules:
        incoming.require(tool.rules, _unknown(name))
    arguments = incoming.params.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ProtocolError(INVALID_PARAMS, '"arguments" must be an object')
    task = None
    if not incoming.path:
        # No other handler calls it: it may have headers of its own, and become a task.
        if incoming.revision.stateless and incoming.request.mirrors_headers:
            for parameter in tool.mirrored:
                parameter.check(incoming.request.headers, arguments)
        task = tool.task_of(incoming, arguments)
    try:
        return tool.call(incoming, arguments, task=task)
    except InvalidArguments as error:
        return error_result(str(error))


def _unknown(name: str) -> ProtocolError:
    return ProtocolError(INVALID_PARAMS, f"Unknown tool: {name}")


def _task_policy(task: bool | str | TaskPolicy) -> TaskPolicy | None:
    if isinstance(task, TaskPolicy):
        if task.when is not None:
            refuse_what_answers_later("when=", task.when)
        return task
    if task not in (True, False, "required"):
        raise DefinitionError(f'task must be True, "required" or a TaskPolicy, not {task!r}')
    return TaskPolicy(required=task == "required") if task else None


def error_result(message: str) -> Result:
    return Result(content.join((content.text_block(message),)) + b',"isError":true', failed=True)


def _is_data(annotation: Any) -> bool:
    """Whether an annotation describes data with a schema, and not text or content blocks."""
    if annotation in (Any, object, inspect.Parameter.empty):
        return False
    kind = get_origin(annotation) or annotation
    if kind in (list, tuple) and set(get_args(annotation)) <= {Any, object, ...}:
        # A list of anything may hold content blocks.
        return False
    return not _mentions_content(annotation)


def _mentions_content(annotation: Any) -> bool:
    if content.is_content_type(annotation) or content.is_content_type(get_origin(annotation)):
        return True
    return any(_mentions_content(part) for part in get_args(annotation))


class _Schema(SchemaGenerator):
    """JSON Schema without the titles that pydantic makes of field names: they cost tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _adapter(
    function: Callable[..., Any], annotation: Any
) -> tuple[TypeAdapter[Any], dict[str, Any]]:
    if (hint := value_here(annotation)) is not None:
        # Before pydantic is asked: some of them are models, whose members would be the result.
        raise DefinitionError(f"{describe(function)} {hint}")
    if any(annotation is one for one in _SCALARS):
        adapter, schema = _of_scalar(annotation)
        return adapter, dict(schema)
    try:
        return _made(annotation)
    except (PydanticUserError, TypeError, NameError) as error:
        raise DefinitionError(
            f"{describe(function)}: values of the return type {annotation!r} have no JSON form "
            f"({str(error).splitlines()[0]}); annotate another type or pass output_schema=False"
        ) from None


def _made(annotation: Any) -> tuple[TypeAdapter[Any], dict[str, Any]]:
    adapter = adapter_of(annotation, reads_json=False)
    schema = adapter.json_schema(mode="serialization", schema_generator=_Schema)
    return adapter, _with_root(finite_schema(schema))


_SCALARS: Final = (str, int, float, bool, NoneType)

_of_scalar: Final = cache(_made)
"""As `_made`, for the types that most tools return: they have one adapter."""


def _with_root(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose root is no mere reference, as that of a model that refers to itself is."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    root = schema.get("$defs", {}).get(name)
    if root is None or schema.keys() - {"$ref", "$defs"}:
        return schema
    return {**root, "$defs": schema["$defs"]}


def _structured(data: bytes, revision: Revision, *, is_object: bool) -> bytes:
    if not revision.structured_content:
        return b""
    if is_object:
        return b',"structuredContent":' + data
    return b',"structuredContent":{"result":%b}' % data


def _encode_free(value: Any, revision: Revision) -> Result:
    members = content.join(content.readable(content.blocks(value), revision))
    if (isinstance(value, dict | BaseModel) and not content.is_content(value)) or (
        is_dataclass(value) and not isinstance(value, type)
    ):
        members += _structured(encode(value), revision, is_object=True)
    return Result(members)


def _is_call_result(value: Any) -> bool:
    return type(value).__name__ == "CallToolResult" and content.is_content(value)


def _encode_call_result(value: Any, revision: Revision) -> Result:
    """A result that the tool built itself, of `mcp_types`."""
    body = plain(value)
    body.pop("resultType", None)
    meta = body.pop("_meta", None)
    encode(meta)  # Now, while a failure is still the tool's.
    blocks = map(encode, body.get("content", []))
    members = content.join(content.readable(blocks, revision))
    if "structuredContent" in body:
        structured = body["structuredContent"]
        members += _structured(encode(structured), revision, is_object=isinstance(structured, dict))
    failed = bool(body.get("isError"))
    if failed:
        members += b',"isError":true'
    return Result(members, meta, failed)
