"""Messages of a view in Django's messages framework: they are for the model, and not for the next
page in the caller's browser.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from django.http import HttpRequest

from mcp_mount.features import ToolError


@cache
def _collecting() -> Any:
    """Return the storage class of messages.

    Its base class reads the settings when it is imported, which is before they exist if wsgi.py or
    asgi.py import this package first.
    """
    from django.contrib.messages.storage.base import BaseStorage

    class Collected(BaseStorage):
        """Keeps the messages of one request, and stores none."""

        def _get(self, *args: Any, **kwargs: Any) -> tuple[list[Any], bool]:
            return [], True

        def _store(self, messages: Any, response: Any, *args: Any, **kwargs: Any) -> list[Any]:
            return []

        def said(self) -> str:
            """Return the messages that no page has shown, one a line."""
            queued: Any = vars(self)["_queued_messages"]
            return "" if self.used else "\n".join(str(one) for one in queued)

    return Collected


def collect_messages(request: HttpRequest) -> None:
    """Give the request of a view a message storage of its own."""
    request._messages = _collecting()(request)  # type: ignore[attr-defined]


def with_messages(request: HttpRequest, value: Callable[[], Any]) -> Any:
    """Return the value of a view's response with its messages appended. Structured data are
    unchanged.

    Args:
        request: The request of the view.
        value: Returns the value of its response.

    Raises:
        ToolError: What `value` raises, with the messages appended.
    """
    try:
        found = value()
    except ToolError as error:
        if said := _said(request):
            raise ToolError(f"{error}\n{said}") from error
        raise
    if isinstance(found, str) and (said := _said(request)):
        return f"{found}\n{said}" if found else said
    return found


def _said(request: HttpRequest) -> str:
    messages = getattr(request, "_messages", None)
    return messages.said() if isinstance(messages, _collecting()) else ""
