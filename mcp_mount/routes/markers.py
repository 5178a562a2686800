"""FastAPI's markers of parameters in handlers: which are taken from the request, which are refused.

An endpoint has its parameters from the parts of a request; the arguments of a handler come from
the model. `Depends`, `Header` and `Cookie` mean the same in both. All others would quietly become
arguments that the model fills in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final, get_args, get_origin

from fastapi import params
from starlette.background import BackgroundTasks
from starlette.datastructures import UploadFile
from starlette.responses import Response
from starlette.websockets import WebSocket

from mcp_mount.features import DefinitionError
from mcp_mount.schemas.functions import describe

_INSTEAD: Final[dict[type, str]] = {
    params.File: "for a file that the model sends as Base64, write '{name}: bytes'",
    params.Form: "for an argument that the model fills in, write '{name}: {type}'",
    params.Body: "for an argument that the model fills in, write '{name}: {type}'",
    params.Query: "for an argument that the model fills in, write '{name}: {type}'",
    params.Path: "for an argument that the model fills in, write '{name}: {type}'",
}
"""What to write in place of each marker; a subclass stands before its base."""


def is_solved(parameter: inspect.Parameter) -> bool:
    """Whether FastAPI solves a parameter from the request: by Depends, Security, Header or Cookie,
    and BackgroundTasks, which run after the handler.

    Args:
        parameter: A parameter whose annotation is no string.
    """
    if _is_of(parameter.annotation, BackgroundTasks):
        return True
    return any(
        isinstance(mark, params.Depends | params.Header | params.Cookie)
        for mark in _marks(parameter)
    )


def is_header_or_cookie(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is a header or a cookie, which a request need not have, or needs none."""
    return _is_of(parameter.annotation, BackgroundTasks) or any(
        isinstance(mark, params.Header | params.Cookie) for mark in _marks(parameter)
    )


def refuse_markers(function: Callable[..., Any], signature: inspect.Signature) -> None:
    """Refuse the markers that mean nothing to a handler.

    Args:
        function: The handler.
        signature: Its signature, with annotations that are no strings.

    Raises:
        DefinitionError: For Form, File, Query, Path, Body and UploadFile, and for markers that are
            not around the whole type, with what to write.
    """
    for parameter in signature.parameters.values():
        for mark in _marks(parameter):
            for kind, instead in _INSTEAD.items():
                if isinstance(mark, kind):
                    raise _refusal(function, parameter, f"is marked {kind.__name__}()", instead)
        inner = next(_inner_marks(parameter.annotation), None)
        if inner is not None:
            word = type(inner).__name__
            raise DefinitionError(
                f"{describe(function)}: {word}() within the type of '{parameter.name}' means "
                f"nothing; write it around the whole type: Annotated[str | None, {word}()]"
            )
        if _is_of(parameter.annotation, Response):
            raise DefinitionError(
                f"{describe(function)}: the parameter '{parameter.name}' is a Response, and a "
                "handler has none: return the value, and raise ToolError for what goes wrong. "
                "Headers, cookies and statuses are not for MCP clients"
            )
        if _is_of(parameter.annotation, WebSocket):
            raise DefinitionError(
                f"{describe(function)}: the parameter '{parameter.name}' is a WebSocket, which "
                "there is none of here: the transport is HTTP; write 'request: Request'"
            )
        if _has_upload(parameter.annotation) or isinstance(parameter.default, UploadFile):
            raise _refusal(function, parameter, "is an UploadFile", _INSTEAD[params.File])


def _marks(parameter: inspect.Parameter) -> tuple[Any, ...]:
    """What may mark a parameter: its default, and the metadata of its type."""
    return (parameter.default, *getattr(parameter.annotation, "__metadata__", ()))


def _inner_marks(annotation: Any, *, is_inner: bool = False) -> Iterator[Any]:
    """Markers deeper in a type than FastAPI looks for them."""
    if hasattr(annotation, "__metadata__"):
        if is_inner:
            marks = params.Param | params.Body | params.Depends
            yield from (one for one in annotation.__metadata__ if isinstance(one, marks))
        yield from _inner_marks(annotation.__origin__, is_inner=is_inner)
        return
    for part in get_args(annotation):
        yield from _inner_marks(part, is_inner=True)


def _is_of(annotation: Any, kind: type) -> bool:
    if hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    is_class = isinstance(annotation, type) and get_origin(annotation) is None
    return is_class and issubclass(annotation, kind)


def _has_upload(annotation: Any) -> bool:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return issubclass(annotation, UploadFile)
    return any(map(_has_upload, get_args(annotation)))


def _refusal(
    function: Callable[..., Any], parameter: inspect.Parameter, what: str, instead: str
) -> DefinitionError:
    annotation = parameter.annotation
    if hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    kind = "str" if annotation is parameter.empty else inspect.formatannotation(annotation)
    words = instead.format(name=parameter.name, type=kind)
    return DefinitionError(
        f"{describe(function)}: the parameter '{parameter.name}' {what}, but the arguments of a "
        f"handler come from the model and not from the parts of a request; {words} (only Header(), "
        "Cookie() and Depends() are taken from the request)"
    )
