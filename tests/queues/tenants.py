"""What the setting MCP_MOUNT of `django_desk.py` names: its users, and the context of its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def of_header(request: Any) -> Any:
    """Find a user by a header; for these tests that is credentials enough."""
    from django.contrib.auth.models import User

    return User.objects.filter(username=request.headers.get("x-user", "")).first()


TENANTS: list[str] = []


@contextmanager
def tenant(request: Any) -> Iterator[None]:
    TENANTS.append(request.get_host())
    try:
        yield
    finally:
        TENANTS.pop()
