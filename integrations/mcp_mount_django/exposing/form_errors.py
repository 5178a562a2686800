"""Recognise forms that a view has rejected: it responds with 200 and the page again, which is not a
success.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Final

from django.forms import BaseForm, BaseFormSet
from django.forms.utils import ErrorDict

from mcp_mount.openapi.responses import read_page

_LIST: Final = "errorlist"
"""The class of Django's error lists, which exist only if there are errors."""

_FEEDBACK: Final = frozenset(["invalid-feedback", "invalid-tooltip"])
"""Bootstrap's classes. Pages contain such elements for the browser's own validation. The stylesheet
shows one only after a sibling that is `is-invalid`, or if a class or style of its own says so.
"""

_HIDDEN: Final = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SHOWN: Final = re.compile(r"display\s*:\s*(?!none)\w", re.IGNORECASE)

_VOID: Final = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "source",
        "track",
        "wbr",
    ]
)
"""The elements without an end tag (https://html.spec.whatwg.org/#void-elements)."""


_LISTS: Final = frozenset(["ul", "ol", "menu"])

_NO_TEXT: Final = frozenset(["script", "style", "template"])
"""The elements whose content is not text of the page."""


def form_problems(response: Any, page: str) -> list[str]:
    """Return the errors of a form that a view has rejected.

    Args:
        response: The view's response to a request that sends a form.
        page: Its text.

    Returns:
        A line for each error; none if there is no sign of one.
    """
    context = getattr(response, "context_data", None)
    if isinstance(context, Mapping):
        found = [line for value in context.values() for line in _of(value)]
        if found:
            return list(dict.fromkeys(found))
    # A page of `render` does not say which template and context it was made from.
    reader = _Errors()
    read_page(reader, page)
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


@dataclass(slots=True)
class _Element:
    """An open element.

    Attributes:
        tag: Its name.
        is_hidden: Whether it, or an element around it, is hidden.
        is_error: Whether it is an error message, or inside one.
        has_invalid: Whether a child so far is an invalid control.
    """

    tag: str
    is_hidden: bool
    is_error: bool
    has_invalid: bool = False


class _Errors(HTMLParser):
    """Collects the error messages that a page shows."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._open = [_Element("", is_hidden=False, is_error=False)]
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        classes = (given.get("class") or "").split()
        style = given.get("style") or ""
        around = self._open[-1]
        is_shown = around.has_invalid or "d-block" in classes or bool(_SHOWN.search(style))
        if "is-invalid" in classes:
            around.has_invalid = True
        if tag in _VOID:
            return
        if tag == "li":
            self._end_item()
        is_hidden = (
            tag in _NO_TEXT
            or "hidden" in given
            or "d-none" in classes
            or bool(_HIDDEN.search(style))
        )
        is_error = _LIST in classes or (is_shown and not _FEEDBACK.isdisjoint(classes))
        self._open.append(_Element(tag, around.is_hidden or is_hidden, around.is_error or is_error))

    def handle_endtag(self, tag: str) -> None:
        if all(one.tag != tag for one in self._open):
            return
        # Inner elements without an end tag, such as the items of a list, end here as well.
        while (ended := self._open.pop()).tag != tag:
            pass
        if ended.is_error and (tag == "li" or not self._open[-1].is_error):
            self._end_line()

    def _end_item(self) -> None:
        """End an item without an end tag, where the next item of its list begins."""
        for one in reversed(self._open):
            if one.tag in _LISTS:
                return
            if one.tag == "li":
                self.handle_endtag("li")
                return

    def handle_data(self, data: str) -> None:
        if self._open[-1].is_error and not self._open[-1].is_hidden:
            self._words += data.split()

    def close(self) -> None:
        super().close()
        self._end_line()

    def _end_line(self) -> None:
        if self._words:
            self.lines.append(" ".join(self._words))
            self._words = []
