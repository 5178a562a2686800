"""The connected assistants in Django's admin: to look at and to revoke, not to make or change."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from mcp_mount.auth.authorization.connections import Connection
from mcp_mount_django.connections import ModelConnections, connection_of
from mcp_mount_django.models import AssistantConnection
from mcp_mount_django.patterns import mounted


@admin.register(AssistantConnection)
class AssistantConnectionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The list of connected assistants."""

    list_display = ("client_name", "client_host", "user", "made", "last_used", "is_revoked")
    list_filter = ("client_name", "client_host")
    search_fields = ("user", "client_name", "client_host")
    actions = ("revoke_connections",)

    @admin.display(description="connected", ordering="created")
    def made(self, row: AssistantConnection) -> datetime:
        """When the person consented."""
        return _moment(row.created)

    @admin.display(description="last used", ordering="used")
    def last_used(self, row: AssistantConnection) -> datetime:
        """When tokens were last issued."""
        return _moment(row.used)

    @admin.display(description="revoked", boolean=True)
    def is_revoked(self, row: AssistantConnection) -> bool:
        """Whether it was revoked."""
        return row.revoked is not None

    @admin.action(description="Revoke the chosen connections", permissions=["delete"])
    def revoke_connections(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Revoke connections. Their access tokens are refused within ten seconds."""
        count = sum(_revoke(connection_of(one)) for one in list(queryset.filter(revoked=None)))
        self.message_user(request, f"{count} revoked.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody makes a connection here: the person consents."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes what a person has consented to."""
        return False


def _revoke(connection: Connection) -> bool:
    """Revoke a connection, and return whether it was not revoked before."""
    found = {
        path.strip("/"): one.core.sign_in
        for path, one in mounted()
        if one.core.sign_in is not None and isinstance(one.core.sign_in.store, ModelConnections)
    }
    own = found.get(urlsplit(connection.resource).path.strip("/"))
    # Of a server that has moved, or is behind a prefix: another one tells the same listeners.
    sign_in = own or next(iter(found.values()), None)
    if sign_in is None:
        return ModelConnections().revoke(connection.id, time.time())
    is_done: bool = sign_in.revoke(connection, by="an administrator")
    return is_done


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
