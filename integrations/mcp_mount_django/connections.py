"""The store of connections in the database of a Django project."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import IntegrityError, router, transaction
from django.db.models import F, Q

from mcp_mount.auth.authorization.connections import MAX_LISTED, Connection, chosen
from mcp_mount_django.models import AssistantConnection, RetiredId


class ModelConnections:
    """Keeps connections as rows of `AssistantConnection`, in the database that the project's
    routers choose.
    """

    is_shared = True

    def add(self, connection: Connection) -> bool:
        values = {**asdict(connection), "scopes": " ".join(connection.scopes)}
        return _inserted(AssistantConnection(**values))

    def get(self, id: str) -> Connection | None:
        row = _rows().filter(pk=id).first()
        return None if row is None else connection_of(row)

    def rotate(self, id: str, generation: int, used: float, stamp: str) -> bool:
        held = _rows().filter(pk=id, generation=generation, revoked=None)
        return bool(held.update(generation=F("generation") + 1, used=used, stamp=stamp))

    def revoke(self, id: str, at: float) -> bool:
        return bool(_rows().filter(pk=id, revoked=None).update(revoked=at))

    def list(self, user: str | None = None, client: str | None = None) -> Sequence[Connection]:
        held = _rows().filter(revoked=None)
        if user is not None:
            held = held.filter(user=user)
        if client is not None:
            held = held.filter(Q(client_name=client) | Q(client_host=client))
        found = [connection_of(one) for one in held.order_by("-created")[:MAX_LISTED]]
        # MySQL takes "Ann" for "ann", as most of its collations do.
        return chosen(found, user, client)

    def purge(self, before: float, revoked: float | None = None) -> int:
        was_revoked = Q(revoked__lt=before if revoked is None else revoked)
        ended = was_revoked | Q(revoked=None, used__lt=before)
        count: int = _rows().filter(ended).delete()[0]
        _retired().filter(until__lt=time.time()).delete()
        return count

    def retire(self, id: str, until: float) -> bool:
        return _inserted(RetiredId(id=id, until=until))

    def is_retired(self, id: str) -> bool:
        found: bool = _retired().filter(pk=id).exists()
        return found


def _rows() -> Any:
    """Return the rows where they are written: a replica may not have a revocation yet."""
    return AssistantConnection._default_manager.using(router.db_for_write(AssistantConnection))


def _retired() -> Any:
    return RetiredId._default_manager.using(router.db_for_write(RetiredId))


def _inserted(row: Any) -> bool:
    """Insert a row, and return whether its key was not there."""
    using = router.db_for_write(type(row))
    try:
        # A savepoint: within a transaction, PostgreSQL refuses all after an error.
        with transaction.atomic(using=using):
            row.save(force_insert=True, using=using)
    except IntegrityError:
        return False
    return True


def connection_of(row: AssistantConnection) -> Connection:
    """The connection of a row."""
    return Connection(
        id=row.id,
        user=row.user,
        client=row.client,
        client_name=row.client_name,
        client_host=row.client_host,
        resource=row.resource,
        scopes=tuple(row.scopes.split()),
        stamp=row.stamp,
        created=row.created,
        used=row.used,
        generation=row.generation,
        revoked=row.revoked,
    )
