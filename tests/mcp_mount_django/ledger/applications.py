"""The ledger under WSGI and ASGI, and its databases."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.mcp_mount_django.ledger.settings")


def wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def asgi() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def make_databases() -> None:
    from django.core.management import call_command
    from django.db import connections

    for database in ("default", "audit"):
        with connections[database].cursor() as cursor:
            # Readers wait for nobody then; it is kept in the file.
            cursor.execute("PRAGMA journal_mode=WAL")
        call_command("migrate", database=database, run_syncdb=True, verbosity=0)


if __name__ == "__main__":
    import django

    django.setup()
    make_databases()
    from rest_framework.authtoken.models import Token

    from tests.mcp_mount_django.ledger.models import Member

    for name in sys.argv[1:]:
        member = Member.objects.create_user(f"{name}@example.org", "secret")
        Token.objects.create(user=member, key=f"token-of-{name}")
