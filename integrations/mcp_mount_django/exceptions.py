"""What clients get for Django's own exceptions, and who is notified of failures."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.exceptions import (
    BadRequest,
    ObjectDoesNotExist,
    PermissionDenied,
    SuspiciousOperation,
    ValidationError,
)
from django.core.signals import got_request_exception
from django.http import Http404

from mcp_mount.calls.call import Call
from mcp_mount.calls.exception_hooks import FailedCall
from mcp_mount.features import ToolError
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.responses import value_of_response
from mcp_mount.wire.errors import CallRejected, ResourceNotFoundError
from mcp_mount_django.calls import fresh_connections
from mcp_mount_django.exposing.responses import answer_of, login_paths
from mcp_mount_django.threads import is_on_event_loop


def translate(error: Exception) -> Exception | None:
    """Return the error for a client if Django would answer the exception with a response.

    Exceptions of Django REST framework are included.

    Returns:
        None for any other exception, which is a failure.
    """
    if isinstance(error, Http404 | ObjectDoesNotExist):
        return ResourceNotFoundError(_words(error) or "Not found")
    if isinstance(error, PermissionDenied):
        return CallRejected(_words(error) or "Permission denied", status=403)
    if isinstance(error, ValidationError):
        return ToolError(words_of_validation(error))
    if isinstance(error, BadRequest):
        return ToolError(_words(error) or "Bad request")
    if isinstance(error, SuspiciousOperation):
        # Its message is for the project's log and not for whoever has sent the request.
        return ToolError("The request was refused")
    return _of_rest_framework(error)


def words_of_validation(error: ValidationError) -> str:
    """Return the messages of a ValidationError, each with its field."""
    if not hasattr(error, "error_dict"):
        return "; ".join(error.messages)
    return "; ".join(
        message if field == "__all__" else f"{field}: {message}"
        for field, messages in error.message_dict.items()
        for message in messages
    )


def _words(error: Exception) -> str:
    """Return the message of an exception, without other data such as the URLs that were tried."""
    return error.args[0] if error.args and isinstance(error.args[0], str) else ""


def value_of(response: Any) -> Any:
    """Return the value of a response that a handler, or a decorator such as `login_required`, has
    returned.

    Raises:
        ToolError: If the response refuses the caller, or can be read on an event loop only.
    """
    if response.streaming and (response.is_async or is_on_event_loop()):
        raise ToolError("A streaming response cannot be the result of a tool")
    answer = answer_of(response, ResponseBody(None))
    return value_of_response(answer.status, answer.headers, answer.body, login=login_paths())


def _of_rest_framework(error: Exception) -> Exception | None:
    module: Any = sys.modules.get("rest_framework.exceptions")
    if module is None or not isinstance(error, module.APIException):
        return None
    words = "; ".join(_details(error.detail))
    if error.status_code >= 500:
        return None
    if error.status_code == 404:
        return ResourceNotFoundError(words)
    if error.status_code in (401, 403):
        return CallRejected(words, status=error.status_code)
    if error.status_code == 429:
        return CallRejected(words, status=429, retry_after=getattr(error, "wait", None))
    return ToolError(words)


def _details(detail: Any, field: str = "") -> list[str]:
    """Return the messages of an APIException, each with its field."""
    if isinstance(detail, dict):
        return [
            line for name, one in detail.items() for line in _details(one, _below(field, str(name)))
        ]
    if isinstance(detail, list):
        return [line for one in detail for line in _details(one, field)]
    return [f"{field}: {detail}" if field else str(detail)]


def _below(field: str, name: str) -> str:
    return field if name == "non_field_errors" else f"{field}.{name}".lstrip(".")


def report(call: FailedCall, error: BaseException) -> None:
    """Send Django's signal `got_request_exception`, as its handler does for views.

    Receivers may block, so they never run on an event loop: as in Django under ASGI, they run on a
    thread of a pool.

    Args:
        call: The call that has failed.
        error: The exception.
    """
    send = partial(_send, call.request, error)
    if not is_on_event_loop():
        send()
        return
    _sending.add(task := asyncio.ensure_future(sync_to_async(send, thread_sensitive=False)()))
    task.add_done_callback(_sending.discard)


_sending: Final[set[asyncio.Future[None]]] = set()


def _send(request: Any, error: BaseException) -> None:
    traceback = error.__traceback__
    with fresh_connections():
        try:
            # Receivers read the exception from sys.exc_info().
            raise error
        except BaseException:
            error.__traceback__ = traceback
            got_request_exception.send(sender=Call, request=request)
