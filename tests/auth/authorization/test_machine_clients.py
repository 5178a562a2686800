"""Real clients that act for themselves, or by an identity provider, on two workers of each host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import streamable_http_client

from sample_projects.processes import PYTHONPATH, ROOT, Together, free_port, running
from tests.auth.authorization.signing import (
    JWT_ASSERTION,
    JWT_BEARER,
    RSA,
    client_claims,
    person_claims,
)
from tests.auth.authorization.sites import MACHINE
from tests.auth.oauth import Person, run
from tests.node import install
from tests.requests import stateless

TYPESCRIPT = Path(__file__).parent.parent.parent / "typescript"
# Undici sends on connections that gunicorn closes at this moment, after two seconds by default.
GUNICORN = (
    *("-m", "gunicorn", "--workers", "2", "--threads", "4", "--keep-alive", "75"),
    *("--log-level", "error"),
)
UVICORN = ("-m", "uvicorn", "--workers", "2", "--log-level", "error", "--factory")
HOSTS = {"django": GUNICORN, "flask": GUNICORN, "starlette": UVICORN}
NAMES = {"django": "1", "flask": "ann 1", "starlette": "ann"}
"""The id of ann in each host."""

MANY = 8


class Provider(BaseHTTPRequestHandler):
    """An identity provider: its keys, and an ID-JAG for whoever asks."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/keys":
            body = json.dumps(RSA.jwks).encode()
        else:
            body = id_jag(self.server.server_port, **dict(parse_qsl(parts.query))).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: Any) -> None:
        pass


def id_jag(port: int, **changed: Any) -> str:
    issuer = f"http://127.0.0.1:{port}"
    claims = person_claims("assistant", time.time(), iss=issuer, sub="ann", **changed)
    return RSA.sign(claims, typ="oauth-id-jag+jwt")


@pytest.fixture(scope="module")
def provider() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Site:
    """An application with two workers."""

    host: str
    origin: str
    folder: Path
    provider: int

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def token(self, **form: Any) -> httpx2.Response:
        """Ask for a token, by a connection of its own: any worker may take it."""
        return httpx2.post(f"{self.url}/assistants/token", data=form, timeout=60)

    def call(self, access: str, tool: str = "whoami") -> int | str:
        headers, body = stateless("tools/call", {"name": tool, "arguments": {}})
        headers["authorization"] = f"Bearer {access}"
        answer = httpx2.post(self.url, content=body, headers=headers, timeout=60)
        if answer.status_code != 200:
            return answer.status_code
        said: str = answer.json()["result"]["content"][0]["text"]
        return said

    def calls(self, access: str) -> set[int | str]:
        """What both workers say."""
        return {self.call(access) for _ in range(MANY)}

    def signed(self, **changed: Any) -> dict[str, str]:
        claims = client_claims("signer", time.time(), aud=self.origin, **changed)
        return {
            "grant_type": "client_credentials",
            "client_assertion": RSA.sign(claims),
            "client_assertion_type": JWT_ASSERTION,
        }

    def vouched(self, **changed: Any) -> dict[str, str]:
        given = {"aud": self.origin, "resource": self.url, **changed}
        return {
            "grant_type": JWT_BEARER,
            "assertion": id_jag(self.provider, **given),
            "client_id": "assistant",
            "client_secret": MACHINE[1],
        }


@contextmanager
def serving(host: str, folder: Path, provider: int) -> Iterator[Site]:
    port = free_port()
    environment = {"FOLDER": str(folder), "PROVIDER": f"http://127.0.0.1:{provider}"}
    make = [sys.executable, "-m", "tests.auth.authorization.sites", host]
    variables = {**os.environ, "PYTHONPATH": PYTHONPATH, **environment}
    subprocess.run(make, cwd=ROOT, env=variables, check=True, timeout=300)
    app, words = f"tests.auth.authorization.sites:{host}", HOSTS[host]
    given = (
        ["--bind", f"127.0.0.1:{port}", f"{app}()"]
        if words is GUNICORN
        else ["--port", str(port), app]
    )
    log = folder / "log"
    with running([sys.executable, *words, *given], port, environment=environment, log=log):
        yield Site(host, f"http://127.0.0.1:{port}", folder, provider)
    text = log.read_text()
    assert "Traceback" not in text, text
    for secret in (MACHINE[1], MACHINE[1][:10]):
        assert secret not in text


@pytest.fixture(scope="module")
def serve(
    provider: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Site]]:
    sites: dict[str, Site] = {}
    with Together() as stack:

        def start(host: str) -> Site:
            if host not in sites:
                folder = tmp_path_factory.mktemp(host)
                sites[host] = stack.enter_context(serving(host, folder, provider))
            return sites[host]

        yield start


@pytest.fixture(params=HOSTS)
def site(request: pytest.FixtureRequest, serve: Callable[[str], Site]) -> Site:
    return serve(request.param)


def told(site: Site, auth: Any, mode: str) -> str:
    """What a tool tells the official Python client."""

    async def session() -> str:
        async with (
            httpx2.AsyncClient(auth=auth, timeout=60) as http,
            Client(streamable_http_client(site.url, http_client=http), mode=mode) as client,  # type: ignore[arg-type]
        ):
            result = await client.call_tool("whoami", {})
            return result.content[0].text  # type: ignore[union-attr]

    text: str = run(session)
    return text


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_the_python_client_with_a_secret(site: Site, mode: str, method: Any) -> None:
    auth = ClientCredentialsOAuthProvider(
        site.url, Person(), *MACHINE, method, "orders:read", site.origin
    )
    assert told(site, auth, mode) == "oauth-client:night%ly orders:read True nobody"


def test_the_python_client_with_a_key(site: Site, mode: str) -> None:
    signs = SignedJWTParameters(issuer="signer", subject="signer", signing_key=RSA.private_pem)
    auth = PrivateKeyJWTOAuthProvider(
        site.url, Person(), "signer", signs.create_assertion_provider(), None, site.origin
    )
    assert told(site, auth, mode) == "oauth-client:signer orders:read True nobody"


def test_the_python_client_with_an_identity_provider(site: Site, mode: str) -> None:
    async def vouch(audience: str, resource: str) -> str:
        return id_jag(site.provider, aud=audience, resource=resource)

    auth = IdentityAssertionOAuthProvider(
        site.url, Person(), "assistant", MACHINE[1], site.origin, vouch
    )
    name = NAMES[site.host]
    user = "nobody" if site.host == "starlette" else "ann"
    assert told(site, auth, mode) == f"{name} orders:read False {user}"


@pytest.mark.parametrize("generation", ["v1", "v2"])
def test_the_typescript_clients(site: Site, generation: str) -> None:
    install(TYPESCRIPT)
    given = {
        "url": site.url,
        "id": MACHINE[0],
        "secret": MACHINE[1],
        "key": RSA.private_pem,
        "provider": f"http://127.0.0.1:{site.provider}",
    }
    done = subprocess.run(
        ["node", "machines.mjs", generation],
        cwd=TYPESCRIPT,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    user = "nobody" if site.host == "starlette" else "ann"
    person = {"person": f"{NAMES[site.host]} orders:read False {user}"}
    assert json.loads(done.stdout) == {
        "secret": "oauth-client:night%ly orders:read True nobody",
        "key": "oauth-client:signer orders:read True nobody",
        **(person if generation == "v2" else {}),
    }


def crowd(function: Callable[[], httpx2.Response]) -> list[int]:
    with ThreadPoolExecutor(MANY) as pool:
        return sorted(one.status_code for one in pool.map(lambda _: function(), range(MANY)))


def test_of_parallel_uses_of_an_assertion_one_gets_a_token(site: Site) -> None:
    for _ in range(3):
        form = site.signed()
        assert crowd(lambda form=form: site.token(**form)) == [200] + [401] * 7  # type: ignore[misc]
        assert site.token(**form).json()["error"] == "invalid_client"
    for _ in range(3):
        form = site.vouched()
        assert crowd(lambda form=form: site.token(**form)) == [200] + [400] * 7  # type: ignore[misc]
        assert site.token(**form).json()["error"] == "invalid_grant"


def test_tokens_are_good_on_all_workers_and_scopes_count(site: Site) -> None:
    answer = site.token(**site.signed())
    assert answer.status_code == 200, answer.text
    access = answer.json()["access_token"]
    assert site.calls(access) == {"oauth-client:signer orders:read True nobody"}
    few = site.token(**site.vouched(scope=""))
    assert few.status_code == 200, few.text
    assert site.call(few.json()["access_token"], "orders") == 403


def test_a_revoked_token_is_refused_on_all_workers(site: Site) -> None:
    access = site.token(**site.signed()).json()["access_token"]
    assert 401 not in site.calls(access)
    form = {**site.signed(), "token": access}
    del form["grant_type"]
    answer = httpx2.post(f"{site.url}/assistants/revoke", data=form, timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")
    ahead = site.folder / "ahead"
    (site.folder / "new").write_text(str(float(ahead.read_text()) + 10))
    (site.folder / "new").replace(ahead)
    assert site.calls(access) == {401}


def test_who_is_deactivated_has_no_access_by_a_provider_either(
    serve: Callable[[str], Site],
) -> None:
    site = serve("django")
    access = site.token(**site.vouched()).json()["access_token"]
    assert site.calls(access) == {"1 orders:read False ann"}
    httpx2.post(f"{site.origin}/people", data={"name": "ann", "active": "0"}, timeout=60)
    try:
        ahead = site.folder / "ahead"
        (site.folder / "new").write_text(str(float(ahead.read_text()) + 10))
        (site.folder / "new").replace(ahead)
        assert site.calls(access) == {401}
        assert site.token(**site.vouched()).json()["error"] == "invalid_grant"
    finally:
        httpx2.post(f"{site.origin}/people", data={"name": "ann", "active": "1"}, timeout=60)


@pytest.mark.parametrize("size", [20_000, 60_000, 1_000_000])
def test_huge_tokens_are_refused(site: Site, size: int) -> None:
    for form in (site.signed(), site.vouched()):
        name = "assertion" if "assertion" in form else "client_assertion"
        answer = site.token(**{**form, name: "[" * size})
        assert answer.status_code in (400, 401, 413), answer.text
        assert sorted(answer.json()) == ["error", "error_description"]
