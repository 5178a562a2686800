"""Forms that a view has refused: it answers with 200 and the page again, which is no success."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any, Final

from django.forms import BaseForm, BaseFormSet
from django.forms.utils import ErrorDict

_ERRORS: Final = ("errorlist", "invalid-feedback")
"""The classes of Django's own lists of errors, and of Bootstrap's."""

_VOID: Final = frozenset(
    ["br", "hr", "img", "input", "link", "meta", "wbr", "area", "col", "source"]
)


def form_problems(response: Any, page: str) -> list[str]:
    """What a view says of a form that it did not take.

    Args:
        response: The view's, to a request that sends a form.
        page: Its text.

    Returns:
        A line for each problem; none where there is no sign of one.
    """
    context = getattr(response, "context_data", None)
    if isinstance(context, Mapping):
        found = [line for value in context.values() for line in _of(value)]
        if found:
            return list(dict.fromkeys(found))
    # A page of `render` does not say what it was made of.
    reader = _Errors()
    reader.feed(page)
    return list(dict.fromkeys(reader.lines))


def _of(value: Any) -> Iterator[str]:
    if isinstance(value, BaseForm) and value.is_bound:
        yield from _lines(value.errors)
    elif isinstance(value, BaseFormSet) and value.is_bound:
        yield from map(str, value.non_form_errors())
        for number, errors in enumerate(value.errors):
            yield from (f"{number + 1}: {line}" for line in _lines(errors))


def _lines(errors: ErrorDict | Any) -> Iterator[str]:
    for name, texts in errors.items():
        text = " ".join(map(str, texts))
        yield text if name == "__all__" else f"{name}: {text}"


class _Errors(HTMLParser):
    """Collects the texts of lists of errors."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._depth = 0
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        if tag in _VOID:
            return
        classes = str(dict(attributes).get("class") or "").split()
        if self._depth or any(one in classes for one in _ERRORS):
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if not self._depth or tag in _VOID:
            return
        self._depth -= 1
        if self._words and (tag == "li" or not self._depth):
            self.lines.append(" ".join(self._words))
            self._words = []

    def handle_data(self, data: str) -> None:
        if self._depth:
            self._words += data.split()
