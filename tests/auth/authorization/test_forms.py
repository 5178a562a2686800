"""Queries and forms, read strictly."""

from __future__ import annotations

import pytest

from mcp_mount.auth.authorization.errors import OAuthError
from mcp_mount.auth.authorization.forms import printable, read_form, read_form_body


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("", {}),
        ("a=1&b=2", {"a": ["1"], "b": ["2"]}),
        ("a=1+2%2B3%20", {"a": ["1 2+3 "]}),
        ("a=&b", {}),
        ("a=&a=1", {"a": ["1"]}),
        ("r=1&r=2", {"r": ["1", "2"]}),
        ("%C3%BC=%C3%9F", {"ü": ["ß"]}),
        (b"a=1", {"a": ["1"]}),
        ("a=b=c;d", {"a": ["b=c;d"]}),
    ],
)
def test_what_is_read(data: str | bytes, found: dict[str, list[str]]) -> None:
    assert read_form(data, several=("r",)) == found


@pytest.mark.parametrize(
    "data",
    ["a=1&a=1", "%61=1&a=2", "a=%ff", "a=ü", b"\xff", "x" * 65_537, "a=1&" * 101],
)
def test_what_is_refused(data: str | bytes) -> None:
    with pytest.raises(OAuthError) as caught:
        read_form(data, several=("r",))
    assert caught.value.error == "invalid_request"
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("kind", "is_form"),
    [
        ("application/x-www-form-urlencoded", True),
        (" Application/X-WWW-Form-URLencoded ; charset=utf-8", True),
        ("application/x-www-form-urlencoded2", False),
        ("multipart/form-data", False),
        ("", False),
    ],
)
def test_only_one_type_is_a_form(kind: str, is_form: bool) -> None:
    if is_form:
        assert read_form_body(kind, b"a=1") == {"a": ["1"]}
    else:
        with pytest.raises(OAuthError):
            read_form_body(kind, b"a=1")


def test_a_description_has_plain_characters_only() -> None:
    assert printable('a"b\\c\nü' + "x" * 100) == "a?b?c??" + "x" * 73
