"""A Python function as a handler: its name, its documentation, its arguments, its context."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, get_args

from pydantic import (
    BaseModel,
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
)
from pydantic.experimental.arguments_schema import generate_arguments_schema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ArgsKwargs, SchemaValidator, ValidationError

from mcp_mount.context import Context, SyncContext

_HAS_SECTIONS: Final = re.compile(
    r"^\s*(:param|@param|Args:|Arguments:|Parameters\b|Raises:|Returns:|:returns?)", re.MULTILINE
)


class DefinitionError(TypeError):
    """A handler that cannot be registered. The message names the function and what to change."""


class InvalidArguments(ValueError):
    """Arguments that do not fit a handler. The message tells a model how to correct them."""


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine; looks into partials and callable objects."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(routine_of(function))


def routine_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The routine that a call of `function` runs: for a callable object, its `__call__`."""
    if inspect.isroutine(function) or isinstance(function, partial):
        return function
    return function.__call__  # type: ignore[no-any-return, operator]


def name_of(function: Callable[..., Any]) -> str:
    """The name that a function gives its handler."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def describe(function: Callable[..., Any]) -> str:
    """Name and place of a function, for error messages."""
    while isinstance(function, partial):
        function = function.func
    qualified = getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(function, "__code__", None)
    place = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
    return f"{function.__module__}.{qualified}{place}"


def resolve(annotation: str, function: Callable[..., Any]) -> Any:
    """An annotation written as a string (PEP 563), in the namespace of its function.

    The string itself if a name in it is unknown.
    """
    routine = routine_of(function)
    while isinstance(routine, partial):
        routine = routine.func
    routine = getattr(routine, "__func__", routine)
    names: dict[str, Any] = {}
    if inspect.isfunction(routine):
        for name, cell in zip(routine.__code__.co_freevars, routine.__closure__ or (), strict=True):
            # A cell is empty until its variable is assigned, perhaps below the function.
            with suppress(ValueError):
                names[name] = cell.cell_contents
    try:
        # What Python itself evaluated before PEP 563: the text of the program, nobody's input.
        return eval(annotation, getattr(routine, "__globals__", {}), names)  # noqa: S307
    except Exception:
        return annotation


class Documentation:
    """What a docstring says: the description, and a line for each parameter.

    Google, NumPy, reST and Epydoc styles are understood.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        target = function
        while isinstance(target, partial):
            target = target.func
        if not inspect.isroutine(target) and not inspect.isclass(target):
            # A callable object: its class documents it, or its __call__ does.
            call = type(target).__call__
            text = inspect.getdoc(call) if call.__doc__ else inspect.getdoc(type(target))
        else:
            text = inspect.getdoc(target)
        self.description = text or ""
        self.parameters: Mapping[str, str] = {}
        if text and _HAS_SECTIONS.search(text):
            from docstring_parser import ParseError, parse

            try:
                parsed = parse(text)
            except ParseError:
                return
            self.description = (parsed.description or "").strip()
            self.parameters = {
                parameter.arg_name: parameter.description
                for parameter in parsed.params
                if parameter.description
            }


class Arguments:
    """The arguments of a handler: their JSON Schema and their validator, made in one go.

    `*args` is an argument of that name with a list, `**kwargs` one with an object. Raises
    DefinitionError for a parameter that has no JSON form, and for a context of the wrong kind.
    """

    def __init__(self, function: Callable[..., Any], documentation: Documentation) -> None:
        self.context: tuple[str, type[Context] | type[SyncContext]] | None = None
        self._function = function
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise DefinitionError(
                f"{describe(function)} is a generator: a handler returns its result at once"
            )
        try:
            core_schema = generate_arguments_schema(
                routine_of(function), "arguments-v3", parameters_callback=self._skip_context
            )
            self._validator = SchemaValidator(core_schema)
            schema = GenerateJsonSchema().generate(core_schema)
        except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema) as error:
            raise self._explain(error) from None
        except (PydanticUserError, NameError, TypeError) as error:
            if isinstance(error, DefinitionError):
                raise
            raise DefinitionError(f"{describe(function)}: {error}") from None
        self.schema = self._finish(schema, documentation)
        self.names = tuple(self.schema.get("properties", ()))
        self.schema["additionalProperties"] = False

    def validate(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments; raise InvalidArguments if they do not fit."""
        try:
            validated = self._validator.validate_python(arguments)
        except ValidationError as error:
            raise InvalidArguments(self._advice(error)) from None
        if isinstance(validated, ArgsKwargs):
            return validated.args, dict(validated.kwargs or {})
        return validated  # type: ignore[no-any-return]

    def _advice(self, error: ValidationError) -> str:
        lines: list[str] = []
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            where = ".".join(map(str, problem["loc"]))
            if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
                known = ", ".join(self.names) or "none"
                top = len(problem["loc"]) == 1
                hint = f"; the arguments are: {known}" if top else ""
                lines.append(f"{where}: unknown argument{hint}")
            else:
                lines.append(f"{where}: {problem['msg']}" if where else problem["msg"])
        return "Invalid arguments.\n" + "\n".join(lines)

    def _skip_context(self, index: int, name: str, annotation: Any) -> Any:
        if isinstance(annotation, str):
            annotation = resolve(annotation, self._function)
        named = (annotation, *get_args(annotation))
        for kind in (Context, SyncContext):
            if any(part is kind for part in named):
                self._check_context(name, kind)
                self.context = (name, kind)
                return "skip"
        return None

    def _check_context(self, name: str, kind: type[Context] | type[SyncContext]) -> None:
        fitting = Context if is_coroutine_function(self._function) else SyncContext
        if kind is not fitting:
            word = "async def" if fitting is Context else "def"
            raise DefinitionError(
                f"{describe(self._function)}: a handler written with {word!r} takes "
                f"'{name}: {fitting.__name__}', not '{name}: {kind.__name__}'"
            )
        if self.context is not None:
            raise DefinitionError(f"{describe(self._function)}: more than one context parameter")

    def _explain(self, error: Exception) -> DefinitionError:
        """Find the parameter at fault: the schema generator names only its type."""
        try:
            hints = inspect.get_annotations(self._function, eval_str=True)
        except Exception:
            hints = {}
        for name, annotation in hints.items():
            if name == "return":
                continue
            try:
                TypeAdapter(annotation).json_schema()
            except Exception:
                return DefinitionError(
                    f"{describe(self._function)}: parameter '{name}' has the type "
                    f"{annotation!r}, which has no JSON form"
                )
        return DefinitionError(f"{describe(self._function)}: {error}")

    @staticmethod
    def _finish(schema: dict[str, Any], documentation: Documentation) -> dict[str, Any]:
        """Add what the docstring says of parameters; drop the titles made of their names."""
        for name, field in schema.get("properties", {}).items():
            if field.get("title") == _title_of(name):
                del field["title"]
            if name in documentation.parameters:
                field.setdefault("description", documentation.parameters[name])
        return {"type": "object", **schema}


def _title_of(name: str) -> str:
    return GenerateJsonSchema().get_title_from_name(name)


def plain(value: Any) -> Any:
    """An `mcp_types` model, or plain data, as plain JSON data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value
