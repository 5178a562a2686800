"""The command `check`: what it finds at a site that is as it should be, but for one thing."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mcp_mount import MCPServer
from mcp_mount.auth import TokenVerifier
from mcp_mount.auth.authorization.fetching import DocumentRefused
from mcp_mount.backends.backplane.redis import RedisBackplane
from mcp_mount.calls.backplane import BackplaneUnavailable
from mcp_mount.cli.check import run
from mcp_mount.cli.checking.backplanes import ask_backplane, backplane_name
from mcp_mount.cli.checking.discovery import Discovery
from mcp_mount.cli.checking.endpoints import check_address
from mcp_mount.cli.checking.outbound import check_outbound
from mcp_mount.cli.commands import Screen
from sample_projects.processes import free_port
from tests.cli.commands import CommandLine
from tests.integrations.test_signing_in import HOSTS, serving
from tests.valkey import Valkey

PRM = "/.well-known/oauth-protected-resource"
ISSUER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"

Answer = tuple[int, dict[str, str], Any]
Answers = dict[str, Answer]

CORS = {"access-control-allow-origin": "*"}
PAGE = {"content-type": "text/html"}


class Site:
    """A site that is as it should be, which a test changes.

    Attributes:
        answers: What it answers, by method and path.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.resource = {"resource": f"{origin}/mcp", "authorization_servers": [origin]}
        self.server: dict[str, Any] = {
            "issuer": origin,
            "authorization_endpoint": f"{origin}/a/authorize",
            "token_endpoint": f"{origin}/a/token",
            "registration_endpoint": f"{origin}/a/register",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
        }
        challenge = f'Bearer resource_metadata="{origin}{PRM}/mcp"'
        refused = {"error": "invalid_request"}
        self.answers: Answers = {
            "POST /mcp": (401, {"www-authenticate": challenge}, {}),
            f"GET {PRM}/mcp": (200, CORS, self.resource),
            f"GET {PRM}": (200, CORS, self.resource),
            f"GET {ISSUER}": (200, CORS, self.server),
            "POST /a/token": (400, CORS, refused),
            "POST /a/register": (201, CORS, {"client_id": "c"}),
            "OPTIONS /a/token": (204, CORS, ""),
            "OPTIONS /a/register": (204, CORS, ""),
            "GET /a/authorize": (400, PAGE, "<h1>No</h1>"),
            "GET /a/authorize?": (302, {"location": "/login?next=x"}, ""),
            "GET /login?": (200, PAGE, "<h1>Log in</h1>"),
        }

    def change(self, what: str, **members: Any) -> None:
        """Change members of an answer's JSON; None leaves one out."""
        status, headers, body = self.answers[what]
        kept = {name: one for name, one in {**body, **members}.items() if one is not None}
        self.answers[what] = (status, headers, kept)

    def respond(self, method: str, path: str, body: bytes, agent: str) -> Answer:
        plain, mark, _ = path.partition("?")
        if f"{method} {plain}" == "POST /a/register" and body == b"{}":
            return self.answers.get("POST /a/register {}", (400, CORS, {"error": "x"}))
        for name in (f"{method} {plain} {agent}", f"{method} {plain}{mark}"):
            if name in self.answers:
                return self.answers[name]
        return 404, {}, {"detail": "Not Found"}


@contextmanager
def standing() -> Iterator[Site]:
    """A site on this computer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            agent = self.headers["user-agent"] or ""
            status, headers, answer = site.respond(self.command, self.path, body, agent)
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response_only(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                for one in value.split("\n"):
                    self.send_header(name, one)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_OPTIONS = do_GET

        def log_message(self, *given: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield site
        finally:
            server.shutdown()


@pytest.fixture
def site() -> Iterator[Site]:
    with standing() as made:
        yield made


def checked(url: str, **options: Any) -> tuple[int, str]:
    """The exit status, and what was written."""
    lines: list[str] = []
    status = run(None, Namespace(url=url, ca=None, **options), Screen(lines.append))
    return status, "\n".join(lines)


def test_a_site_that_is_as_it_should_be_has_nothing_in_the_way(site: Site) -> None:
    status, said = checked(f"{site.origin}/mcp")
    assert status == 0, said
    assert "Problem" not in said
    assert said.count("Note: ") == said.count("Note: 127.0.0.1 is this computer") == 1
    assert f"VS Code         {PRM}/mcp > {ISSUER} > its metadata document (CIMD)" in said
    assert f"Claude Code     {PRM} > {ISSUER} > its metadata document (CIMD)" in said
    assert f"Cursor          {PRM}/mcp > {ISSUER} > registration (DCR)" in said
    assert said.endswith("Nothing stands in the way.")


OPEN = "Note: The server answers without a token, and no metadata of a sign-in are published"


def test_an_open_server_needs_no_sign_in(site: Site) -> None:
    site.answers = {"POST /mcp": (200, {}, {})}
    status, said = checked(f"{site.origin}/mcp")
    assert status == 0, said
    assert OPEN in said
    assert "Problem" not in said
    assert "Claude Code" not in said
    assert said.endswith("Nothing stands in the way.")


@pytest.mark.parametrize("answer", [(503, PAGE, ""), (302, {"location": "/login"}, "")])
def test_a_server_is_not_open_whose_documents_cannot_be_read(site: Site, answer: Answer) -> None:
    site.answers |= {"POST /mcp": (200, {}, {}), f"GET {PRM}": answer, f"GET {PRM}/mcp": answer}
    status, said = checked(f"{site.origin}/mcp")
    assert status == 1, said
    assert OPEN not in said


def test_a_server_that_takes_tokens_is_not_open(site: Site) -> None:
    site.answers = {"POST /mcp": (200, {}, {})}
    lines: list[str] = []
    server = MCPServer("shop", auth=TokenVerifier(lambda token: None), auth_required=False)
    options = Namespace(url=f"{site.origin}/mcp", ca=None)
    assert run(server, options, Screen(lines.append)) == 1
    assert OPEN not in "\n".join(lines)


def answers(what: str, status: int, headers: dict[str, str], body: Any = "") -> Any:
    def change(site: Site) -> None:
        site.answers[what] = (status, headers, body)

    return change


def members(what: str, **changed: Any) -> Any:
    def change(site: Site) -> None:
        site.change(what, **changed)

    return change


WALL = (403, {**PAGE, "server": "cloudflare"}, "<h1>Are you a person?</h1>")
COOKIE = "GET /login?"

PROBLEMS: dict[str, tuple[Callable[[Site], None], str]] = {
    "a login in front": (
        answers("POST /mcp", 302, {"location": "/login"}),
        "POST {origin}/mcp answers 302 to {origin}/login",
    ),
    "a bot wall": (answers("POST /mcp", *WALL), "POST {origin}/mcp answers 403 (text/html)"),
    "no challenge": (answers("POST /mcp", 401, {}), "401 has no WWW-Authenticate header"),
    "another scheme first": (
        answers("POST /mcp", 401, {"www-authenticate": "ApiKey, Bearer"}),
        "WWW-Authenticate begins with 'ApiKey,'",
    ),
    "a page for all paths": (
        answers(f"GET {OPENID}", 200, PAGE, "<h1>Shop</h1>"),
        "openid-configuration answers 200 (text/html): a page, and no JSON document",
    ),
    "documents behind a login": (
        answers(f"GET {PRM}/mcp", 302, {"location": "/login"}),
        f"GET {{origin}}{PRM}/mcp answers 302 to {{origin}}/login",
    ),
    "documents behind a wall": (
        answers(f"GET {ISSUER}", *WALL),
        f"GET {{origin}}{ISSUER} answers 403 (text/html), by cloudflare",
    ),
    "a wall for one client": (
        answers(f"GET {PRM}/mcp node", *WALL),
        "answers 200 to 'python-httpx/0.28.1', and 403 to 'node', by cloudflare",
    ),
    "documents that fail": (
        answers(f"GET {OPENID}", 500, PAGE, "Oh"),
        f"GET {{origin}}{OPENID} answers 500",
    ),
    "no document of the resource": (
        lambda site: [site.answers.pop(f"GET {PRM}{one}") for one in ("/mcp", "")] and None,
        "No document describes the server (RFC 9728)",
    ),
    "a resource of another scheme": (
        members(f"GET {PRM}/mcp", resource="https://shop.example/mcp"),
        "resource is 'https://shop.example/mcp', and the server was asked at '{origin}/mcp'",
    ),
    "no authorization server": (
        members(f"GET {PRM}/mcp", authorization_servers=None),
        "The document names no authorization_servers",
    ),
    "no document of the server": (
        lambda site: site.answers.pop(f"GET {ISSUER}") and None,
        "No document describes the authorization server '{origin}' (RFC 8414)",
    ),
    "another issuer": (
        members(f"GET {ISSUER}", issuer="https://shop.example"),
        "The issuer is 'https://shop.example', and the server names '{origin}'",
    ),
    "an endpoint without TLS": (
        members(f"GET {ISSUER}", token_endpoint="http://shop.example/token"),
        "token_endpoint is 'http://shop.example/token': not https",
    ),
    "members without a value": (
        members(f"GET {ISSUER}", scopes_supported=[]),
        f"{{origin}}{ISSUER} has members without a value: scopes_supported",
    ),
    "no PKCE": (
        members(f"GET {ISSUER}", code_challenge_methods_supported=None),
        "code_challenge_methods_supported has no S256",
    ),
    "no way to register": (
        members(
            f"GET {ISSUER}", registration_endpoint=None, client_id_metadata_document_supported=None
        ),
        "Clients can neither publish their metadata (CIMD) nor register (DCR)",
    ),
    "CSRF protection at the token endpoint": (
        answers("POST /a/token", 403, PAGE, "CSRF"),
        "token_endpoint: POST {origin}/a/token answers 403 (text/html): no error of OAuth",
    ),
    "a redirect at registration": (
        answers("POST /a/register {}", 301, {"location": "/a/register/"}),
        "registration_endpoint: POST {origin}/a/register answers 301 to {origin}/a/register/",
    ),
    "a store that is away": (
        answers("POST /a/token", 503, {}, {"error": "temporarily_unavailable"}),
        "token_endpoint: POST {origin}/a/token answers 503",
    ),
    "a wall in front of the page": (
        answers("GET /a/authorize", *WALL),
        "authorization_endpoint: GET {origin}/a/authorize answers 403",
    ),
    "no way to the login page": (
        answers("GET /a/authorize?", 500, PAGE),
        "GET {origin}/a/authorize answers 500 (text/html), instead of leading to the login page",
    ),
    "a login page that is not there": (
        answers(COOKIE, 404, PAGE),
        "The login page: GET {origin}/login answers 404",
    ),
    "a login page that cuts off popups": (
        answers(COOKIE, 200, {**PAGE, "cross-origin-opener-policy": "same-origin"}),
        "The login page has the header Cross-Origin-Opener-Policy: same-origin",
    ),
    "a login page whose form is stopped": (
        answers(COOKIE, 200, {**PAGE, "content-security-policy": "form-action https://x.example"}),
        "The login page has the Content-Security-Policy form-action https://x.example",
    ),
    "a page whose form is stopped": (
        answers("GET /a/authorize", 400, {**PAGE, "content-security-policy": "form-action 'none'"}),
        "The page of the authorization server has the Content-Security-Policy form-action 'none'",
    ),
    "a cookie that is dropped": (
        answers(COOKIE, 200, {**PAGE, "set-cookie": "a=1; Path=/\nsid=1; SameSite=None"}),
        "The cookie 'sid' has SameSite=None without Secure",
    ),
    "a login page of another scheme": (
        answers("GET /a/authorize?", 302, {"location": "https://127.0.0.1:9/login"}),
        "The login page is at https://127.0.0.1:9, and not at http",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_stands_in_the_way_is_found(name: str, site: Site) -> None:
    change, words = PROBLEMS[name]
    change(site)
    status, said = checked(f"{site.origin}/mcp")
    assert status == 1, said
    lines = [one for one in said.splitlines() if one.startswith("Problem: ")]
    wanted = words.format(origin=site.origin)
    assert any(wanted in one for one in lines), said
    assert said.endswith("Something stands in the way.")


NOTES: dict[str, tuple[Callable[[Site], None], str]] = {
    "an open server": (answers("POST /mcp", 200, {}, {}), "The server answers without a token"),
    "no CORS": (
        lambda site: site.answers.update({f"GET {PRM}": (200, {}, site.resource)}),
        f"{{origin}}{PRM} has the header Access-Control-Allow-Origin not",
    ),
    "CORS twice": (
        lambda site: site.answers.update(
            {f"GET {PRM}": (200, {"access-control-allow-origin": "*\n*"}, site.resource)}
        ),
        f"{{origin}}{PRM} has the header Access-Control-Allow-Origin twice",
    ),
    "no preflight": (
        answers("OPTIONS /a/token", 405, {}),
        "OPTIONS {origin}/a/token answers 405",
    ),
    "no iss": (
        members(f"GET {ISSUER}", authorization_response_iss_parameter_supported=None),
        "Answers of the authorization server do not name it (RFC 9207)",
    ),
    "no method none": (
        members(f"GET {ISSUER}", token_endpoint_auth_methods_supported=["private_key_jwt"]),
        'token_endpoint_auth_methods_supported has no "none"',
    ),
    "a strict cookie": (
        answers(COOKIE, 200, {**PAGE, "set-cookie": "sid=1; SameSite=Strict"}),
        "The cookie 'sid' has SameSite=Strict",
    ),
    # Two servers of one domain have none.
    "no document at the root": (lambda site: site.answers.pop(f"GET {PRM}") and None, ""),
}


@pytest.mark.parametrize("name", NOTES)
def test_what_stops_no_client_is_a_note(name: str, site: Site) -> None:
    change, words = NOTES[name]
    change(site)
    status, said = checked(f"{site.origin}/mcp")
    assert status == 0, said
    assert f"Note: {words.format(origin=site.origin)}" in said


def test_clients_end_where_they_would(site: Site) -> None:
    site.answers[f"GET {PRM}/mcp"] = (404, {}, {})
    site.change(f"GET {PRM}", resource="https://other.example/mcp")
    status, said = checked(f"{site.origin}/mcp")
    assert status == 1
    assert "TypeScript SDK  stops: no document describes the server" in said
    assert "VS Code         stops: resource is 'https://other.example/mcp'" in said
    assert f"Python SDK      {PRM} > {ISSUER}" in said


STRANGE = [
    "http://[",
    "http://exa\u2100mple/",
    "http://a b/",
    "http://127.0.0.1:99999999/",
    "\ud800",
    5,
]
"""What documents and headers of somebody else may have in place of a URL."""


@pytest.mark.parametrize("strange", STRANGE, ids=ascii)
@pytest.mark.parametrize("member", ["issuer", "authorization_endpoint", "token_endpoint"])
def test_a_document_with_what_is_no_url_is_told(site: Site, member: str, strange: Any) -> None:
    site.change(f"GET {ISSUER}", **{member: strange})
    status, said = checked(f"{site.origin}/mcp")
    assert status == 1, said


@pytest.mark.parametrize("strange", STRANGE, ids=ascii)
def test_a_resource_with_what_is_no_url_is_told(site: Site, strange: Any) -> None:
    for place in (f"GET {PRM}", f"GET {PRM}/mcp"):
        site.change(place, resource=strange, authorization_servers=[strange])
    status, said = checked(f"{site.origin}/mcp")
    assert status == 1, said


@pytest.mark.parametrize("place", ["http://[", "http://a b/", "http://127.0.0.1:99999999/"])
def test_a_login_page_at_no_url_is_told(site: Site, place: str) -> None:
    site.answers["GET /a/authorize?"] = (302, {"location": place}, "")
    status, said = checked(f"{site.origin}/mcp")
    assert status == 1
    assert "Problem: The login page" in said


def test_half_a_character_for_a_client_id_goes_no_further(site: Site) -> None:
    site.change("POST /a/register", client_id="\ud800")
    status, said = checked(f"{site.origin}/mcp")
    assert status == 0, said


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 50_000, "9" * 10_000], ids=len)
def test_documents_that_cannot_be_read_are_told(site: Site, body: str) -> None:
    for place in (f"GET {PRM}", f"GET {PRM}/mcp", f"GET {ISSUER}"):
        site.answers[place] = (200, CORS, body)
    status, said = checked(f"{site.origin}/mcp")
    assert status == 1
    assert "a page, and no JSON document" in said


@pytest.mark.parametrize("part", ["headers", "body"])
def test_an_answer_that_comes_too_slowly_is_none(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_mount.cli.checking.asking.SECONDS", 0.5)

    class Dripping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.0 401 \r\n" + (b"" if part == "headers" else b"\r\n"))
                for _ in range(100):
                    # Each byte comes in time.
                    self.wfile.write(b"x:\r\n" if part == "headers" else b" ")
                    time.sleep(0.02)

        def log_message(self, *given: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            status, said = checked(f"http://127.0.0.1:{server.server_port}/mcp")
        finally:
            server.shutdown()
    assert status == 1
    assert "gets no answer (none within" in said


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    status, said = checked("http://127.0.0.1:9/mcp")
    assert status == 1
    assert "Problem: POST http://127.0.0.1:9/mcp gets no answer" in said
    line = CommandLine("alone", tmp_path)
    for words, error in (
        (["ftp://x"], "'ftp://x' is no URL such as https://shop.example/mcp"),
        (["https://[/mcp"], "is no URL"),
        (["https://x/mcp", "--ca", "no-file"], "There is no file 'no-file'"),
    ):
        done = line.run("check", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert error in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://shop.example/mcp", "http://shop.example/mcp is not https"),
        ("https://shop.example:8443/mcp", "The port is 8443"),
        ("https://shop.example/mcp", None),
        ("https://shop.example:443/mcp", None),
    ],
)
def test_what_the_url_alone_says(url: str, words: str | None) -> None:
    asker: Any = None
    assert [one.what for one in check_address(Discovery(url, asker))] == ([words] if words else [])


def test_a_server_that_reaches_no_document_is_told() -> None:
    def refuse(url: str) -> None:
        raise DocumentRefused("no answer")

    [found] = check_outbound(refuse)
    assert found.is_in_the_way
    assert "https://claude.ai/oauth/claude-code-client-metadata: no answer" in found.what
    assert "cimd=False" in found.todo
    assert [*check_outbound(lambda url: b"{}")] == []


def stopped(redis: Valkey) -> str:
    redis.stop()
    return redis.url


def full(redis: Valkey) -> str:
    with redis.admin() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
    return redis.url


def alone(redis: Valkey) -> str:
    with redis.admin() as client:
        client.config_set("min-replicas-to-write", "1")
    return redis.url


def reads_only(redis: Valkey) -> str:
    with redis.admin() as client:
        client.acl_setuser(
            "joe", enabled=True, passwords=["+secret"], keys=["*"], commands=["+get"]
        )
    return redis.url.replace("//", "//joe:secret@")


def without_streams(redis: Valkey) -> str:
    with redis.admin() as client:
        rights = ("~*", "+@all", "-@stream")
        client.execute_command("ACL", "SETUSER", "joe", "on", ">secret", *rights)
    return redis.url.replace("//", "//joe:secret@")


def without_times(redis: Valkey) -> str:
    with redis.admin() as client:
        rights = ("~*", "+@all", "-expire", "-pexpire")
        client.execute_command("ACL", "SETUSER", "joe", "on", ">secret", *rights)
    return redis.url.replace("//", "//joe:secret@")


def wrong_password(redis: Valkey) -> str:
    return f"{redis.url}?password=secret&username=joe"


@pytest.mark.parametrize(
    "away", [stopped, full, alone, reads_only, without_streams, without_times, wrong_password]
)
def test_a_backplane_that_cannot_be_used_is_told(away: Callable[[Valkey], str]) -> None:
    with Valkey() as redis:
        assert [*ask_backplane(MCPServer("checked", backplane=redis.url))] == []
        with redis.admin() as client:
            assert client.keys() == []
        [found] = ask_backplane(MCPServer("checked", backplane=away(redis)))
        if away is not stopped:
            with redis.admin() as client:
                assert client.keys() == []
    assert found.is_in_the_way
    assert found.what.startswith(f"The backplane {redis.url} cannot be used from here: ")
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("error", "words"),
    [(BackplaneUnavailable("it is away"), "it is away"), (OSError("no file"), "OSError: no file")],
)
def test_a_backplane_of_the_users_own_is_asked_too(error: Exception, words: str) -> None:
    class Own(RedisBackplane):
        def note(self, *args: Any, **options: Any) -> Any:
            raise error

    server = MCPServer("checked", backplane=Own("redis://127.0.0.1:1", lambda: "checked"))
    [found] = ask_backplane(server)
    assert found.what == f"The backplane Own cannot be used from here: {words}"


def test_a_backplane_that_forgets_is_told() -> None:
    class Forgetful(RedisBackplane):
        def note(self, *args: Any, **options: Any) -> Any:
            return True

        def record(self, key: str) -> Any:
            return {}

    server = MCPServer("checked", backplane=Forgetful("redis://127.0.0.1:1", lambda: "checked"))
    [found] = ask_backplane(server)
    assert found.what.endswith("cannot be used from here: what was written cannot be read")


def test_where_each_process_is_on_its_own_there_is_nothing_to_ask() -> None:
    server = MCPServer("checked")
    assert backplane_name(server) is None
    assert [*ask_backplane(server)] == []


def test_check_asks_the_backplane_of_the_application_at_hand(site: Site) -> None:
    lines: list[str] = []
    server = MCPServer("checked", backplane=f"redis://:secret@127.0.0.1:{free_port()}/0")
    options = Namespace(url=f"{site.origin}/mcp", ca=None)
    assert run(server, options, Screen(lines.append)) == 1
    # The documents of clients are fetched by whoever signs in, which is not this server.
    [problem] = [line for line in lines if line.startswith("Problem: ")]
    assert problem.startswith("Problem: The backplane redis://127.0.0.1:")
    assert "secret" not in "".join(lines)


@pytest.mark.parametrize("host", ["alone", "starlette", "fastapi", "flask", "django_wsgi"])
def test_nothing_stands_in_the_way_of_our_own_hosts(host: str, tmp_path: Path) -> None:
    with serving(host, tmp_path) as origin:
        status, said = checked(origin + HOSTS[host][1])
    is_django = host.startswith("django")
    if is_django:
        # Its default: docs/django.md says what to do.
        assert "Cross-Origin-Opener-Policy: same-origin" in said
    assert said.count("Problem: ") == int(is_django), said
    assert "stops" not in said.replace("Claude Code     stops", ""), said
    assert status == int(is_django)


@pytest.mark.parametrize("host", ["fastapi", "flask", "django"])
def test_every_host_has_the_command(host: str, site: Site, tmp_path: Path) -> None:
    done = CommandLine(host, tmp_path).run("check", f"{site.origin}/mcp")
    # In Flask and Django the application is at hand, which may reach no host from here.
    problems = [line for line in done.stdout.splitlines() if line.startswith("Problem: ")]
    assert host != "fastapi" or not problems
    assert all("No document of a client can be fetched" in line for line in problems)
    assert done.returncode == int(bool(problems)), done.stdout + done.stderr
    assert "Python SDK" in done.stdout
    assert "Traceback" not in done.stderr
