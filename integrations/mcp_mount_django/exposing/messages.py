"""What a view says by Django's messages framework: it is for the model, not for the next page that
the caller's browser shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from django.http import HttpRequest

from mcp_mount.features import ToolError


@cache
def _collecting() -> Any:
    """The storage of messages; its base reads the settings when it is imported, which is before
    there are any where wsgi.py or asgi.py import this package first."""
    from django.contrib.messages.storage.base import BaseStorage

    class Collected(BaseStorage):
        """Keeps the messages of one request, and stores none."""

        def _get(self, *args: Any, **kwargs: Any) -> tuple[list[Any], bool]:
            return [], True

        def _store(self, messages: Any, response: Any, *args: Any, **kwargs: Any) -> list[Any]:
            return []

        def said(self) -> str:
            """The messages that no page has shown, a line each."""
            queued: Any = vars(self)["_queued_messages"]
            return "" if self.used else "\n".join(str(one) for one in queued)

    return Collected


def collect_messages(request: HttpRequest) -> None:
    """Let a request of a view have messages of its own."""
    request._messages = _collecting()(request)  # type: ignore[attr-defined]


def with_messages(request: HttpRequest, value: Callable[[], Any]) -> Any:
    """The value of a view's response, with what it has said besides; data stay as they are.

    Args:
        request: The request of the view.
        value: Makes the value of its response.

    Raises:
        ToolError: What `value` raises, with the same.
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
