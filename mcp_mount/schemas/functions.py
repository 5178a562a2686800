"""What a Python function tells of itself: its name, its place, its documentation, its signature."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

from mcp_mount.context.context import Context, SyncContext

_HAS_SECTIONS: Final = re.compile(
    r"^\s*(:param|@param|Args:|Arguments:|Parameters\b|Raises:|Returns:|:returns?)", re.MULTILINE
)


_IN_OTHER_STYLES: Final = re.compile(r"^\s*(:|@|--)", re.MULTILINE)
"""What only sections of reST, Epydoc and NumPy have: without it, a text is in Google style."""

_RUNS_COROUTINES: Final = frozenset(
    {
        *("run", "run_until_complete", "run_coroutine_threadsafe", "run_sync", "from_thread"),
        *("async_to_sync", "AsyncToSync", "Runner", "syncify", "result"),
        # Flask's.
        "ensure_sync",
    }
)
"""The names of what runs a coroutine for plain code: asyncio, anyio, asgiref, Flask."""


class DefinitionError(TypeError):
    """A handler that cannot be registered. The message names the function and what to change."""


def unwrap(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside of `functools.partial`, however deep."""
    while isinstance(function, partial):
        function = function.func
    return function


def routine_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The routine that a call of `function` runs: for a callable object, its `__call__`."""
    if inspect.isroutine(function) or isinstance(function, partial):
        return function
    return function.__call__  # type: ignore[no-any-return, operator]


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine; looks into partials and callable objects.

    A plain function that `functools.wraps` a coroutine function passes its coroutine on, unless it
    names something that runs it.
    """
    routine = routine_of(unwrap(function))
    if inspect.iscoroutinefunction(routine):
        return True
    if not inspect.isfunction(routine) or not hasattr(routine, "__wrapped__"):
        return False
    if not inspect.iscoroutinefunction(inspect.unwrap(routine)):
        return False
    return _RUNS_COROUTINES.isdisjoint((*routine.__code__.co_names, *routine.__code__.co_freevars))


def refuse_what_answers_later(what: str, function: Callable[..., Any]) -> None:
    """Refuse a function that cannot answer when it is called.

    Args:
        what: What it is asked for, in the words of the user, such as "when=".
        function: The function; partials and callable objects are looked into.

    Raises:
        DefinitionError: For a coroutine function and for a generator function.
    """
    routine = routine_of(unwrap(function))
    if inspect.iscoroutinefunction(routine):
        kind = "coroutine function"
    elif inspect.isgeneratorfunction(routine) or inspect.isasyncgenfunction(routine):
        kind = "generator function"
    else:
        return
    raise DefinitionError(
        f"{describe(function)}: {what} is a {kind}, whose value is always true. Write it with "
        "'def', to return its answer"
    )


def name_of(function: Callable[..., Any]) -> str:
    """The name that a function gives its handler."""
    name = getattr(unwrap(function), "__name__", None)
    return name if isinstance(name, str) else type(unwrap(function)).__name__


def describe(function: Callable[..., Any]) -> str:
    """Name and place of a function, for error messages; of an endpoint what it is."""
    described: str | None = getattr(function, "__mcp_described__", None)
    if described is not None:
        return described
    # Of a decorated function the place is that of what the user wrote, not of the wrapper.
    function = inspect.unwrap(unwrap(function))
    qualified = getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(function, "__code__", None)
    place = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
    return f"{function.__module__}.{qualified}{place}"


@contextmanager
def naming(function: Any) -> Iterator[None]:
    """Let the errors of a definition name its function, unless they do, or the function is ours.

    Args:
        function: The handler; what is none is left to other errors.
    """
    try:
        yield
    except DefinitionError as error:
        is_ours = str(getattr(function, "__module__", "")).startswith("mcp_mount")
        if is_ours or not callable(function):
            raise
        described = describe(function)
        if described in str(error):
            raise
        raise DefinitionError(f"{described}: {error}") from None


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function, with annotations as types, not as strings.

    Strings (PEP 563) are read in the namespace of the function, and in that of the function in
    which it is being registered: application factories import inside of functions. Raises
    DefinitionError for a name that is found in neither, and for an unreadable signature.
    """
    routine = routine_of(function)
    try:
        signature = inspect.signature(routine)
    except (TypeError, ValueError):
        raise DefinitionError(f"{describe(function)} has no readable signature") from None
    names = _Names(routine)
    parameters = [
        parameter.replace(
            annotation=names.read(parameter.annotation, f"parameter '{parameter.name}'", function)
        )
        for parameter in signature.parameters.values()
    ]
    returned = names.read(signature.return_annotation, "the return annotation", function)
    return signature.replace(parameters=parameters, return_annotation=returned)


class _Names:
    """The names that the annotations of a routine may use."""

    def __init__(self, routine: Callable[..., Any]) -> None:
        routine = unwrap(routine)
        routine = getattr(routine, "__func__", routine)
        self._globals = getattr(routine, "__globals__", {})
        ours = {"Context": Context, "SyncContext": SyncContext}
        self._locals: dict[str, Any] = {
            name: ours[name] for name in ours if name not in self._globals
        }
        self._locals |= _callers_locals()
        if inspect.isfunction(routine):
            cells = zip(routine.__code__.co_freevars, routine.__closure__ or (), strict=True)
            for name, cell in cells:
                # A cell is empty until its variable is assigned, perhaps below the function.
                with suppress(ValueError):
                    self._locals[name] = cell.cell_contents

    def read(self, annotation: Any, what: str, function: Callable[..., Any]) -> Any:
        if not isinstance(annotation, str):
            return annotation
        try:
            # What Python itself evaluated before PEP 563: the program's text, nobody's input.
            return eval(annotation, self._globals, self._locals)  # noqa: S307
        except Exception as error:
            raise DefinitionError(
                f"{describe(function)}: {what} has the type {annotation!r}, which cannot be read: "
                f"{error}"
            ) from None


def _callers_locals() -> dict[str, Any]:
    """The local variables of the function, outside this package, that registers a handler."""
    frame = sys._getframe()
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return {} if frame.f_locals is frame.f_globals else dict(frame.f_locals)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0]


class Documentation:
    """What a docstring says: the description, and a line for each parameter.

    Google, NumPy, reST and Epydoc styles are understood.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        text = _docstring(unwrap(function))
        self.description = text
        self.parameters: Mapping[str, str] = {}
        if _HAS_SECTIONS.search(text):
            from docstring_parser import DocstringStyle, ParseError, parse

            # By itself it reads the text in each style and takes that which finds most.
            others = _IN_OTHER_STYLES.search(text)
            style = DocstringStyle.AUTO if others else DocstringStyle.GOOGLE
            try:
                parsed = parse(text, style)
            except ParseError:
                return
            self.description = (parsed.description or "").strip()
            self.parameters = {
                parameter.arg_name: parameter.description
                for parameter in parsed.params
                if parameter.description
            }


def _docstring(function: Callable[..., Any]) -> str:
    if inspect.isroutine(function) or inspect.isclass(function):
        return inspect.getdoc(function) or ""
    # A callable object: its __call__ documents it, or its class does.
    call = type(function).__call__
    return inspect.getdoc(call if call.__doc__ else type(function)) or ""
