"""Signing in with the users of a Django project: table, admin, checks, templates."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from sample_projects.processes import PYTHONPATH, ROOT

pytestmark = pytest.mark.usefixtures("database")

URLS = "tests.mcp_mount_django.signing_in_urls"


@pytest.fixture
def urls() -> Iterator[ModuleType]:
    """The URLs of a project with a `SignIn`."""
    from django.test import override_settings

    from tests.mcp_mount_django import signing_in_urls

    with override_settings(ROOT_URLCONF=URLS, ALLOWED_HOSTS=["shop.example"]):
        yield signing_in_urls


def found() -> list[str]:
    from django.core.checks import run_checks

    return [str(one.id) for one in run_checks(tags=["mcp"])]


def test_the_migrations_make_what_the_model_says() -> None:
    from django.core.management import call_command

    call_command("makemigrations", "mcp_mount_django", check=True, dry_run=True, verbosity=0)


def test_a_project_whose_people_can_sign_in_has_no_problem(urls: ModuleType) -> None:
    assert "mcp_mount.E019" not in found()


@pytest.fixture
def without_pages(urls: ModuleType, monkeypatch: Any) -> Iterator[ModuleType]:
    """The same URLs, without those of the pages."""
    from django.urls import clear_url_caches

    from mcp_mount_django import signin

    def forget() -> None:
        clear_url_caches()
        signin._own_prefix.cache_clear()

    monkeypatch.setattr(urls, "urlpatterns", [urls.urlpatterns[0], *urls.urlpatterns[2:]])
    forget()
    yield urls
    forget()


def test_without_urls_of_their_own_the_pages_are_below_the_server(
    without_pages: ModuleType,
) -> None:
    from django.test import Client

    assert "mcp_mount.E019" not in found()
    headers = {"host": "shop.example"}
    document = Client().get("/.well-known/oauth-authorization-server", headers=headers).json()
    assert document["token_endpoint"] == "http://shop.example/mcp/assistants/token"
    body = {"redirect_uris": ["http://localhost/callback"]}
    for place in ("/mcp/assistants/register", "/register"):
        made = Client(enforce_csrf_checks=True).post(
            place, body, content_type="application/json", headers=headers
        )
        assert made.status_code == 201, (place, made.content)
    page = Client().get("/mcp/assistants/", headers=headers)
    assert page.status_code == 302
    assert page["location"].endswith("?next=/mcp/assistants/")


def test_a_server_below_which_nothing_is_reached_is_told_of_its_pages(
    without_pages: ModuleType, monkeypatch: Any
) -> None:
    from django.urls import clear_url_caches, include, path

    [root, _] = without_pages.urlpatterns
    own = [root, path("mcp/", include(without_pages.server.urls))]
    monkeypatch.setattr(without_pages, "urlpatterns", own)
    clear_url_caches()
    assert "mcp_mount.E019" in found()


def test_in_front_of_a_project_somebody_has_to_say_who_is_logged_in(urls: ModuleType) -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.wsgi import get_wsgi_application

    from mcp_mount.auth import SignIn
    from mcp_mount_django import MCPServer, mount
    from mcp_mount_django.servers import servers

    blind = MCPServer("blind", auth=SignIn())
    seeing = MCPServer("seeing", auth=SignIn(user=lambda request: "ann", login="/login"))
    servers.discard(blind)
    servers.discard(seeing)
    with pytest.raises(ImproperlyConfigured, match="Give SignIn user="):
        mount(get_wsgi_application(), "/mcp", blind)
    mount(get_wsgi_application(), "/mcp", seeing)


@pytest.mark.parametrize(("policy", "is_told"), [("same-origin", True), (None, False)])
def test_a_login_page_that_cuts_popups_off_is_told(
    urls: ModuleType, policy: str | None, is_told: bool
) -> None:
    from django.test import override_settings

    with override_settings(
        SECURE_CROSS_ORIGIN_OPENER_POLICY=policy,
        MIDDLEWARE=["django.middleware.security.SecurityMiddleware"],
    ):
        assert ("mcp_mount.I020" in found()) is is_told


def test_a_template_of_the_project_replaces_a_page(urls: ModuleType, tmp_path: Any) -> None:
    from django.test import Client, override_settings

    (tmp_path / "mcp_mount").mkdir()
    (tmp_path / "mcp_mount" / "error.html").write_text("<p>Oh: {{ message }}</p>")
    templates = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
    with override_settings(TEMPLATES=[{**templates[0], "DIRS": [tmp_path]}]):
        answer = Client().get("/assistants/authorize", headers={"host": "shop.example"})
    assert answer.status_code == 400
    assert b"<p>Oh: The assistant&#x27;s request names no client_id.</p>" in answer.content


ADMIN = """
import django
from django.conf import settings
apps = ["admin", "auth", "contenttypes", "messages", "sessions"]
settings.configure(
    SECRET_KEY="k",
    INSTALLED_APPS=[*("django.contrib." + one for one in apps), "mcp_mount_django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.contrib import admin
from django.core.management import call_command
from django.test import RequestFactory
from mcp_mount_django.models import AssistantConnection as Connection
call_command("migrate", verbosity=0)
Connection.objects.create(id="c1", user="1", client="x", resource="r", created=1.0, used=2.0)
page = admin.site._registry[Connection]
told = []
page.message_user = lambda request, message: told.append(message)
request = RequestFactory().get("/")
assert not page.has_add_permission(request) and not page.has_change_permission(request)
for _ in range(2):
    page.revoke_connections(request, Connection.objects.all())
one = Connection.objects.get()
print(told, page.is_revoked(one), page.made(one), page.last_used(one), one)
"""


def test_the_admin_revokes_and_changes_nothing_else() -> None:
    printed = subprocess.check_output(
        [sys.executable, "-c", ADMIN], cwd=ROOT, env={"PYTHONPATH": PYTHONPATH}, text=True
    )
    assert printed == (
        "['1 revoked.', '0 revoked.'] True 1970-01-01 00:00:01+00:00 1970-01-01 00:00:02+00:00 "
        "assistant of 1\n"
    )


def test_the_metadata_name_the_urls_of_the_project(urls: ModuleType) -> None:
    from django.test import Client

    answer = Client().get(
        "/.well-known/oauth-authorization-server", headers={"host": "shop.example"}
    )
    document = answer.json()
    assert document["issuer"] == "http://shop.example"
    assert document["token_endpoint"] == "http://shop.example/assistants/token"
    below = Client().get(
        "/.well-known/oauth-authorization-server/mcp", headers={"host": "shop.example"}
    )
    assert below.status_code == 404
    assert below["content-type"] == "application/json"


def test_a_signal_tells_what_happens(urls: ModuleType) -> None:
    from django.test import Client

    from mcp_mount_django.signals import sign_in_event

    told: list[Any] = []

    def fails(**given: Any) -> None:
        raise ValueError("a receiver")

    def tells(sender: Any, event: Any, **given: Any) -> None:
        told.append((sender, event.kind, event.client))

    body = {"redirect_uris": ["http://localhost/callback"], "client_name": "Probe"}
    sign_in_event.connect(fails)
    sign_in_event.connect(tells, sender=urls.server)
    try:
        made = Client().post(
            "/assistants/register",
            body,
            content_type="application/json",
            headers={"host": "shop.example"},
        )
    finally:
        sign_in_event.disconnect(fails)
        sign_in_event.disconnect(tells, sender=urls.server)
    assert made.status_code == 201
    assert told == [(urls.server, "client registered", "Probe")]
