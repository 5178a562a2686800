"""Host headers that Django lets in, worked out once for each."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest

_MAX_HOSTS: Final = 1000


class AllowedHosts:
    """What ALLOWED_HOSTS lets in: `get_host` works it out anew for each request, in 3 µs."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._known_by: tuple[tuple[Any, ...], bool] = (), False

    def host_of(self, request: HttpRequest) -> str:
        """What `get_host` returns.

        Args:
            request: The request.

        Raises:
            DisallowedHost: If the host is not in ALLOWED_HOSTS.
        """
        host = request.META.get("HTTP_HOST")
        if host is not None and self.has(host) and type(request).get_host is HttpRequest.get_host:
            return str(host)
        found = request.get_host()
        if found == host and not settings.USE_X_FORWARDED_HOST:
            self._known.add(found)
        return found

    def has(self, host: str) -> bool:
        """Whether a Host header is known to be let in as it is, by the settings of this moment."""
        # A copy, since projects may change the list.
        allowed = tuple(settings.ALLOWED_HOSTS)
        known_by = allowed, settings.USE_X_FORWARDED_HOST
        if known_by != self._known_by or len(self._known) > _MAX_HOSTS:
            self._known = set()
            self._known_by = known_by
        # Without ALLOWED_HOSTS it is DEBUG that lets local ones in.
        return host in self._known and bool(allowed)
