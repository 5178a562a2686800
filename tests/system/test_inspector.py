"""The web page of the MCP Inspector, driven as a person would, on each host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sample_projects.processes import free_port, running
from tests.clients.server import KEY
from tests.node import install
from tests.system.names import HOSTS

FOLDER = Path(__file__).parent
SECONDS = 30


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    install(FOLDER)


@contextmanager
def inspector(home: Path, url: str, mode: str, *headers: str) -> Iterator[str]:
    """A running Inspector that knows one server; the address of its page."""
    modules = FOLDER / "node_modules"
    launcher = modules / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
    port = free_port()
    words = [
        *(str(modules / ".bin" / "node"), str(launcher), "--web"),
        *("--transport", "http", "--server-url", url, "--protocol-era", mode),
        *(word for header in headers for word in ("--header", header)),
    ]
    variables = {
        "HOME": str(home),
        "MCP_STORAGE_DIR": str(home / "storage"),
        "CLIENT_PORT": str(port),
        "MCP_SANDBOX_PORT": str(free_port()),
        "MCP_AUTO_OPEN_ENABLED": "false",
        "DANGEROUSLY_OMIT_AUTH": "true",
        "MCP_INSPECTOR_SECRET_STORE": "memory",
    }
    with running(words, port, environment=variables):
        yield f"http://127.0.0.1:{port}/"


class Page:
    """The page of the Inspector, by what a person reads there."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    def connect(self) -> None:
        # The switch itself is hidden behind its picture.
        click = "document.querySelector('input[role=switch][aria-label^=Connect]').click()"
        self._wait(lambda: self._browser.execute_script(f"{click}; return true"))

    def click(self, path: str) -> None:
        self._wait(lambda: self._browser.find_element("xpath", path).click() or True)

    def fill(self, label: str, text: str) -> None:
        path = f"//label[starts-with(normalize-space(.), '{label}')]/following::input[1]"
        self._wait(lambda: self._type(self._browser.find_element("xpath", path), text))

    def _type(self, field: Any, text: str) -> bool:
        """Type into a field, which the page may replace meanwhile; whether it has the text."""
        if field.get_attribute("value") != text:
            from selenium.webdriver.common.keys import Keys

            field.send_keys(Keys.CONTROL, "a")
            field.send_keys(text)
        return bool(field.get_attribute("value") == text)

    def shows(self, text: str) -> bool:
        body = "return document.body.innerText"
        return bool(self._wait(lambda: text in self._browser.execute_script(body)))

    def _wait(self, look: Callable[[], Any]) -> Any:
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait

        wait = WebDriverWait(self._browser, SECONDS, ignored_exceptions=[WebDriverException])
        try:
            return wait.until(lambda _: look())
        except WebDriverException as error:
            text = self._browser.execute_script("return document.body.innerText")
            raise AssertionError(f"not there after {SECONDS} s; the page is:\n{text}") from error


def use(page: Page) -> None:
    """List the tools, and call the one that adds."""
    page.click("//label[normalize-space(.)='Tools']")
    assert page.shows("Tools (20)")
    page.click("//button[normalize-space(.)='add']")
    page.fill("a", "2")
    page.fill("b", "40")
    page.click("//button[normalize-space(.)='Execute Tool']")
    assert page.shows("42")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("host", HOSTS)
def test_the_inspector_connects_lists_and_calls(
    serve: Callable[[str], str], browser: Any, tmp_path: Path, host: str, mode: str
) -> None:
    with inspector(tmp_path, f"{serve(host)}/mcp", mode) as address:
        browser.get(address)
        page = Page(browser)
        page.connect()
        assert page.shows("MCP 2026-07-28" if mode == "auto" else "MCP 2025-11-25")
        use(page)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_inspector_connects_with_an_api_key(
    serve: Callable[[str], str], browser: Any, tmp_path: Path, mode: str
) -> None:
    url = f"{serve('fastapi')}/keyed/mcp"
    with inspector(tmp_path, url, mode, f"X-API-Key: {KEY}") as address:
        browser.get(address)
        page = Page(browser)
        page.connect()
        use(page)
