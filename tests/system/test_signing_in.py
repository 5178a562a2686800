"""A person signs in in Chromium: the login page, the consent page, and back to the assistant."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from mcp.client.auth import AuthorizationCodeResult

from tests.auth.oauth import Person, connected, run
from tests.integrations.test_signing_in import HOSTS, NAMES, serving

SECONDS = 30


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
            "Connect tests to orders?",
            "You are signed in as ann.",
            "Unverified:",
            "See your orders",
            f"an app on this computer (127.0.0.1:{page_port})",
        ):
            assert words in person.read
        # Nothing that the page needs was refused by its own Content-Security-Policy.
        assert [line for line in browser.get_log("browser") if "Security" in line["message"]] == []
