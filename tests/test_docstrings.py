"""Docstrings of the Google style: what they list is what there is."""

from __future__ import annotations

import importlib
import logging
import re
from functools import cache
from pathlib import Path

import griffe
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "mcp_mount",
    "mcp_mount_django",
    "mcp_mount_fastapi",
    "mcp_mount_flask",
    "mcp_mount_starlette",
)
EXPORTING = (
    *PACKAGES,
    "mcp_mount.auth",
    "mcp_mount.images",
    "mcp_mount.models",
    "mcp_mount.openapi",
    "mcp_mount.testing",
)

_INLINE = re.compile(r"(?:^|\. |\n)((?:\w+, )*\w+): [a-z\"`]")
_SECTION = re.compile(r"^\s*(?:Args|Attributes|Returns|Yields|Raises):\s*$", re.MULTILINE)


@cache
def packages() -> griffe.ModulesCollection:
    """All packages, as griffe reads them."""
    loader = griffe.GriffeLoader(search_paths=[ROOT, ROOT / "integrations"])
    for package in PACKAGES:
        loader.load(package)
    loader.resolve_aliases(external=False)
    return loader.modules_collection


@cache
def documented(package: str) -> list[griffe.Object]:
    """The classes and functions of a package that have a docstring."""
    found = []
    waiting: list[griffe.Object] = [packages()[package]]
    while waiting:
        one = waiting.pop()
        waiting += [inner for inner in one.members.values() if isinstance(inner, griffe.Object)]
        if one.docstring is not None and isinstance(one, griffe.Class | griffe.Function):
            found.append(one)
    return found


def parameters(one: griffe.Object) -> set[str]:
    """The names of the parameters of a function, or of a class."""
    if isinstance(one, griffe.Function):
        found = {parameter.name for parameter in one.parameters}
    else:
        found = {parameter.name for parameter in getattr(one, "parameters", ())}
        # Of a named tuple, a dataclass and a model they are the attributes.
        found |= {name for name, member in one.members.items() if member.is_attribute}
    return found - {"self", "cls"}


def taken(one: griffe.Object) -> set[str]:
    """The names of the parameters of a function, or of the `__init__` of a class."""
    if isinstance(one, griffe.Class):
        own = one.members.get("__init__")
        return parameters(own) if isinstance(own, griffe.Function) else set()
    return parameters(one)


def listed(one: griffe.Object, *kinds: griffe.DocstringSectionKind) -> set[str] | None:
    """The names in the sections of some kinds, by default `Args:`; None without one."""
    assert one.docstring is not None
    kinds = kinds or (griffe.DocstringSectionKind.parameters,)
    found = [one for one in one.docstring.parse("google", warnings=False) if one.kind in kinds]
    if not found:
        return None
    return {entry.name.lstrip("*") for section in found for entry in section.value}


@pytest.mark.parametrize("package", PACKAGES)
def test_args_are_the_parameters(package: str) -> None:
    wrong = []
    for one in documented(package):
        names, known = listed(one), parameters(one)
        if names is None:
            continue
        lacks = taken(one) - names
        if names - known or lacks:
            wrong.append((one.path, sorted(names - known), sorted(lacks)))
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_docstring_explains_a_parameter_within_its_text(package: str) -> None:
    wrong = []
    for one in documented(package):
        assert one.docstring is not None
        text = _SECTION.split(one.docstring.value)[0]
        known = parameters(one)
        named = [found for found in _INLINE.findall(text) if known.issuperset(found.split(", "))]
        if named:
            wrong.append((one.path, named))
    assert wrong == []


@pytest.mark.parametrize("module", EXPORTING)
def test_what_a_module_exports_lists_its_parameters(module: str) -> None:
    names = set(importlib.import_module(module).__all__)
    package = module.partition(".")[0]
    found = {one.name: one for one in documented(package) if one.name in names}
    kinds = griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes
    lacking = {}
    for name, one in found.items():
        # Users take calls, and make none.
        if len(taken(one)) > 1 and name != "Call":
            lacks = taken(one) - (listed(one, *kinds) or set())
            if lacks:
                lacking[one.path] = lacks
    assert lacking == {}


def own(member: griffe.Object | griffe.Alias) -> griffe.Object | None:
    """What a name of a module or a class stands for; None if it is of another library."""
    try:
        return member.final_target if isinstance(member, griffe.Alias) else member
    except griffe.AliasResolutionError:
        return None


def public_functions(module: str) -> dict[str, griffe.Function]:
    """The functions that a module exports, and the public methods of the classes that it does,
    with those that they inherit; by their paths."""
    members = packages()[module].members
    exported = [members[name] for name in importlib.import_module(module).__all__]
    found = {}
    for one in filter(None, map(own, exported)):
        methods = one.all_members if isinstance(one, griffe.Class) else {}
        shown = [own(member) for name, member in methods.items() if not name.startswith("_")]
        for function in (one, *shown):
            if isinstance(function, griffe.Function):
                found[function.path] = function
    return found


@cache
def interfaces() -> dict[str, list[set[str]]]:
    """The parameters that docstrings of methods list, by the names of the methods."""
    found: dict[str, list[set[str]]] = {}
    for one in documented("mcp_mount"):
        if isinstance(one.parent, griffe.Class):
            found.setdefault(one.name, []).append(listed(one) or set())
    return found


@pytest.mark.parametrize("module", EXPORTING)
def test_public_functions_and_methods_list_their_parameters(module: str) -> None:
    lacking = {}
    for path, one in public_functions(module).items():
        if one.docstring is not None:
            lacks = parameters(one) - (listed(one) or set())
        elif parameters(one) in interfaces().get(one.name, []):
            # It implements what a protocol or a base class documents.
            continue
        else:
            lacks = parameters(one)
        if lacks:
            lacking[path] = sorted(lacks)
    assert lacking == {}


def test_both_contexts_have_the_same_parameters_and_results() -> None:
    """Nobody who reads of a method of `SyncContext` has to look elsewhere."""
    both = packages()["mcp_mount.context.context"]
    wrong = []
    for name, one in both["SyncContext"].members.items():
        other = both["Context"].members.get(name)
        if not (name.startswith("_") or other is None or one.docstring is None):
            told, expected = one.docstring.value, other.docstring.value
            if _SECTION.search(expected) and sections_of(told) != sections_of(expected):
                wrong.append(name)
    assert wrong == []


def sections_of(docstring: str) -> str:
    """A docstring from its first section on."""
    found = _SECTION.search(docstring)
    return "" if found is None else docstring[found.start() :]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_parser_has_nothing_to_say(package: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="griffe"):
        for one in documented(package):
            assert one.docstring is not None
            one.docstring.parse("google")
    # A return annotation says the type; `Returns:` says what it is.
    told = [text for text in caplog.messages if "No type or annotation" not in text]
    assert told == []
