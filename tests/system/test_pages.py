"""A page in a real browser connects to a server on another origin, as its CORS allows."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clients.expected import TOOLS
from tests.clients.server import KEY
from tests.requests import stateless
from tests.system.browser import ALLOWED, FOREIGN, script
from tests.system.names import HOSTS

ALL_TOOLS = sorted([*TOOLS, "mark", "marks_left"])


@pytest.fixture(params=HOSTS)
def url(request: pytest.FixtureRequest, serve: Callable[[str], str]) -> str:
    """The base URL of each host in turn."""
    return serve(request.param)


@pytest.fixture
def allowed(browser: Any, page_port: int) -> Any:
    """The browser, on the page that may connect."""
    browser.get(f"http://{ALLOWED}:{page_port}/")
    return browser


@pytest.fixture
def foreign(browser: Any, page_port: int) -> Any:
    """The browser, on a page that may not."""
    browser.get(f"http://{FOREIGN}:{page_port}/")
    return browser


def connect(browser: Any, url: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return browser.execute_async_script(script("connect.js"), url, named)


def call(url: str, tool: str) -> Any:
    """Call a tool as a client does that is no browser; its structured result."""
    headers, body = stateless("tools/call", {"name": tool, "arguments": {}})
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("POST", "/mcp", body, headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["result"]["content"][0]["text"]


def preflight(url: str, path: str, page: str, headers: str) -> tuple[int, dict[str, str]]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    asked = {
        "Origin": page,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": headers,
    }
    connection.request("OPTIONS", path, headers=asked)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}


def test_a_page_lists_and_calls_tools_with_and_without_sessions(allowed: Any, url: str) -> None:
    seen = connect(allowed, f"{url}/mcp")
    assert "blocked" not in seen, seen
    for answers in (seen["stateless"], seen["sessions"]):
        listed = answers["listed"]["result"]["tools"]
        assert sorted(tool["name"] for tool in listed) == ALL_TOOLS
        assert answers["called"]["result"]["content"] == [{"type": "text", "text": "hello"}]
    assert seen["sessions"]["opened"]["session"]
    assert seen["sessions"]["closed"] == 204


def test_a_page_with_an_api_key_gets_in(allowed: Any, url: str) -> None:
    seen = connect(allowed, f"{url}/keyed/mcp", X_API_Key=KEY)
    assert "blocked" not in seen, seen
    assert seen["stateless"]["called"]["result"]["content"][0]["text"] == "hello"
    assert seen["sessions"]["called"]["result"]["content"][0]["text"] == "hello"


def test_a_page_without_a_key_reads_what_is_missing(allowed: Any, url: str) -> None:
    seen = connect(allowed, f"{url}/keyed/mcp")
    assert "blocked" not in seen, seen
    for answer in (seen["stateless"]["called"], seen["sessions"]["opened"]):
        assert answer["status"] == 401
        assert "X-API-Key" in answer["message"]


def test_a_page_reads_where_to_log_in(allowed: Any, url: str) -> None:
    seen = connect(allowed, f"{url}/oauth/mcp")
    assert "blocked" not in seen, seen
    opened = seen["sessions"]["opened"]
    assert opened["status"] == 401
    assert opened["challenge"].startswith("Bearer resource_metadata=")
    metadata = opened["challenge"].split('"')[1]
    document = allowed.execute_async_script(
        "const [url, done] = arguments;"
        "fetch(url).then((one) => one.json()).then(done, (error) => done(String(error)));",
        metadata,
    )
    assert document["authorization_servers"] == ["https://login.example.com"]


@pytest.mark.parametrize("path", ["/mcp", "/keyed/mcp", "/oauth/mcp"])
def test_a_preflight_needs_no_credentials(url: str, page_port: int, path: str) -> None:
    page = f"http://{ALLOWED}:{page_port}"
    status, headers = preflight(url, path, page, "content-type,mcp-session-id,authorization")
    assert 200 <= status < 300
    assert headers["access-control-allow-origin"] == page


@pytest.mark.parametrize("path", ["/mcp", "/keyed/mcp"])
def test_a_page_of_another_origin_is_not_let_in_by_a_preflight(
    url: str, page_port: int, path: str
) -> None:
    page = f"http://{FOREIGN}:{page_port}"
    _, headers = preflight(url, path, page, "content-type")
    assert headers.get("access-control-allow-origin") not in ("*", page)


def test_a_foreign_page_neither_reads_nor_acts(foreign: Any, url: str) -> None:
    before = call(url, "marks_left")
    _, body = stateless("tools/call", {"name": "mark", "arguments": {}})
    seen = foreign.execute_async_script(script("attack.js"), f"{url}/mcp", body.decode())
    assert seen == {
        "JSON, asked about": "blocked",
        "plain text": "blocked",
        "plain text, unread": "unread",
        "a form, unread": "unread",
        "no type, unread": "unread",
        "with cookies": "blocked",
        "reading with GET": "blocked",
    }
    assert call(url, "marks_left") == before


def test_a_page_that_may_connect_leaves_a_mark(allowed: Any, url: str) -> None:
    """What the foreign page has tried does act, where it is allowed."""
    before = int(call(url, "marks_left"))
    headers, body = stateless("tools/call", {"name": "mark", "arguments": {}})
    status = allowed.execute_async_script(
        "const [url, headers, body, done] = arguments;"
        "fetch(url, {method: 'POST', headers, body}).then((one) => done(one.status), done);",
        f"{url}/mcp",
        headers,
        body.decode(),
    )
    assert status == 200
    assert int(call(url, "marks_left")) == before + 1


def test_cors_for_everybody_lets_no_foreign_page_act(
    foreign: Any, serve: Callable[[str], str]
) -> None:
    """`allow_origins=["*"]` lets a page read that it is refused, and no more."""
    url = serve("careless")
    before = call(url, "marks_left")
    _, body = stateless("tools/call", {"name": "mark", "arguments": {}})
    seen = foreign.execute_async_script(script("attack.js"), f"{url}/mcp", body.decode())
    assert seen == {
        "JSON, asked about": "read 403",
        "plain text": "read 403",
        "plain text, unread": "unread",
        "a form, unread": "unread",
        "no type, unread": "unread",
        "with cookies": "blocked",
        "reading with GET": "read 403",
    }
    assert call(url, "marks_left") == before
