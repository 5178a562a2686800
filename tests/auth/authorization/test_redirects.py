"""Redirect URIs: which a client may have, and when a request's is one of them."""

from __future__ import annotations

import pytest

from mcp_mount.auth.authorization.redirects import (
    RedirectRefused,
    check_redirect_uri,
    is_registered,
    where,
    with_parameters,
)

GOOD = [
    "https://claude.ai/api/mcp/auth_callback",
    "https://chatgpt.com/connector/oauth/a1",
    "https://a.example",
    "https://a.example/",
    "https://a.example:8443/cb?x=1&y=%20",
    "https://192.0.2.1/cb",
    "https://[2001:db8::1]:444/cb",
    "https://xn--bcher-kva.example/cb",
    "https://localhost/cb",
    "http://localhost/callback",
    "http://localhost:3030/callback",
    "http://127.0.0.1",
    "http://127.0.0.1:1/cb",
    "http://[::1]:3030/cb",
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "vscode://vscode.github-authentication/did-authenticate",
    "com.example.app:/oauth",
    "com.example.app:oauth",
    "x-my.app+1://cb",
]

BAD = [
    "",
    " ",
    "x" * 3000,
    "https://a.example/" + "x" * 2048,
    "callback",
    "/callback",
    "//a.example/cb",
    "?a=b",
    "#",
    ":",
    "https:",
    "https://",
    "https:///cb",
    "https:a.example",
    "https:/a.example/cb",
    "https://:443/cb",
    "https://a.example:0/cb",
    "https://a.example:99999/cb",
    "https://a.example:x/cb",
    "https://a.example/cb#fragment",
    "https://a.example/cb#",
    "https://user@a.example/cb",
    "https://user:pass@a.example/cb",
    "https://a.example@evil.example/cb",
    "https://a.example\\@evil.example/cb",
    "https://a.example\\.evil.example",
    "https://a.example/\ncb",
    "https://a.example/\tcb",
    "https://a.example/ cb",
    "https://a.example/\x00",
    "https://bücher.example/cb",
    "https://a.example/<script>",
    'https://a.example/"x',
    "https://*.example/cb",
    "https://a.example/*",
    "http://localhost:*/callback",
    "HTTPS://a.example/cb",
    "Https://a.example/cb",
    "http://a.example/cb",
    "http://127.0.0.1.evil.example/cb",
    "http://localhost.evil.example/cb",
    "http://localhost@evil.example/cb",
    "http://127.0.0.2/cb",
    "http://127.1/cb",
    "http://2130706433/cb",
    "http://0.0.0.0/cb",
    "http://[::]/cb",
    "http://[::ffff:127.0.0.1]/cb",
    "http://169.254.169.254/latest",
    "https://[::1",
    "javascript:alert(1)",
    "javascript://a.example/%0aalert(1)",
    "JavaScript:alert(1)",
    "vbscript:x",
    "data:text/html,x",
    "blob:https://a.example/1",
    "file:///etc/passwd",
    "filesystem:https://a.example/x",
    "about:blank",
    "view-source:https://a.example",
    "ftp://a.example/",
    "mailto:a@example",
    "tel:1",
    "sms:1",
    "ws://a.example/",
    "wss://a.example/",
    "urn:ietf:wg:oauth:2.0:oob",
    "intent://x",
    "ms-msdt:/id",
    "search-ms:query=x",
    "chrome-extension://abc/cb",
    "c:/windows",
    "1app://cb",
    "app:",
    "app://",
    "[" * 1000,
]


@pytest.mark.parametrize("uri", GOOD)
def test_what_a_client_may_have(uri: str) -> None:
    assert check_redirect_uri(uri).geturl()
    assert is_registered(uri, [uri])


@pytest.mark.parametrize("uri", BAD)
def test_what_no_client_may_have(uri: str) -> None:
    with pytest.raises(RedirectRefused) as caught:
        check_redirect_uri(uri)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 100
    assert not is_registered(uri, GOOD)


WEB = "https://a.example/cb?x=1"
LOCAL = "http://127.0.0.1:3030/cb?x=1"


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.example/cb",
        "https://a.example/cb?x=2",
        "https://a.example/cb?x=1&y",
        "https://a.example/cb/?x=1",
        "https://a.example/CB?x=1",
        "https://A.example/cb?x=1",
        "https://a.example:443/cb?x=1",
        "https://a.example:444/cb?x=1",
        "https://a.example/%63b?x=1",
        "https://a.example/x/../cb?x=1",
        "https://a.example./cb?x=1",
        "https://b.a.example/cb?x=1",
        "http://a.example/cb?x=1",
        "https://a.example/cb?x=1#f",
        "https://u@a.example/cb?x=1",
        "http://127.0.0.1:3030/cb",
        "http://127.0.0.1:3030/cb?x=2",
        "http://127.0.0.1:3030/cb/?x=1",
        "http://localhost:3030/cb?x=1",
        "http://[::1]:3030/cb?x=1",
        "https://127.0.0.1:3030/cb?x=1",
        "http://127.0.0.1:x/cb?x=1",
    ],
)
def test_they_are_equal_as_strings(uri: str) -> None:
    assert not is_registered(uri, [WEB, LOCAL])


def test_but_for_the_port_on_this_computer() -> None:
    for port in ("", ":1", ":3030", ":65535"):
        assert is_registered(f"http://127.0.0.1{port}/cb?x=1", [WEB, LOCAL])
    # As Claude Code and Copilot write them: without a port, or with one that they do not use.
    assert is_registered("http://localhost:50505/callback", ["http://localhost/callback"])
    assert is_registered("http://127.0.0.1:50505", ["http://127.0.0.1/"])
    assert is_registered("http://[::1]:50505/cb", ["http://[::1]:1/cb"])


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://a.example/cb", "a.example"),
        ("https://a.example:8443/cb", "a.example:8443"),
        ("http://localhost:3030/cb", "an app on this computer (localhost:3030)"),
        ("http://[::1]:3030/cb", "an app on this computer ([::1]:3030)"),
        ("cursor://anysphere/cb", "the app that opens cursor: links"),
    ],
)
def test_where_a_person_is_sent(uri: str, shown: str) -> None:
    assert where(uri) == shown


@pytest.mark.parametrize(
    ("uri", "whole"),
    [
        ("https://a.example/cb", "https://a.example/cb?state=a%20b%2Bc&iss=https%3A%2F%2Fs"),
        ("https://a.example/cb?", "https://a.example/cb?state=a%20b%2Bc&iss=https%3A%2F%2Fs"),
        (
            "https://a.example/cb?x=%20&y=?",
            "https://a.example/cb?x=%20&y=?&state=a%20b%2Bc&iss=https%3A%2F%2Fs",
        ),
        ("app:cb", "app:cb?state=a%20b%2Bc&iss=https%3A%2F%2Fs"),
    ],
)
def test_parameters_are_added(uri: str, whole: str) -> None:
    assert with_parameters(uri, [("state", "a b+c"), ("iss", "https://s")]) == whole
