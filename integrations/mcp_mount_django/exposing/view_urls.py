"""A view in the project's URLs: its path, its ResolverMatch, and its decorators there."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.http import Http404, HttpRequest
from django.urls import (
    NoReverseMatch,
    ResolverMatch,
    URLPattern,
    URLResolver,
    get_resolver,
    get_script_prefix,
    get_urlconf,
    resolve,
    reverse,
)
from django.utils.regex_helper import normalize

from mcp_mount.openapi.arguments import another_endpoint
from mcp_mount.schemas.arguments import InvalidArguments


@dataclass(frozen=True, slots=True)
class Place:
    """What the project's URLs resolve a request to.

    Attributes:
        path: The path, without the prefix of the project (`SCRIPT_NAME`).
        match: The ResolverMatch that Django's handler sets on the request.
        view: The view of the URL, with all its decorators; None if the project has no such URL.
    """

    path: str
    match: ResolverMatch
    view: Callable[..., Any] | None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A pattern of the project, with the namespaces around it and all its captures."""

    pattern: URLPattern
    namespaces: tuple[str, ...]
    around: tuple[Any, ...]

    @property
    def captured(self) -> frozenset[str]:
        return frozenset(name for one in self.around for name in one.regex.groupindex)

    @property
    def callback(self) -> Any:
        return self.pattern.callback

    @property
    def name(self) -> str | None:
        if self.pattern.name is None:
            return None
        return ":".join([*self.namespaces, self.pattern.name])

    def path_with(self, captured: Mapping[str, Any]) -> str | None:
        """Return the path with the captured values filled in; None if Django cannot reverse one of
        its patterns, for example one with alternatives.

        Args:
            captured: The values, by name.

        Raises:
            InvalidArguments: If its converters cannot convert a value.
        """
        if not self.captured <= captured.keys():
            raise _no_such_url(captured)
        path = "/"
        for one in self.around:
            converters = getattr(one, "converters", {})
            values = dict(captured)
            try:
                for name in converters:
                    values[name] = converters[name].to_url(values[name])
            except ValueError:
                raise _no_such_url(captured) from None
            # Of several possibilities, the first one that contains all captures.
            ways = normalize(one.regex.pattern)
            named = (text for text, names in ways if set(names) == set(one.regex.groupindex))
            way = next(named, None)
            if way is None:
                return None
            path += way % values
        return path

    def takes(self, captured: Mapping[str, Any]) -> bool:
        """Whether each value is one that its group captures.

        Args:
            captured: The values, by name.
        """
        return all(
            captures_value(one, name, str(captured[name]))
            for one in self.around
            for name in one.regex.groupindex
        )


class Places:
    """Finds the URL of a view at its first call, when the project's URLs are complete.

    Args:
        view: The view in Django's URLs, or its class.
        method: The HTTP method, in lower case.
        action: The action of a viewset.
        captured: The names of what its URL captures.
        route: The name of its URL, if it is known.
    """

    def __init__(
        self,
        view: Any,
        method: str,
        captured: Collection[str],
        *,
        action: str | None = None,
        route: str | None = None,
    ) -> None:
        self._view = view
        self._method = method
        self._action = action
        self._captured = frozenset(captured)
        self._route = route
        self._found: dict[Any, _Pattern | None] = {}

    def of(self, request: HttpRequest, captured: Mapping[str, Any]) -> Place:
        """Return the place of one request.

        Args:
            request: The MCP request, whose path is used if the project has no URL for the view.
            captured: The values that its URL captures.

        Raises:
            InvalidArguments: If its URL cannot capture a value, or the URL belongs to another view
                that comes first.
        """
        urlconf = get_urlconf()
        if urlconf not in self._found:
            self._found[urlconf] = self._pattern()
        found = self._found[urlconf]
        if found is None:
            return Place(request.path_info, self._bare(captured), None)
        is_built = False
        path: str | None
        try:
            url = reverse(found.name or found.callback, kwargs=dict(captured))
            path = "/" + unquote(url).removeprefix(get_script_prefix())
        except re.error:
            # Django checks the whole pattern at once, which Python cannot compile if two of its
            # parts capture the same name.
            path, is_built = found.path_with(captured), True
        except NoReverseMatch:
            path, is_built = found.path_with(captured), True
            # Django cannot reverse URLs in a namespace without a name.
            is_lost = found.name is None and bool(found.namespaces)
            if path is not None and not is_lost:
                raise _no_such_url(captured) from None
        if path is None:
            # The view relies on its pattern nevertheless.
            if not found.takes(captured):
                raise _no_such_url(captured)
            return Place(request.path_info, self._bare(captured), found.callback)
        try:
            match = resolve(path)
        except Http404:
            if is_built:
                raise _no_such_url(captured) from None
            return Place(path, self._bare(captured), None)
        if match.func is found.callback:
            return Place(path, match, match.func)
        if self._is_ours(match.func, self._method):
            return Place(path, match, match.func)
        raise another_endpoint(self._method, path)

    def _bare(self, captured: Mapping[str, Any]) -> ResolverMatch:
        view = self._view if callable(self._view) else self._view.as_view
        return ResolverMatch(view, (), dict(captured), url_name=self._route)

    def _pattern(self) -> _Pattern | None:
        """Return the pattern of the view that captures the tool's arguments. Of several, this is
        the one with the name that the user gave.
        """
        found = [
            one
            for one in _patterns()
            if one.captured == self._captured and self._is_ours(one.callback, self._method)
        ]
        named = [one for one in found if self._route in (one.name, one.pattern.name)]
        return next(iter([*named, *found]), None)

    def _is_ours(self, callback: Any, method: str) -> bool:
        if callback is self._view:
            return True
        kind = _class_of(callback)
        if kind is None or kind is not _class_of(self._view):
            return False
        if self._action is None:
            return True
        return getattr(callback, "actions", {}).get(method) == self._action


def _no_such_url(captured: Mapping[str, Any]) -> InvalidArguments:
    names = ", ".join(captured) or "the arguments"
    return InvalidArguments(f"{names}: not accepted by the project's URL")


def captures_value(pattern: Any, name: str, value: str) -> bool:
    """Whether a pattern captures a value; False if this cannot be determined.

    Args:
        pattern: A pattern of Django.
        name: The name of the capture.
        value: The value, as it would be in the path.
    """
    converter = getattr(pattern, "converters", {}).get(name)
    if converter is not None:
        return re.fullmatch(converter.regex, value) is not None
    group = re.search(rf"\(\?P<{name}>((?:[^()\\]|\\.|\([^()]*\))*)\)", str(pattern))
    return group is not None and re.fullmatch(group[1], value) is not None


def patterns_of(view: Any) -> Iterator[Any]:
    """Yield the patterns of a view, or of another view of its class, with all that are
    around them.
    """
    for one in _patterns():
        if one.callback is view or (_class_of(view) and _class_of(one.callback) is _class_of(view)):
            yield from one.around


def project_routes() -> Iterator[str]:
    """Yield all patterns of the project, in the form of `ResolverMatch.route`."""
    for one in _patterns():
        yield "".join(str(part) for part in one.around)


def _class_of(view: Any) -> Any:
    if isinstance(view, type):
        return view
    return getattr(view, "view_class", getattr(view, "cls", None))


def _patterns() -> Iterator[_Pattern]:
    if getattr(settings, "ROOT_URLCONF", None):
        # Middleware may have chosen another URLconf for a request (`request.urlconf`).
        yield from _below(get_resolver(get_urlconf()), (), ())


def _below(
    resolver: URLResolver, namespaces: tuple[str, ...], around: tuple[Any, ...]
) -> Iterator[_Pattern]:
    for one in resolver.url_patterns:
        whole = (*around, one.pattern)
        if isinstance(one, URLResolver):
            inner = (*namespaces, one.namespace) if one.namespace else namespaces
            yield from _below(one, inner, whole)
        elif isinstance(one, URLPattern):
            yield _Pattern(one, namespaces, whole)
