"""What a server says at its first request: whether it is open to everybody, unless that is meant,
and what of it can never be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from mcp_mount.features import Registry, Tool
from mcp_mount.features.models import RegisteredModel
from mcp_mount.llm.models import traits_of
from mcp_mount.policies.chain import PolicyChain
from mcp_mount.schemas.functions import describe
from mcp_mount.schemas.names import suggestion
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_MAX_NAMED: Final = 5
_GUARDS_NOBODY: Final = ("starlette", "fastapi", "mcp_mount", "opentelemetry", "sentry_sdk")
"""Packages whose middleware refuses nobody for who they are."""


class ProtectedResource(Protocol):
    """What lets requests in by their credentials."""

    required: bool


def open_tools(registry: Registry) -> list[str]:
    """The tools that may write, and that have no guard of their own.

    Those that say of themselves that they only read (`readOnlyHint`) are not meant, nor exposed
    endpoints, which authenticate callers as they do over plain HTTP.
    """
    return [tool.name for tool in registry.tools.values() if _is_open(tool)]


def open_models(registry: Registry) -> list[str]:
    """The models for chat, embeddings and images that ask an upstream with a key of the server's
    owner, and that have no guard of their own."""
    models = {one.name: one for one in registry.models.values()}
    return [name for name, one in models.items() if _spends_key(one) and not _has_guard(one)]


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


def may_guard(middleware: Iterable[Any]) -> bool:
    """Whether there is middleware, as Starlette keeps it, that may refuse callers.

    Frameworks' own refuses nobody: AuthenticationMiddleware tells who calls and lets all in.
    """
    return any(
        str(getattr(one.cls, "__module__", "")).partition(".")[0] not in _GUARDS_NOBODY
        for one in middleware
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")


def _spends_key(model: RegisteredModel) -> bool:
    return any(traits_of(one).spends_key for one in (model.chat, model.embedding, model.image))


def _has_guard(entry: Tool | RegisteredModel) -> bool:
    """Whether a tool or a model refuses some callers."""
    if any(getattr(rule, "guards", True) for rule in entry.rules):
        return True
    policies = entry.policies
    levels = policies.levels if isinstance(policies, PolicyChain) else ()
    return any(getattr(level.dependencies, "guards", False) for level in levels)


def _is_open(tool: Tool) -> bool:
    annotations, arguments = tool.members.get("annotations") or {}, cast(Any, tool.arguments)
    if annotations.get("readOnlyHint") is True or (
        # Only those of existing endpoints may have it: importing their modules takes a while.
        getattr(arguments, "authenticates", False)
    ):
        return False
    return not _has_guard(tool)
