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


@pytest.mark.parametrize(
    ("login", "is_told"),
    [
        ("/accounts/login/", True),
        ("admin:login", True),
        ("page", False),
        ("/mcp", False),
        ("https://login.example.com/", False),
    ],
)
def test_a_login_page_that_is_not_there_is_told(
    urls: ModuleType, login: str, is_told: bool, monkeypatch: Any
) -> None:
    from django.test import override_settings
    from django.urls import clear_url_caches, path

    own = [*urls.urlpatterns, path("log-in/", lambda request: None, name="page")]
    monkeypatch.setattr(urls, "urlpatterns", own)
    clear_url_caches()
    with override_settings(LOGIN_URL=login):
        assert ("mcp_mount.W022" in found()) is is_told
    clear_url_caches()


def test_a_login_page_that_the_server_names_is_looked_for_too(urls: ModuleType) -> None:
    from mcp_mount.auth import SignIn

    server = urls.server
    sign_in = SignIn(user=lambda request: "ann", login="/nowhere?from=assistant")
    server.configure(auth=sign_in)
    try:
        assert "mcp_mount.W022" in found()
        server.configure(auth=SignIn(user=lambda request: "ann", login=lambda path: 1 / 0))
        assert "mcp_mount.W022" not in found()
    finally:
        server.configure(auth=SignIn(scopes={"orders:read": "See your orders"}))


def test_where_programs_act_for_themselves_no_login_page_is_looked_for(urls: ModuleType) -> None:
    from mcp_mount.auth import Client, SignIn

    words = {"orders:read": "See your orders"}
    client = Client("nightly", secret="s" * 40, scopes=["orders:read"])
    assert "mcp_mount.W022" in found()
    urls.server.configure(
        auth=SignIn(scopes=words, clients=[client], registration=False, cimd=False)
    )
    try:
        assert "mcp_mount.W022" not in found()
    finally:
        urls.server.configure(auth=SignIn(scopes=words))


def test_a_scope_that_nobody_can_have_is_told(urls: ModuleType) -> None:
    from django.core.checks import run_checks

    assert "mcp_mount.W021" not in found()
    urls.server.add_tool(lambda: "", name="cancel", scopes=["orders:read", "orders:write"])
    try:
        [told] = [one for one in run_checks(tags=["mcp"]) if one.id == "mcp_mount.W021"]
    finally:
        del urls.server.registry.tools["cancel"]
    assert told.msg == (
        "Nobody who signs in to the server 'signing in' may use cancel: the scope 'orders:write' "
        "is not among the scopes= of its SignIn."
    )


def test_a_template_of_the_project_replaces_a_page(urls: ModuleType, tmp_path: Any) -> None:
    from django.test import Client, override_settings

    (tmp_path / "mcp_mount").mkdir()
    (tmp_path / "mcp_mount" / "error.html").write_text("<p>Oh: {{ message }}</p>")
    templates = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
    with override_settings(TEMPLATES=[{**templates[0], "DIRS": [tmp_path]}]):
        answer = Client().get("/assistants/authorize", headers={"host": "shop.example"})
    assert answer.status_code == 400
    assert b"<p>Oh: The assistant&#x27;s request names no client_id.</p>" in answer.content


def test_an_id_that_is_no_key_is_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib import auth
    from django.core.exceptions import ObjectDoesNotExist
    from django.db.models import UUIDField

    from mcp_mount.wire.tokens import AccessToken
    from mcp_mount_django.accounts import user_of_token

    class Members:
        """A model whose key is a UUID, as far as it is asked."""

        class DoesNotExist(ObjectDoesNotExist):
            pass

        class _default_manager:
            @staticmethod
            def get(pk: str) -> None:
                UUIDField().to_python(pk)
                raise Members.DoesNotExist

    monkeypatch.setattr(auth, "get_user_model", lambda: Members)
    for id in ("ann", "7", "6f9619ff-8b86-d011-b42d-00c04fc964ff"):
        assert user_of_token(AccessToken(id, frozenset())) is None


ADMIN = """
import sys
from types import ModuleType
import django
from django.conf import settings
apps = ["admin", "auth", "contenttypes", "messages", "sessions"]
settings.configure(
    SECRET_KEY="k",
    ROOT_URLCONF="own_urls",
    INSTALLED_APPS=[*("django.contrib." + one for one in apps), "mcp_mount_django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.contrib import admin
from django.core.management import call_command
from django.test import RequestFactory
from mcp_mount_django.models import AssistantConnection as Connection
from mcp_mount_django.signals import sign_in_event
from django.urls import include, path
from mcp_mount.auth import SignIn
from mcp_mount_django import MCPServer
sys.modules["own_urls"] = own = ModuleType("own_urls")
own.urlpatterns = []
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
from django.urls import clear_url_caches
other, server = (MCPServer(one, auth=SignIn()) for one in ("other", "shop"))
own.urlpatterns += [path(f"{one.title}/mcp", include(one.urls)) for one in (other, server)]
clear_url_caches()
def hears(sender, event, **given):
    print(sender.title, event.kind, event.user, event.client, event.connection, event.detail)
sign_in_event.connect(hears)
for id, place in (("c2", "/shop/mcp"), ("c3", "/moved")):
    resource = f"https://shop.example{place}"
    Connection.objects.create(
        id=id, user="2", client="x", client_name="X", resource=resource, created=1.0, used=2.0
    )
page.revoke_connections(request, Connection.objects.order_by("id"))
"""


def test_the_admin_revokes_and_changes_nothing_else() -> None:
    printed = subprocess.check_output(
        [sys.executable, "-c", ADMIN], cwd=ROOT, env={"PYTHONPATH": PYTHONPATH}, text=True
    )
    assert printed == (
        "['1 revoked.', '0 revoked.'] True 1970-01-01 00:00:01+00:00 1970-01-01 00:00:02+00:00 "
        "assistant of 1\n"
        "shop connection revoked 2 X c2 by an administrator\n"
        "other connection revoked 2 X c3 by an administrator\n"
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
