"""Signing in with the application's own accounts: real clients, real servers, every host."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from html import unescape
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest

from sample_projects.processes import PYTHONPATH, ROOT, Together, free_port, running
from tests.auth.authorization.people import REFRESH, Browser, SigningIn
from tests.auth.oauth import connected, run
from tests.clients.environments import ENVIRONMENTS, PROGRAMS, python_of, variables
from tests.clients.table import Package
from tests.node import install

FASTMCP = Package("fastmcp", "4.2.3")

TYPESCRIPT = Path(__file__).parent.parent / "typescript"

UVICORN = ("-m", "uvicorn", "--log-level", "warning", "--factory")
GTHREAD = ("-m", "gunicorn", "--threads", "4", "--log-level", "warning", "--no-control-socket")

HOSTS: dict[str, tuple[tuple[str, ...], str]] = {
    "alone": (UVICORN, "/mcp"),
    "starlette": (UVICORN, "/api/mcp"),
    "authenticated": (UVICORN, "/api/mcp"),
    "fastapi": (UVICORN, "/api/mcp"),
    "bare": (UVICORN, "/api/mcp"),
    "flask": (GTHREAD, "/api/mcp"),
    "flask_session": (GTHREAD, "/api/mcp"),
    "flask_beside": (GTHREAD, "/api/mcp"),
    "wsgi_beside": (GTHREAD, "/api/mcp"),
    "django_wsgi": (GTHREAD, "/api/mcp"),
    "django_asgi": (UVICORN, "/api/mcp"),
}
"""Which server serves each application, and where its MCP endpoint is."""

OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "two": (UVICORN, ""),
    "own_issuer": (UVICORN, ""),
    "flask_two": (GTHREAD, ""),
    "flask_prefix": (GTHREAD, ""),
    "uvicorn_prefix": ((*UVICORN, "--root-path", "/app"), ""),
    "django_prefix": (GTHREAD, ""),
    "flask_proxied": ((*GTHREAD, "--workers", "2"), "/api/mcp"),
    "django_proxied": ((*GTHREAD, "--workers", "2"), "/api/mcp"),
    "flask_unaware": (GTHREAD, "/api/mcp"),
    "uvicorn_proxied": ((*UVICORN, "--root-path", "/shop"), "/api/mcp"),
}
"""Applications for single questions."""

NAMES = {"django_wsgi": "1", "django_asgi": "1"}
"""The caller where it is not the name that people log in by: the primary key of the user."""


PROJECT = "tests.integrations.signing_in_project"


@cache
def migrated() -> bytes:
    """A database of the Django project, before anybody has connected."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "db.sqlite3"
        variables = {"PYTHONPATH": PYTHONPATH, "DATABASE": str(file)}
        words = [sys.executable, "-m", PROJECT]
        subprocess.run(words, cwd=ROOT, env=variables, check=True, capture_output=True)
        return file.read_bytes()


@contextmanager
def serving(host: str, folder: Path, *, port: int = 0, **environment: str) -> Iterator[str]:
    """Serve an application; the origin."""
    port = port or free_port()
    words = {**HOSTS, **OTHERS}[host][0]
    app = f"tests.integrations.signing_in_apps:{host}"
    if "gunicorn" in words:
        command = [*words, f"{app}()", "-b", f"127.0.0.1:{port}"]
    else:
        command = [*words, app, "--port", str(port)]
    variables = {"PYTHONPATH": PYTHONPATH, **environment}
    if host.startswith("django"):
        database = folder / "db.sqlite3"
        variables["DATABASE"] = str(database)
        if not database.exists():
            database.write_bytes(migrated())
    else:
        variables["STORE"] = str(folder / "connections.sqlite3")
    log = folder / f"{port}.log"
    with running([sys.executable, *command], port, environment=variables, log=log):
        yield f"http://127.0.0.1:{port}"
    problems = [line for line in log.read_text().splitlines() if "Traceback" in line]
    assert not problems, log.read_text()


Serve = Callable[[str], str]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Return the origin of an application, which is started when it is first asked for."""
    origins: dict[str, str] = {}
    with Together() as stack:

        def start(host: str) -> str:
            if host not in origins:
                folder = tmp_path_factory.mktemp(host)
                origins[host] = stack.enter_context(serving(host, folder, KNOWN="0.2"))
            return origins[host]

        yield start


def called(url: str, person: SigningIn, mode: str, tool: str = "whoami", **given: Any) -> str:
    async def session() -> str:
        async with connected(url, person, mode) as client:
            result = await client.call_tool(tool, given)
            return result.content[0].text  # type: ignore[union-attr]

    text: str = run(session)
    return text


@pytest.mark.parametrize("host", HOSTS)
def test_the_official_client_signs_in_and_steps_up(host: str, mode: str, serve: Serve) -> None:
    origin = serve(host)
    url, name = origin + HOSTS[host][1], NAMES.get(host, "ann")
    person = SigningIn("ann", origin)
    assert called(url, person, mode) == f"{name}: orders:read"
    assert person.scopes() == ["orders:read"]
    assert person.answer["iss"] == (url if host == "bare" else origin)
    # The token goes on to serve, without anybody being asked.
    assert called(url, person, mode) == f"{name}: orders:read"
    assert len(person.visited) == 1
    assert called(url, person, mode, "cancel_order", number=7) == f"{name} cancelled 7"
    assert set(person.scopes()[1].split()) == {"orders:read", "orders:write"}


def test_the_program_of_the_page_about_clients_signs_in(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "connect.md").read_text()
    [code] = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    origin = serve("fastapi")
    browser, port = Browser("ann", origin), free_port()

    def visit(url: str) -> None:
        httpx2.get(f"http://127.0.0.1:{port}/callback", params=browser.consent(url))

    # The program waits for the browser, so that this one goes on beside it.
    monkeypatch.setattr(webbrowser, "open", lambda url: Thread(target=visit, args=[url]).start())
    code = code.replace("http://localhost:8000/mcp", f"{origin}/api/mcp")
    exec(code.replace("3030", str(port)), {"__name__": "program"})
    assert "name='whoami'" in capsys.readouterr().out


def test_a_tool_of_django_has_the_user_of_the_project(serve: Serve) -> None:
    for host in ("django_wsgi", "django_asgi"):
        origin = serve(host)
        assert called(f"{origin}/api/mcp", SigningIn("bob", origin), "auto", "user") == (
            "User bob True"
        )


def refreshed(origin: str, person: SigningIn) -> httpx2.Response:
    document = httpx2.get(f"{origin}/.well-known/oauth-authorization-server").json()
    return httpx2.post(
        document["token_endpoint"],
        data={
            "grant_type": "refresh_token",
            "refresh_token": person.tokens.refresh_token,
            "client_id": person.client.client_id,
        },
    )


@pytest.mark.parametrize("host", ["starlette", "flask", "flask_beside", "django_wsgi"])
def test_a_connection_outlives_a_restart_of_the_server(host: str, tmp_path: Path) -> None:
    port = free_port()
    with serving(host, tmp_path, port=port) as origin:
        url = origin + HOSTS[host][1]
        person = SigningIn("ann", origin)
        called(url, person, "auto")
    with serving(host, tmp_path, port=port):
        assert called(url, person, "auto").endswith(": orders:read")
        answer = refreshed(origin, person)
        assert answer.status_code == 200, answer.text
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        assert httpx2.post(url, json={}, headers=headers).status_code == 400
    assert len(person.visited) == 1


@pytest.mark.parametrize(
    "host", ["alone", "fastapi", "flask_session", "wsgi_beside", "django_wsgi"]
)
def test_who_disconnects_an_assistant_ends_its_tokens(host: str, serve: Serve) -> None:
    origin = serve(host)
    url = origin + HOSTS[host][1]
    person = SigningIn("ann", origin)
    called(url, person, "auto")
    document = httpx2.get(f"{origin}/.well-known/oauth-authorization-server").json()
    page = person.browser.open(document["token_endpoint"].removesuffix("token"))
    assert "tests" in page.text
    headers = {"authorization": f"Bearer {person.tokens.access_token}"}
    while 'name="form"' in page.text:
        done = person.browser.decide(page, "remove")
        assert done.status_code == 303, done.text
        page = person.browser.open(document["token_endpoint"].removesuffix("token"))
    # Another worker would take it for as long as it is known to hold: 0.2 s here.
    deadline = time.monotonic() + 30
    while (answer := httpx2.post(url, json={}, headers=headers)).status_code != 401:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert refreshed(origin, person).json()["error"] == "invalid_grant"


RESOURCE = "/.well-known/oauth-protected-resource"
ISSUER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


@pytest.mark.parametrize("host", [host for host in HOSTS if host != "bare"])
def test_metadata_are_at_the_root_in_the_words_of_the_origin(host: str, serve: Serve) -> None:
    origin = serve(host)
    path = HOSTS[host][1]
    document = httpx2.get(f"{origin}{ISSUER}").json()
    assert document["issuer"] == origin
    assert document["authorization_endpoint"].startswith(f"{origin}/")
    has_other = host.startswith("django")
    for place, resource in (
        (f"{RESOURCE}{path}", f"{origin}{path}"),
        # As VS Code compares it with what it was given.
        (f"{RESOURCE}{path}/", f"{origin}{path}/"),
        (RESOURCE, None if has_other else f"{origin}{path}"),
    ):
        answer = httpx2.get(origin + place)
        if resource is None:
            assert answer.status_code == 404
            continue
        assert answer.status_code == 200, place
        assert answer.json()["resource"] == resource
        assert answer.json()["authorization_servers"] == [origin]
    for place in (ISSUER, f"{RESOURCE}{path}"):
        head, whole = httpx2.head(origin + place), httpx2.get(origin + place)
        assert head.status_code == 200
        assert head.headers["content-length"] == str(len(whole.content))
    for place in (f"{ISSUER}{path}", OPENID, f"{OPENID}{path}", f"{path}{OPENID}"):
        answer = httpx2.get(origin + place)
        assert (place, answer.status_code) == (place, 404)
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("host", [host for host in HOSTS if host != "bare"])
def test_a_challenge_is_for_the_url_that_the_client_was_given(host: str, serve: Serve) -> None:
    url = serve(host) + HOSTS[host][1]
    for asked in (url, f"{url}/"):
        answer = httpx2.post(asked, json={})
        assert answer.status_code == 401
        shown = answer.headers["www-authenticate"].partition('resource_metadata="')[2]
        document = httpx2.get(shown.partition('"')[0])
        assert document.status_code == 200
        assert document.json()["resource"] == asked


@pytest.mark.parametrize(
    "host", ["alone", "starlette", "fastapi", "flask", "flask_beside", "django_wsgi"]
)
def test_endpoints_are_at_the_origin_where_the_host_has_none(host: str, serve: Serve) -> None:
    origin = serve(host)
    body = {"redirect_uris": ["http://localhost/callback"]}
    made = httpx2.post(f"{origin}/register", json=body)
    assert made.status_code == 201, made.text
    for place in ("/token", "/revoke"):
        answer = httpx2.post(origin + place, data={"client_id": made.json()["client_id"]})
        assert answer.json()["error"] == "invalid_request", place
    asked = httpx2.get(f"{origin}/authorize?client_id={made.json()['client_id']}")
    assert asked.status_code == 302
    assert "/login" in asked.headers["location"] or "/enter" in asked.headers["location"]


@pytest.mark.parametrize("host", HOSTS)
def test_too_much_is_refused_in_the_words_of_oauth(host: str, serve: Serve) -> None:
    # With an error that is none of OAuth, the TypeScript clients open a browser.
    mount = "" if host == "alone" else HOSTS[host][1]
    url = f"{serve(host)}{mount}/assistants/token"
    answer = httpx2.post(url, data={"client_id": "a" * 5_000_000}, timeout=60)
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")


def test_a_host_that_is_an_authorization_server_itself_stays_one(serve: Serve) -> None:
    origin = serve("own_issuer")
    url = f"{origin}/api/mcp"
    assert httpx2.get(f"{origin}{ISSUER}").json() == {"issuer": "https://own.example"}
    assert httpx2.get(f"{origin}/token").json() == "the application's own"
    person = SigningIn("ann", origin)
    assert called(url, person, "auto") == "ann: orders:read"
    assert person.answer["iss"] == url


@pytest.mark.parametrize("host", ["two", "flask_two", "django_wsgi"])
def test_of_two_servers_the_first_has_the_origin(host: str, mode: str, serve: Serve) -> None:
    origin = serve(host)
    for path, issuer in (("/api/mcp", origin), ("/other/mcp", f"{origin}/other/mcp")):
        person = SigningIn("ann", origin)
        assert called(origin + path, person, mode).endswith(": orders:read")
        assert person.answer["iss"] == issuer
        # It is good for the one that it was issued for.
        other = {"/api/mcp": "/other/mcp", "/other/mcp": "/api/mcp"}[path]
        headers = {"authorization": f"Bearer {person.tokens.access_token}"}
        assert httpx2.post(origin + other, json={}, headers=headers).status_code == 401
    assert httpx2.get(f"{origin}{RESOURCE}").status_code == 404


@pytest.mark.parametrize("generation", ["v1", "v2"])
@pytest.mark.parametrize("host", ["fastapi", "flask", "django_wsgi"])
def test_a_typescript_client_signs_in_and_refreshes(
    host: str, generation: str, serve: Serve
) -> None:
    install(TYPESCRIPT)
    words = ["node", "sign_in.mjs", serve(host) + HOSTS[host][1], "ann", generation]
    done = subprocess.run(words, cwd=TYPESCRIPT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    name = NAMES.get(host, "ann")
    assert json.loads(done.stdout) == {
        "asked": 1,
        "forgotten": [],
        "scope": "orders:read",
        "refused": "UnauthorizedError",
        "state": "a+b/c==",
        "first": f"{name}: orders:read",
        "second": f"{name}: orders:read",
        "rotated": True,
    }


@pytest.mark.parametrize("host", ["starlette", "flask", "django_wsgi"])
def test_fastmcps_client_signs_in(host: str, serve: Serve, tmp_path: Path) -> None:
    if not (ENVIRONMENTS / str(FASTMCP) / ".lock").exists():
        # That takes minutes, and several processes of pytest would do it at once.
        pytest.skip("make clients installs FastMCP")
    origin = serve(host)
    words = [python_of(FASTMCP), PROGRAMS / "fastmcp_sign_in.py", origin + HOSTS[host][1]]
    with subprocess.Popen(
        words, cwd=tmp_path, env=variables(tmp_path), stdout=subprocess.PIPE, text=True
    ) as client:
        try:
            assert client.stdout is not None
            browser = Browser("ann", origin)
            done = browser.decide(browser.open(client.stdout.readline().strip()))
            found = REFRESH.search(done.text)
            assert found is not None, done.text
            # The client listens there, a moment after it has opened the browser.
            with httpx2.Client(transport=httpx2.HTTPTransport(retries=8)) as back:
                assert back.get(unescape(found[1])).status_code == 200
            said = [client.stdout.readline().strip() for _ in range(2)]
        finally:
            client.kill()
    assert said == [f"{NAMES.get(host, 'ann')}: orders:read"] * 2


@pytest.mark.parametrize("host", ["alone", "starlette", "flask", "wsgi_beside", "django_asgi"])
def test_a_challenge_can_be_read_by_clients_in_browsers(host: str, serve: Serve) -> None:
    url = serve(host) + HOSTS[host][1]
    answer = httpx2.post(url, json={}, headers={"origin": "http://localhost:6274"})
    assert answer.status_code == 401
    assert answer.headers["access-control-expose-headers"] == "WWW-Authenticate"


@pytest.mark.parametrize("host", ["flask_prefix", "uvicorn_prefix", "django_prefix"])
def test_below_a_prefix_the_issuer_has_it(host: str, mode: str, serve: Serve) -> None:
    origin = serve(host)
    url = f"{origin}/app/api/mcp"
    person = SigningIn("ann", origin)
    assert called(url, person, mode).endswith(": orders:read")
    assert person.answer["iss"] == url
    document = httpx2.get(f"{url}{ISSUER}").json()
    assert document["issuer"] == url
    assert document["token_endpoint"].startswith(f"{origin}/app/")
