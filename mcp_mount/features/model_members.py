"""Checks of the models that other models ask by their names, and of the tools that models use."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from mcp_mount.features.models import RegisteredModel
from mcp_mount.llm.models import traits_of
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import suggestion


def check_members(models: Mapping[str, RegisteredModel], tools: Collection[str]) -> None:
    """Check that the models that others ask by their names are there, and are others: those of
    routes, and those that have another name.

    Args:
        models: All models of a server.
        tools: The names of the tools that models may use.

    Raises:
        DefinitionError: For names that no model has, or none that answers conversations, and for
            models that ask themselves, be it by way of others, and for patterns of tools that no
            tool matches.
    """
    answering = {name: one for name, one in models.items() if one.chat is not None}
    askers = {one.name: one for one in models.values()}
    problems = []
    for asker in askers.values():
        for name in _members(asker):
            if name in answering:
                continue
            what = "answers no conversations" if name in models else "is no model of this server"
            hint = suggestion(name, set(answering) - {asker.name})
            problems.append(f"the model {asker.name!r} asks {name!r}, which {what}; {hint}")
        for pattern in traits_of(asker.chat).tool_patterns:
            if not any(fnmatchcase(name, pattern) for name in tools):
                hint = suggestion(pattern, [*tools, *_families(tools)])
                problems.append(
                    f"the model {asker.name!r} has tools=Tools({pattern!r}), which matches no tool "
                    f"of this server; {hint}"
                )
    problems += [
        f"the model {circle[0]!r} asks itself: {' → '.join([*circle, circle[0]])}"
        for circle in _circles(askers, answering)
    ]
    if problems:
        # In one line, since it goes to the log.
        ended = [one if one.endswith("?") else f"{one}." for one in problems[:-1]]
        raise DefinitionError(" Besides, ".join([*ended, problems[-1]]))


def _families(names: Collection[str]) -> set[str]:
    """The patterns of names that begin alike, such as "order_*"."""
    return {f"{begin}*" for name in names for begin in _BEGIN.findall(name)}


def _members(model: RegisteredModel) -> Sequence[str]:
    """The names of the models that a model may ask."""
    return traits_of(model.chat).members


def _circles(
    askers: Mapping[str, RegisteredModel], known: Mapping[str, RegisteredModel]
) -> list[list[str]]:
    """The circles in which models ask one another, each once.

    Args:
        askers: All models, by their own names.
        known: Those that may be asked, by all names that they have.
    """
    found: dict[frozenset[str], list[str]] = {}
    done: set[str] = set()

    def follow(name: str, path: list[str]) -> None:
        if name in path:
            circle = path[path.index(name) :]
            found.setdefault(frozenset(circle), circle)
        elif name not in done:
            for member in _members(askers[name]):
                if member in known:
                    follow(known[member].name, [*path, name])
            done.add(name)

    for name in askers:
        follow(name, [])
    return list(found.values())


_BEGIN: Final = re.compile(r"^[^._/-]+[._/-]")
