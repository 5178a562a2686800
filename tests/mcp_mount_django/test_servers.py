"""The ledger under the web servers that people deploy: two members, many clients at once."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from sample_projects.processes import PYTHONPATH, ROOT, free_port, running
from tests.load import MEMBERS, Served, Visitor, check, command

APPLICATIONS = "tests.mcp_mount_django.ledger.applications"
DAPHNE = "tests.mcp_mount_django.ledger.daphne_app:app"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the databases as they are before the first call."""
    folder = tmp_path_factory.mktemp("databases")
    environment = {"LEDGER_FOLDER": str(folder), "PYTHONPATH": PYTHONPATH}
    words = [sys.executable, "-m", APPLICATIONS, *MEMBERS]
    subprocess.run(words, cwd=ROOT, env=environment, check=True, timeout=300)
    return folder


@pytest.fixture(scope="module", params=["sync", "gthread", "uvicorn", "hypercorn", "daphne"])
def served(
    request: pytest.FixtureRequest, databases: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The ledger under a server, with databases and two members of its own."""
    folder = shutil.copytree(databases, tmp_path_factory.mktemp(request.param) / "own")
    environment = {"LEDGER_FOLDER": str(folder), "PYTHONPATH": PYTHONPATH}
    port = free_port()
    if request.param == "daphne":
        words = [sys.executable, "-m", "daphne", "-p", str(port), "-v", "0", DAPHNE]
    else:
        kind = "wsgi" if request.param in ("sync", "gthread") else "asgi"
        words = command(request.param, f"{APPLICATIONS}:{kind}", port)
    with running(words, port, environment=environment) as process:
        yield Served(port, folder, process.pid)


def log_in(connection: HTTPConnection, member: str, number: int) -> tuple[str, dict[str, str]]:
    """By the project's own form, or by a token."""
    if number % 2:
        return "/token/mcp", {"authorization": f"Token token-of-{member}"}
    connection.request("GET", "/login/")
    response = connection.getresponse()
    page = response.read().decode()
    assert response.status == 200, f"{response.status} {page[:200]}"
    cookie = response.headers["set-cookie"].partition(";")[0]
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[0]
    form = f"csrfmiddlewaretoken={token}&username={member}@example.org&password=secret"
    headers = {"content-type": "application/x-www-form-urlencoded", "cookie": cookie}
    connection.request("POST", "/login/", form, headers)
    response = connection.getresponse()
    response.read()
    cookies = [one.partition(";")[0] for one in response.headers.get_all("set-cookie") or ()]
    assert response.status == 302, response.status
    new = next(one for one in cookies if one.startswith("csrftoken="))
    return "/mcp", {"cookie": "; ".join(cookies), "x-csrftoken": new.partition("=")[2]}


def entries(served: Served, member: str, number: int) -> list[tuple[int, int]]:
    """In the database, and in the audit's."""
    [found] = served.rows(
        "default", f"SELECT count(*), sum(amount) FROM ledger_entry WHERE member_id = {number}"
    )
    [audited] = served.rows(
        "audit",
        "SELECT count(*), sum(CAST(text AS INTEGER)) FROM ledger_auditentry "
        f"WHERE member = {number}",
    )
    return [found, audited]


def test_members_share_a_server_and_nothing_else(served: Served) -> None:
    check(served, log_in, entries, Served.connections)


@pytest.mark.parametrize(
    "tool", ["manners", "manners_aloud", "manners_async", "manners_async_aloud"]
)
def test_a_call_keeps_language_and_time_zone(served: Served, tool: str) -> None:
    headers = {"accept-language": "de", "x-time-zone": "Asia/Tokyo"}
    visitor = Visitor(served.port, "ada", 1, lambda *_: ("/mcp", headers))
    try:
        text = visitor.tool(tool)["content"][0]["text"]
    finally:
        visitor.close()
    assert text == "de Montag Asia/Tokyo"


def test_an_option_that_means_nothing_is_refused(project: None) -> None:
    from mcp_mount import DefinitionError
    from mcp_mount_django import MCPServer

    with pytest.raises(DefinitionError) as caught:
        MCPServer("shop", login_requierd=True)
    assert str(caught.value) == (
        "MCPServer has no option 'login_requierd'; did you mean 'login_required'?"
    )
