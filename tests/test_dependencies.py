"""The versions that `make test DEPS=lowest` installs are the lower bounds of pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
NOT_OF_USERS = ("all", "dev")
"""Extras that add nothing for users."""


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def requirements() -> list[Requirement]:
    table = project()
    optional = table["optional-dependencies"]
    written = [
        *table["dependencies"],
        *(one for name in optional if name not in NOT_OF_USERS for one in optional[name]),
    ]
    return [Requirement(one) for one in written]


def lowest() -> dict[str, Version]:
    lines = (ROOT / "constraints" / "lowest.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): version(one, "==") for one in pinned}


def version(requirement: Requirement, operator: str) -> Version:
    return Version(str(requirement.specifier).removeprefix(operator))


def test_the_lowest_versions_are_those_that_users_may_have() -> None:
    bounds = {canonicalize_name(one.name): version(one, ">=") for one in requirements()}
    pinned = lowest()
    # The SDK, which an extra needs, asks for its own version of the API.
    bounds["opentelemetry-api"] = bounds["opentelemetry-sdk"]
    assert {name: pinned.get(name) for name in bounds} == bounds
