"""A Django project of one module with a database, ATOMIC_REQUESTS and tools that use it."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import Any

import django
from django.conf import settings
from django.urls import include, path

if not settings.configured:
    settings.configure(
        DEBUG=os.environ.get("TEST_DEBUG") == "1",
        SECRET_KEY="for-tests-only",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["django.contrib.contenttypes", "mcp_mount_django"],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            *(
                ["tests.integrations.django_project.sync_middleware"]
                if "TEST_SYNC" in os.environ
                else []
            ),
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ["TEST_DATABASE"],
                "ATOMIC_REQUESTS": True,
                "OPTIONS": {"timeout": 20},
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from pydantic import BaseModel

from mcp_mount import Context, SyncContext, ToolError
from mcp_mount_django import MCPServer
from tests.integrations.apps import build_tools


def sync_middleware(get_response: Any) -> Any:
    """A middleware of the old kind, which knows nothing of ASGI."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        response["X-Sync"] = "yes"
        return response

    return middleware


server = MCPServer("mounted", task_context=nullcontext)
server.include_router(build_tools())


@server.tool
def count() -> int:
    """Count the rows."""
    return ContentType.objects.count()


@server.tool
async def async_count() -> int:
    """Count the rows by the async ORM."""
    return await ContentType.objects.acount()


@server.tool
def add(name: str, fail: bool = False, crash: bool = False) -> bool:
    """Add a row; tells whether that is in a transaction."""
    ContentType.objects.create(app_label="tests", model=name)
    if fail:
        raise ToolError("No")
    if crash:
        raise RuntimeError("secret")
    return connection.in_atomic_block


@server.tool
def add_and_tell(name: str, ctx: SyncContext, fail: bool = False) -> int:
    """Add a row, report progress, then perhaps fail."""
    ContentType.objects.create(app_label="tests", model=name)
    ctx.report_progress(1)
    ctx.report_progress(2)
    if fail:
        raise ToolError("No")
    return ContentType.objects.count()


@server.tool
def break_commit(speak: bool, ctx: SyncContext) -> str:
    """Break a constraint that is checked when the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS child (parent INTEGER REFERENCES django_content_type (id)"
            " DEFERRABLE INITIALLY DEFERRED)"
        )
        cursor.execute("INSERT INTO child VALUES (-1)")
    if speak:
        ctx.report_progress(1)
    return "all is well"


@server.tool
def break_commit_silently() -> str:
    """Fail after the commit."""
    transaction.on_commit(lambda: 1 / 0)
    return "all is well"


@server.tool(task=True)
def add_later(name: str, fail: bool = False) -> bool:
    """Add a row in the background, then perhaps fail; tells whether that is in a transaction."""
    ContentType.objects.create(app_label="tests", model=name)
    if fail:
        raise ToolError("No")
    return connection.in_atomic_block


@server.tool(task=True)
async def count_later() -> int:
    """Count the rows in the background, by the async ORM."""
    return await ContentType.objects.acount()


class Sure(BaseModel):
    sure: bool


@server.tool
def add_and_ask(name: str, ctx: SyncContext) -> int:
    """Add a row before asking, and once more after it."""
    ContentType.objects.create(app_label="tests", model=f"{name}-before")
    if ctx.elicit("Sure?", Sure).data is None:
        raise ToolError("No")
    ContentType.objects.create(app_label="tests", model=f"{name}-after")
    return ContentType.objects.count()


@server.tool
async def session_user(ctx: Context) -> str:
    """Tell whether the request is Django's."""
    return f"{type(ctx.request).__name__} {ctx.request.path}"


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"page {connection.in_atomic_block}")


urlpatterns = [
    path("page", page),
    path("mcp", include(server.urls)),
    path("deep/er/mcp", include(server.urls)),
]


def application(flavour: str) -> Any:
    if flavour == "wsgi":
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


if __name__ == "__main__":
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    sys.stdout.write("migrated\n")
