"""SQLite with tenants, as django-tenants has them in PostgreSQL: state of the connection object
says whose tables a query means."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base

TABLES = ("tenants_note", "tenants_entry", "auth_user_user_permissions")


class Cursor(base.SQLiteCursorWrapper):
    tenant = "public"

    def execute(self, query: str, params: Any = None) -> Any:
        for table in TABLES:
            query = query.replace(f'"{table}"', f'"{self.tenant}_{table}"')
        return super().execute(query, params)


class DatabaseWrapper(base.DatabaseWrapper):
    tenant = "public"

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = self.connection.cursor(factory=Cursor)
        cursor.tenant = self.tenant
        return cursor
