"""A project of several tenants: middleware says on the connection, in a thread-local and in an
asgiref Local whose request it is. Whatever runs elsewhere sees another one's rows."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import django
from asgiref.local import Local
from asgiref.sync import markcoroutinefunction, sync_to_async
from django.conf import settings
from django.urls import include, path

PROJECT = "tests.mcp_mount_django.tenants.project"
FOLDER = Path(os.environ["TENANTS_FOLDER"])
FILE = FOLDER / "tenants.sqlite3"
TENANTS = ("acme", "other", "public")
ASYNC = os.environ.get("TENANTS_MIDDLEWARE") == "async"

settings.configure(
    SECRET_KEY="for-tests-only",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=PROJECT,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    LANGUAGES=[("en", "English"), ("de", "German")],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "mcp_mount_django",
        "tests.mcp_mount_django.tenants",
    ],
    MIDDLEWARE=[
        f"{PROJECT}.tenant_async" if ASYNC else f"{PROJECT}.tenant",
        "django.middleware.locale.LocaleMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "tests.mcp_mount_django.tenants.backend",
            "NAME": FILE,
            "ATOMIC_REQUESTS": os.environ.get("TENANTS_ATOMIC") == "1",
            "OPTIONS": {"timeout": 30},
        }
    },
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.utils import translation  # noqa: E402

from mcp_mount import Completion, Context, SyncContext, ToolError, ToolsRouter  # noqa: E402
from mcp_mount_django import MCPServer  # noqa: E402
from mcp_mount_django.signals import call_finished  # noqa: E402

local = threading.local()
shared = Local()


class Note(models.Model):
    text = models.TextField()

    class Meta:
        app_label = "tenants"


class Entry(models.Model):
    """What the audit wrote."""

    text = models.TextField()

    class Meta:
        app_label = "tenants"


def enter(request: HttpRequest) -> None:
    name = request.headers["X-Tenant"]
    connection.tenant = local.tenant = shared.tenant = name  # type: ignore[attr-defined]
    request.user = User(pk=1, username="same in all tenants")


def tenant(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        enter(request)
        return get_response(request)

    return middleware


class _Async:
    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> Any:
        await sync_to_async(enter)(request)
        return await self._get_response(request)


tenant_async = _Async


@contextmanager
def task_context(request: HttpRequest) -> Iterator[None]:
    enter(request)
    yield


def seen() -> str:
    """Whose request this is, by everything that could tell; one word, if they agree."""
    names = {Note.objects.get().text, local.tenant, shared.tenant, connection.tenant}  # type: ignore[attr-defined]
    return f"{'+'.join(sorted(names))} {translation.get_language()}"


async def seen_async() -> str:
    note = await Note.objects.aget()
    names = {note.text, shared.tenant, await sync_to_async(lambda: local.tenant)()}
    names.add(await sync_to_async(lambda: connection.tenant)())  # type: ignore[attr-defined]
    return f"{'+'.join(sorted(names))} {translation.get_language()}"


server = MCPServer("tenants", task_context=task_context)
refusing = MCPServer("without tasks")
tools = ToolsRouter()


@tools.tool
def plain() -> str:
    return seen()


@tools.tool
def aloud(ctx: SyncContext) -> str:
    ctx.report_progress(1)
    before = seen()
    ctx.report_progress(2)
    return before if before == seen() else f"{before} / {seen()}"


@tools.tool
async def coroutine() -> str:
    return await seen_async()


@tools.tool
async def coroutine_aloud(ctx: Context) -> str:
    await ctx.report_progress(1)
    before = await seen_async()
    await ctx.report_progress(2)
    after = await seen_async()
    return before if before == after else f"{before} / {after}"


@tools.tool
async def plain_within(ctx: Context) -> str:
    await ctx.report_progress(1)
    return str(await ctx.call_tool(plain))


@tools.tool
async def aloud_within(ctx: Context) -> str:
    return str(await ctx.call_tool(aloud))


@tools.tool
def coroutine_within(ctx: SyncContext) -> str:
    ctx.report_progress(1)
    return str(ctx.call_tool(coroutine_aloud))


@tools.tool
def there_and_back(ctx: SyncContext) -> str:
    return str(ctx.call_tool(aloud_within))


def may(request: HttpRequest) -> bool:
    return request.user.has_perm("tenants.view_note")


@tools.tool(permission="tenants.view_note")
def guarded() -> str:
    return seen()


@tools.tool(permission=may)
async def guarded_coroutine() -> str:
    return await seen_async()


@tools.tool
async def guarded_within(ctx: Context) -> str:
    """The rights of the same pk differ between tenants."""
    try:
        return str(await ctx.call_tool(guarded))
    except ToolError:
        return f"refused {await seen_async()}"


def agrees() -> None:
    assert local.tenant == Note.objects.get().text == shared.tenant


def agrees_after(value: str) -> None:
    assert local.tenant == Note.objects.get().text == value.partition(" ")[0]


@tools.tool(check=agrees, check_result=agrees_after)
async def checked() -> str:
    return await seen_async()


server.include_router(tools)


@server.resource("note://plain")
def note_plain() -> str:
    return seen()


@server.resource("note://coroutine")
async def note_coroutine() -> str:
    return await seen_async()


@server.prompt
def prompt_plain(word: str = "") -> str:
    return seen()


@server.prompt
async def prompt_coroutine() -> str:
    return await seen_async()


@server.completion("prompt_plain", "word")
async def words(completion: Completion) -> list[str]:
    return [await seen_async()]


for one in (server, refusing):

    @one.tool(task=True)
    def task_plain() -> str:
        return seen()

    @one.tool(task=True)
    async def task_coroutine() -> str:
        return await seen_async()


def record(name: str, **rest: Any) -> None:
    Entry.objects.create(text=local.tenant)


call_finished.connect(record, sender=server)

urlpatterns = [
    path("mcp", include(server.urls)),
    path("refusing/mcp", include(refusing.urls)),
]


def make_database() -> None:
    with closing(sqlite3.connect(FILE)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    from django.core.management import call_command

    for name in TENANTS:
        connection.tenant = name  # type: ignore[attr-defined]
        for model in (Note, Entry):
            with connection.schema_editor() as editor:
                editor.create_model(model)
        if name == TENANTS[0]:
            connection.tenant = "public"  # type: ignore[attr-defined]
            call_command("migrate", run_syncdb=True, verbosity=0)
            connection.tenant = name  # type: ignore[attr-defined]
    with closing(sqlite3.connect(FILE)) as database:
        for name in TENANTS:
            database.execute(f"INSERT INTO {name}_tenants_note (text) VALUES (?)", (name,))
            if name != "public":
                database.execute(
                    f"CREATE TABLE {name}_auth_user_user_permissions AS "
                    "SELECT * FROM public_auth_user_user_permissions WHERE 0"
                )
        database.execute(
            "INSERT INTO django_content_type (app_label, model) VALUES ('tenants', 'note')"
        )
        database.execute(
            "INSERT INTO auth_permission (content_type_id, codename, name) "
            "SELECT id, 'view_note', 'see' FROM django_content_type WHERE model = 'note'"
        )
        database.execute(
            "INSERT INTO acme_auth_user_user_permissions (id, user_id, permission_id) "
            "SELECT 1, 1, id FROM auth_permission WHERE codename = 'view_note'"
        )
        database.commit()


def wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def asgi() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()
