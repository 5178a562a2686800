"""Where the metadata are behind prefixes and proxies: each URL is as the client wrote it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.auth.conftest import Serve

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def shown(header: str) -> str:
    return header.partition('resource_metadata="')[2].partition('"')[0]


@pytest.mark.parametrize("host", ["standalone", "starlette", "fastapi", "bare"])
def test_below_a_prefix_that_a_proxy_takes_away(host: str) -> None:
    from tests.auth import apps

    path = "/mcp" if host == "standalone" else "/api/mcp"
    app = getattr(apps, host)()
    client = TestClient(app, base_url="http://localhost", root_path="/prefix")
    refused = client.post(f"/prefix{path}", json={})
    assert refused.status_code == 401
    url = shown(refused.headers["www-authenticate"])
    # The root of the domain is not the application's there.
    assert url == f"http://localhost/prefix{path}{WELL_KNOWN}"
    document = client.get(urlsplit(url).path)
    assert document.json()["resource"] == f"http://localhost/prefix{path}"


def test_flask_below_a_prefix_and_behind_a_proxy() -> None:
    from werkzeug.middleware.proxy_fix import ProxyFix

    from tests.auth import apps

    app = apps.flask()
    client = app.test_client()
    refused = client.post("/api/mcp", base_url="http://localhost/prefix", json={})
    url = shown(refused.headers["www-authenticate"])
    assert url == f"http://localhost/prefix/api/mcp{WELL_KNOWN}"
    document = client.get(f"/api/mcp{WELL_KNOWN}", base_url="http://localhost/prefix")
    assert document.json["resource"] == "http://localhost/prefix/api/mcp"
    app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_proto=1)  # type: ignore[method-assign]
    headers = {"x-forwarded-host": "api.example.com", "x-forwarded-proto": "https"}
    refused = client.post("/api/mcp", headers=headers, json={})
    url = shown(refused.headers["www-authenticate"])
    assert url == f"https://api.example.com{WELL_KNOWN}/api/mcp"
    document = client.get(f"{WELL_KNOWN}/api/mcp", headers=headers)
    assert document.json["resource"] == "https://api.example.com/api/mcp"


def test_beside_another_asgi_application() -> None:
    from starlette.applications import Starlette

    from mcp_mount import mount_asgi
    from tests.auth import apps

    client = TestClient(
        mount_asgi(Starlette(), "/api/mcp", apps.standalone()), base_url="http://localhost"
    )
    refused = client.post("/api/mcp", json={})
    url = shown(refused.headers["www-authenticate"])
    assert url == f"http://localhost{WELL_KNOWN}/api/mcp"
    assert client.get(urlsplit(url).path).json()["resource"] == "http://localhost/api/mcp"
    assert client.get(f"{WELL_KNOWN}/other").status_code == 404


DJANGO = """
    from tests.auth.apps import _configure_django
    _configure_django()
    from django.conf import settings
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = True
    settings.ALLOWED_HOSTS = ["localhost", "api.example.com"]
    from django.test import Client

    def ask(path, **options):
        client = Client(**options)
        refused = client.post("/api/mcp", {}, content_type="application/json")
        print(refused.status_code, refused["WWW-Authenticate"].partition("data=")[2].split(",")[0])
        document = client.get(path)
        print(document.status_code, document.json()["resource"])

    well_known = "/.well-known/oauth-protected-resource"
    ask(f"{well_known}/api/mcp", HTTP_HOST="localhost")
    ask(f"/api/mcp{well_known}", HTTP_HOST="localhost", SCRIPT_NAME="/prefix")
    ask(f"{well_known}/api/mcp", HTTP_HOST="inner", HTTP_X_FORWARDED_HOST="api.example.com",
        HTTP_X_FORWARDED_PROTO="https")
"""


def test_django_below_a_prefix_and_behind_a_proxy() -> None:
    script = textwrap.dedent(DJANGO)
    output = subprocess.check_output(
        [sys.executable, "-W", "error", "-c", script], text=True, env={**os.environ}
    )
    assert output.splitlines() == [
        f'401 "http://localhost{WELL_KNOWN}/api/mcp"',
        "200 http://localhost/api/mcp",
        f'401 "http://localhost/prefix/api/mcp{WELL_KNOWN}"',
        "200 http://localhost/prefix/api/mcp",
        f'401 "https://api.example.com{WELL_KNOWN}/api/mcp"',
        "200 https://api.example.com/api/mcp",
    ]


@pytest.mark.parametrize("host", ["standalone", "starlette", "django-asgi"])
def test_a_real_proxy_tells_the_scheme(host: str, serve: Serve) -> None:
    url = serve(host, "jwt")
    headers = {"x-forwarded-proto": "https"}
    refused = httpx2.post(url, json={}, headers=headers)
    parts = urlsplit(url)
    expected = f"https://{parts.netloc}{WELL_KNOWN}{parts.path}"
    assert shown(refused.headers["www-authenticate"]) == expected
