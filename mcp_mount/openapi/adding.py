"""Tools for the chosen operations of an application: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakSet

from mcp_mount.openapi.bodies import response_limit
from mcp_mount.openapi.checks import by_argument
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.document import Document
from mcp_mount.openapi.naming import tool_names
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.output import ResponseOutput
from mcp_mount.openapi.requests import OperationArguments
from mcp_mount.openapi.targets import CookieWarning, FunctionOf, Target
from mcp_mount.policies.options import CHECKS, PolicyOptions
from mcp_mount.policies.values import several
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.mirrored import mirrored_parameters
from mcp_mount.schemas.names import keywords_of, refuse_unknown
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_MANY_TOOLS: Final = 60
"""From how many tools on models begin to choose badly, and clients to cut the list."""

_MAX_TOLD: Final = 20
"""How many endpoints that are left out the log names."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """What an `expose` has done.

    Attributes:
        tools: The names of the tools that it has made.
        left_out: The endpoints that were chosen, but cannot be tools, such as "POST /upload", each
            with the reason.
    """

    tools: list[str]
    left_out: dict[str, str]


class Registering(Protocol):
    """What takes tools: a server, or a router of one."""

    registry: Any

    def add_tools(self, tools: Iterable[tuple[Callable[..., Any], Mapping[str, Any]]]) -> None: ...


def add_operations(
    server: Registering,
    documents: Sequence[Document],
    choice: Choice,
    function: FunctionOf,
    *,
    forward: Collection[str],
    policies: Mapping[str, Any],
    output_schemas: bool | None = None,
    login: Callable[[], Collection[str]] = tuple,
    unreadable: Mapping[str, str] | None = None,
) -> Exposed:
    """Give a server, or a router, tools for the chosen operations of an application.

    Args:
        server: What gets them: all of them, or none.
        documents: What describes the application, and those that are mounted in it.
        choice: Which operations, and under what names.
        function: Makes the function that calls one.
        forward: Headers that are no arguments, since the caller's own go along.
        policies: What is declared around each tool, see `PolicyOptions`.
        output_schemas: Whether the tools promise what the documents say of answers; by default
            where the application's framework enforces it.
        login: The paths of the login pages.
        unreadable: Endpoints that the host has left out already, with reasons.

    Returns:
        The names of the tools, and what was left out.

    Raises:
        DefinitionError: If nothing is chosen, a word of the choice matches nothing, an operation
            that is named by itself cannot be called by a tool, nothing is left, or a name is taken.
    """
    of_document = {
        operation: document for document in documents for operation in document.operations()
    }
    read: dict[Operation, OperationArguments] = {}
    left_out = dict(unreadable or {})
    for document in documents:
        left_out |= document.unreadable
    for operation in choice.of(list(of_document)):
        try:
            arguments = of_document[operation].arguments(operation, forward)
            _refuse_mirrored_twice(arguments)
        except DefinitionError as error:
            if choice.names_by_itself(operation):
                raise DefinitionError(f"{operation} cannot be a tool: {error}") from None
            left_out[str(operation)] = str(error)
        else:
            read[operation] = arguments
    if not read:
        raise DefinitionError(
            f"none of the endpoints that are chosen can be a tool:\n{_listed(left_out)}"
        )
    tools: list[tuple[Callable[..., Any], dict[str, Any]]] = []
    outputs: list[ResponseOutput] = []
    cookies = CookieWarning()
    names = tool_names(list(read), choice, server.registry.tools)
    for operation, name in names.items():
        document, arguments = of_document[operation], read[operation]
        output = ResponseOutput(document.output(operation, output_schemas), name)
        outputs.append(output)
        limit = partial(response_limit, server, name)
        target = Target(operation, arguments, limit, output, login, name, cookies)
        own = function(target)
        # In errors it is the endpoint that the user knows.
        own.__mcp_described__ = str(operation)  # type: ignore[attr-defined]
        options = {
            "name": name,
            "description": choice.description(operation),
            "annotations": operation.annotations,
            "input_schema": arguments.named(),
            "output_schema": output,
            **_adapted(policies, arguments.schema, operation),
        }
        tools.append((own, options))
    server.add_tools(tools)
    for output in outputs:
        output.withdrawn = partial(server.registry.refresh, "tool")
    _tell(left_out)
    warn_of_size(server)
    return Exposed(list(names.values()), left_out)


def refuse_unknown_policies(add: Callable[..., Any], policies: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that a function does not have which makes tools of views.

    Args:
        add: The function.
        policies: What the user gave.

    Raises:
        DefinitionError: With the nearest name that there is.
    """
    known = [*keywords_of(add), *PolicyOptions.__annotations__]
    refuse_unknown(f"{add.__name__} has no option", policies, known)


_told: Final[WeakSet[Any]] = WeakSet()
"""The registries of which it was said that they have many tools."""


def warn_of_size(server: Registering) -> None:
    """Log a warning if a server has more tools than models deal with; once for each server."""
    count = len(server.registry.tools)
    if count > _MANY_TOOLS and server.registry not in _told:
        _told.add(server.registry)
        title = getattr(server, "title", None)
        logger.warning(
            "%s has %d tools: models choose badly among so many, and every list costs their "
            "tokens. Expose fewer endpoints, or give groups of callers servers of their own.",
            "A router" if title is None else f"The server {title!r}",
            count,
        )


def _adapted(
    policies: Mapping[str, Any], schema: Mapping[str, Any], operation: Operation
) -> dict[str, Any]:
    """Policies of which the checks take the arguments of an operation."""
    checks = {
        key: [
            by_argument(one, schema, operation, takes_value=key == "check_result")
            for one in several(policies[key])
        ]
        for key in CHECKS
        if policies.get(key)
    }
    return {**policies, **checks}


def _refuse_mirrored_twice(arguments: OperationArguments) -> None:
    try:
        mirrored_parameters(arguments.schema)
    except ValueError as error:
        raise DefinitionError(str(error)) from None


def _tell(left_out: Mapping[str, str]) -> None:
    """One warning for all endpoints that are left out."""
    if left_out:
        logger.warning("Endpoints that cannot be tools are left out:\n%s", _listed(left_out))


def _listed(left_out: Mapping[str, str]) -> str:
    lines = [f"{one}: {reason}" for one, reason in list(left_out.items())[:_MAX_TOLD]]
    if len(left_out) > _MAX_TOLD:
        lines.append(f"and {len(left_out) - _MAX_TOLD} more (see left_out)")
    return "\n".join(lines)
