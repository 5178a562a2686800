"""Who a request comes from, as the project's authentication middleware knows it."""

from __future__ import annotations

from django.http import HttpRequest


def caller_of(request: HttpRequest) -> str | None:
    """The primary key of the request's user; None if nobody has logged in."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return str(user.pk)


def has_credentials(request: HttpRequest) -> bool:
    """Whether a request has anything by which its user may be known."""
    return hasattr(request, "user") and bool(
        request.COOKIES or "Authorization" in request.headers or request.META.get("REMOTE_USER")
    )
