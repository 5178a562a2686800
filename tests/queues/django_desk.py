"""A Django project of one module whose tasks Celery runs, or Django's tasks framework: QUEUE says
which. It is served by gunicorn, and imported by workers and by `manage.py`."""

from __future__ import annotations

import os
from typing import Any

import django
import django.http
from celery import Celery
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="for-tests-only",
        DEBUG=False,
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            # Django 6 has the framework itself.
            *(["django_tasks"] if django.VERSION < (6, 0) else []),
            "django_tasks_db",
            "mcp_mount_django",
        ],
        MIDDLEWARE=["django.middleware.locale.LocaleMiddleware"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": f"{os.environ['FOLDER']}/db.sqlite3",
                "ATOMIC_REQUESTS": "ATOMIC" in os.environ,
                # Before 5.1 Django knows no other mode than that of SQLite.
                "OPTIONS": {
                    "timeout": 20,
                    **({"transaction_mode": "IMMEDIATE"} if django.VERSION >= (5, 1) else {}),
                },
            }
        },
        USE_TZ=True,
        TIME_ZONE="UTC",
        LANGUAGE_CODE="en",
        LOGGING_CONFIG=None,
        TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
        MCP_MOUNT={
            "BACKPLANE": os.environ["BACKPLANE"],
            "OPEN": True,
            "AUTHENTICATION": ["tests.queues.tenants.of_header"],
            "TASK_CONTEXT": "tests.queues.tenants.tenant",
        },
    )
    django.setup()

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.urls import include, path
from django.utils import timezone, translation

from mcp_mount import Context, SyncContext
from mcp_mount.tasks import CeleryTasks
from mcp_mount_django import MCPServer
from mcp_mount_django.queues import DjangoTasks
from tests.queues.desk import POLICY, fill
from tests.queues.tenants import TENANTS

celery = Celery("desk", broker=os.environ.get("BROKER", "memory://"))
celery.conf.update(
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)

server = MCPServer(
    "desk", tasks=CeleryTasks(celery) if os.environ["QUEUE"] == "celery" else DjangoTasks()
)
fill(server)


def _who(request: Any) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM auth_user")
        [users] = cursor.fetchone()
    return {
        "user": request.user.get_username(),
        "users": users,
        "language": translation.get_language(),
        "time_zone": timezone.get_current_timezone_name(),
        "tenants": len(TENANTS),
        "secret": request.headers.get("x-user"),
        "pid": os.getpid(),
    }


@server.tool(task=POLICY)
def who(request: django.http.HttpRequest) -> dict[str, Any]:
    return _who(request)


@server.tool(task=POLICY)
async def who_async(request: django.http.HttpRequest) -> dict[str, Any]:
    from asgiref.sync import sync_to_async

    return await sync_to_async(_who)(request)


@server.tool(task=POLICY, permission="auth.view_user")
def secret(request: django.http.HttpRequest) -> str:
    return str(request.user.get_username())


def _enroll(ctx: Any, name: str) -> int:
    """Add a user before a task is begun, and once more in it: how many there are of the name."""
    from django.contrib.auth.models import User

    User.objects.create_user(f"{name} {ctx.task_id or 'before'}")
    ctx.start_task()
    return User.objects.filter(username__startswith=name).count()


@server.tool
def enroll(ctx: SyncContext, name: str) -> int:
    return _enroll(ctx, name)


@server.tool
async def enroll_async(ctx: Context, name: str) -> int:
    from asgiref.sync import sync_to_async

    return await sync_to_async(_enroll)(ctx, name)


urlpatterns = [path("mcp", include(server.urls))]

wsgi = get_wsgi_application()
