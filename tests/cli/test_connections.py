"""The command `connections`, by the command line of each host."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_mount.auth import Connection
from tests.cli.commands import CommandLine

DAY = 24 * 3600.0

CLAUDE = Connection(
    id="c-claude",
    user="1",
    client="digest",
    client_name="Claude",
    client_host="claude.ai",
    resource="https://shop.example/mcp",
    scopes=("orders:read", "orders:write"),
    stamp="s",
    # So late that no purge takes them for unused.
    created=4102444800.0,
    used=4102544800.0,
    generation=3,
)
OTHERS = replace(
    CLAUDE,
    id="c-other",
    user="2",
    client_name="Not\x1b[31m red",
    client_host=None,
    scopes=(),
    created=4101000000.0,
)


def line_of(host: str, folder: Path) -> CommandLine:
    """A command line, and two connections."""
    made = CommandLine(host, folder)
    for one in (CLAUDE, OTHERS):
        made.add(one)
    return made


@pytest.fixture(params=["alone", "flask", "django"])
def line(request: pytest.FixtureRequest, tmp_path: Path) -> CommandLine:
    """Each kind of command line."""
    return line_of(request.param, tmp_path)


def test_connections_are_listed_revoked_and_purged(tmp_path: Path) -> None:
    line = line_of("alone", tmp_path)
    done = line.connections("list")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "ID        USER  CLIENT        HOST          SCOPES                    CONNECTED   "
            "LAST USED",
            "c-claude  1     Claude        claude.ai     orders:read orders:write  2100-01-01  "
            "2100-01-02",
            "c-other   2     Not?[31m red  (unverified)  -                         2099-12-15  "
            "2100-01-02",
        ],
    ), done.stderr
    assert json.loads(line.connections("list", "--user", "1", "--json").stdout) == [
        {
            "id": "c-claude",
            "user": "1",
            "client": "Claude",
            "host": "claude.ai",
            "resource": "https://shop.example/mcp",
            "scopes": ["orders:read", "orders:write"],
            "connected": "2100-01-01T00:00:00+00:00",
            "last_used": "2100-01-02T03:46:40+00:00",
            "refreshed": 3,
        }
    ]
    assert "No assistant is connected." in line.connections("list", "--client", "x").stdout

    refused = line.connections("revoke", "--client", "claude.ai", said="no\n")
    assert refused.returncode == 1
    assert "Revoke 1 connection? [y/N]" in refused.stdout
    assert "Nothing was revoked." in refused.stdout
    # Nobody is there to be asked.
    assert line.connections("revoke", "c-claude").returncode == 1
    assert line.kept() == {"c-claude": True, "c-other": True}

    done = line.connections("revoke", "--client", "claude.ai", said="y\n")
    assert done.returncode == 0, done.stderr
    assert "1 revoked." in done.stdout
    assert line.kept() == {"c-claude": False, "c-other": True}
    gone = line.connections("revoke", "c-claude", "--yes")
    assert gone.returncode != 0
    assert "There is no connection 'c-claude' that holds" in gone.stderr
    assert line.connections("revoke", "c-other", "--yes").returncode == 0
    assert line.kept() == {"c-claude": False, "c-other": False}

    # A code may still be on its way for those of the last minutes.
    now = time.time()
    line.add(replace(CLAUDE, id="c-long-ago", revoked=now - 3600))
    line.add(replace(CLAUDE, id="c-unused", used=now - 31 * DAY))
    line.add(replace(CLAUDE, id="c-used", used=now - 29 * DAY))
    assert line.connections("purge").stdout == "2 deleted.\n"
    assert line.kept() == {"c-claude": False, "c-other": False, "c-used": True}


@pytest.mark.parametrize("host", ["flask", "django"])
def test_the_commands_of_a_framework_do_the_same(host: str, tmp_path: Path) -> None:
    line = line_of(host, tmp_path)
    done = line.connections("list")
    assert [row.split()[0] for row in done.stdout.splitlines()] == ["ID", "c-claude", "c-other"]
    refused = line.connections("revoke", "--client", "claude.ai", said="no\n")
    assert (refused.returncode, "Nothing was revoked." in refused.stdout) == (1, True)
    assert line.connections("revoke", "c-claude", "--yes").returncode == 0
    assert line.kept() == {"c-claude": False, "c-other": True}
    line.add(replace(CLAUDE, id="c-long-ago", revoked=time.time() - 3600))
    assert line.connections("purge").stdout == "1 deleted.\n"
    assert line.kept() == {"c-claude": False, "c-other": True}


@pytest.mark.parametrize("host", ["fastapi", "starlette"])
def test_the_command_of_the_library_finds_the_server_of_an_application(
    host: str, tmp_path: Path
) -> None:
    line = line_of(host, tmp_path)
    done = line.connections("revoke", "--client", "claude.ai", "--yes")
    assert (done.returncode, "1 revoked." in done.stdout) == (0, True), done.stderr
    assert line.kept() == {"c-claude": False, "c-other": True}


@pytest.mark.parametrize("host", ["alone", "flask", "django"])
def test_what_to_revoke_must_be_named(host: str, tmp_path: Path) -> None:
    done = CommandLine(host, tmp_path).connections("revoke", "--yes")
    assert done.returncode != 0
    assert "Name connections by their ids, or by --user or --client" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["alone", "flask"])
def test_connections_in_memory_are_seen_by_no_command(host: str, tmp_path: Path) -> None:
    line = CommandLine(host, tmp_path)
    del line._environment["STORE"]
    done = line.connections("list")
    assert done.returncode != 0
    assert "give SignIn a store=" in done.stderr


def test_of_several_servers_one_is_chosen(tmp_path: Path) -> None:
    line = CommandLine("fastapi", tmp_path)
    target = "tests.integrations.signing_in_apps:two()"
    done = line.run("connections", "list", target)
    assert done.returncode == 2
    assert "choose one with --path: /api/mcp, /other/mcp" in done.stderr
    done = line.run("connections", "list", target, "--path", "/api/mcp")
    assert (done.returncode, done.stdout) == (0, "No assistant is connected.\n")


def test_a_server_without_a_sign_in_has_none(tmp_path: Path) -> None:
    line = CommandLine("fastapi", tmp_path)
    done = line.run("connections", "list", "tests.conformance.hosts:asgi()")
    assert done.returncode == 2
    assert "has no SignIn" in done.stderr


def test_json_has_no_characters_that_a_terminal_obeys(line: CommandLine) -> None:
    name = "a\x9b31m\u202eb\u2028c \U000e0001 é"
    line.add(replace(CLAUDE, id="c-odd", user=name))
    done = line.connections("list", "--user", name, "--json")
    assert [one["user"] for one in json.loads(done.stdout)] == [name]
    assert all(one.isprintable() or one == "\n" for one in done.stdout)
    assert "é" in done.stdout
