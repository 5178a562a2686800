"""What a server needs from its Flask application."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from importlib import import_module
from typing import Any

from flask import (
    Flask,
    has_request_context,
)
from flask.ctx import RequestContext
from flask.globals import request_ctx

from mcp_mount.backends.tasks.contexts import context_without
from mcp_mount.calls.call import Call
from mcp_mount.hosting.host import Host
from mcp_mount_flask.exceptions import exception_hooks
from mcp_mount_flask.task_requests import task_data, task_request


@contextmanager
def _contexts(app: Flask, request_context: RequestContext) -> Iterator[None]:
    # The copy of the request uses the current application context.
    with app.app_context(), request_context.copy():
        yield


def has_own_gate(app: Flask) -> bool:
    """Whether the application has before_request functions of its own, which may refuse requests.

    Functions of Flask extensions do not count: they serve other purposes.
    """
    return any(
        not str(function.__module__).startswith("flask")
        for function in app.before_request_funcs.get(None, ())
    )


def _accounts(app: Flask) -> Any:
    # Only a SignIn asks, which needs more than others import.
    return import_module("mcp_mount_flask.signing_in").accounts_of(app)


def host_of(app: Flask, *, is_beside: bool = False) -> Host:
    """Return the Flask application as the host of a server: its keys, debug flag and host names.

    Args:
        app: The application.
        is_beside: Whether the server is in front of the application, so that its error handlers do
            not apply.
    """

    def secret_keys() -> Sequence[str | bytes]:
        # Oldest first: the last key seals, all of them open.
        keys = [*(app.config.get("SECRET_KEY_FALLBACKS") or ()), app.config.get("SECRET_KEY")]
        return [key for key in keys if key]

    def host_names() -> Sequence[str]:
        return list(app.config.get("TRUSTED_HOSTS") or ())

    def detach(call: Call) -> Context:
        """Give a call its own contexts, and thereby its own session of Flask-SQLAlchemy.

        The contexts of a task's request are torn down before the task ends, and over stdio several
        calls run at a time.
        """
        if has_request_context():
            context = request_ctx._get_current_object()  # type: ignore[attr-defined]
            call.surround(partial(_contexts, app, context))
        else:
            call.surround(app.app_context)
        # Flask creates new contexts if there are none.
        return context_without("flask.")

    return Host(
        secret_keys=secret_keys,
        debug=lambda: app.debug,
        host_names=host_names,
        detach=detach,
        task_data=task_data,
        task_request=partial(task_request, app),
        accounts=partial(_accounts, app),
        without_permissions=lambda: "Flask",
        exceptions=exception_hooks(app, has_request=not is_beside),
    )
