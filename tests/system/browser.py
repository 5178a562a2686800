"""Chromium of the system, driven by Selenium, and the pages that it is shown."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

HERE = Path(__file__).parent

ALLOWED, FOREIGN = "app.example", "evil.example"
"""The names of the pages' hosts, which the browser takes for this machine."""

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
    "--window-size=1600,1200",
)

_NAMES = (
    f"MAP {ALLOWED} 127.0.0.1, MAP {FOREIGN} 127.0.0.1, "
    # No other name is looked up, so nothing leaves this machine.
    "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
)

_PROGRAMS = {
    "chromium": "apt-get install chromium",
    "chromedriver": "apt-get install chromium-driver",
    "npm": "apt-get install npm",
    "valgrind": "apt-get install valgrind",
    "nginx": "apt-get install nginx-light",
}
_MODULES = {
    "selenium": "pip install selenium",
    "flask_cors": "pip install flask-cors",
    "corsheaders": "pip install django-cors-headers",
}


def program(name: str) -> str | None:
    """The path of a program; None if it is not there."""
    # Debian has servers where users do not look.
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def missing() -> list[str]:
    """What these tests need and is not here: how to install each."""
    programs = [how for name, how in _PROGRAMS.items() if program(name) is None]
    modules = [how for name, how in _MODULES.items() if importlib.util.find_spec(name) is None]
    return [*programs, *modules]


@contextmanager
def chromium(*, tls_port: int | None = None, trusted: str = "") -> Iterator[Any]:
    """A browser with a profile of its own.

    Args:
        tls_port: The port of this machine at which ALLOWED is by https.
        trusted: The digest of a public key that it trusts besides.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        first = "" if tls_port is None else f"MAP {ALLOWED}:443 127.0.0.1:{tls_port}, "
        for flag in (*_FLAGS, f"--host-resolver-rules={first}{_NAMES}"):
            options.add_argument(flag)
        if trusted:
            options.add_argument(f"--ignore-certificate-errors-spki-list={trusted}")
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options, Service(str(shutil.which("chromedriver"))))
        try:
            driver.set_script_timeout(30)
            driver.set_page_load_timeout(30)
            yield driver
        finally:
            driver.quit()


def script(name: str) -> str:
    """A script that runs in a page."""
    return (HERE / name).read_text()


class _Page(BaseHTTPRequestHandler):
    """An empty page at every address."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>page</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def pages() -> Iterator[int]:
    """A web server with an empty page, on whatever name; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
