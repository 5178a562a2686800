"""Attacks and accidents over HTTP, on two worker processes of real applications."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sample_projects.processes import PYTHONPATH, ROOT, Together, free_port, running
from tests.auth.authorization.people import Browser
from tests.auth.authorization.shop import CALLBACK, CHALLENGE, VERIFIER
from tests.requests import stateless

HOSTS = ("django", "flask")
MANY = 8


class Site:
    """An application with two workers.

    Args:
        url: Where it is.
        process: The parent of its workers.
        folder: Has its databases.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.url = url
        self._process = process
        self._folder = folder
        self._browsers: list[Browser] = []

    def post(self, place: str, **form: Any) -> httpx2.Response:
        """Post a form, by a connection of its own: any worker may take it."""
        return httpx2.post(f"{self.url}{place}", data=form, timeout=60)

    def client(self) -> str:
        body = {"redirect_uris": [CALLBACK], "client_name": "Probe"}
        answer = httpx2.post(f"{self.url}/mcp/assistants/register", json=body, timeout=60)
        assert answer.status_code == 201, answer.text
        client_id: str = answer.json()["client_id"]
        return client_id

    def browser(self, user: str = "ann") -> Browser:
        self._browsers.append(Browser(user, self.url))
        return self._browsers[-1]

    def close(self) -> None:
        for browser in self._browsers:
            browser.http.close()
        self._browsers.clear()

    def request(self, client: str) -> str:
        """The URL of an authorization request."""
        query = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": CALLBACK,
            "state": "s1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "scope": "orders:read",
            "resource": f"{self.url}/mcp",
        }
        return str(httpx2.URL(f"{self.url}/mcp/assistants/authorize", params=query))

    def code(self, client: str, browser: Browser | None = None) -> str:
        return (browser or self.browser()).consent(self.request(client))["code"]

    def redeem(self, client: str, code: str, **changed: Any) -> httpx2.Response:
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": client,
            "code_verifier": VERIFIER,
            "redirect_uri": CALLBACK,
            **changed,
        }
        return self.post("/mcp/assistants/token", **given)

    def refresh(self, client: str, token: str) -> httpx2.Response:
        return self.post(
            "/mcp/assistants/token",
            grant_type="refresh_token",
            refresh_token=token,
            client_id=client,
        )

    def connect(self, client: str, user: str = "ann") -> dict[str, str]:
        answer = self.redeem(client, self.code(client, self.browser(user)))
        assert answer.status_code == 200, answer.text
        tokens: dict[str, str] = answer.json()
        return tokens

    def call(self, access: str) -> int | str:
        """What a tool says, or the status of a refusal."""
        headers, body = stateless("tools/call", {"name": "orders", "arguments": {}})
        headers["authorization"] = f"Bearer {access}"
        answer = httpx2.post(f"{self.url}/mcp", content=body, headers=headers, timeout=60)
        if answer.status_code != 200:
            return answer.status_code
        said: str = answer.json()["result"]["content"][0]["text"]
        return said

    def calls(self, access: str) -> set[int | str]:
        """What both workers say."""
        return {self.call(access) for _ in range(MANY)}

    def move_on(self, seconds: float) -> None:
        """Set the clocks for what workers know of connections ahead."""
        ahead = self._folder / "ahead"
        moment = float(ahead.read_text()) + seconds
        new = self._folder / "new"
        new.write_text(str(moment))
        new.replace(ahead)

    def processes(self) -> set[str]:
        return {httpx2.get(f"{self.url}/process", timeout=60).text for _ in range(MANY)}

    def restart(self) -> None:
        """Replace all workers."""
        before = self.processes()
        os.kill(self._process.pid, signal.SIGHUP)
        end = time.monotonic() + 60
        while self.processes() & before:
            assert time.monotonic() < end, "the workers were not replaced"


Serve = Callable[[str, str], Site]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    sites: dict[tuple[str, str], Site] = {}
    with Together() as stack:

        def start(host: str, grace: str = "60") -> Site:
            if (host, grace) not in sites:
                folder, port = tmp_path_factory.mktemp(host), free_port()
                environment = {"FOLDER": str(folder), "GRACE": grace}
                subprocess.run(
                    [sys.executable, "-m", "tests.auth.authorization.sites", host],
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": PYTHONPATH, **environment},
                    check=True,
                    timeout=300,
                )
                words = [
                    *(sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "4"),
                    *("--log-level", "error", "--bind", f"127.0.0.1:{port}"),
                    f"tests.auth.authorization.sites:{host}()",
                ]
                log = folder / "log"
                process = stack.enter_context(
                    running(words, port, environment=environment, log=log)
                )
                sites[host, grace] = Site(f"http://127.0.0.1:{port}", process, folder)
            return sites[host, grace]

        yield start
    for (host, _), site in sites.items():
        log = (site._folder / "log").read_text()
        assert "Traceback" not in log, (host, log)


@pytest.fixture(params=HOSTS)
def site(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Site]:
    site = serve(request.param, "60")
    yield site
    site.close()


def crowd(function: Callable[[], httpx2.Response]) -> list[httpx2.Response]:
    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(lambda number: function(), range(MANY)))


def statuses(answers: list[httpx2.Response]) -> list[int]:
    return sorted(one.status_code for one in answers)


def test_a_tool_runs_for_the_person(site: Site) -> None:
    client = site.client()
    assert site.calls(site.connect(client)["access_token"]) == {"orders of ann"}
    assert site.calls(site.connect(client, "bob")["access_token"]) == {"orders of bob"}


def test_a_code_that_is_replayed_ends_its_tokens(site: Site) -> None:
    client = site.client()
    code = site.code(client)
    tokens = site.redeem(client, code).json()
    replayed = site.redeem(client, code)
    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
    site.move_on(11)
    assert site.calls(tokens["access_token"]) == {401}
    assert site.refresh(client, tokens["refresh_token"]).status_code == 400


def test_a_thief_with_the_code_but_no_verifier_ends_nothing(site: Site) -> None:
    client = site.client()
    code = site.code(client)
    stolen = site.redeem(client, code, code_verifier="w" * 43)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    tokens = site.redeem(client, code).json()
    assert site.redeem(client, code, code_verifier="w" * 43).status_code == 400
    site.move_on(11)
    assert site.calls(tokens["access_token"]) == {"orders of ann"}


def test_of_parallel_redemptions_one_gets_tokens(site: Site) -> None:
    client = site.client()
    for _ in range(3):
        code = site.code(client)
        answers = crowd(lambda code=code: site.redeem(client, code))  # type: ignore[misc]
        assert statuses(answers) == [200] + [400] * (MANY - 1), [one.text for one in answers]


def test_parallel_refreshes_get_one_generation(site: Site) -> None:
    client = site.client()
    token = site.connect(client)["refresh_token"]
    for _ in range(3):
        answers = crowd(lambda token=token: site.refresh(client, token))  # type: ignore[misc]
        assert statuses(answers) == [200] * MANY, [one.text for one in answers]
        for one in answers:
            assert site.call(one.json()["access_token"]) == "orders of ann"
        # Each of them leads on.
        token = answers[-1].json()["refresh_token"]
        first = site.refresh(client, answers[0].json()["refresh_token"])
        assert first.status_code == 200
        assert site.refresh(client, token).status_code == 200
        token = first.json()["refresh_token"]


@pytest.mark.parametrize("host", HOSTS)
def test_without_grace_one_of_parallel_refreshes_works(serve: Serve, host: str) -> None:
    site = serve(host, "0")
    client = site.client()
    token = site.connect(client)["refresh_token"]
    answers = crowd(lambda: site.refresh(client, token))
    assert statuses(answers) == [200] + [400] * (MANY - 1), [one.text for one in answers]
    won = next(one.json() for one in answers if one.status_code == 200)
    assert site.refresh(client, won["refresh_token"]).status_code == 400
    site.close()


def test_a_restart_in_the_middle_is_not_noticed(site: Site) -> None:
    client = site.client()
    browser = site.browser()
    page = browser.open(site.request(client))
    site.restart()
    done = browser.decide(page)
    assert done.status_code == 200, done.text
    tokens = site.connect(client)
    site.restart()
    assert site.calls(tokens["access_token"]) == {"orders of ann"}
    assert site.refresh(client, tokens["refresh_token"]).status_code == 200


def test_a_new_password_ends_access_within_ten_seconds(site: Site) -> None:
    client = site.client()
    tokens = site.connect(client, "bob")
    assert site.calls(tokens["access_token"]) == {"orders of bob"}
    site.post("/people", name="bob", password="another")
    site.move_on(10)
    assert site.calls(tokens["access_token"]) == {401}
    refused = site.refresh(client, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert site.calls(site.connect(client, "bob")["access_token"]) == {"orders of bob"}


def test_who_is_deactivated_has_no_access_within_ten_seconds(site: Site) -> None:
    client = site.client()
    browser = site.browser("bob")
    code = site.code(client, browser)
    page = browser.open(site.request(client))
    tokens = site.connect(client, "bob")
    assert site.calls(tokens["access_token"]) == {"orders of bob"}
    site.post("/people", name="bob", active="0")
    try:
        site.move_on(10)
        assert site.calls(tokens["access_token"]) == {401}
        assert site.refresh(client, tokens["refresh_token"]).status_code == 400
        assert site.redeem(client, code).status_code == 400
        assert browser.decide(page).status_code == 403
    finally:
        site.post("/people", name="bob", active="1")


def test_revocation_ends_access_on_all_workers(site: Site) -> None:
    client = site.client()
    tokens = site.connect(client)
    assert site.calls(tokens["access_token"]) == {"orders of ann"}
    revoked = site.post("/mcp/assistants/revoke", client_id=client, token=tokens["refresh_token"])
    assert (revoked.status_code, revoked.content) == (200, b"")
    site.move_on(10)
    assert site.calls(tokens["access_token"]) == {401}


def test_forms_of_others_are_refused(site: Site) -> None:
    client = site.client()
    page = site.browser("ann").open(site.request(client))
    bob = site.browser("bob")
    bob.open(site.request(client))
    assert bob.decide(page).status_code == 403
    again = site.browser("ann")
    again.open(site.request(client))
    assert again.decide(page).status_code == 403


@pytest.mark.parametrize("place", ["token", "register", "revoke", "authorize", ""])
@pytest.mark.parametrize("size", [100_000, 4_000_000])
def test_huge_bodies_are_refused(site: Site, place: str, size: int) -> None:
    answer = httpx2.post(
        f"{site.url}/mcp/assistants/{place}",
        content=b"[" * size,
        headers={"content-type": "application/x-www-form-urlencoded"},
        timeout=60,
    )
    assert answer.status_code in (302, 400, 413)
    if place in ("token", "register", "revoke"):
        assert sorted(answer.json()) == ["error", "error_description"]


@pytest.mark.parametrize(
    "query",
    ["client_id=" + "[" * 3000, "client_id=%ff", "request=" + "A" * 3000, "a" * 3900, "%00"],
)
def test_odd_requests_get_a_page(site: Site, query: str) -> None:
    answer = httpx2.get(f"{site.url}/mcp/assistants/authorize?{query}", timeout=60)
    assert answer.status_code == 400
    assert "This does not work" in answer.text
    assert answer.headers["x-frame-options"] == "DENY"


def test_a_host_header_of_somebody_else_is_no_issuer(site: Site) -> None:
    answer = httpx2.get(
        f"{site.url}/.well-known/oauth-authorization-server",
        headers={"host": "evil.example"},
        timeout=60,
    )
    assert answer.status_code in (400, 404, 421)
    assert "//evil" not in answer.text
