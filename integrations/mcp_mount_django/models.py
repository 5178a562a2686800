"""The connections of assistants with the accounts of the project, one row for each, and what is not
good any more (`SignIn`)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class AssistantConnection(models.Model):
    """One person's consent for one assistant.

    The row holds no secret: tokens name it, and are sealed with SECRET_KEY.
    """

    id: Any = models.CharField(primary_key=True, max_length=64)
    # Not a foreign key: connections of people who were deleted end by themselves, and the user
    # model may be in another database.
    user: Any = models.CharField(max_length=255, db_index=True)
    client: Any = models.CharField(max_length=64)
    client_name: Any = models.CharField(max_length=200, blank=True)
    client_host: Any = models.CharField(max_length=255, null=True, blank=True)
    resource: Any = models.CharField(max_length=2000)
    scopes: Any = models.TextField(blank=True)
    stamp: Any = models.CharField(max_length=255, blank=True)
    # Seconds since the epoch, as in tokens.
    created: Any = models.FloatField()
    used: Any = models.FloatField(db_index=True)
    generation: Any = models.PositiveIntegerField(default=0)
    revoked: Any = models.FloatField(null=True, blank=True)

    class Meta:
        verbose_name = "connected assistant"
        ordering: ClassVar[list[str]] = ["-created"]

    def __str__(self) -> str:
        return f"{self.client_name or 'assistant'} of {self.user}"


class RetiredId(models.Model):
    """An assertion of a client that was used, or a token without a row that was revoked, by its
    digest: kept until it would have expired by itself.
    """

    id: Any = models.CharField(primary_key=True, max_length=64)
    until: Any = models.FloatField(db_index=True)

    def __str__(self) -> str:
        return str(self.id)
