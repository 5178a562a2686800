"""One action of a view of Django REST framework, and a view object to get its schemas from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import HttpRequest
from django.urls import ResolverMatch
from rest_framework.request import Request

from mcp_mount.openapi.operations import annotations_of

_VERBS: Final = {
    "get": "Get",
    "post": "Create",
    "patch": "Change",
    "put": "Replace",
    "delete": "Delete",
}

READS: Final = ("get", "head")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One action of a view.

    Attributes:
        tool: The name of its tool.
        kind: The class of the view.
        method: The HTTP method, in lower case.
        path: The form of its URL, for messages: "/orders/{pk}".
        handler: The name of the method of the class.
        action: The same for a viewset; None for other views.
        url: The arguments that its URL captures.
        fixed: Values of other captures, which are not arguments of the tool.
        many: Whether it returns a list.
        sentence: Its default description.
        is_extra: Whether it is an extra action of the viewset.
        initkwargs: The arguments of the view.
        route: The name of its URL, if it is known.
    """

    tool: str
    kind: type[Any]
    method: str
    path: str
    handler: str
    action: str | None
    url: Sequence[str]
    fixed: Mapping[str, Any]
    many: bool
    sentence: str
    is_extra: bool = False
    initkwargs: Mapping[str, Any] = field(default_factory=dict)
    route: str | None = None

    def __str__(self) -> str:
        return f"{self.kind.__name__}.{self.handler}"

    @property
    def function(self) -> Any:
        """Return the method of the class that handles requests."""
        return getattr(self.kind, self.handler, None)

    def view(self, **more: Any) -> Callable[..., Any]:
        """Return the callable that Django's URLs would contain.

        Args:
            more: Further arguments of the view.
        """
        given = {**self.initkwargs, **more}
        kind: Any = self.kind
        if self.action is None:
            made: Callable[..., Any] = kind.as_view(**given)
        else:
            made = kind.as_view({self.method: self.action}, **given)
        return made

    def instance(self) -> Any:
        """Return a view object as schema generators make it: with an anonymous request.

        `swagger_fake_view` tells views that only their schemas are needed.
        """
        view = self.kind(**self.initkwargs)
        request: Any = HttpRequest()
        request.method = self.method.upper()
        request.path = request.path_info = self.path
        request.META |= {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}
        request.resolver_match = ResolverMatch(lambda request: None, (), {})
        view.request = Request(request)
        view.args, view.kwargs, view.format_kwarg = (), {}, None
        view.action, view.action_map = self.action, {self.method: self.handler}
        view.swagger_fake_view = True
        return view

    @property
    def description(self) -> str:
        """Return what its author wrote about it, or else its default description."""
        own = _written(self.function)
        if not own and is_of_api_view(self.function):
            # The class of a decorated function has its docstring.
            own = inspect.cleandoc(self.kind.__doc__ or "")
        if own:
            return own
        parts = [self.sentence, _first_paragraph(_written_for_class(self.kind))]
        return " ".join(part for part in parts if part)

    @property
    def annotations(self) -> dict[str, bool]:
        """Return the hints that follow from its HTTP method (RFC 9110, section 9.2)."""
        return annotations_of(self.method)


def sentence(method: str, one: str, several: str, *, of_one: bool, many: bool, action: str) -> str:
    """Return a description of an endpoint, made from names.

    Args:
        method: The HTTP method.
        one: The name for an object: "bread_ingredient".
        several: The name for several.
        of_one: Whether the endpoint is for one object.
        many: Whether it returns a list.
        action: The name of an extra action, or "".
    """
    thing = one.replace("_", " ")
    if action:
        words = action.replace("_", " ").strip().capitalize()
        return f"{words}: an action on {_a(thing) if of_one else several.replace('_', ' ')}."
    if many:
        return f"List {several.replace('_', ' ')}."
    return f"{_VERBS[method]} {_a(thing)}."


def is_of_api_view(function: Any) -> bool:
    """Whether a method of a view calls a function that `@api_view` has decorated."""
    return getattr(function, "__module__", None) == "rest_framework.decorators"


_SPOKEN_WITH_A: Final = re.compile(
    r"(u(ni(?!n|m)|ni$|s[aeiou]|t[ei]|r[il]|uid|i\b)|eu|ew|one\b|once\b)", re.I
)
"""Words that begin with a vowel in writing, but not in speech: "user", "unit"."""

_SPOKEN_WITH_AN: Final = re.compile(r"([aeiou]|hour|honou?r|heir|honest)", re.I)


def _a(thing: str) -> str:
    """Return a noun with its article."""
    is_an = _SPOKEN_WITH_AN.match(thing) and not _SPOKEN_WITH_A.match(thing)
    return f"an {thing}" if is_an else f"a {thing}"


def _written(function: Any) -> str:
    """Return the docstring of a method, if it is one of the project: those of REST framework's
    mixins say the same for every model.
    """
    inner = inspect.unwrap(function) if callable(function) else None
    if inner is None or _is_of_framework(inner):
        return ""
    return inspect.cleandoc(function.__doc__ or "")


def _written_for_class(kind: type[Any]) -> str:
    own = (one.__doc__ for one in kind.__mro__ if not _is_of_framework(one))
    return inspect.cleandoc(next(filter(None, own), ""))


def _is_of_framework(what: Any) -> bool:
    package = str(getattr(what, "__module__", "")).partition(".")[0]
    return package in ("rest_framework", "rest_framework_nested", "django", "builtins", "typing")


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n", 1)[0].split())


def lookup_of(kind: Any) -> str:
    """Return the argument by which a view looks up an object, as routers name it."""
    return str(getattr(kind, "lookup_url_kwarg", None) or getattr(kind, "lookup_field", "pk"))


def without(names: Sequence[str], fixed: Mapping[str, Any]) -> list[str]:
    """Return the names of captures that are arguments: those without a fixed value.

    Args:
        names: All captures.
        fixed: Captures with a fixed value.
    """
    return [one for one in dict.fromkeys(names) if one not in fixed]
