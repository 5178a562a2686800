"""A new secret key, in the three steps of docs/deployment.md: nobody has to begin anew.

Two workers are restarted one after the other, so that between the two they have different keys. The
requests of clients and browsers go to both in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sample_projects.processes import free_port
from tests.auth.authorization.people import SigningIn
from tests.integrations.test_signing_in import HOSTS, NAMES, called, serving
from tests.requests import JSON_HEADERS, initialize, message, session_headers
from tests.workers.proxy import RoundRobin

OLD, NEW = "the-old-key-for-tests-only-" * 2, "the-new-key-for-tests-only-" * 2
PAGES = {
    "alone": "/assistants/",
    "flask": "/api/mcp/assistants/",
    "django_asgi": "/assistants/",
}
"""The page of connected assistants on each host."""

ADDED, SWITCHED, REMOVED = (OLD, NEW), (NEW, OLD), (NEW,)


class Workers:
    """Two workers that are one application.

    Args:
        host: One of `HOSTS`.
        folder: Of what they keep.
    """

    def __init__(self, host: str, folder: Path) -> None:
        self._host = host
        self._folder = folder
        self._running = (ExitStack(), ExitStack())
        self.ports = (free_port(), free_port())
        self._proxy = RoundRobin([("127.0.0.1", port) for port in self.ports])
        self.authority = f"127.0.0.1:{self._proxy.port}"
        self.path = HOSTS[host][1]
        self.page = PAGES[host]
        self.name = NAMES.get(host, "ann")

    def start(self, number: int, keys: tuple[str, ...]) -> None:
        """Start a worker, or restart it, with these keys, the newest first."""
        self._running[number].close()
        app = serving(
            self._host,
            self._folder,
            port=self.ports[number],
            SECRET_KEYS=" ".join(keys),
            RESOURCE=f"http://{self.authority}{self.path}",
            KNOWN="0",
        )
        self._running[number].enter_context(app)

    def stop(self) -> None:
        for one in self._running:
            one.close()
        self._proxy.close()


class Held:
    """What a client holds that has signed in and opened a session, and the cookies of its person's
    browser.

    Args:
        workers: The workers.
        number: The one at which the session is opened.
    """

    def __init__(self, workers: Workers, number: int) -> None:
        self._workers = workers
        self._host = workers.authority
        origin = f"http://{self._host}"
        self._person = SigningIn("ann", origin)
        words = called(origin + workers.path, self._person, "legacy")
        assert words == f"{workers.name}: orders:read"
        self._refresh: str = self._person.tokens.refresh_token
        self._access: str = self._person.tokens.access_token
        opened = self._send(number, "POST", workers.path, JSON_HEADERS, initialize())
        self._session = session_headers(opened.headers["mcp-session-id"])

    def _send(self, number: int, method: str, path: str, headers: Any, body: Any) -> Any:
        token = {"authorization": f"Bearer {self._access}"}
        sent = {"json": body} if isinstance(body, dict) else {"content": body}
        url = f"http://127.0.0.1:{self._workers.ports[number]}{path}"
        with httpx2.Client(timeout=30) as http:
            return http.request(
                method, url, headers={**headers, **token, "host": self._host}, **sent
            )

    def call(self, number: int) -> int:
        """The status of a call in the session, at a worker."""
        body = message("tools/call", {"name": "whoami", "arguments": {}})
        answer = self._send(number, "POST", self._workers.path, self._session, body)
        if answer.status_code == 200:
            assert f"{self._workers.name}: orders:read" in answer.text
        status: int = answer.status_code
        return status

    def renew(self, number: int) -> int:
        """The status of a request at a worker for new tokens, which are taken."""
        url = f"http://127.0.0.1:{self._workers.ports[number]}/token"
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._refresh,
            "client_id": self._person.client.client_id,
        }
        answer = httpx2.post(url, data=form, headers={"host": self._host}, timeout=30)
        if answer.status_code == 200:
            self._access = answer.json()["access_token"]
            self._refresh = answer.json()["refresh_token"]
        status: int = answer.status_code
        return status

    def is_logged_in(self, number: int) -> bool:
        """Whether the person is, at a worker."""
        url = f"http://127.0.0.1:{self._workers.ports[number]}{self._workers.page}"
        answer = self._person.browser.http.get(url, headers={"host": self._host})
        return answer.status_code == 200 and "tests" in answer.text

    def goes_on(self) -> None:
        """Assert that both workers know all of it."""
        for number in (0, 1):
            assert (self.call(number), self.renew(number)) == (200, 200), number
            assert self.is_logged_in(number), number


@contextmanager
def started(host: str, folder: Path, keys: tuple[str, ...]) -> Iterator[Workers]:
    workers = Workers(host, folder)
    try:
        for number in (0, 1):
            workers.start(number, keys)
        yield workers
    finally:
        workers.stop()


@pytest.mark.parametrize("host", PAGES)
def test_a_key_is_replaced_and_nobody_begins_anew(host: str, tmp_path: Path) -> None:
    with started(host, tmp_path, (OLD,)) as workers:
        held = [Held(workers, 0)]
        for keys in (ADDED, SWITCHED):
            for number in (0, 1):
                workers.start(number, keys)
                held.append(Held(workers, number))
                for one in held:
                    one.goes_on()
        since, before = held[-1], held[0]
        for number in (0, 1):
            workers.start(number, REMOVED)
            since.goes_on()
        # Its token is a new one; its session, and the id that it registered as, are not.
        assert (before.call(0), before.renew(1)) == (404, 401)


def test_without_the_first_step_some_workers_do_not_know_what_others_have_sealed(
    tmp_path: Path,
) -> None:
    with started("flask", tmp_path, (OLD,)) as workers:
        held = Held(workers, 0)
        workers.start(0, SWITCHED)
        assert held.renew(0) == 200
        assert (held.call(0), held.call(1)) == (200, 401)
