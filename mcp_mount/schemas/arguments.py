"""The arguments of a handler: a JSON Schema and a validator, made of its signature in one go."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, get_args, get_origin

from pydantic import (
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
)
from pydantic.experimental.arguments_schema import generate_arguments_schema
from pydantic_core import ArgsKwargs, SchemaError, SchemaValidator, ValidationError, to_json

from mcp_mount.context.context import Context, SyncContext
from mcp_mount.elsewhere import types_of_others
from mcp_mount.schemas.bounds import Bounds, TooCostly
from mcp_mount.schemas.functions import (
    DefinitionError,
    Documentation,
    describe,
    is_coroutine_function,
    unwrap,
)
from mcp_mount.schemas.json_schema import finite_schema
from mcp_mount.schemas.json_strings import read_json_strings
from mcp_mount.wire.binary import NO_SCHEMAS, SchemaGenerator, validator_of, with_base64
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")


class InvalidArguments(ValueError):
    """Arguments that do not fit a handler. The message tells a model how to correct them."""


request_types: list[type] = []
"""The request classes of the host frameworks that are in use: a parameter of such a type gets the
host's own request. Integrations add theirs."""

ContextParameter: TypeAlias = tuple[str, type[Context] | type[SyncContext]]
"""Name and class of the parameter that gets the context."""


_FILLED_BY_US: Final = ("request", "ctx", "context")
"""The names by which handlers of other libraries ask for the request and the context."""

_OF_METHODS: Final = ("self", "cls")

_MAX_LISTED: Final = 10_000
"""How many problems of arguments are looked at: pydantic lists all of them, or none."""

MAX_TOLD: Final = 50
_LONGEST_PROBLEM: Final = 2000
_LONGEST_NAME: Final = 100

_NO_CONFIGURATION: Final = NO_SCHEMAS - {"config"}

_IMPORTS: Final = {
    "django": ("HttpRequest", "from django.http import HttpRequest"),
    "flask": ("Request", "from flask import Request"),
    "starlette": ("Request", "from starlette.requests import Request"),
}
"""How the request class of each framework is written, and imported."""


class HandlerArguments(Protocol):
    """The arguments of a handler: their schema and their validation.

    Attributes:
        schema: The JSON Schema of an object.
        context: The parameter that gets the context, with its class; None for none.
        request: The parameter that gets the host's request; None for none.
    """

    context: ContextParameter | None
    request: str | None
    schema: dict[str, Any]

    def validate(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Validate arguments.

        Args:
            arguments: By their names.

        Returns:
            Positional and keyword arguments for the handler.

        Raises:
            InvalidArguments: If they do not fit the schema.
        """


def check_request(
    function: Callable[..., Any], arguments: HandlerArguments, request_type: type
) -> None:
    """Refuse a handler that takes a request of another class than it would get.

    Args:
        function: The handler.
        arguments: Its arguments.
        request_type: The class of the host's requests.

    Raises:
        DefinitionError: If the classes differ.
    """
    wanted: type | None = getattr(arguments, "request_type", None)
    if wanted is None or issubclass(wanted, request_type):
        return
    if not issubclass(request_type, wanted):
        raise DefinitionError(
            f"{describe(function)} needs a {_full_name(wanted)}, which there is none of here: the "
            f"requests of this host are {_full_name(request_type)}. Depends(), Header() and "
            "Cookie() need FastAPI's, too; ctx.headers has the headers in every host"
        )


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class Arguments:
    """The arguments of a handler, but for its context.

    `*args` is an argument of that name with a list, `**kwargs` one with an object. Raises
    DefinitionError for a parameter that has no JSON form, and for a context of the wrong kind.
    context, request: the parameters that get the context and the host's request, if the handler
    has them.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: inspect.Signature,
        documentation: Documentation,
        named: Collection[str] = (),
    ) -> None:
        """Read the parameters of a function.

        Args:
            function: The handler.
            signature: Its signature, with annotations that are no strings.
            documentation: What its docstring says of parameters.
            named: Parameters that something besides the function names as arguments, such as the
                variables of a URI template.
        """
        self.context, self.request, parameters = split_parameters(function, signature)
        self.request_type = request_type_of(signature, self.request)
        self._described = describe(function)
        self._warned = False
        refuse_unannotated(function, parameters, named)
        try:
            own_schema = generate_arguments_schema(_stub(function, parameters), "arguments-v3")
            core_schema = with_base64(own_schema, reads_json=True)
            self._bounds = Bounds(core_schema)
            rewritten = self._bounds.schema is not own_schema
            validator = validator_of(self._bounds.schema, is_rewritten=rewritten)
            self._validator: Any = _AsJSON(validator) if _is_strict(core_schema) else validator
            # Where nothing is to be measured without a step in between.
            self._validate_first: Callable[[Any], Any] = (
                partial(self._bounds.validate, self._validator)
                if self._bounds.is_measured
                else self._validator.validate_python
            )
            schema = finite_schema(SchemaGenerator().generate(core_schema))
        except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
            raise _explain(function, parameters) from None
        except (PydanticUserError, SchemaError, NameError, TypeError) as error:
            raise DefinitionError(f"{describe(function)}: {error}") from None
        self.schema = _finish(schema, documentation)
        self.names = tuple(self.schema["properties"])

    def validate(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Validate arguments: see `HandlerArguments.validate`."""
        try:
            validated = self._validate_first(arguments)
        except ValidationError as error:
            validated = self._validate_read(arguments, error)
        except TooCostly as error:
            raise self._too_costly(error) from None
        if isinstance(validated, ArgsKwargs):
            return validated.args, dict(validated.kwargs or {})
        return validated  # type: ignore[no-any-return]

    def _validate_read(self, arguments: Mapping[str, Any], error: ValidationError) -> Any:
        """Validate once more, with the JSON read that stands in strings where none are wanted."""
        read = read_json_strings(arguments, self.schema)
        if read is not arguments:
            try:
                return self._bounds.validate(self._validator, read)
            except ValidationError as further:
                error = further
            except TooCostly as costly:
                raise self._too_costly(costly) from None
        raise InvalidArguments(self._advice(error)) from None

    def _too_costly(self, error: TooCostly) -> InvalidArguments:
        if self._bounds.is_ambiguous and not self._warned:
            self._warned = True
            logger.warning(
                "%s: arguments were refused that take too long to check. Give the union in its "
                "types that refers to itself a discriminator: Field(discriminator=...)",
                self._described,
            )
        return InvalidArguments(advice_of([f"{error}."]))

    def _advice(self, error: ValidationError) -> str:
        if error.error_count() > _MAX_LISTED:
            return advice_of([f"They have {error.error_count()} problems, too many to list."])
        lines: list[str] = []
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            where = ".".join(map(str, problem["loc"]))
            if problem["type"] == "extra_forbidden":
                is_argument = len(problem["loc"]) == 1
                lines.append(
                    unknown_argument(where, self.names)
                    if is_argument
                    else f"{where}: unknown argument"
                )
            elif problem["type"].startswith("missing_"):
                lines.append(f"{where}: missing, but required")
            else:
                lines.append(f"{where}: {problem['msg']}" if where else problem["msg"])
        return advice_of(lines)


class _AsJSON:
    """Validates values as the JSON that they came as: what is strict takes a date for a text only
    there, as JSON has no other form for it."""

    def __init__(self, validator: SchemaValidator) -> None:
        self._validator = validator

    def validate_python(self, value: Any) -> Any:
        return self._validator.validate_json(to_json(value))


def _is_strict(schema: Any) -> bool:
    """Whether something in a core schema is strict."""
    if isinstance(schema, list | tuple):
        return any(map(_is_strict, schema))
    if not isinstance(schema, dict):
        return False
    if schema.get("strict") is True:
        return True
    return any(_is_strict(one) for key, one in schema.items() if key not in _NO_CONFIGURATION)


def advice_of(problems: Sequence[str]) -> str:
    """What to tell of arguments that do not fit: as much as a model reads, however much a client
    has sent.

    Args:
        problems: What is wrong with them.
    """
    told = [
        one if len(one) <= _LONGEST_PROBLEM else f"{one[:_LONGEST_PROBLEM]}…"
        for one in problems[:MAX_TOLD]
    ]
    if len(problems) > len(told):
        told.append(f"... and {len(problems) - len(told)} more problems.")
    return "\n".join(["Invalid arguments.", *told])


def unknown_argument(name: str, names: Iterable[str]) -> str:
    """What to tell of an argument that a handler does not have: those that it has.

    Args:
        name: The unknown argument.
        names: The arguments that there are.
    """
    # Needed for errors alone, and importing it takes a while.
    from difflib import get_close_matches

    known = list(names)
    nearest = get_close_matches(name[:_LONGEST_NAME], known, 1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"{name}: unknown argument; the arguments are: {', '.join(known) or 'none'}{hint}"


def unknown_arguments(
    arguments: Iterable[str], taken: Collection[str], names: Iterable[str]
) -> str:
    """What to tell of arguments of which a handler does not have all.

    Args:
        arguments: The names that a client has sent.
        taken: Those that the handler has.
        names: Those that it is told of.
    """
    unknown = [name for name in arguments if name not in taken]
    lines = [unknown_argument(name, names) for name in unknown[:MAX_TOLD]]
    return advice_of([*lines, *unknown[MAX_TOLD:]])


def known_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments that a schema has, without those that it forbids as additional."""
    if schema.get("additionalProperties") is not False:
        return arguments
    known = schema.get("properties", {})
    if all(name in known for name in arguments):
        return arguments
    return {name: value for name, value in arguments.items() if name in known}


def split_parameters(
    function: Callable[..., Any], signature: inspect.Signature
) -> tuple[ContextParameter | None, str | None, list[inspect.Parameter]]:
    """Split the parameters of a handler.

    Args:
        function: The handler.
        signature: Its signature.

    Returns:
        The parameter that gets the context, the one that gets the host's request, and the others.

    Raises:
        DefinitionError: If the handler is a generator, or asks for a context that it cannot get.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(
            f"{describe(function)} is a generator: a handler returns its result at once"
        )
    context: ContextParameter | None = None
    request: str | None = None
    others: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if _is_request(parameter.annotation):
            _check_place(function, parameter, signature)
            request = parameter.name
            continue
        kind = _context_kind(parameter.annotation)
        if kind is None:
            _refuse_other_context(function, parameter)
            others.append(parameter)
            continue
        if context is not None:
            raise DefinitionError(f"{describe(function)}: more than one context parameter")
        _check_kind(function, parameter.name, kind)
        _check_place(function, parameter, signature)
        context = (parameter.name, kind)
    return context, request, others


def refuse_unannotated(
    function: Callable[..., Any], parameters: Iterable[inspect.Parameter], named: Collection[str]
) -> None:
    """Refuse parameters without annotation that look like the request, the context, or a method's
    object.

    A model would have to fill them in. One that really is an argument of that name is annotated.

    Args:
        function: The handler.
        parameters: Those of its parameters that are to be arguments.
        named: Those that something else names as arguments.

    Raises:
        DefinitionError: With what to import and to write.
    """
    for position, parameter in enumerate(parameters):
        name = parameter.name
        if parameter.annotation is not parameter.empty:
            continue
        if position == 0 and name in _OF_METHODS and name not in named:
            raise DefinitionError(
                f"{describe(function)}: nobody gives it '{name}', since it is registered in the "
                "body of its class. Register the method of an object: server.tool(Shop().method), "
                "or make it a staticmethod below the decorator"
            )
        if name not in _FILLED_BY_US:
            continue
        if name in named:
            continue
        if name == "request":
            ways = " or ".join(
                f"'request: {kind}' ({line})" for kind, line in map(_import_of, request_types)
            )
            wanted = f"for the host's own request, write {ways}"
        else:
            wanted = f"for the context, write {_context_way(function, name)}"
        raise DefinitionError(
            f"{describe(function)}: the parameter '{name}' has no annotation, so that a model "
            f"would have to fill it in; {wanted}; for an argument of that name, write "
            f"'{name}: str', or whatever its type is"
        )


def _import_of(kind: type) -> tuple[str, str]:
    package = kind.__module__.partition(".")[0]
    return _IMPORTS.get(package, (kind.__name__, f"from {kind.__module__} import {kind.__name__}"))


def _context_way(function: Callable[..., Any], name: str) -> str:
    kind = Context if is_coroutine_function(function) else SyncContext
    return f"'{name}: {kind.__name__}' (from mcp_mount import {kind.__name__})"


def request_type_of(signature: inspect.Signature, name: str | None) -> type | None:
    """The class of the parameter that gets the request; None without one."""
    return None if name is None else signature.parameters[name].annotation


def _is_request(annotation: Any) -> bool:
    # In Python 3.10, `dict[str, int]` is an instance of type, too.
    is_class = isinstance(annotation, type) and get_origin(annotation) is None
    return is_class and issubclass(annotation, tuple(request_types))


def _context_kind(annotation: Any) -> type[Context] | type[SyncContext] | None:
    named = (annotation, *get_args(annotation))
    for kind in (Context, SyncContext):
        if any(part is kind or get_origin(part) is kind for part in named):
            return kind
    return None


def _refuse_other_context(function: Callable[..., Any], parameter: inspect.Parameter) -> None:
    """Refuse the context of another library.

    Raises:
        DefinitionError: With the context to write in its place.
    """
    for name, library in types_of_others(parameter.annotation):
        if name == "Context":
            raise DefinitionError(
                f"{describe(function)}: the parameter '{parameter.name}' is the Context of "
                f"{library}; write {_context_way(function, parameter.name)}"
            )


def _check_kind(
    function: Callable[..., Any], name: str, kind: type[Context] | type[SyncContext]
) -> None:
    fitting = Context if is_coroutine_function(function) else SyncContext
    if kind is not fitting:
        word = "async def" if fitting is Context else "def"
        raise DefinitionError(
            f"{describe(function)}: a handler written with {word!r} takes "
            f"'{name}: {fitting.__name__}', not '{name}: {kind.__name__}'"
        )


def _check_place(
    function: Callable[..., Any], context: inspect.Parameter, signature: inspect.Signature
) -> None:
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    by_position = {context.POSITIONAL_ONLY, context.VAR_POSITIONAL} & kinds
    if by_position and context.kind is not context.KEYWORD_ONLY:
        raise DefinitionError(
            f"{describe(function)}: beside '/' or '*args', the parameter '{context.name}' must be "
            "keyword-only"
        )


def _stub(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> Callable[..., Any]:
    """A function with just these parameters, for pydantic to read: their types are known.

    They are filled by name, as the context is, whose place may be among them; only before `*args`
    must they be filled by position.
    """

    def stub() -> None: ...

    if not any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        parameters = [
            parameter.replace(kind=parameter.KEYWORD_ONLY)
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            else parameter
            for parameter in parameters
        ]
    stub.__module__ = unwrap(function).__module__
    stub.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    stub.__annotations__ = {
        parameter.name: parameter.annotation
        for parameter in parameters
        if parameter.annotation is not parameter.empty
    }
    return stub


def _explain(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> DefinitionError:
    """Find the parameter at fault: pydantic names only its type."""
    for parameter in parameters:
        try:
            TypeAdapter(parameter.annotation).json_schema()
        except PydanticUserError:
            return DefinitionError(
                f"{describe(function)}: parameter '{parameter.name}' has the type "
                f"{parameter.annotation!r}, which has no JSON form"
            )
    return DefinitionError(f"{describe(function)}: its parameters have no JSON form")


_title_of: Final = SchemaGenerator().get_title_from_name


def _finish(schema: dict[str, Any], documentation: Documentation) -> dict[str, Any]:
    """Add what the docstring says of parameters; drop the titles made of their names."""
    properties = schema.setdefault("properties", {})
    for name, field in properties.items():
        if field.get("title") == _title_of(name):
            del field["title"]
        if name in documentation.parameters:
            field.setdefault("description", documentation.parameters[name])
    return {"type": "object", **schema, "additionalProperties": False}
