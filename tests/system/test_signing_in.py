"""A person signs in in Chromium: the login page, the consent page, and back to the assistant."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from mcp.client.auth import AuthorizationCodeResult

from mcp_mount.cli.check import run as run_check
from mcp_mount.cli.commands import Screen
from tests.auth.authorization.tls_server import authority
from tests.auth.oauth import Person, connected, run
from tests.integrations.test_signing_in import HOSTS, NAMES, serving
from tests.system.browser import chromium
from tests.system.proxy import MOUNT, ORIGIN, PREFIX, Proxy, at_the_root, in_front_of

SECONDS = 30

SCOPE_WORDS = ("Connect tests to orders?", "You are signed in as ann.", "See your orders")


class InChromium(Person):
    """A client's person, who logs in, reads and decides in a browser.

    Args:
        browser: The browser.
        decision: The button that they press.
    """

    def __init__(self, browser: Any, decision: str = "allow") -> None:
        super().__init__()
        self._browser = browser
        self._decision = decision
        self.read = ""

    async def come_back(self) -> AuthorizationCodeResult:
        browser = self._browser
        browser.get(self.visited[-1])
        if "Log in" in self._text():
            browser.find_element("name", "username").send_keys("ann")
            browser.find_element("name", "password").send_keys("secret")
            browser.find_element("css selector", "form").submit()
        button = self._wait(
            lambda: browser.find_element("css selector", f"button[value={self._decision}]")
        )
        self.read = self._text()
        button.click()
        self._wait(lambda: "/callback?" in browser.current_url)
        query = parse_qs(urlsplit(browser.current_url).query)
        return AuthorizationCodeResult(
            code=query["code"][0], state=query["state"][0], iss=query["iss"][0]
        )

    def _text(self) -> str:
        return str(self._browser.execute_script("return document.body.innerText"))

    def _wait(self, look: Any) -> Any:
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait

        wait = WebDriverWait(self._browser, SECONDS, ignored_exceptions=[WebDriverException])
        return wait.until(lambda _: look())


@pytest.mark.parametrize("host", ["alone", "fastapi", "flask", "django_wsgi", "django_asgi"])
def test_a_person_signs_in_and_consents(
    host: str, browser: Any, page_port: int, tmp_path: Path
) -> None:
    browser.delete_all_cookies()
    with serving(host, tmp_path) as origin:
        url = origin + HOSTS[host][1]
        person = InChromium(browser)

        async def call() -> Any:
            redirect = f"http://127.0.0.1:{page_port}/callback"
            async with connected(url, person, redirect=redirect) as client:
                return await client.call_tool("whoami", {})

        name = NAMES.get(host, "ann")
        assert run(call).content[0].text == f"{name}: orders:read"
        for words in (
            *SCOPE_WORDS,
            "Unverified:",
            f"an app on this computer (127.0.0.1:{page_port})",
        ):
            assert words in person.read
        # Nothing that the page needs was refused by its own Content-Security-Policy.
        assert [line for line in browser.get_log("browser") if "Security" in line["message"]] == []


def checked(url: str, proxy: Proxy) -> tuple[int, str]:
    """The exit status of the command `check`, and what it says."""
    lines: list[str] = []
    options = Namespace(url=url, ca=str(proxy.ca))
    return run_check(None, options, Screen(lines.append)), "\n".join(lines)


@pytest.mark.parametrize("host", ["flask_proxied", "django_proxied", "uvicorn_proxied"])
def test_a_person_signs_in_behind_nginx_with_tls_and_a_prefix(
    host: str, page_port: int, tmp_path: Path, to_proxy: Callable[[Proxy], None]
) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(serving(host, tmp_path, PROXIED="1"))
        port = int(upstream.rpartition(":")[2])
        proxy = stack.enter_context(in_front_of(port, tmp_path))
        browser = stack.enter_context(chromium(tls_port=proxy.port, trusted=proxy.digest))
        to_proxy(proxy)
        url = f"{ORIGIN}{PREFIX}{MOUNT}"
        person = InChromium(browser)

        async def call() -> Any:
            redirect = f"http://127.0.0.1:{page_port}/callback"
            trust = authority().trusting()
            async with connected(url, person, redirect=redirect, trust=trust) as client:
                return await client.call_tool("whoami", {})

        name = {"django_proxied": "1"}.get(host, "ann")
        assert run(call).content[0].text == f"{name}: orders:read"
        assert all(words in person.read for words in SCOPE_WORDS)
        assert person.visited[0].startswith(f"{ORIGIN}{PREFIX}/")
        # Another worker has the same keys and connections.
        for _ in range(6):
            assert run(call).content[0].text == f"{name}: orders:read"
        assert len(person.visited) == 1
        status, said = checked(url, proxy)
        assert status == 0, said
        assert "Problem" not in said
        assert "stops" not in said.replace("Claude Code     stops", "")


def test_check_says_that_an_application_does_not_know_of_its_proxy(
    tmp_path: Path, to_proxy: Callable[[Proxy], None]
) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(serving("flask_unaware", tmp_path))
        port = int(upstream.rpartition(":")[2])
        proxy = stack.enter_context(in_front_of(port, tmp_path))
        to_proxy(proxy)
        status, said = checked(f"{ORIGIN}{PREFIX}{MOUNT}", proxy)
        options = Namespace(url=f"{ORIGIN}{PREFIX}{MOUNT}", ca=None)
        untrusted: list[str] = []
        assert run_check(None, options, Screen(untrusted.append)) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in untrusted[0]
    assert status == 1
    assert f"Problem: resource is '{ORIGIN}{MOUNT}'" in said
    assert "ProxyFix(app.wsgi_app, x_proto=1, x_host=1, x_prefix=1)" in said
    assert "No document describes the authorization server" in said


def test_below_a_prefix_the_origin_may_be_the_issuer(
    tmp_path: Path, to_proxy: Callable[[Proxy], None]
) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(serving("flask_proxied", tmp_path, ISSUER=ORIGIN))
        port = int(upstream.rpartition(":")[2])
        proxy = stack.enter_context(in_front_of(port, tmp_path, at_the_root()))
        to_proxy(proxy)
        status, said = checked(f"{ORIGIN}{PREFIX}{MOUNT}", proxy)
    assert status == 0, said
    assert "Problem" not in said
    # Clients that look at the root only find their way.
    assert "stops" not in said
