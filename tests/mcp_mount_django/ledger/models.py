"""Members with their entries; an audit log in a database of its own."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models


class MemberManager(BaseUserManager):
    def create_user(self, email: str, password: str | None = None, **more: Any) -> Member:
        member = self.model(email=self.normalize_email(email), **more)
        member.set_password(password)
        member.save(using=self._db)
        return member


class Member(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)

    USERNAME_FIELD = "email"
    objects = MemberManager()


class Category(models.Model):
    name = models.CharField(max_length=40)

    class Meta:
        verbose_name_plural = "categories"


class Entry(models.Model):
    class Kind(models.TextChoices):
        DEPOSIT = "deposit", "Deposit"
        FEE = "fee", "Fee"

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="entries")
    category = models.ForeignKey(Category, on_delete=models.SET_NULL, null=True, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.DEPOSIT)
    amount = models.DecimalField(max_digits=12, decimal_places=2, help_text="In euros")
    note = models.CharField(max_length=200, blank=True)
    tags = models.ManyToManyField(Category, related_name="tagged")
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "entries"


class Point:
    """What a field of the project's own holds."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y


class PointField(models.Field):  # type: ignore[type-arg]
    """A field whose values JSON does not have."""

    def db_type(self, connection: Any) -> str:
        return "varchar(20)"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else Point(*map(int, value.split(",")))

    def get_prep_value(self, value: Any) -> Any:
        return f"{value.x},{value.y}" if isinstance(value, Point) else value


class Oddity(models.Model):
    """Fields that are called what a query, or pydantic, has itself; and of all kinds."""

    page = models.IntegerField()
    search = models.CharField(max_length=9)
    request = models.CharField(max_length=9)
    order_by = models.IntegerField()
    model_config = models.CharField(max_length=9)
    copy = models.CharField(max_length=9)
    data = models.BinaryField()
    where = PointField()
    level = models.IntegerField(choices=[(0, "Low"), (1, "So so"), (2, "High")])
    tags = models.ManyToManyField(Category)

    @property
    def doubled(self) -> int:
        """Twice the page."""
        return self.page * 2

    @property
    def untyped(self):  # type: ignore[no-untyped-def]
        return {"where": f"{self.where.x},{self.where.y}"}


class AuditEntry(models.Model):
    """In the database "audit"."""

    member = models.BigIntegerField()
    text = models.CharField(max_length=200)


class AuditRouter:
    """Keeps the audit log apart."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "audit" if model is AuditEntry else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, model_name: Any = None, **hints: Any) -> bool:
        return (db == "audit") == (model_name == "auditentry")
