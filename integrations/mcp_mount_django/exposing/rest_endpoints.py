"""One action of a view of Django REST framework, and a view object to ask for its schemas."""

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
        tool: What its tool is called.
        kind: The class of the view.
        method: Of HTTP, in lower case.
        path: What its URL looks like, for messages: "/orders/{pk}".
        handler: The name of the method of the class.
        action: The same for a viewset; None for other views.
        url: The arguments that its URL captures.
        fixed: Values of other captures, which are no arguments of the tool.
        many: Whether it answers with a list.
        sentence: What it does, where nobody wrote a text.
        is_extra: Whether it is an action of the viewset's own.
        initkwargs: What the view is made with.
        route: The name of its URL, as far as it is known.
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
        """The method of the class that answers."""
        return getattr(self.kind, self.handler, None)

    def view(self, **more: Any) -> Callable[..., Any]:
        """The callable that Django's URLs would have.

        Args:
            more: What the view is made with as well.
        """
        given = {**self.initkwargs, **more}
        kind: Any = self.kind
        if self.action is None:
            made: Callable[..., Any] = kind.as_view(**given)
        else:
            made = kind.as_view({self.method: self.action}, **given)
        return made

    def instance(self) -> Any:
        """A view object as generators of schemas have it: with a request of nobody.

        `swagger_fake_view` is how views know that they are only asked for their schemas.
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
        """What its author wrote of it, or else what it does."""
        own = _written(self.function)
        if not own and is_of_api_view(self.function):
            # Its class has the docstring of the function.
            own = inspect.cleandoc(self.kind.__doc__ or "")
        if own:
            return own
        parts = [self.sentence, _first_paragraph(_written_for_class(self.kind))]
        return " ".join(part for part in parts if part)

    @property
    def annotations(self) -> dict[str, bool]:
        """The hints that its HTTP method gives (RFC 9110, section 9.2)."""
        return annotations_of(self.method)


def sentence(method: str, one: str, several: str, *, of_one: bool, many: bool, action: str) -> str:
    """What an endpoint does, in words made of names.

    Args:
        method: Of HTTP.
        one: The name of an object: "bread_ingredient".
        several: That of several.
        of_one: Whether the endpoint is of one object.
        many: Whether it answers with a list.
        action: The name of an action that is not one of the standard ones, or "".
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
"""Words that begin with a vowel as they are written, but not as they are spoken: "user", "unit"."""

_SPOKEN_WITH_AN: Final = re.compile(r"([aeiou]|hour|honou?r|heir|honest)", re.I)


def _a(thing: str) -> str:
    """A noun with its article."""
    is_an = _SPOKEN_WITH_AN.match(thing) and not _SPOKEN_WITH_A.match(thing)
    return f"an {thing}" if is_an else f"a {thing}"


def _written(function: Any) -> str:
    """The docstring of a method, if it is one of the project: those of REST framework's mixins
    say the same of every model."""
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
    """The argument by which a view looks an object up, as routers have it."""
    return str(getattr(kind, "lookup_url_kwarg", None) or getattr(kind, "lookup_field", "pk"))


def without(names: Sequence[str], fixed: Mapping[str, Any]) -> list[str]:
    """The names of captures that are arguments: those without a value of their own.

    Args:
        names: All that are captured.
        fixed: Those with a value.
    """
    return [one for one in dict.fromkeys(names) if one not in fixed]
