"""Names that match nothing: what is near enough to be meant."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount import DefinitionError
from mcp_mount.schemas.names import several_names, suggestion

KNOWN = [f"option_{number}" for number in range(20)]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("htpp", "http"),
        ("hsot", "host"),
        ("MCP_NMAE", "MCP_NAME"),
        ("scope", "scopes"),
        ("entry", "entries"),
        ("max_body_size", "max_body_bytes"),
        ("Permision", "permission"),
    ],
)
def test_the_name_that_was_meant_is_suggested(written: str, meant: str) -> None:
    assert suggestion(written, [*KNOWN, meant]) == f"did you mean {meant!r}?"


@pytest.mark.parametrize(("written", "other"), [("path", "auth"), ("tags", "args")])
def test_a_name_of_other_letters_is_not(written: str, other: str) -> None:
    assert suggestion(written, [other]) == f"there are: {other}"


@pytest.mark.parametrize("value", [5, object(), [5], ["a", None], b"a", iter(["a"])])
def test_what_is_no_name_is_refused(value: Any) -> None:
    with pytest.raises(DefinitionError, match="url is a name, or a list of names, not "):
        several_names("url", value)


@pytest.mark.parametrize(
    ("value", "names"), [(None, []), ("ab", ["ab"]), (("a", "b"), ["a", "b"]), ({"a": 1}, ["a"])]
)
def test_a_name_may_be_given_alone(value: Any, names: list[str]) -> None:
    assert several_names("url", value) == names
