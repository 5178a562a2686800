"""Who is logged in, by the host's own function."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount.auth.authorization.accounts import Accounts, Person, of_request
from mcp_mount.auth.authorization.errors import PageError
from mcp_mount.transports.driving import follow


def person(find: Any) -> Person | None:
    return follow(Accounts(of_request(find), "/login", lambda user: "").person("request"))


async def awaits(request: Any) -> str:
    return f"of {request}"


@pytest.mark.parametrize(
    ("find", "found"),
    [
        (lambda request: None, None),
        (lambda request: "", None),
        (lambda request: False, None),
        (lambda request: 7, Person("7", "7")),
        (lambda request: request, Person("request", "request")),
        (lambda: "ann", Person("ann", "ann")),
        (lambda request: Person("1", "Ann"), Person("1", "Ann")),
        (lambda request: Person(""), None),
        (lambda request: Person(7, "Ann"), Person("7", "Ann")),  # type: ignore[arg-type]
        (lambda request: Person(0), Person("0", "0")),  # type: ignore[arg-type]
        (lambda request: Person(None), None),  # type: ignore[arg-type]
        (awaits, Person("of request", "of request")),
        (lambda request: awaits(request), Person("of request", "of request")),
    ],
)
def test_a_function_says_who_is_logged_in(find: Any, found: Person | None) -> None:
    assert person(find) == found


@pytest.mark.parametrize(
    "find",
    [
        lambda request: True,
        lambda request: {},
        lambda request: 1 / 0,
        lambda request: "a\ud800",
        lambda request: Person("a\ud800", "Ann"),
    ],
)
def test_a_function_that_cannot_say_is_told_on_a_page(find: Any) -> None:
    with pytest.raises(PageError) as refused:
        person(find)
    assert refused.value.status == 503


@pytest.mark.parametrize(
    ("login", "url"),
    [
        ("/login", "/login?next=%2Fa%3Fb%3Dc"),
        ("/login?x=1", "/login?x=1&next=%2Fa%3Fb%3Dc"),
        (lambda path: f"https://sso.example{path}", "https://sso.example/a?b=c"),
    ],
)
def test_the_login_page_leads_back(login: Any, url: str) -> None:
    accounts = Accounts(lambda request: None, login, lambda user: "")
    assert accounts.login_url("/a?b=c") == url


@pytest.mark.parametrize(
    "login", [lambda path: 1 / 0, lambda path: None, lambda path: "", lambda path: {"url": path}]
)
def test_a_login_page_that_nobody_can_name_is_told_on_a_page(login: Any) -> None:
    with pytest.raises(PageError) as refused:
        Accounts(lambda request: None, login, lambda user: "").login_url("/a")
    assert refused.value.status == 503
