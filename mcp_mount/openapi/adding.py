"""Tools for the chosen operations of an application."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from mcp_mount.features.functions import DefinitionError
from mcp_mount.openapi.bodies import response_limit
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.document import Document
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.output import ResponseOutput
from mcp_mount.openapi.requests import OperationArguments
from mcp_mount.protocol.logs import own_logger

logger = own_logger("mcp_mount")

_MANY_TOOLS: Final = 60
"""From how many tools on models begin to choose badly, and clients to cut the list."""

Limit: TypeAlias = "Callable[[], int | None]"
"""How much of a response is collected, in bytes; asked at each call."""

FunctionOf: TypeAlias = "Callable[[Target], Callable[..., Any]]"
"""How a host makes the function that calls an operation."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the function of a tool calls.

    limit: how much of a response is collected. output: how its responses become results.
    """

    operation: Operation
    arguments: OperationArguments
    limit: Limit
    output: ResponseOutput


class Server(Protocol):
    """What takes tools."""

    title: str
    registry: Any

    def add_tools(self, tools: Iterable[tuple[Callable[..., Any], Mapping[str, Any]]]) -> None: ...


def add_operations(
    server: Server,
    documents: Sequence[Document],
    choice: Choice,
    function: FunctionOf,
    *,
    forward: Collection[str],
    permission: Any,
) -> list[str]:
    """Give a server tools for the chosen operations of an application.

    Args:
        server: What gets them: all of them, or none.
        documents: What describes the application, and those that are mounted in it.
        choice: Which operations, and under what names.
        function: Makes the function that calls one.
        forward: Headers that are no arguments, since the caller's own go along.
        permission: As of a tool.

    Returns:
        The names of the tools.

    Raises:
        DefinitionError: If nothing is chosen, a word of the choice matches nothing, an operation
            cannot be called by a tool, or a name is taken.
    """
    of_document = {
        operation: document for document in documents for operation in document.operations()
    }
    made: dict[str, Operation] = {}
    tools: list[tuple[Callable[..., Any], dict[str, Any]]] = []
    outputs: list[ResponseOutput] = []
    for operation in choice.of(list(of_document)):
        document = of_document[operation]
        options = choice.options(operation)
        name = options["name"]
        if name in made:
            raise DefinitionError(
                f"{made[name]} and {operation} would both be the tool {name!r}: rename one by "
                "names=, or leave it out by exclude="
            )
        made[name] = operation
        arguments = document.arguments(operation, forward)
        output = ResponseOutput(document.output(operation), name)
        outputs.append(output)
        options |= {
            "input_schema": arguments.named(),
            "output_schema": output,
            "permission": permission,
        }
        limit = partial(response_limit, server, name)
        tools.append((function(Target(operation, arguments, limit, output)), options))
    server.add_tools(tools)
    for output in outputs:
        output.withdrawn = partial(server.registry.refresh, "tool")
    warn_of_size(server.title, len(server.registry.tools))
    return list(made)


def warn_of_size(server: str, count: int) -> None:
    """Log a warning if a server has more tools than models deal with."""
    if count > _MANY_TOOLS:
        logger.warning(
            "The server %r has %d tools: models choose badly among so many, and every list costs "
            "their tokens. Expose fewer endpoints, or give groups of callers servers of their own.",
            server,
            count,
        )
