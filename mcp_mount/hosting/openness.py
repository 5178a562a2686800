"""What of a server is open to everybody: tools that may write, models that spend a key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from mcp_mount.features import Registry, Tool
from mcp_mount.features.models import RegisteredModel
from mcp_mount.llm.models import traits_of
from mcp_mount.policies.chain import PolicyChain

_GUARDS_NOBODY: Final = ("starlette", "fastapi", "mcp_mount", "opentelemetry", "sentry_sdk")
"""Packages whose middleware refuses nobody for who they are."""


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


def may_guard(middleware: Iterable[Any]) -> bool:
    """Whether there is middleware, as Starlette keeps it, that may refuse callers.

    Frameworks' own refuses nobody: AuthenticationMiddleware tells who calls and lets all in.
    """
    return any(
        str(getattr(one.cls, "__module__", "")).partition(".")[0] not in _GUARDS_NOBODY
        for one in middleware
    )


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
