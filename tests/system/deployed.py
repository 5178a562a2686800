"""What docs/deployment.md says that web servers and proxies are told, run as it stands there.

Only ports, files and, for nginx and Caddy, the name of the host differ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sample_projects.processes import free_port, running
from tests.auth.authorization.tls_server import authority
from tests.system.browser import ALLOWED, program
from tests.system.proxy import DOCS, Proxy

PAGE: Final = DOCS.with_name("deployment.md")
DOCUMENTED_NAME: Final = "shop.example.com"
UPSTREAM: Final = "127.0.0.1:8000"

_NGINX: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{documented}
}}
"""


def documented(language: str, number: int = 0) -> str:
    """A block of the page, by the word after its fence."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(blocks[number])


def _changed(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"docs/deployment.md no longer says {old!r}"
        text = text.replace(old, new)
    return text


def _certificate(folder: Path) -> tuple[Path, str]:
    key, certificate, digest = authority().issued(ALLOWED)
    (folder / "key.pem").write_bytes(key)
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "ca.pem").write_text(authority().pem)
    return folder / "ca.pem", digest


@contextmanager
def gunicorn(application: str, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """gunicorn, told what the page says; its port."""
    port = free_port()
    settings = folder / "gunicorn.conf.py"
    settings.write_text(_changed(documented("py"), {UPSTREAM: f"127.0.0.1:{port}"}))
    command = ["-m", "gunicorn", "-c", str(settings), "--no-control-socket", application]
    log = folder / "gunicorn.log"
    with running([sys.executable, *command], port, environment=environment, log=log):
        yield port


@contextmanager
def uvicorn(application: str, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """uvicorn, told what the page says; its port."""
    port = free_port()
    [line] = [one for one in PAGE.read_text().splitlines() if one.startswith("    uvicorn ")]
    words = _changed(line, {"shop.asgi:app": application, "--port 8000": f"--port {port}"}).split()
    command = [sys.executable, "-m", *words, "--factory", "--app-dir", "."]
    with running(command, port, environment=environment, log=folder / "uvicorn.log"):
        yield port


@contextmanager
def nginx(upstream: int, folder: Path, changes: Mapping[str, str] | None = None) -> Iterator[Proxy]:
    """nginx, told what the page says.

    Args:
        upstream: The port of the web server behind it.
        folder: For its files.
        changes: What else is to differ.
    """
    ca, digest = _certificate(folder)
    port = free_port()
    text = _changed(
        documented("nginx"),
        {
            UPSTREAM: f"127.0.0.1:{upstream}",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            DOCUMENTED_NAME: ALLOWED,
            "/etc/ssl/shop.pem": str(folder / "certificate.pem"),
            "/etc/ssl/shop.key": str(folder / "key.pem"),
            **(changes or {}),
        },
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, documented=text))
    command = [str(program("nginx")), "-p", str(folder), "-c", str(configuration)]
    with running([*command, "-e", str(folder / "error.log")], port):
        yield Proxy(port, ca, digest)


@contextmanager
def caddy(upstream: int, folder: Path, changes: Mapping[str, str] | None = None) -> Iterator[Proxy]:
    """Caddy, told what the page says; it fetches no certificate, but has one."""
    ca, digest = _certificate(folder)
    port = free_port()
    tls = f"{{\n\ttls {folder}/certificate.pem {folder}/key.pem\n\tbind 127.0.0.1\n"
    text = _changed(
        documented("caddy"),
        {
            UPSTREAM: f"127.0.0.1:{upstream}",
            **(changes or {}),
            f"{DOCUMENTED_NAME} {{\n": f"{ALLOWED}:{port} {tls}",
        },
    )
    configuration = folder / "Caddyfile"
    configuration.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}")
    command = [str(program("caddy")), "run", "--adapter", "caddyfile", "--config"]
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with running([*command, str(configuration)], port, environment=home, log=folder / "caddy.log"):
        yield Proxy(port, ca, digest)


PROXIES: Final[Mapping[str, Callable[..., object]]] = {"nginx": nginx, "caddy": caddy}
