"""What a server warns of at its first request: that it is open to everybody, unless that is meant,
and what of it can never be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from mcp_mount.features import Registry
from mcp_mount.schemas.functions import describe
from mcp_mount.schemas.names import suggestion
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_MAX_NAMED: Final = 5


class ProtectedResource(Protocol):
    """What lets requests in by their credentials."""

    required: bool


def warn_of_completers(registry: Registry) -> None:
    """Log which completers are for prompts that do not exist, once all have been registered."""
    for completer in registry.completers_of_nothing():
        logger.warning(
            "%s completes %r of %r, and there is no such prompt, nor template of resources; %s",
            describe(completer.function),
            completer.argument,
            completer.subject,
            suggestion(completer.subject, [*registry.prompts, *registry.resources]),
        )


def warn_of_scopes(title: str, unknown: Mapping[str, Sequence[str]]) -> None:
    """Log which scopes nobody can have who signs in: a client asks for them again and again.

    Args:
        title: The server's.
        unknown: The scopes that its `SignIn` does not have, and the names of what asks for each.
    """
    for scope, names in unknown.items():
        logger.warning(
            "Nobody who signs in to the server %r may use %s: the scope %r is not among the "
            "scopes= of its SignIn. Add it there, with words for the people who consent.",
            title,
            _listed(names),
            scope,
        )


def warn_if_open(
    title: str,
    tools: Sequence[str],
    models: Sequence[str],
    *,
    resource: ProtectedResource | None,
    is_guarded: bool,
) -> None:
    """Log, loudly, that anybody may call the tools of a server, or ask its models.

    Args:
        title: The server's.
        tools: Those that are open, if everybody may send requests.
        models: Likewise.
        resource: What lets requests in.
        is_guarded: Whether anything else decides who may send requests.
    """
    if is_guarded or (resource is not None and resource.required):
        return
    if models:
        logger.warning(
            "ANYBODY who reaches the server %r may ask %d model%s with your key for the upstream: "
            "%s. Guard the server (auth=, permission=, in Django LOGIN_REQUIRED), its routers or "
            "its models (permission=, scopes=), or say that it is meant: MCPServer(open=True), "
            "MCP_OPEN in Flask, OPEN in Django's MCP_MOUNT.",
            title,
            len(models),
            "" if len(models) == 1 else "s",
            _listed(models),
        )
    if not tools:
        return
    logger.warning(
        "ANYBODY who reaches the server %r may call %d tool%s that may write: %s. Guard the server "
        "(auth=, permission=, in Django LOGIN_REQUIRED), its routers or its tools (permission=, "
        "scopes=), mark tools that only read (annotations={'readOnlyHint': True}), or say that "
        "it is meant: MCPServer(open=True), MCP_OPEN in Flask, OPEN in Django's MCP_MOUNT.",
        title,
        len(tools),
        "" if len(tools) == 1 else "s",
        _listed(tools),
    )


def tell_undocumented(title: str, registry: Registry) -> None:
    """Log which tools have no description: models choose among tools by nothing else."""
    names = [one.name for one in registry.tools.values() if "description" not in one.members]
    if names:
        logger.info(
            "Of the server %r, %d tool%s no description, by which models choose: %s. Write a "
            "docstring, or description=.",
            title,
            len(names),
            " has" if len(names) == 1 else "s have",
            _listed(names),
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")
