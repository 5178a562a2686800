"""What the caller of a request may do: permissions, groups and scopes, by name."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


class Rights:
    """What the caller of one request may do.

    Each name is looked up once per request. Otherwise a list of two hundred tools with `roles=`
    would need two hundred queries.

    Args:
        request: The request.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._user: Any = None
        self._permissions: dict[str, bool] = {}
        self._groups: frozenset[str] | None = None

    def has_permission(self, name: str) -> bool:
        """Whether the request's user has a permission, such as "shop.view_order"."""
        user = self._current()
        if name not in self._permissions:
            self._permissions[name] = user is not None and bool(user.has_perm(name))
        return self._permissions[name]

    def has_role(self, name: str) -> bool:
        """Whether the request's user is in the group with this name."""
        user = self._current()
        if self._groups is None:
            knows_groups = user is not None and user.is_authenticated and hasattr(user, "groups")
            names = user.groups.values_list("name", flat=True) if knows_groups else ()
            self._groups = frozenset(names)
        return name in self._groups

    def has_scope(self, name: str) -> bool:
        """Whether the token of the project's own authentication has a scope, as the tokens of
        django-oauth-toolkit do.
        """
        scope = getattr(getattr(self._request, "auth", None), "scope", None)
        return isinstance(scope, str) and name in scope.split()

    def _current(self) -> Any:
        """Return the request's user; what is known about another user is dropped."""
        user = getattr(self._request, "user", None)
        if user is not self._user:
            self._user, self._permissions, self._groups = user, {}, None
        return user
